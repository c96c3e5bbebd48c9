"""The real program, its real state file, and SIGKILL at random moments."""

import json
import random
import re
import signal
import sqlite3
import time
from pathlib import Path

from exporter.ledger.packing import unpack
from exporter.operation import Stats
from exporter.simulator.server import CREDENTIAL
from tests.support.busy import GROWING, BusyTwilio, truth_of
from tests.support.program import eventually, fetch, found_in, started

KILLS = 24


def counter(page: str, name: str) -> dict[str, float]:
    """By the `status` label, or by ""."""
    found = re.findall(rf"^{name}\{{(.*?)\}} (\S+)$", page, re.MULTILINE)
    return {"".join(re.findall(r'status="(\w+)"', labels)): float(value) for labels, value in found}


def shown(page: str) -> dict[str, float]:
    stats = {"total": "emails", "recipients": "recipients", "attempts": "attempts"}
    values = {stat: counter(page, f"twilio_email_{name}_total")[""] for stat, name in stats.items()}
    outcomes = counter(page, "twilio_email_outcomes_total")
    return {**values, **{stat: outcomes[stat] for stat in GROWING if stat in outcomes}}


def saved(path: Path) -> tuple[dict[str, float], dict[str, Stats]]:
    """What a process left: its counters, and each operation as it last saw it."""
    database = sqlite3.connect(path)
    (counts,) = database.execute("SELECT counts FROM accounts").fetchone()
    rows = database.execute("SELECT id, packed FROM operations").fetchall()
    database.close()
    counted = {label: value for name, label, value in json.loads(counts) if name == "stat"}
    known = {each: unpack(each, packed).operation.stats for each, packed in rows}
    return {stat: counted[stat] for stat in GROWING}, known


def metrics_of(log: Path) -> str:
    address = eventually(found_in(log, r"msg=listening address=(\S+)"), "the listener").group(1)
    return f"http://{address}/metrics"


def polled(url: str) -> str | None:
    page = fetch(url)
    return page if page and re.search(r"^twilio_email_up\{.*\} 1", page, re.MULTILINE) else None


class Watcher:
    """Scrapes now and then, and minds that no counter ever falls."""

    def __init__(self) -> None:
        self.seen = dict.fromkeys(GROWING, 0.0)

    def look(self, page: str | None) -> None:
        if page:
            now = shown(page)
            assert all(now[stat] >= self.seen[stat] for stat in GROWING), "a counter fell"
            self.seen = now


def test_killed_at_random_moments_it_loses_and_invents_nothing(tmp_path: Path) -> None:
    """Dozens of times under a world that never rests: no counter falls, and in the end all are the truth."""
    twilio, watcher, moments = BusyTwilio(), Watcher(), random.Random(11)
    with twilio.running() as base_url:
        settings = {
            "TWILIO_ACCOUNT_SID": CREDENTIAL[0],
            "TWILIO_AUTH_TOKEN": CREDENTIAL[1],
            "EXPORTER_API__BASE_URL": base_url,
            "EXPORTER_API__REQUESTS_PER_SECOND": "100",
            "EXPORTER_POLL__INTERVAL": "1s",
            "EXPORTER_STATE__PATH": str(tmp_path / "state"),
            "EXPORTER_WEB__LISTEN_ADDRESS": "127.0.0.1:0",
        }
        first = tmp_path / "first.log"
        with started(first, **settings) as process:  # coverage begins
            eventually(lambda: polled(metrics_of(first)), "the first poll")
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0
        counted, known = saved(tmp_path / "state")

        for number in range(KILLS):
            log = tmp_path / f"{number}.log"
            with started(log, **settings) as process:
                time.sleep(moments.uniform(0.3, 1.6))  # the moment is what is tested
                ready = found_in(log, r"msg=listening address=(\S+)")()
                watcher.look(fetch(f"http://{ready.group(1)}/metrics") if ready else None)
                process.kill()

        twilio.rest()
        time.sleep(0.1)  # for the last change under way
        expected = truth_of(twilio.world, counted, known)
        last = tmp_path / "last.log"
        with started(last, **settings):

            def settled() -> bool | None:
                watcher.look(polled(metrics_of(last)))
                return watcher.seen == expected or None

            eventually(settled, f"{expected}")
    assert expected["failed"] > counted["failed"] + 100, "something happened"
