"""The counters that survive restarts: what adds to them, and how much. Pure.

Rule 1: for each operation and counted stat the highest value seen is kept, its high-water mark. Only what
exceeds the mark is added, so nothing is counted twice, in whatever order replies arrive, and a value that
falls subtracts nothing.
Rule 2: an operation created before coverage began is a baseline: the first value of each of its stats becomes
the mark and adds nothing. An operation created afterwards counts from zero.
Must not know where high-water marks are kept, or when operations are forgotten.
"""

from bisect import bisect_left
from collections.abc import Mapping
from math import inf
from operator import attrgetter
from types import MappingProxyType
from typing import Final, TypeAlias

from exporter.operation import Operation, Stats

OUTCOME_STATUSES: Final = ("delivered", "opened", "undelivered", "failed", "canceled")
"""The states of an email that are counted when an email reaches them."""

COUNTED: Final = ("total", "recipients", "attempts", *OUTCOME_STATUSES)
"""The stats that have high-water marks, in the order of `Marks`."""

DURATION_BUCKETS: Final = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 21600.0, 86400.0)
"""Upper bounds in seconds, for the time from `createdAt` to `updatedAt` of a completed operation."""

DELAY_BUCKETS: Final = (
    *(5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0),
    *(7200.0, 21600.0, 43200.0, 86400.0),
)
"""Upper bounds in seconds, for the time from when sending began until an email was delivered."""

DURATION_LABELS: Final = (*map(str, DURATION_BUCKETS), "+Inf")
DELAY_LABELS: Final = (*map(str, DELAY_BUCKETS), "+Inf")
"""The label values of the buckets."""

Marks: TypeAlias = tuple[int | None, ...]
"""The high-water marks of one operation, in the order of `COUNTED`. `None`: the stat was never seen."""

Key: TypeAlias = tuple[str, str]
"""The name of a counter and its label value, which may be empty."""

Counts: TypeAlias = Mapping[Key, float]

ZERO: Final[Counts] = MappingProxyType(
    {
        **{("stat", stat): 0 for stat in COUNTED},
        ("operations", ""): 0,
        ("finished", "completed"): 0,
        ("finished", "canceled"): 0,
        **{("duration", label): 0 for label in DURATION_LABELS},
        ("duration_sum", ""): 0.0,
        **{("delay", label): 0 for label in DELAY_LABELS},
        ("delay_sum", ""): 0.0,
        ("late", ""): 0,
        **{("regressions", status): 0 for status in OUTCOME_STATUSES},
        ("changed_after_final", ""): 0,
        ("expired_unfinished", ""): 0,
        ("unknown", "status"): 0,
        ("unknown", "stats"): 0,
        ("unknown", "row"): 0,
    }
)
"""Every counter, at zero. Durations and delays are by upper bound and not cumulative."""

counted: Final = attrgetter(*COUNTED)
"""The counted stats of `Stats`: the high-water marks of an operation whose values never fell."""

_outcomes: Final = attrgetter(*OUTCOME_STATUSES)


class Counters:
    """The counters of one account. A delivery is late after `late_after` seconds."""

    def __init__(self, counts: Counts = ZERO, *, late_after: float = inf) -> None:
        self._counts = {**ZERO, **counts}
        self._late_after = late_after

    def frozen(self) -> Counts:
        return MappingProxyType(dict(self._counts))

    def add(self, name: str, label: str = "", amount: float = 1) -> None:
        self._counts[name, label] += amount

    def raise_marks(self, marks: Marks, values: Marks, *, baseline: bool, delay: float) -> Marks:
        """Count what exceeds the marks; returns the new marks.

        `delay`: seconds from when sending began until the new deliveries.
        """
        raised = []
        for stat, mark, value in zip(COUNTED, marks, values, strict=True):
            if value is None or (mark is not None and value <= mark):
                raised.append(mark)
                continue
            if mark is not None or not baseline:
                increase = value - (mark or 0)
                self._counts["stat", stat] += increase
                if stat == "delivered" and increase:
                    self._note_deliveries(increase, delay)
            raised.append(value)
        return tuple(raised)

    def note_falls(self, before: Stats, after: Stats) -> None:
        """Count the outcomes whose value fell from one reply to the next."""
        for status, old, new in zip(OUTCOME_STATUSES, _outcomes(before), _outcomes(after), strict=True):
            if old is not None and new is not None and new < old:
                self._counts["regressions", status] += 1

    def note_finish(self, operation: Operation) -> None:
        """Count an operation that was seen to become final."""
        self._counts["finished", operation.status] += 1
        if operation.status == "completed":
            seconds = max(0.0, operation.updated_at - operation.created_at)
            bucket = DURATION_LABELS[bisect_left(DURATION_BUCKETS, seconds)]
            self._counts["duration", bucket] += 1
            self._counts["duration_sum", ""] += seconds

    def _note_deliveries(self, emails: int, delay: float) -> None:
        self._counts["delay", DELAY_LABELS[bisect_left(DELAY_BUCKETS, delay)]] += emails
        self._counts["delay_sum", ""] += emails * delay
        if delay > self._late_after:
            self._counts["late", ""] += emails
