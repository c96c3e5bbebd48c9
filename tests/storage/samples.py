"""A small state, for the tests of every storage."""

from typing import Final

from exporter.ledger.counters import ZERO
from exporter.ledger.ledger import Ledger
from exporter.ledger.packing import pack, pack_marks
from exporter.ledger.saved import Changes, ListedInterval, Progress, Row, Saved
from tests.support.clock import SATURDAY
from tests.support.operations import IDS, operation

WEEK: Final = 7 * 86400.0
PROGRESS: Final = Progress(SATURDAY, (ListedInterval(SATURDAY - WEEK, SATURDAY - 60, SATURDAY),))
ROWS: Final = [
    Row(IDS[0], pack(operation(0, failed=3), finished=True), None),
    Row(IDS[1], pack(operation(1, status="processing", sent=900), not_found=True), pack_marks((1,) * 8), 5.5),
]


def changes(rows: list[Row] = ROWS, forgotten: list[str] | None = None) -> Changes:
    return Changes(rows, forgotten or [], SATURDAY - 100, {**ZERO, ("stat", "failed"): 3})


def many_rows(number: int) -> list[Row]:
    return [Row(f"{IDS[0]}{n}", ROWS[0].packed, None) for n in range(number)]


def whole(saved: Saved) -> tuple[Progress, float, object, list[Row]]:
    return saved.progress, saved.coverage, saved.counts, sorted(saved.rows)


def rebuild(saved: Saved) -> Ledger:
    """As the poller does."""
    ledger = Ledger(saved.progress.last_success_at, WEEK, {}, coverage=saved.coverage)
    ledger.restore(saved.rows, SATURDAY)
    return ledger
