"""An incident: a condition that may recur many times a minute, such as throttling. Pure; times are arguments.

It begins with the first occurrence and is over after a time without one, so that the log has two lines for
the incident instead of two for each occurrence.
"""

from typing import Final, NamedTuple

QUIET_SECONDS: Final = 600.0
"""An incident is over after this time without an occurrence."""


class Over(NamedTuple):
    """An incident that is over. Unix times."""

    since: float
    until: float
    times: int


class Incident:
    """Tracks the occurrences of one condition."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._times = 0
        self.until = 0.0
        """Unix time at which the condition last occurred or ended."""

    def happens(self, at: float) -> bool:
        """Record an occurrence; returns whether an incident begins with it."""
        begins = self._since is None
        if begins:
            self._since, self._times = at, 0
        self._times += 1
        self.until = at
        return begins

    def over(self, now: float) -> Over | None:
        """The incident, if it is over; returned once."""
        if self._since is None or now - self.until < QUIET_SECONDS:
            return None
        over = Over(self._since, self.until, self._times)
        self._since = None
        return over
