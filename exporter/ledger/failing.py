"""The operations with failed or undelivered emails, the worst first: of the window and of a day. Pure.

A small trouble of today would hide behind a large one of four days ago if there were one ranking only.
"""

from typing import Final

from exporter.ledger.ranking import Ranking
from exporter.operation import Operation

DAY_SECONDS: Final = 86400.0


def failing_emails(operation: Operation) -> int:
    return (operation.stats.failed or 0) + (operation.stats.undelivered or 0)


class FailingOperations:
    """Most failed and undelivered emails first, the newer one of equals. `day_start`: Unix time."""

    def __init__(self, day_start: float) -> None:
        self.day_start = day_start
        """Operations created earlier are not of the day; the ledger drops them as this moves."""
        self._window: Ranking[tuple[int, float]] = Ranking()
        self._day: Ranking[tuple[int, float]] = Ranking()

    def put(self, operation: Operation) -> None:
        """Add an operation, or note its new values."""
        bad_emails = failing_emails(operation)
        if not bad_emails:
            self.drop(operation.id)
            return
        rank = (-bad_emails, -operation.created_at)
        self._window.put(operation.id, rank)
        if operation.created_at >= self.day_start:
            self._day.put(operation.id, rank)

    def drop(self, operation_id: str) -> None:
        self._window.drop(operation_id)
        self._day.drop(operation_id)

    def drop_from_day(self, operation_id: str) -> None:
        self._day.drop(operation_id)

    def of_window(self, count: int) -> list[str]:
        return self._window.first(count)

    def of_day(self, count: int) -> list[str]:
        return self._day.first(count)
