"""What is known of an account's operations, and their sums, which move by differences.

Pure: no I/O, no clock; time is an argument. A poll costs what it listed, not what is known. Must not
know where replies come from, where it is saved or what is made of the sums.

Rule 1: the newest `updated_at` wins, whatever the order of arrival; at the same one, the later reply.
Rule 2: a stat that a reply does not name keeps what is known of it.
Rule 3: an operation that answered 404 leaves the sums, but is remembered until it would have aged out:
should it come back, it is the same one.
Rule 4: what is older than the window is not in the ledger, and coverage moves forward with forgetting:
what was forgotten is a baseline if it ever shows up again, so nothing is counted twice.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Final

from exporter.ledger.counters import COUNTED, Counters, Counts, counted
from exporter.ledger.packing import Entry, created_at, pack, pack_marks, unpack, unpack_marks
from exporter.ledger.ranking import Ranking
from exporter.ledger.saved import Changes, Row
from exporter.ledger.totals import RollingTotals, Totals
from exporter.operation import FINAL_STATUSES, STAT_INDEX, STATUSES, Operation, Stats

_BUCKET_SECONDS: Final = 60
_FAILED: Final = STAT_INDEX["failed"]
_UNDELIVERED: Final = STAT_INDEX["undelivered"]
_NO_MARKS: Final[Stats] = (None,) * len(COUNTED)


class Ledger:
    """The operations of one account created within the window, and its counters.

    `lookback` is the window's length and `ages` those of parts of it, by name, for which sums are kept
    too; all in seconds. An age longer than the window is left out: its sums would claim too much.
    `coverage` is the Unix time at which counting began.
    """

    def __init__(
        self,
        now: float,
        lookback: float,
        ages: Mapping[str, float],
        *,
        coverage: float,
        counters: Counters | None = None,
    ) -> None:
        # Ids are kept in dicts without values: Python's garbage collector, which holds up the loop, looks
        # into every set and list, but up to Python 3.13 not into a dict of strings.
        self._packed: dict[str, bytes] = {}
        self._marks: dict[str, Stats] = {}  # of those with a value that fell below its mark
        self._buckets: defaultdict[int, dict[str, None]] = defaultdict(dict)  # ids by minute of creation
        self._not_found: set[str] = set()
        self._refreshed: dict[str, float] = {}  # non-final ones, and when a reply last spoke of them
        self._oldest: dict[str, Ranking[tuple[float]]] = {  # non-final ones
            status: Ranking() for status in STATUSES if status not in FINAL_STATUSES
        }
        self._failing: Ranking[tuple[int, float]] = Ranking()
        self._changed: dict[str, None] = {}
        self._forgotten: set[str] = set()
        self._window = RollingTotals(lookback, now)
        self._recent = {name: RollingTotals(age, now) for name, age in ages.items() if age <= lookback}
        self._rolling = (*self._recent.values(), self._window)
        self._coverage = max(coverage, self._window.start)
        self._counters = counters or Counters()

    def __len__(self) -> int:
        """Operations in the sums."""
        return len(self._packed) - len(self._not_found)

    def __contains__(self, operation_id: object) -> bool:
        return operation_id in self._packed and operation_id not in self._not_found

    def __iter__(self) -> Iterator[Operation]:
        """The operations in the sums, in no order."""
        return (self._read(each) for each in self._packed if each not in self._not_found)

    def restore(self, rows: Iterable[Row], at: float) -> None:
        """Take in what was saved; counts nothing. Raises `ValueError` for a row that cannot be read."""
        for operation_id, packed, marks in rows:
            entry = unpack(operation_id, packed)
            if entry.operation.created_at < self._window.start:  # the window was longer then
                self._expire(entry)
                self._forgotten.add(operation_id)
                continue
            self._index(entry.operation, packed)
            if entry.not_found:
                self._not_found.add(operation_id)
            else:
                self._move(None, entry.operation)
                self._sort(entry.operation, at)
            if marks is not None:
                self._marks[operation_id] = unpack_marks(marks)

    def absorb(self, reply: Operation, at: float) -> None:
        """Take in what a reply said at `at`; doing so twice is doing so once."""
        if reply.created_at < self._window.start:
            return
        is_final = reply.is_final
        packed = pack(reply, is_final)
        known = self._packed.get(reply.id)
        if known is None:
            self._meet(reply, packed, at)
        elif known != packed:
            self._follow(unpack(reply.id, known), reply, at)
        elif not is_final:  # and it says nothing new, as most replies do
            self._refreshed[reply.id] = at

    def _follow(self, known: Entry, reply: Operation, at: float) -> None:
        """What is known becomes what the reply says."""
        before = known.operation
        if reply.updated_at < before.updated_at:
            self._raise_marks(before, reply)  # what it says was true once
            after = before
        else:
            after = _succeed(before, reply)
            self._raise_marks(before, after)
            self._note_change(before, after)
        finished = known.finished or after.is_final
        if finished and not known.finished:
            self._counters.note_finish(after)
        if known.not_found:
            self._not_found.discard(reply.id)
            self._move(None, after)
        elif after != before:
            self._move(before, after)
        self._keep(Entry(after, finished))
        self._sort(after, at)

    def mark_not_found(self, operation_id: str) -> None:
        """Take out of the sums what answered 404."""
        if operation_id in self:
            known = unpack(operation_id, self._packed[operation_id])
            self._move(known.operation, None)
            self._keep(known._replace(not_found=True))
            self._not_found.add(operation_id)
            self._unsort(operation_id)

    def advance(self, now: float) -> None:
        """Let time pass: every horizon moves, and what falls behind the window is forgotten."""
        forgotten_before = self._window.start
        for rolling in self._rolling:
            start = now - rolling.age
            sign = -1 if start > rolling.start else 1  # a clock may be set back
            for operation_id in self._created_between(*sorted((rolling.start, start))):
                if operation_id not in self._not_found:
                    rolling.add(self._read(operation_id), sign)
            rolling.start = start
        self._forget_between(forgotten_before, self._window.start)
        # Not ahead of now: after a leap there and back everything would be a baseline until then.
        self._coverage = max(min(self._coverage, now), self._window.start)

    def unsaved(self) -> Changes:
        """What has changed since `saved` was last called; a view, to be used up before the next `absorb`."""
        return Changes(
            rows=_Rows(self._row, self._changed),
            forgotten=list(self._forgotten),
            coverage=self._coverage,
            counts=self._counters.frozen(),
        )

    def saved(self) -> None:
        """What `unsaved` gave is safe, and nothing was absorbed since."""
        self._changed.clear()
        self._forgotten.clear()

    def counts(self) -> Counts:
        return self._counters.frozen()

    def unfinished(self) -> dict[str, float]:
        """Ids of the non-final operations, and when a reply last spoke of each."""
        return dict(self._refreshed)

    def window_totals(self) -> dict[str, Totals]:
        """By operation status, every status present."""
        return self._window.sums()

    def recent_totals(self) -> dict[str, Totals]:
        """By name of age, over all statuses."""
        return {name: rolling.total() for name, rolling in self._recent.items()}

    def count_created_before(self, instant: float) -> int:
        """To the minute, which is enough to plan pages."""
        boundary = _bucket(instant)
        younger = [bucket for bucket in self._buckets if bucket >= boundary]  # these are the fewer
        return len(self._packed) - sum(len(self._buckets[bucket]) for bucket in younger)

    def oldest_unfinished(self) -> dict[str, float]:
        """`created_at` of the oldest non-final operation by status; a status without one is missing."""
        return {
            status: created_at(self._packed[operation_id])
            for status, ranking in self._oldest.items()
            for operation_id in ranking.first(1)
        }

    def top_failing(self, count: int) -> list[Operation]:
        """Most failed and undelivered mail first, ties to the newer; none without either."""
        return [self._read(operation_id) for operation_id in self._failing.first(count)]

    def _read(self, operation_id: str) -> Operation:
        return unpack(operation_id, self._packed[operation_id]).operation

    def _row(self, operation_id: str) -> Row:
        marks = self._marks.get(operation_id)
        return Row(operation_id, self._packed[operation_id], pack_marks(marks) if marks else None)

    def _meet(self, operation: Operation, packed: bytes, at: float) -> None:
        """An operation that is not known is a baseline, or counts from zero."""
        if not self._is_baseline(operation):
            self._counters.add("operations")
            self._counters.raise_marks(_NO_MARKS, counted(operation.stats), baseline=False)
            if operation.is_final:
                self._counters.note_finish(operation)
        if operation.status == "unknown":
            self._counters.add("unknown", "status")
        self._index(operation, packed)
        self._move(None, operation)
        self._sort(operation, at)
        self._changed[operation.id] = None
        self._forgotten.discard(operation.id)

    def _is_baseline(self, operation: Operation) -> bool:
        return operation.created_at < self._coverage

    def _index(self, operation: Operation, packed: bytes) -> None:
        self._packed[operation.id] = packed
        self._buckets[_bucket(operation.created_at)][operation.id] = None

    def _raise_marks(self, known: Operation, reply: Operation) -> None:
        marks = self._marks.get(known.id, counted(known.stats))
        raised = self._counters.raise_marks(marks, counted(reply.stats), baseline=self._is_baseline(known))
        self._marks[known.id] = raised  # `_keep` drops them where they are the values
        if raised != marks:
            self._changed[known.id] = None

    def _note_change(self, before: Operation, after: Operation) -> None:
        self._counters.note_falls(before.stats, after.stats)
        if before.is_final and after.stats != before.stats:
            self._counters.add("changed_after_final")
        if after.status == "unknown" != before.status:
            self._counters.add("unknown", "status")

    def _keep(self, entry: Entry) -> None:
        operation_id = entry.operation.id
        packed = pack(*entry)
        if packed != self._packed[operation_id]:
            self._packed[operation_id] = packed
            self._changed[operation_id] = None
        if self._marks.get(operation_id) == counted(entry.operation.stats):
            del self._marks[operation_id]

    def _sort(self, operation: Operation, at: float) -> None:
        if not operation.is_final:
            self._refreshed[operation.id] = at
            self._rank_age(operation)
        elif self._refreshed.pop(operation.id, None) is not None:
            self._rank_age(operation)
        bad_mails = (operation.stats[_FAILED] or 0) + (operation.stats[_UNDELIVERED] or 0)
        if bad_mails:
            self._failing.put(operation.id, (-bad_mails, -operation.created_at))  # ties to the newer
        else:
            self._failing.drop(operation.id)

    def _rank_age(self, operation: Operation) -> None:
        for status, ranking in self._oldest.items():
            if status == operation.status:
                ranking.put(operation.id, (operation.created_at,))
            else:
                ranking.drop(operation.id)

    def _unsort(self, operation_id: str) -> None:
        self._failing.drop(operation_id)
        if self._refreshed.pop(operation_id, None) is not None:
            for ranking in self._oldest.values():
                ranking.drop(operation_id)

    def _move(self, old: Operation | None, new: Operation | None) -> None:
        """Let the sums follow one operation from what it was to what it is."""
        for rolling in self._rolling:
            if old and old.created_at >= rolling.start:
                rolling.add(old, -1)
            if new and new.created_at >= rolling.start:
                rolling.add(new, 1)

    def _forget_between(self, start: float, end: float) -> None:
        """What was created before `end`; there is nothing before `start`."""
        for bucket in self._minutes(start, end):
            ids = self._buckets[bucket]
            for operation_id in [each for each in ids if created_at(self._packed[each]) < end]:
                self._forget(operation_id)
                del ids[operation_id]
            if not ids:
                del self._buckets[bucket]

    def _forget(self, operation_id: str) -> None:
        self._expire(unpack(operation_id, self._packed.pop(operation_id)))
        self._marks.pop(operation_id, None)
        self._not_found.discard(operation_id)
        self._unsort(operation_id)
        self._changed.pop(operation_id, None)
        self._forgotten.add(operation_id)

    def _expire(self, entry: Entry) -> None:
        if not entry.operation.is_final:
            self._counters.add("expired_unfinished")

    def _created_between(self, start: float, end: float) -> Iterator[str]:
        """Ids of what was created from `start` up to, not including, `end`."""
        for bucket in self._minutes(start, end):
            for operation_id in self._buckets[bucket]:
                if start <= created_at(self._packed[operation_id]) < end:
                    yield operation_id

    def _minutes(self, start: float, end: float) -> list[int]:
        """Those that hold operations."""
        first, last = _bucket(start), _bucket(end)
        if last - first < len(self._buckets):
            return [bucket for bucket in range(first, last + 1) if bucket in self._buckets]
        # A clock that leapt: there are more minutes between than buckets.
        return [bucket for bucket in self._buckets if first <= bucket <= last]


class _Rows(Collection[Row]):
    """Rows made as they are read: after a first poll they are a million, and the loop must not wait."""

    def __init__(self, row: Callable[[str], Row], ids: Collection[str]) -> None:
        self._row = row
        self._ids = ids

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[Row]:
        return map(self._row, self._ids)

    def __contains__(self, row: object) -> bool:
        return any(row == each for each in self)


def _bucket(instant: float) -> int:
    return int(instant // _BUCKET_SECONDS)


def _succeed(known: Operation, reply: Operation) -> Operation:
    """The later reply over the earlier; `createdAt` does not change, whatever a reply says."""
    stats = tuple([old if new is None else new for old, new in zip(known.stats, reply.stats, strict=True)])
    return reply._replace(created_at=known.created_at, stats=stats)
