"""The result of a poll as one frozen value, made from the ledger. Pure.

Must not know Prometheus; `metrics.families` defines the names of metrics and labels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from exporter.ledger.counters import Counts
from exporter.ledger.ledger import Ledger
from exporter.ledger.totals import Totals
from exporter.operation import Operation

RECENT_AGES: Final = {"1h": 3600.0, "6h": 21600.0, "24h": 86400.0}
"""The parts of the window that have totals of their own, by their label value."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The stats of one account's operations as of one instant."""

    as_of: float
    """Unix time of the poll."""
    window: Mapping[str, Totals]
    """By operation status, every status present."""
    recent: Mapping[str, Totals]
    """By age, those of `RECENT_AGES` that fit the window."""
    oldest_created_at: Mapping[str, float]
    """Of the oldest non-final operation, by status; a status without one is missing."""
    top_failing: tuple[Operation, ...]
    """Operations with failed or undelivered emails; those with the most come first."""
    tracked_operations: int
    counts: Counts
    """The counters as they were last saved."""


def summarise(ledger: Ledger, now: float, *, top_failing: int, counts: Counts) -> Snapshot:
    return Snapshot(
        as_of=now,
        window=ledger.window_totals(),
        recent=ledger.recent_totals(),
        oldest_created_at=ledger.oldest_unfinished(),
        top_failing=tuple(ledger.top_failing(top_failing)),
        tracked_operations=len(ledger),
        counts=counts,
    )
