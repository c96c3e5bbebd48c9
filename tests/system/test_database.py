"""The program with a database: its start, its end, an outage, and what it tells of the password."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.simulator.server import CREDENTIAL
from tests.support.busy import BusyTwilio
from tests.support.postgres import PASSWORD, Postgres, postgres
from tests.support.program import eventually, fetch, finish, found_in, free_port, started

pytestmark = pytest.mark.needs("initdb")

WRITTEN = "pa55%20w0rd%2F%40%3A%25%3F"


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A cluster that may be stopped."""
    with postgres() as made:
        yield made


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    twilio = BusyTwilio(created=1, pause_seconds=0.2)
    with twilio.running() as url:
        yield url


def settings(base_url: str, url: str) -> dict[str, str]:
    return {
        "TWILIO_ACCOUNT_SID": CREDENTIAL[0],
        "TWILIO_AUTH_TOKEN": CREDENTIAL[1],
        "EXPORTER_API__BASE_URL": base_url,
        "EXPORTER_API__REQUESTS_PER_SECOND": "100",
        "EXPORTER_POLL__INTERVAL": "1s",
        "EXPORTER_LOG__LEVEL": "debug",
        "EXPORTER_WEB__LISTEN_ADDRESS": "127.0.0.1:0",
        "EXPORTER_STATE__URL": url,
        "PYTHONASYNCIODEBUG": "1",
    }


def address_of(log: Path) -> str:
    return "http://" + eventually(found_in(log, r"msg=listening address=(\S+)"), "the listener").group(1)


def is_active(page: str | None) -> bool:
    return page is not None and "\ntwilio_email_exporter_active 1.0\n" in page


def shows_counters(page: str) -> bool:
    return "\ntwilio_email_outcomes_total{" in page


def test_outage_of_the_database(server: Postgres, base_url: str, tmp_path: Path) -> None:
    """Counters are hidden, the last gauges stay, and it goes on by itself. Nothing tells the password."""
    log = tmp_path / "log"
    told = ""

    def scraped(url: str, *, active: bool) -> str:
        def page() -> str | None:
            found = fetch(url)
            return found if found is not None and is_active(found) is active else None

        return eventually(page, f"active: {active}")

    with started(log, **settings(base_url, server.url())) as process:
        url = address_of(log)
        first = scraped(f"{url}/metrics", active=True)
        assert shows_counters(first)
        eventually(found_in(log, "first poll succeeded"), "a poll")
        assert fetch(f"{url}/-/ready") == "OK\n"
        told += fetch(f"{url}/") or ""
        server.stop()
        page = scraped(f"{url}/metrics", active=False)
        assert not shows_counters(page)
        assert "\ntwilio_email_window_operations{" in page
        status_page = fetch(f"{url}/") or ""
        assert "Nothing is polled: no connection to the database" in status_page
        assert fetch(f"{url}/-/healthy") == fetch(f"{url}/-/ready") == "OK\n"
        server.start()
        after = scraped(f"{url}/metrics", active=True)
        assert shows_counters(after)
        told += page + status_page + after
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    told += log.read_text()
    assert re.search(r"state=\"postgresql://127.0.0.1:\d+/state", told)
    for secret in (PASSWORD, WRITTEN, "w0rd"):
        assert secret not in told


def test_wrong_password_ends_the_start(server: Postgres, base_url: str, tmp_path: Path) -> None:
    """With exit code 1 and a line that does not show it."""
    url = server.url().replace(WRITTEN, "wr0ng-w0rd")
    variables = {**settings(base_url, url), "EXPORTER_WEB__LISTEN_ADDRESS": "127.0.0.1:0"}
    done = finish("run", **variables)
    assert done.returncode == 1
    assert "cannot start" in done.stderr
    assert "password authentication failed" in done.stderr
    assert "w0rd" not in done.stdout + done.stderr


def test_password_in_a_file(server: Postgres, base_url: str, tmp_path: Path) -> None:
    """The usual way; `check`, `backup` and the other commands show it no more than `run`."""
    file, log = tmp_path / "password", tmp_path / "log"
    file.write_text(PASSWORD + "\n")
    url = server.url().replace(f":{WRITTEN}@", "@")
    variables = {**settings(base_url, url), "EXPORTER_STATE__PASSWORD_FILE": str(file)}
    with started(log, **variables):
        page_of = address_of(log)
        eventually(lambda: is_active(fetch(f"{page_of}/metrics")) or None, "an active exporter")
        eventually(found_in(log, "first poll succeeded"), "a poll")
        told = finish("backup", f"--output={tmp_path / 'copy'}", **variables).stdout
    assert "account default: " in told
    told += log.read_text()
    for command in (("check",), ("once",), ("backup", "--output=/nowhere/x")):
        done = finish(*command, **variables)
        told += done.stdout + done.stderr
    assert "w0rd" not in told


def test_database_that_is_missing_at_the_start_is_waited_for(base_url: str, tmp_path: Path) -> None:
    """It is not ready yet, and shows its own metrics; a stop is not held up."""
    log = tmp_path / "log"
    url = f"postgresql://exporter:{WRITTEN}@127.0.0.1:{free_port()}/state"
    with started(log, **settings(base_url, url)) as process:
        address = address_of(log)
        eventually(found_in(log, "no connection to the database"), "the line")
        page = fetch(f"{address}/metrics") or ""
        assert "\ntwilio_email_exporter_active 0.0\n" in page
        assert not shows_counters(page)
        assert fetch(f"{address}/-/healthy") == "OK\n"
        assert fetch(f"{address}/-/ready") is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    assert log.read_text().count("no connection to the database") == 1
