"""Sums over operations, which move by differences: pure arithmetic.

Must not know which operations there are; the ledger says what enters and what leaves.
"""

from typing import NamedTuple

from exporter.operation import STATS, STATUSES, Operation


class Sums(NamedTuple):
    """Totals over some operations."""

    operations: int
    stats: tuple[int, ...]
    """In the order of `STATS`; what is absent added nothing."""


class Horizon:
    """Sums over what was created within one age, by status; the ledger says what enters and leaves."""

    def __init__(self, age: float, now: float) -> None:
        self.age = age
        self.start = now - age
        self._operations = dict.fromkeys(STATUSES, 0)
        self._stats = {status: [0] * len(STATS) for status in STATUSES}

    def add(self, operation: Operation, times: int) -> None:
        self._operations[operation.status] += times
        stats = self._stats[operation.status]
        for index, value in enumerate(operation.stats):
            if value:
                stats[index] += times * value

    def sums(self) -> dict[str, Sums]:
        return {status: Sums(self._operations[status], tuple(self._stats[status])) for status in STATUSES}

    def total(self) -> Sums:
        columns = zip(*self._stats.values(), strict=True)
        return Sums(sum(self._operations.values()), tuple(sum(column) for column in columns))
