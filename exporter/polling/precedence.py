"""Polls have precedence: requests of the breakdown are sent in the time between two polls of the account.

Uses callables only; must not know what a poll or a request does.

Rule 1: no request of the breakdown begins while a poll is running or due, nor so late that the rate limiter
would hold back the first request of the next poll.
Rule 2: a request that is still in flight when a poll begins is cancelled, and sent again after the poll.
Rule 3: after a failed poll the breakdown waits until a poll has succeeded, so that it adds no load to a
trouble at Twilio, and no requests with a refused credential.
"""

import asyncio
from collections.abc import Awaitable, Callable
from math import ceil, inf
from typing import Any, Final, TypeVar

from exporter.clock import Clock
from exporter.errors import Unreachable
from exporter.ledger.snapshot import Snapshot
from exporter.twilio.rate_limiter import RateLimiter

MAX_INTERRUPTIONS: Final = 3
"""A request that as many polls have cancelled in a row is given up."""

T = TypeVar("T")


class PollPrecedence:
    """Admits the polls and the breakdown's requests of one account. `interval`: seconds between polls."""

    def __init__(self, clock: Clock, rate_limiter: RateLimiter, *, interval: float) -> None:
        self._clock = clock
        self._rate_limiter = rate_limiter
        self._interval = interval
        self._free_until = -inf  # monotonic: when the next poll is due
        self._freed = asyncio.Event()
        self._in_flight: asyncio.Future[Any] | None = None
        self._snapshot: Snapshot | None = None

    async def run_poll(self, poll: Callable[[], Awaitable[Snapshot]]) -> Snapshot:
        """Run a poll at once. Raises what it raises."""
        started = self._clock.monotonic()
        self._free_until = -inf
        if self._in_flight is not None:
            self._in_flight.cancel()
        self._snapshot = snapshot = await poll()
        intervals = ceil((self._clock.monotonic() - started) / self._interval)
        self._free_until = started + max(1, intervals) * self._interval
        self._freed.set()  # wakes those that wait now
        self._freed.clear()
        return snapshot

    async def last_snapshot(self) -> Snapshot:
        """The result of the last successful poll; waits for the first one."""
        while self._snapshot is None:
            await self._freed.wait()
        return self._snapshot

    async def time_between_polls(self) -> float:
        """Wait until a request may be sent; returns the seconds in which it would not delay the next poll."""
        while (seconds := self._seconds_free()) <= 0:
            await self._freed.wait()
        return seconds

    async def between_polls(self, request: Callable[[float], Awaitable[T]]) -> T:
        """Send a request between two polls. It takes the monotonic instant after which it may not be retried.

        Raises what the request raises, or `Unreachable` if polls have cancelled it too often.
        """
        for _ in range(MAX_INTERRUPTIONS):
            seconds = await self.time_between_polls()
            sending = asyncio.ensure_future(request(self._clock.monotonic() + seconds))
            self._in_flight = sending
            try:
                return await sending
            except asyncio.CancelledError:
                me = asyncio.current_task()
                if me is None or me.cancelling():  # by somebody else than a poll
                    raise
            finally:
                self._in_flight = None
        raise Unreachable("no complete reply between two polls", reason="timeout")

    def _seconds_free(self) -> float:
        """Zero or less: a request would delay a poll, or the last poll failed."""
        now = self._clock.monotonic()
        spacing = 1 / self._rate_limiter.requests_per_second
        if now + max(0.0, self._rate_limiter.delay(now)) + spacing > self._free_until:
            return 0.0
        return self._free_until - spacing - now
