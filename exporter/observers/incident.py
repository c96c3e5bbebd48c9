"""An incident: something that comes and goes, perhaps many times a minute. Pure; times are arguments.

It begins when it first happens, and is over when it has not happened for a while, so that the log has two
lines for it instead of two for each time.
"""

from typing import Final, NamedTuple

QUIET_SECONDS: Final = 600.0
"""An incident is over after this time without it."""


class Over(NamedTuple):
    """An incident that is over. Unix times."""

    since: float
    until: float
    times: int


class Incident:
    """Whether there is one now, and since when."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._times = 0
        self.until = 0.0
        """Unix time at which it last happened, or last ended."""

    def happens(self, at: float) -> bool:
        """Whether an incident begins with it."""
        begins = self._since is None
        if begins:
            self._since, self._times = at, 0
        self._times += 1
        self.until = at
        return begins

    def over(self, now: float) -> Over | None:
        """The incident, if it has been quiet for long enough; given once."""
        if self._since is None or now - self.until < QUIET_SECONDS:
            return None
        over = Over(self._since, self.until, self._times)
        self._since = None
        return over
