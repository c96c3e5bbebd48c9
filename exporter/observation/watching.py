"""Watches an account for some time: a listing in each round, and trials until each was made twice.

Must not know HTTP, what the evidence means, or how it is shown. Time comes from the clock.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from exporter.clock import Clock
from exporter.errors import TwilioError, Unauthorized
from exporter.observation.asking import BOUND_TRIALS, SPANS, Asking, RequestsSpentError

SHORTEST_ROUND_SECONDS: Final = 30.0
MAX_ROUNDS: Final = 240
TIMES: Final = 2
"""How often each trial is made, in different rounds."""

TRIAL_REQUESTS: Final = TIMES * (BOUND_TRIALS + 3 + 1)
"""Of all trials, if pages are full: of the bounds, of the filters of pages, and of the Errors."""


class Plan(NamedTuple):
    """How long an account is watched, and what that costs at most."""

    seconds: float

    @property
    def round_seconds(self) -> float:
        return max(SHORTEST_ROUND_SECONDS, self.seconds / MAX_ROUNDS)

    @property
    def rounds(self) -> int:
        return 1 + int(self.seconds // self.round_seconds)

    @property
    def expected_requests(self) -> int:
        """If pages are full."""
        return self.rounds + len(SPANS) - 1 + TRIAL_REQUESTS

    @property
    def max_requests(self) -> int:
        return 2 * self.expected_requests


class Watch:
    """One watch of one account; it can be cancelled at any time."""

    def __init__(self, asking: Asking, clock: Clock, plan: Plan, show: Callable[[float], None]) -> None:
        """`show` is called after each round, with the seconds that have passed."""
        self.failures: Counter[str] = Counter()
        """Failed listings and trials, by the outcome of their error."""
        self.seconds = 0.0
        """How long the account has been watched."""
        self._asking = asking
        self._clock = clock
        self._plan = plan
        self._show = show
        self._trials = dict.fromkeys((asking.try_bounds, asking.try_page_filters, asking.try_errors), TIMES)

    async def run(self) -> None:
        """Raises `TwilioError` if the first listing fails or the credential is refused."""
        started = self._clock.monotonic()
        for number in range(self._plan.rounds):
            await self._clock.sleep(started + number * self._plan.round_seconds - self._clock.monotonic())
            try:
                await self._round()
            except RequestsSpentError:
                self.failures["out of requests"] += 1
                return
            finally:
                self.seconds = self._clock.monotonic() - started
            self._show(self.seconds)

    async def _round(self) -> None:
        await self._attempt(self._asking.watch)
        for trial, times in self._trials.items():
            if times and await self._attempt(trial):
                self._trials[trial] = times - 1

    async def _attempt(self, attempt: Callable[[], Awaitable[bool]]) -> bool:
        """False: it was not possible yet. A failure is not repeated, so that a wrong request is not."""
        try:
            return await attempt()
        except TwilioError as error:
            if isinstance(error, Unauthorized) or not self._asking.evidence.listings:
                raise
            self.failures[error.outcome] += 1
            return True
