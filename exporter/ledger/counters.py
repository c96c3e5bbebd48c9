"""The counters that survive: what adds to them, and by how much. Pure.

Rule 1: of each operation and counted stat the highest value seen is kept, its mark; only what exceeds the
mark is added. So nothing is counted twice, in whatever order replies come, and a value that falls takes
nothing away.
Rule 2: an operation that was created before coverage began is a baseline: what a stat shows when it is
first named is its mark, and adds nothing. One created afterwards counts from zero.
Must not know where marks are kept, or what forgetting is.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from exporter.operation import STAT_INDEX, Operation, Stats

OUTCOME_STATUSES: Final = ("delivered", "opened", "undelivered", "failed", "canceled")
"""The states of an email that are counted when they are reached."""

COUNTED: Final = ("total", "recipients", "attempts", *OUTCOME_STATUSES)
"""The stats that have marks, in the order in which marks hold them."""

DURATION_BUCKETS: Final = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 21600.0, 86400.0)
"""Upper edges in seconds, of the time from `createdAt` to `updatedAt` of a completed operation."""

Key: TypeAlias = tuple[str, str]
"""The name of a counter and its label value, which may be empty."""

Counts: TypeAlias = Mapping[Key, float]

ZERO: Final[Counts] = MappingProxyType(
    {
        **{("stat", stat): 0 for stat in COUNTED},
        ("operations", ""): 0,
        ("finished", "completed"): 0,
        ("finished", "canceled"): 0,
        **{("duration", str(edge)): 0 for edge in (*DURATION_BUCKETS, "+Inf")},
        ("duration_sum", ""): 0.0,
        **{("regressions", status): 0 for status in OUTCOME_STATUSES},
        ("changed_after_final", ""): 0,
        ("expired_unfinished", ""): 0,
        ("unknown", "status"): 0,
    }
)
"""Every counter there is; durations by upper edge, not cumulative."""

_INDEXES: Final = tuple(STAT_INDEX[stat] for stat in COUNTED)
_OUTCOME_INDEXES: Final = tuple((status, STAT_INDEX[status]) for status in OUTCOME_STATUSES)


def counted(stats: Stats) -> Stats:
    """Of all the stats those that have marks: the marks of an operation whose values never fell."""
    return tuple([stats[index] for index in _INDEXES])


class Counters:
    """The counters of one account, counting."""

    def __init__(self, counts: Counts = ZERO) -> None:
        self._counts = {**ZERO, **counts}

    def frozen(self) -> Counts:
        return MappingProxyType(dict(self._counts))

    def add(self, name: str, label: str = "", amount: float = 1) -> None:
        self._counts[name, label] += amount

    def raise_marks(self, marks: Stats, values: Stats, *, baseline: bool) -> Stats:
        """Count what exceeds the marks; returns the new ones."""
        raised = []
        for stat, mark, value in zip(COUNTED, marks, values, strict=True):
            if value is None or (mark is not None and value <= mark):
                raised.append(mark)
                continue
            if mark is not None or not baseline:
                self._counts["stat", stat] += value - (mark or 0)
            raised.append(value)
        return tuple(raised)

    def note_falls(self, before: Stats, after: Stats) -> None:
        for status, index in _OUTCOME_INDEXES:
            old, new = before[index], after[index]
            if old is not None and new is not None and new < old:
                self._counts["regressions", status] += 1

    def note_finish(self, operation: Operation) -> None:
        """It has become final, in our sight."""
        self._counts["finished", operation.status] += 1
        if operation.status == "completed":
            seconds = max(0.0, operation.updated_at - operation.created_at)
            edge = next((edge for edge in DURATION_BUCKETS if seconds <= edge), "+Inf")
            self._counts["duration", str(edge)] += 1
            self._counts["duration_sum", ""] += seconds
