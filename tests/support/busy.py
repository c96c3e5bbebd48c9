"""A simulated Twilio whose operations never rest, and what counters must show of them."""

import asyncio
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Final

from exporter.clock import SystemClock
from exporter.operation import STATS, Operation, Stats
from exporter.simulator.ids import new_id
from exporter.simulator.server import Simulator
from exporter.simulator.world import World

GROWING: Final = ("total", "recipients", "attempts", "opened", "undelivered", "failed", "canceled")
"""Stats that only rise, so that the truth of a counter is the truth of its stat."""

_ZEROS: Final = Stats(*(0 for _ in STATS))


class BusyTwilio:
    """A simulator in a thread, whose world never rests until it is told to."""

    def __init__(self, *, created: int = 3, pause_seconds: float = 0.02) -> None:
        """`created`: operations after each pause."""
        self.world = World.empty()
        self._created = created
        self._pause_seconds = pause_seconds
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
                self._grow(created=self._created, age=0.0)
                await asyncio.sleep(self._pause_seconds)
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


def truth_of(world: World, counted: dict[str, float], known: dict[str, Stats]) -> dict[str, float]:
    """What was counted once, and all that has happened since."""
    expected = dict(counted)
    for each in world.visible(time.time()):
        for stat, then, now in zip(STATS, known.get(each.id, _ZEROS), each.stats, strict=True):
            if stat in GROWING:
                expected[stat] += (now or 0) - (then or 0)
    return expected
