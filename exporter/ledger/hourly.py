"""Emails by the hour in which their operation was created, kept by adding and subtracting. Pure.

Must not know which operations there are; the ledger decides what enters and what leaves.
"""

from operator import attrgetter
from typing import Final, NamedTuple

from exporter.operation import Operation

HOUR_SECONDS: Final = 3600.0


class Hour(NamedTuple):
    """Emails of the operations created in one hour."""

    start: float
    """Unix time."""
    operations: int
    total: int
    attempts: int
    failed: int
    undelivered: int


_stats: Final = attrgetter(*Hour._fields[2:])


class HourlyEmails:
    """The hours in which operations were created."""

    def __init__(self) -> None:
        self._sums: dict[int, list[int]] = {}
        self._hours: dict[int, Hour] = {}
        """The same as `_sums`, except for the changed ones."""
        self._changed: set[int] = set()

    def add(self, operation: Operation, times: int) -> None:
        """`times` is 1 for an operation that enters, -1 for one that leaves."""
        hour = int(operation.created_at // HOUR_SECONDS)
        sums = self._sums.get(hour)
        if sums is None:
            sums = self._sums[hour] = [0] * (len(Hour._fields) - 1)
        self._changed.add(hour)
        sums[0] += times
        total, attempts, failed, undelivered = _stats(operation.stats)
        # Not a loop: this runs for every operation of a first listing.
        if total:
            sums[1] += times * total
        if attempts:
            sums[2] += times * attempts
        if failed:
            sums[3] += times * failed
        if undelivered:
            sums[4] += times * undelivered

    def hours(self) -> tuple[Hour, ...]:
        """The oldest first; hours without operations are missing."""
        for hour in self._changed:
            sums = self._sums[hour]
            if sums[0]:
                self._hours[hour] = Hour(hour * HOUR_SECONDS, *sums)
            else:
                self._hours.pop(hour, None)
                del self._sums[hour]
        self._changed.clear()
        return tuple(self._hours[hour] for hour in sorted(self._hours))
