"""When the next request of an account may leave, and at which rate. Pure; instants are monotonic seconds.

Twilio publishes no rate limit, and probably counts our requests together with the customer's own sending. So
the rate is found by additive increase and multiplicative decrease, as TCP does.

Rule 1: requests are spaced evenly, also after a quiet time or a pause: there is no burst.
Rule 2: a reply to a request that left before the last decrease changes nothing: it neither halves the rate
nor raises it.
"""

import math
from typing import Final

FLOOR_PER_SECOND: Final = 0.1
"""One request in ten seconds is always allowed, so that the end of a throttling is noticed."""

STEPS: Final = 20
"""Successes that raise the rate from zero to the ceiling."""


def longest_spacing_seconds(ceiling: float) -> float:
    """Seconds between two requests at the lowest rate."""
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
        """The rate allowed now."""
        return self._rate

    def pause(self, until: float) -> None:
        """Allow no request before `until`. A shorter pause does not end a longer one."""
        self._paused_until = max(self._paused_until, until)

    def paused_for(self, now: float) -> float:
        """Seconds until the pause is over; zero or less when there is none."""
        return self._paused_until - now

    def delay(self, now: float) -> float:
        """Seconds until a request may leave; zero or less: now."""
        return max(self._left_at + 1 / self._rate, self._paused_until) - now

    def acquire(self, now: float) -> None:
        """A request leaves now. The caller has checked `delay`."""
        self._left_at = now

    def throttled(self, left_at: float, now: float) -> None:
        """429 to a request that left at `left_at`: halve the rate, once for requests in flight together."""
        if left_at > self._cut_at:
            self._rate = max(self._floor, self._rate / 2)
            self._cut_at = now

    def succeeded(self, left_at: float) -> None:
        """A good reply to a request that left at `left_at`: raise the rate by one step."""
        if left_at > self._cut_at:
            self._rate = min(self._ceiling, self._rate + self._ceiling / STEPS)
