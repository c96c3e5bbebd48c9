"""The progress of the poll that is running; reader and fetcher update it."""

from dataclasses import dataclass, field

from exporter.errors import TwilioError


@dataclass(slots=True)
class CurrentPoll:
    as_of: float
    """Unix time at which the poll started. Operations created later may be missing."""
    started: float
    """The same instant, monotonic."""
    clock_skew: float = 0.0
    """The local clock minus Twilio's, in seconds; 0 where they may agree. Known from the first page on."""
    pages: int = 0
    listed: int = 0
    """Rows listed."""
    listed_unfinished: set[str] = field(default_factory=set)
    """Ids of the non-final operations in the listed rows."""
    fetched: int = 0
    failed: int = 0
    """Failed fetches and listings filtered by status, each after its retries."""
    failed_in_a_row: int = 0
    fetch_error: TwilioError | None = None
    """The error of the last failed fetch."""
    skipped: int = 0
    """Non-final operations that were not fetched because time ran out."""

    def api_time(self, local: float) -> float:
        """An instant of the local clock by Twilio's clock, by which operations are created and updated."""
        return local - self.clock_skew

    def note_failure(self, error: TwilioError) -> None:
        """Record a failed fetch, or a failed listing in place of fetches."""
        self.failed += 1
        self.failed_in_a_row += 1
        self.fetch_error = error
