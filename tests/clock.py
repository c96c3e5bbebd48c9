"""A clock that tests move; sleepers move it too, the earliest first, so nothing waits in real time."""

import asyncio
import heapq
import itertools

SATURDAY = 1_772_841_600.0
"""2026-03-07T00:00:00Z: where simulated time begins unless a test says otherwise."""


class ManualClock:
    """Time stands still until someone sleeps or a test calls `advance`.

    A sleeper jumps the clock to its own deadline, but only when no other sleeper is due before it: two
    tasks that sleep 1 s and 2 s wake after 1 s and 2 s, not after 3.
    """

    def __init__(self, now: float = SATURDAY) -> None:
        # Elapsed time is what is kept: beside 1.8e9 seconds of Unix time a short wait would be lost.
        self._elapsed = 0.0
        self._started = now
        self._sleepers: list[tuple[float, int]] = []
        self._order = itertools.count()

    def now(self) -> float:
        return self._started + self._elapsed

    def monotonic(self) -> float:
        return self._elapsed

    def advance(self, seconds: float) -> None:
        self._elapsed += seconds

    async def sleep(self, seconds: float) -> None:
        me = (self._elapsed + max(0.0, seconds), next(self._order))
        heapq.heappush(self._sleepers, me)
        try:
            await asyncio.sleep(0)  # let others go to sleep, too, before time moves
            while self._elapsed < me[0]:
                if self._sleepers[0] == me:
                    self._elapsed = me[0]
                else:
                    await asyncio.sleep(0)
        finally:
            self._sleepers.remove(me)
            heapq.heapify(self._sleepers)
