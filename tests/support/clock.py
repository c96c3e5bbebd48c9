"""A clock that moves when a test or a sleeping task moves it, so that no test waits in real time."""

import asyncio
import heapq
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

SATURDAY = 1_772_841_600.0
"""2026-03-07T00:00:00Z: the default start of simulated time."""


@dataclass(order=True)
class _Sleeper:
    deadline: float
    order: int
    turn: asyncio.Future[None] | None = field(default=None, compare=False)
    """Set when it is the earliest, and may move the clock."""


class ManualClock:
    """Time stands still until a task sleeps or a test calls `advance`.

    The sleeping task with the earliest deadline moves the clock to it: two tasks that sleep 1 s and 2 s wake
    after 1 s and 2 s, not after 3.

    `settle_turns`: event loop iterations without a task that starts or stops sleeping before the clock moves.
    With enough of them a request over a socket is answered before time moves on. `is_busy` and `held` can
    stop the clock for longer.
    """

    def __init__(self, now: float = SATURDAY, settle_turns: int = 0) -> None:
        # Elapsed time is stored, not Unix time: a float of 1.8e9 seconds would lose a short wait.
        self._elapsed = 0.0
        self._started = now
        self._settle_turns = settle_turns
        self._quiet_turns = 0
        self._sleepers: list[_Sleeper] = []
        self._order = itertools.count()
        self._holders = 0
        self._released = asyncio.Event()
        self.is_busy: Callable[[], bool] = lambda: False
        """While it returns true, the clock does not move; called at each event loop iteration."""

    def now(self) -> float:
        return self._started + self._elapsed

    def monotonic(self) -> float:
        return self._elapsed

    def advance(self, seconds: float) -> None:
        self._elapsed += seconds

    @contextmanager
    def held(self) -> Iterator[None]:
        """Stop the clock during the work of another thread, which takes real time."""
        self._holders += 1
        self._released.clear()
        try:
            yield
        finally:
            self._holders -= 1
            if not self._holders:
                self._released.set()

    async def sleep(self, seconds: float) -> None:
        me = _Sleeper(self._elapsed + max(0.0, seconds), next(self._order))
        heapq.heappush(self._sleepers, me)
        self._quiet_turns = 0
        try:
            await asyncio.sleep(0)  # other tasks may sleep, too, before time moves
            while self._elapsed < me.deadline:
                await self._wait(me)
        finally:
            self._sleepers.remove(me)
            heapq.heapify(self._sleepers)
            self._quiet_turns = 0
            self._wake_earliest()

    async def _wait(self, me: _Sleeper) -> None:
        if self._sleepers[0] is not me:
            me.turn = asyncio.get_running_loop().create_future()
            await me.turn
        elif self._holders:
            await self._released.wait()  # a busy loop would slow the other thread
            self._quiet_turns = 0
        elif self._quiet_turns < self._settle_turns or self.is_busy():
            self._quiet_turns += 1
            await asyncio.sleep(0)
        else:
            self._elapsed = me.deadline

    def _wake_earliest(self) -> None:
        if self._sleepers and (turn := self._sleepers[0].turn) is not None and not turn.done():
            turn.set_result(None)


class SkewedClock:
    """The clock of another machine, set wrong by a constant."""

    def __init__(self, clock: ManualClock, seconds_ahead: float) -> None:
        self._clock = clock
        self._seconds_ahead = seconds_ahead

    def now(self) -> float:
        return self._clock.now() + self._seconds_ahead

    def monotonic(self) -> float:
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
