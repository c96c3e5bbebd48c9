"""What one poll has done so far, as the parts of the poll add to it."""

from dataclasses import dataclass, field

from exporter.errors import TwilioError


@dataclass(slots=True)
class CurrentPoll:
    as_of: float
    """Unix time at which the poll began. The poll may not have seen operations created later."""
    started: float
    """The same instant, monotonic."""
    pages: int = 0
    listed: int = 0
    """Rows."""
    listed_unfinished: set[str] = field(default_factory=set)
    """Ids of the non-final operations among them."""
    fetched: int = 0
    failed: int = 0
    """Fetches, each after its retries."""
    failed_in_a_row: int = 0
    fetch_error: TwilioError | None = None
    """Why the last of them failed."""
    skipped: int = 0
    """Non-final operations that were not fetched because time ran out."""

    def note_failure(self, error: TwilioError) -> None:
        """Of a fetch."""
        self.failed += 1
        self.failed_in_a_row += 1
        self.fetch_error = error
