"""Sums over operations, which move by differences: pure arithmetic.

Must not know which operations there are; the ledger says what enters and what leaves.
"""

from typing import Final, NamedTuple

from exporter.operation import STATS, STATUSES, Operation, Stats

_CACHED: Final = 1024
"""Held before they are added up."""


class Totals(NamedTuple):
    """Totals over some operations."""

    operations: int
    stats: tuple[int, ...]
    """In the order of `STATS`; what is absent added nothing."""


class RollingTotals:
    """Sums over what was created within one age, by status; the ledger says what enters and leaves."""

    def __init__(self, age: float, now: float) -> None:
        self.age = age
        self.start = now - age
        self._operations = dict.fromkeys(STATUSES, 0)
        self._stats = {status: [0] * len(STATS) for status in STATUSES}
        self._pending: dict[tuple[str, Stats], int] = {}  # not added up yet: many operations look the same

    def add(self, operation: Operation, times: int) -> None:
        look = operation.status, operation.stats
        self._pending[look] = self._pending.get(look, 0) + times
        if len(self._pending) >= _CACHED:
            self._add_up()

    def sums(self) -> dict[str, Totals]:
        self._add_up()
        return {status: Totals(self._operations[status], tuple(self._stats[status])) for status in STATUSES}

    def total(self) -> Totals:
        self._add_up()
        columns = zip(*self._stats.values(), strict=True)
        return Totals(sum(self._operations.values()), tuple(sum(column) for column in columns))

    def _add_up(self) -> None:
        for (status, values), times in self._pending.items():
            self._operations[status] += times
            stats = self._stats[status]
            for index, value in enumerate(values):
                if value:
                    stats[index] += times * value
        self._pending.clear()
