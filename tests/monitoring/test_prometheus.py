"""A real Prometheus scrapes the real program."""

import subprocess
from pathlib import Path

import pytest

from tests.support.monitoring import CONFIG, prometheus, query
from tests.support.program import eventually, fetch, found_in, started


@pytest.mark.needs("prometheus")
def test_prometheus_reads_the_gauges_back(tmp_path: Path) -> None:
    """What the program shows is what Prometheus stores, by status."""
    log = tmp_path / "demo.log"
    with started(log, "demo", "--web.listen_address", "127.0.0.1:0"):
        target = eventually(found_in(log, r"msg=listening address=(\S+)"), "the listener").group(1)
        with prometheus(tmp_path, CONFIG.format(target=target)) as url:
            up = eventually(lambda: query(url, "twilio_email_up == 1"), "a successful poll")
            assert len(up) == 1
            emails = eventually(
                lambda: query(url, "sum by (operation_status, status) (twilio_email_window_emails)"), "emails"
            )
            assert emails["completed", "delivered"] > 1000
            assert len(emails) == 40, "every status of an operation by every status of an email"
            age = query(url, "time() - twilio_email_exporter_last_success_timestamp_seconds")
            assert age
            assert all(value < 60 for value in age.values())
            healthy = query(url, 'up{job="twilio-email"}')
            assert healthy
            assert set(healthy.values()) == {1.0}


@pytest.mark.needs("promtool")
def test_promtool_finds_nothing_to_mend(tmp_path: Path) -> None:
    """`promtool check metrics` on the page of a living exporter."""
    log = tmp_path / "demo.log"
    with started(log, "demo", "--web.listen_address", "127.0.0.1:0"):
        address = eventually(found_in(log, r"msg=listening address=(\S+)"), "the listener").group(1)

        def polled() -> str | None:
            page = fetch(f"http://{address}/metrics")
            return page if page and "twilio_email_window_emails" in page else None

        page = eventually(polled, "the first poll")
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=page, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
