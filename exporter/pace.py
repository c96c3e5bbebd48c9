"""When the next request of an account may leave: pure, time is an argument.

Twilio publishes no limits and probably counts our requests together with the customer's own sending.
Instants are monotonic seconds. Must not know what a request is.
"""

import math


class Pace:
    """Spaces requests evenly below a ceiling, and none before a hold is over."""

    def __init__(self, requests_per_second: float) -> None:
        self._spacing = 1 / requests_per_second
        self._free_at = -math.inf
        self._held_until = -math.inf

    @property
    def requests_per_second(self) -> float:
        """What is now allowed."""
        return 1 / self._spacing

    def hold(self, until: float) -> None:
        """Let nothing leave before `until`; a shorter hold does not undo a longer one."""
        self._held_until = max(self._held_until, until)

    def held_for(self, now: float) -> float:
        """Seconds until the hold is over; zero and less: there is none."""
        return self._held_until - now

    def wait(self, now: float) -> float:
        """Seconds until a request may leave; zero and less: now."""
        return max(self._free_at, self._held_until) - now

    def take(self, now: float) -> None:
        """A request leaves now; the caller has seen that it may."""
        self._free_at = max(self._free_at, now) + self._spacing
