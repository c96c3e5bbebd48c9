"""When an account is polled: first, then at every tick of the interval, less often while it is refused.

Sees callables only; must not know what a poll does.

Rule 1: nothing that happens in a poll ends a loop: a mistake of ours is told, and the next tick comes.
Rule 2: ticks keep to their grid; a poll that overran costs the ticks it covered, and moves none.
Rule 3: at every tick something is reported, so that silence means a loop that hangs.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from exporter.clock import Clock
from exporter.errors import TwilioError, Unauthorized
from exporter.events import Observer, PollCrashed, PollScheduled

LONGEST_PAUSE_SECONDS: Final = 900.0
"""A refused credential is tried again at least as often as this, or at every tick if those are rarer."""


def first_poll_after(index: int, accounts: int, interval: float) -> float:
    """Seconds: the first polls of all accounts are spread over one interval, in the order of the settings."""
    return interval * index / accounts


class Scheduler:
    """Of one account; `poll` raises the `TwilioError` that ended it, having reported it."""

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
        self._refusals = 0  # polls in a row that ended for the credential

    async def run(self) -> None:
        """Until it is cancelled."""
        due = self._clock.monotonic() + self._first_after
        await self._sleep_until(due, due)
        ticks_to_next = 0.0
        while True:
            if ticks_to_next <= 0 or await self._credential_renewed():
                await self.attempt()
                ticks_to_next = self._ticks_to_next()
            late = self._clock.monotonic() - due
            ticks = 1 + max(0.0, late // self._interval)
            due += self._interval * ticks
            ticks_to_next -= ticks
            await self._sleep_until(due, due + self._interval * max(0.0, ticks_to_next))

    async def attempt(self) -> bool:
        """One poll; whether it succeeded. What went wrong is reported."""
        try:
            await self._poll()
        except TwilioError as error:
            self._refusals = self._refusals + 1 if isinstance(error, Unauthorized) else 0
            return False
        except Exception as error:  # noqa: BLE001 - rule 1
            self._emit(PollCrashed(self.account, self._clock.now(), error))
            return False
        self._refusals = 0
        return True

    def _ticks_to_next(self) -> float:
        """Ticks to the next poll: twice as many with every refusal."""
        longest = max(1.0, LONGEST_PAUSE_SECONDS // self._interval)
        return min(longest, 2.0 ** min(self._refusals, 10))

    async def _sleep_until(self, due: float, next_poll: float) -> None:
        now = self._clock.monotonic()
        self._emit(PollScheduled(self.account, self._clock.now() + next_poll - now))
        await self._clock.sleep(due - now)
