"""Decides when an account is polled: at every interval, less often after errors that are likely to repeat.

Uses callables only; must not know what a poll does.

Rule 1: no error in a poll ends the scheduler. An internal error is reported, and polling continues.
Rule 2: polls start on a fixed grid of intervals. A poll that overruns skips grid points and does not shift
them.
Rule 3: an event is emitted at every grid point, so that silence means that the scheduler hangs.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from exporter.clock import Clock
from exporter.errors import Malformed, Truncated, TwilioError, Unauthorized
from exporter.events import Observer, PollCrashed, PollScheduled

REPEATING: Final = (Unauthorized, Malformed, Truncated)
"""Errors that the next poll would probably repeat, at the full cost of its requests."""

LONGEST_WAIT_SECONDS: Final = 900.0
"""Maximum time between the starts of two polls after such errors; a longer interval is not shortened."""


def first_poll_after(index: int, accounts: int, interval: float) -> float:
    """Seconds until an account's first poll: all first polls are spread evenly over one interval."""
    return interval * index / accounts


class Scheduler:
    """Schedules the polls of one account. `poll` reports the `TwilioError` that ended it, and raises it."""

    def __init__(
        self,
        account: str,
        poll: Callable[[], Awaitable[object]],
        credential_renewed: Callable[[], Awaitable[bool]],
        clock: Clock,
        emit: Observer,
        *,
        interval: float,
        first_after: float = 0.0,
    ) -> None:
        self.account = account
        self._poll = poll
        self._credential_renewed = credential_renewed
        self._clock = clock
        self._emit = emit
        self._interval = interval
        self._first_after = first_after
        self._error: Exception | None = None  # what ended the last poll
        self._repeating = 0  # polls since the last success that ended with one of `REPEATING`

    async def run(self) -> None:
        """Poll until cancelled."""
        due = self._clock.monotonic() + self._first_after
        await self._sleep_until(due, due)
        intervals_to_next = 0.0
        while True:
            if intervals_to_next <= 0 or await self._is_refusal_over():
                await self.attempt()
                intervals_to_next = self._intervals_to_next()
            late = self._clock.monotonic() - due
            passed = 1 + max(0.0, late // self._interval)
            due += self._interval * passed
            intervals_to_next -= passed
            await self._sleep_until(due, due + self._interval * max(0.0, intervals_to_next))

    async def attempt(self) -> bool:
        """Poll once; returns whether it succeeded. Errors are reported, not raised."""
        try:
            await self._poll()
        except TwilioError as error:
            self._error = error
            self._repeating += isinstance(error, REPEATING)
        except Exception as error:  # noqa: BLE001 - rule 1
            self._error = error
            self._emit(PollCrashed(self.account, self._clock.now(), error))
        else:
            self._error, self._repeating = None, 0
        return self._error is None

    async def _is_refusal_over(self) -> bool:
        return isinstance(self._error, Unauthorized) and await self._credential_renewed()

    def _intervals_to_next(self) -> float:
        """Doubled after each poll that ended with one of `REPEATING`; one after any other."""
        if not isinstance(self._error, REPEATING):
            return 1.0
        longest = max(1.0, LONGEST_WAIT_SECONDS // self._interval)
        return min(longest, 2.0 ** min(self._repeating, 10))

    async def _sleep_until(self, due: float, next_poll: float) -> None:
        now = self._clock.monotonic()
        self._emit(PollScheduled(self.account, self._clock.now() + next_poll - now))
        await self._clock.sleep(due - now)
