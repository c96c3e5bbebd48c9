"""A real Prometheus scrapes the real program."""

import json
import subprocess
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.program import eventually, fetch, found_in, free_port, running, started


@contextmanager
def prometheus(folder: Path, config: str) -> Iterator[str]:
    """A Prometheus of its own; gives its URL."""
    (folder / "prometheus.yml").write_text(config)
    url = f"http://127.0.0.1:{free_port()}"
    arguments = [
        "prometheus",
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={url.removeprefix('http://')}",
    ]
    with running(folder / "prometheus.log", arguments):
        eventually(lambda: fetch(f"{url}/-/ready"), "Prometheus")
        yield url


def query(url: str, expression: str) -> dict[tuple[str, ...], float] | None:
    """Values by the label values of the result, in the order of the labels' names; `None`: no data yet."""
    reply = fetch(f"{url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}")
    result = json.loads(reply or "{}").get("data", {}).get("result", [])
    values = {
        tuple(value for _, value in sorted(each["metric"].items()) if value): float(each["value"][1])
        for each in result
    }
    return values or None


CONFIG = """
scrape_configs:
  - job_name: twilio-email
    scrape_interval: 1s
    static_configs:
      - targets: ["{target}"]
"""


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
