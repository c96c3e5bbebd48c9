"""When the next request of an account may leave, and at which rate: pure, time is an argument.

Twilio publishes no limits and probably counts our requests together with the customer's own sending, so
the rate is found as TCP finds its own: up step by step, down by half. Instants are monotonic seconds.
Must not know what a request is.

Rule 1: requests are spaced evenly; there is no burst, not even after a quiet time or a hold.
Rule 2: what left before the last cut says nothing of the rate after it: it neither cuts nor raises.
"""

import math
from typing import Final

FLOOR_PER_SECOND: Final = 0.1
"""However often Twilio refuses, a request in ten seconds may ask whether it still does."""

STEPS: Final = 20
"""So many successes lead from nothing to the ceiling."""


def longest_spacing_seconds(ceiling: float) -> float:
    """Seconds that the slowest pace below a ceiling puts between two requests."""
    return 1 / min(ceiling, FLOOR_PER_SECOND)


class RateLimiter:
    """Between a floor and a ceiling, in requests per second."""

    def __init__(self, ceiling: float) -> None:
        self._ceiling = ceiling
        self._floor = min(ceiling, FLOOR_PER_SECOND)
        self._rate = ceiling
        self._left_at = -math.inf
        self._cut_at = -math.inf
        self._paused_until = -math.inf

    @property
    def requests_per_second(self) -> float:
        """What is now allowed."""
        return self._rate

    def pause(self, until: float) -> None:
        """Let nothing leave before `until`; a shorter hold does not undo a longer one."""
        self._paused_until = max(self._paused_until, until)

    def paused_for(self, now: float) -> float:
        """Seconds until the hold is over; zero and less: there is none."""
        return self._paused_until - now

    def delay(self, now: float) -> float:
        """Seconds until a request may leave; zero and less: now."""
        return max(self._left_at + 1 / self._rate, self._paused_until) - now

    def acquire(self, now: float) -> None:
        """A request leaves now; the caller has seen that it may."""
        self._left_at = now

    def throttled(self, left_at: float, now: float) -> None:
        """Twilio refused what left at `left_at`: halve, once for all that were under way together."""
        if left_at > self._cut_at:
            self._rate = max(self._floor, self._rate / 2)
            self._cut_at = now

    def succeeded(self, left_at: float) -> None:
        """Twilio answered what left at `left_at`: a step up."""
        if left_at > self._cut_at:
            self._rate = min(self._ceiling, self._rate + self._ceiling / STEPS)
