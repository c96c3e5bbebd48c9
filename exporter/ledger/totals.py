"""Totals over operations, kept by adding what enters and subtracting what leaves. Pure arithmetic.

Must not know which operations there are; the ledger decides what enters and what leaves.
"""

from typing import Final, NamedTuple

from exporter.ledger.reading import EvidenceTally
from exporter.operation import STATS, STATUSES, Operation, Stats

_MAX_PENDING: Final = 1024
"""Distinct stats that wait to be added up."""


_INDEX: Final = {stat: index for index, stat in enumerate(STATS)}


class Totals(NamedTuple):
    """Totals over some operations."""

    operations: int
    stats: tuple[int, ...]
    """In the order of `STATS`; absent values add nothing."""

    def stat(self, name: str) -> int:
        return self.stats[_INDEX[name]]


class RollingTotals:
    """Totals over the operations created within one age, by operation status.

    `evidence` is kept up to date with the same operations, if it is given.
    """

    def __init__(self, age: float, now: float, evidence: EvidenceTally | None = None) -> None:
        self.age = age
        self.start = now - age
        self._evidence = evidence
        self._operations = dict.fromkeys(STATUSES, 0)
        self._stats = {status: [0] * len(STATS) for status in STATUSES}
        # Many operations have equal stats: these are counted first and added up together.
        self._pending: dict[tuple[str, Stats], int] = {}

    def add(self, operation: Operation, times: int) -> None:
        """`times` is 1 for an operation that enters, -1 for one that leaves."""
        key = operation.status, operation.stats
        self._pending[key] = self._pending.get(key, 0) + times
        if len(self._pending) >= _MAX_PENDING:
            self.add_up()

    def by_status(self) -> dict[str, Totals]:
        """Every operation status is present."""
        self.add_up()
        return {status: Totals(self._operations[status], tuple(self._stats[status])) for status in STATUSES}

    def total(self) -> Totals:
        self.add_up()
        columns = zip(*self._stats.values(), strict=True)
        return Totals(sum(self._operations.values()), tuple(sum(column) for column in columns))

    def add_up(self) -> None:
        """Add up what is pending."""
        for (status, values), times in self._pending.items():
            self._operations[status] += times
            if self._evidence is not None:
                self._evidence.add(values, times)
            stats = self._stats[status]
            for index, value in enumerate(values):
                if value:
                    stats[index] += times * value
        self._pending.clear()
