"""The real program, its real state file, and SIGKILL at random moments."""

import asyncio
import json
import random
import re
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

from exporter.clock import SystemClock
from exporter.ledger.packing import unpack
from exporter.operation import STATS, Operation, Stats
from exporter.simulator.ids import new_id
from exporter.simulator.server import CREDENTIAL, Simulator
from exporter.simulator.world import World
from tests.support.program import eventually, fetch, found_in, started

KILLS = 24
ZEROS = Stats(*(0 for _ in STATS))
GROWING = ("total", "recipients", "attempts", "opened", "undelivered", "failed", "canceled")
"""Stats that only rise in this test, so that the truth of a counter is the truth of its stat."""


class BusyTwilio:
    """A simulator in a thread, whose world never rests until it is told to."""

    def __init__(self) -> None:
        self.world = World.empty()
        self._random = random.Random(7)
        self._resting = threading.Event()
        self._over = threading.Event()
        self._base_url: Future[str] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    @contextmanager
    def running(self) -> Iterator[str]:
        self._thread.start()
        try:
            yield self._base_url.result(timeout=30)
        finally:
            self._resting.set()
            self._over.set()
            self._thread.join(timeout=30)

    def rest(self) -> None:
        self._resting.set()

    async def _serve(self) -> None:
        async with Simulator(self.world, SystemClock()) as simulator:
            self._grow(created=400, age=3600.0)  # what was there before anybody counted
            self._base_url.set_result(simulator.base_url)
            while not self._resting.is_set():
                self._grow(created=3, age=0.0)
                await asyncio.sleep(0.02)
            await asyncio.to_thread(self._over.wait)

    def _grow(self, *, created: int, age: float) -> None:
        now = time.time()
        known = self.world.visible(now)
        for number in range(created):
            at = now - age
            name = new_id(f"{now}/{number}", at)
            self.world.put(Operation(name, "processing", at, at, Stats(**dict.fromkeys(STATS, 0))))
        for before in self._random.sample(known, min(5, len(known))):
            grown = {
                stat: (value or 0) + self._random.randint(0, 3) * (stat in GROWING)
                for stat, value in zip(STATS, before.stats, strict=True)
            }
            status = self._random.choice(("processing", "completed"))
            self.world.put(before._replace(status=status, updated_at=now, stats=Stats(**grown)))


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


def truth_of(world: World, counted: dict[str, float], known: dict[str, Stats]) -> dict[str, float]:
    """What was counted once, and all that has happened since."""
    expected = dict(counted)
    for each in world.visible(time.time()):
        for stat, then, now in zip(STATS, known.get(each.id, ZEROS), each.stats, strict=True):
            if stat in GROWING:
                expected[stat] += (now or 0) - (then or 0)
    return expected


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
