"""What one poll has done so far, as the parts of the poll add to it."""

from dataclasses import dataclass


@dataclass(slots=True)
class CurrentPoll:
    as_of: float
    """Unix time at which the poll began. The poll may not have seen operations created later."""
    started: float
    """The same instant, monotonic."""
    pages: int = 0
    listed: int = 0
    """Rows."""
    fetched: int = 0
    skipped: int = 0
    """Non-final operations that were not fetched for want of time."""
