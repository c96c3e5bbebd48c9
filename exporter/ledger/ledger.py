"""The operations of an account: what a reply changes, when operations expire, and the totals over them.

Pure: no I/O and no clock; time is an argument. A poll costs what it listed, not what is known. Must not know
where replies come from, where the ledger is saved or how totals are shown.

Rule 1: the newest `updated_at` wins, whatever the order of arrival; at the same one, the later reply.
Rule 2: a stat that a reply does not contain keeps its known value.
Rule 3: an operation that answered 404 leaves the totals, but is remembered until it would have aged out: if
it comes back, it is the same operation.
Rule 4: sending began when an operation was created, and for one that was seen scheduled, when it was first
seen in another status. An email was delivered at the reply's `updated_at` where that has moved since the last
reply, otherwise when the reply arrived: never too early, and late by at most the time between two replies.
Rule 5: what is older than the window is forgotten, and coverage moves forward with forgetting: what was
forgotten is a baseline if it ever appears again, so nothing is counted twice.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from math import inf
from typing import Final, NamedTuple

from exporter.ledger.counters import COUNTED, ZERO, Counters, Counts, Marks, counted
from exporter.ledger.failing import DAY_SECONDS, FailingOperations, failing_emails
from exporter.ledger.hourly import HOUR_SECONDS, Hour, HourlyEmails
from exporter.ledger.packing import (
    Entry,
    created_at,
    creations,
    pack,
    pack_alike,
    packed_stats,
    unpack,
    unpack_marks,
)
from exporter.ledger.reading import Evidence, EvidenceTally
from exporter.ledger.saved import Changes, Row
from exporter.ledger.store import MINUTE_SECONDS, OperationStore
from exporter.ledger.totals import RollingTotals, Totals
from exporter.ledger.waiting import WaitingEmails, waiting_emails
from exporter.operation import Operation, Stats

_CHUNK_ROWS: Final = 200
"""Saved operations that are added together: few, or Python's garbage collector would scan their rows."""

_NO_MARKS: Final[Marks] = (None,) * len(COUNTED)


class Ledger:
    """The operations of one account created within the window, and its counters.

    `lookback` is the length of the window; `ages` are those of parts of it, by name, for which totals are
    kept too; all in seconds. An age longer than the window is left out: its totals would claim too much.
    `coverage` is the Unix time at which counting began; infinite: it begins with the first `advance`.
    `counts` is what was counted before. Deliveries are late after `late_after` seconds.

    The instant `at` at which a reply arrived is by the clock of Twilio, as `created_at` is.
    """

    def __init__(
        self,
        now: float,
        lookback: float,
        ages: Mapping[str, float],
        *,
        coverage: float,
        counts: Counts = ZERO,
        late_after: float = inf,
    ) -> None:
        self._store = OperationStore()
        self._packed = self._store.packed
        self._not_found: set[str] = set()
        self._refreshed: dict[str, float] = {}  # non-final ones, and when a reply last contained them
        self._failing = FailingOperations(now - DAY_SECONDS)
        self._waiting = WaitingEmails()
        self._hourly = HourlyEmails()
        self._evidence = EvidenceTally()
        self._window = RollingTotals(lookback, now, self._evidence)
        self._recent = {name: RollingTotals(age, now) for name, age in ages.items() if age <= lookback}
        self._rolling = (*self._recent.values(), self._window)
        self._coverage = max(coverage, self._window.start)
        self._counters = Counters(counts, late_after=late_after)

    def __len__(self) -> int:
        """Operations in the totals."""
        return len(self._packed) - len(self._not_found)

    def __contains__(self, operation_id: object) -> bool:
        return operation_id in self._packed and operation_id not in self._not_found

    def __iter__(self) -> Iterator[Operation]:
        """The operations in the totals, in no order."""
        return (self._read(each) for each in self._packed if each not in self._not_found)

    def restore(self, rows: Iterable[Row], at: float) -> None:
        """Add saved operations; counts nothing. Raises `ValueError` for a row that cannot be read."""
        remaining = iter(rows)
        while chunk := list(islice(remaining, _CHUNK_ROWS)):
            self._restore_chunk(chunk, at)

    def absorb(self, reply: Operation, at: float) -> None:
        """Apply a reply that arrived at `at`. The same reply again changes nothing."""
        self.absorb_all((reply,), at)

    def absorb_all(self, replies: Iterable[Operation], at: float) -> None:
        """The same as `absorb` for each in turn, but faster for new operations."""
        new: dict[str, Operation] = {}
        known, start = self._packed, self._window.start
        for reply in replies:
            operation_id = reply.id
            if operation_id in known or operation_id in new:
                if new:
                    self._add(new, at)
                    new.clear()
                self._absorb_known(reply, at)
            elif reply.created_at >= start:
                new[operation_id] = reply
        if new:
            self._add(new, at)

    def mark_not_found(self, operation_id: str) -> None:
        """Take an operation that answered 404 out of the totals."""
        if operation_id in self:
            known = unpack(operation_id, self._packed[operation_id])
            self._move(known.operation, None)
            self._keep(known._replace(not_found=True))
            self._not_found.add(operation_id)
            self._unsort(operation_id)

    def note_unreadable_rows(self, number: int) -> None:
        """Count rows of a listing that could not be read and were left out."""
        self._counters.add("unknown", "row", number)

    def advance(self, now: float, api_now: float | None = None) -> None:
        """Let time pass: operations leave the ages, and what is older than the window is forgotten.

        `api_now`: the same instant by the clock that operations are created by, where it is known.
        """
        forgotten_before = self._window.start
        for rolling in self._rolling:
            start = now - rolling.age
            sign = -1 if start > rolling.start else 1  # a clock may be set back
            for operation_id in self._store.created_between(*sorted((rolling.start, start))):
                if operation_id not in self._not_found:
                    rolling.add(self._read(operation_id), sign)
            rolling.start = start
        self._move_day(now - DAY_SECONDS)
        for operation_id, packed in self._store.remove_created_between(forgotten_before, self._window.start):
            entry = unpack(operation_id, packed)
            self._expire(entry)
            if operation_id in self._not_found:
                self._not_found.discard(operation_id)
            else:
                self._hourly.add(entry.operation, -1)
            self._unsort(operation_id)
        # Not ahead of now: after a leap forward and back everything would be a baseline until then.
        latest = now if api_now is None else api_now
        self._coverage = max(min(self._coverage, latest), self._window.start)

    def take_changes(self) -> Changes:
        """What has changed since the last call, to be saved; what follows does not alter it."""
        rows, forgotten = self._store.take_changes()
        return Changes(rows, forgotten, self._coverage, self._counters.frozen())

    def discard_changes(self) -> None:
        """For a ledger that is not saved."""
        self._store.discard_changes()

    def restore_changes(self, changes: Changes) -> None:
        """Take back changes that could not be saved; `take_changes` returns them again."""
        self._store.restore_changes((row.id for row in changes.rows), changes.forgotten)

    def counts(self) -> Counts:
        return self._counters.frozen()

    def unfinished(self) -> dict[str, float]:
        """Ids of the non-final operations, and when a reply last contained each."""
        return dict(self._refreshed)

    def unfinished_operations(self) -> list[Operation]:
        """The non-final operations, in no order; slow for a large account."""
        return [self._read(operation_id) for operation_id in self._refreshed]

    def window_totals(self) -> dict[str, Totals]:
        """By operation status, every status present."""
        return self._window.by_status()

    def recent_totals(self) -> dict[str, Totals]:
        """By name of age, over all statuses."""
        return {name: rolling.total() for name, rolling in self._recent.items()}

    def evidence(self) -> Evidence:
        """For and against the readings of the stats, of the operations in the totals."""
        self._window.add_up()
        return self._evidence.total()

    def waiting_since(self, instants: Iterable[float]) -> list[int]:
        """For each instant, the waiting emails of the operations whose sending began then or earlier."""
        return self._waiting.begun_by(instants)

    def count_created_before(self, instant: float) -> int:
        """Number of operations created before `instant`, rounded to a minute: enough to plan pages."""
        return self._store.count_created_before(instant)

    def oldest_unfinished(self) -> "Oldest":
        created: dict[str, float] = {}
        began = []
        for operation_id in self._refreshed:
            operation = self._read(operation_id)
            status, created_at = operation.status, operation.created_at
            created[status] = min(created.get(status, created_at), created_at)
            if status == "processing":
                began.append(self._began(operation))
        return Oldest(created, min(began, default=None))

    def top_failing(self, count: int) -> list[Operation]:
        """Most failed and undelivered emails first, the newer one of equals; none without either."""
        return [self._read(operation_id) for operation_id in self._failing.of_window(count)]

    def top_failing_of_day(self, count: int) -> list[Operation]:
        """The same, of the operations created in the last 24 hours."""
        return [self._read(operation_id) for operation_id in self._failing.of_day(count)]

    def hours(self) -> tuple[Hour, ...]:
        """Emails by the hour in which their operation was created, the oldest first."""
        return self._hourly.hours()

    def _read(self, operation_id: str) -> Operation:
        return unpack(operation_id, self._packed[operation_id]).operation

    def _restore_chunk(self, rows: Sequence[Row], at: float) -> None:
        packed: dict[str, bytes] = {}
        minutes: defaultdict[float, list[str]] = defaultdict(list)
        alike: defaultdict[tuple[float, bytes], list[str]] = defaultdict(list)
        start = self._window.start
        created = creations([row.packed for row in rows])
        for (operation_id, each, marks, began), at_creation in zip(rows, created, strict=True):
            if at_creation < start:  # the window was longer then
                self._expire(unpack(operation_id, each))
                self._store.forget(operation_id)
                continue
            packed[operation_id] = each
            minutes[at_creation // MINUTE_SECONDS].append(operation_id)
            alike[at_creation // HOUR_SECONDS, packed_stats(each)].append(operation_id)
            if marks is not None:
                self._store.marks[operation_id] = unpack_marks(marks)
            if began is not None:
                self._store.began[operation_id] = began
        self._store.add(packed, minutes)
        for some in alike.values():
            entry = unpack(some[0], packed[some[0]])
            if entry.not_found:
                self._not_found.update(some)
            else:
                self._enter(entry.operation, some, at)

    def _add(self, new: Mapping[str, Operation], at: float) -> None:
        """Add unknown operations: each is a baseline, or counts from zero."""
        packed: dict[str, bytes] = {}
        minutes: defaultdict[float, list[str]] = defaultdict(list)
        alike: defaultdict[tuple[float, str, Stats, tuple[str, ...]], list[Operation]] = defaultdict(list)
        for operation in new.values():
            operation_id, status, created_at, _, stats, unknown_stats = operation
            if created_at >= self._coverage:
                self._count_from_zero(operation, at)
            minutes[created_at // MINUTE_SECONDS].append(operation_id)
            alike[created_at // HOUR_SECONDS, status, stats, unknown_stats].append(operation)
        for operations in alike.values():
            packed |= pack_alike(operations)
        self._store.add_new(packed, minutes)
        for (_, status, _, unknown_stats), operations in alike.items():
            self._counters.add("unknown", "status", len(operations) * (status == "unknown"))
            self._counters.add("unknown", "stats", len(operations) * bool(unknown_stats))
            self._enter(operations[0], [each.id for each in operations], at)

    def _count_from_zero(self, operation: Operation, at: float) -> None:
        self._counters.add("operations")
        self._counters.raise_marks(
            _NO_MARKS,
            counted(operation.stats),
            baseline=False,
            delay=self._delay(operation, min(operation.updated_at, at)),
        )
        if operation.is_final:
            self._counters.note_finish(operation)

    def _enter(self, operation: Operation, ids: Collection[str], at: float) -> None:
        """Add operations to the totals that have the same status, stats and hour of creation as this one."""
        self._hourly.add(operation, len(ids))
        hour_start = operation.created_at // HOUR_SECONDS * HOUR_SECONDS
        for rolling in self._rolling:
            if hour_start >= rolling.start:
                rolling.add(operation, len(ids))
            elif hour_start + HOUR_SECONDS > rolling.start:
                rolling.add(operation, sum(created_at(self._packed[each]) >= rolling.start for each in ids))
        if _needs_sorting(operation):
            for each in ids:
                self._sort(self._read(each), at)

    def _absorb_known(self, reply: Operation, at: float) -> None:
        if reply.created_at < self._window.start:
            return
        is_final = reply.is_final
        known = self._packed[reply.id]
        if known != pack(reply, is_final):
            self._update(unpack(reply.id, known), reply, at)
        elif not is_final:  # and it contains nothing new, as most replies do
            self._refreshed[reply.id] = at

    def _update(self, known: Entry, reply: Operation, at: float) -> None:
        before = known.operation
        if reply.updated_at < before.updated_at:
            self._raise_marks(before, reply, at)  # an older reply was correct at its time
            after = before
        else:
            after = _succeed(before, reply)
            if before.status == "scheduled" != after.status:
                self._begin(before, after, at)
            self._raise_marks(before, after, at)
            self._note_change(before, after)
        if reply.unknown_stats and not known.had_unknown_stats:
            self._counters.add("unknown", "stats")
        finished = known.finished or after.is_final
        if finished and not known.finished:
            self._counters.note_finish(after)
        if known.not_found:
            self._not_found.discard(reply.id)
            self._move(None, after)
        elif after != before:
            self._move(before, after)
        self._keep(
            Entry(after, finished, had_unknown_stats=known.had_unknown_stats or bool(reply.unknown_stats))
        )
        self._sort(after, at)

    def _is_baseline(self, operation: Operation) -> bool:
        return operation.created_at < self._coverage

    def _begin(self, before: Operation, after: Operation, at: float) -> None:
        """Note that an operation that was scheduled is being sent."""
        last_seen_scheduled = self._refreshed.get(before.id, before.updated_at)
        began = after.updated_at if last_seen_scheduled < after.updated_at <= at else at
        self._store.began.setdefault(before.id, max(began, before.created_at))

    def _began(self, operation: Operation) -> float:
        return self._store.began.get(operation.id, operation.created_at)

    def _delay(self, operation: Operation, delivered_at: float) -> float:
        return max(0.0, delivered_at - self._began(operation))

    def _raise_marks(self, known: Operation, reply: Operation, at: float) -> None:
        marks = self._store.marks.get(known.id, counted(known.stats))
        delivered_at = min(reply.updated_at, at) if reply.updated_at > known.updated_at else at
        raised = self._counters.raise_marks(
            marks,
            counted(reply.stats),
            baseline=self._is_baseline(known),
            delay=self._delay(known, delivered_at),
        )
        self._store.marks[known.id] = raised  # `_keep` drops them where they equal the values
        if raised != marks:
            self._store.changed[known.id] = None

    def _note_change(self, before: Operation, after: Operation) -> None:
        self._counters.note_falls(before.stats, after.stats)
        if before.is_final and after.stats != before.stats:
            self._counters.add("changed_after_final")
        if after.status == "unknown" != before.status:
            self._counters.add("unknown", "status")

    def _keep(self, entry: Entry) -> None:
        operation_id = entry.operation.id
        self._store.replace(operation_id, pack(*entry))
        if self._store.marks.get(operation_id) == counted(entry.operation.stats):
            del self._store.marks[operation_id]

    def _sort(self, operation: Operation, at: float) -> None:
        if operation.is_final:
            self._refreshed.pop(operation.id, None)
        else:
            self._refreshed[operation.id] = at
        if (emails := waiting_emails(operation)) or operation.id in self._waiting:
            self._waiting.put(operation.id, self._began(operation), emails)
        self._failing.put(operation)

    def _unsort(self, operation_id: str) -> None:
        self._failing.drop(operation_id)
        self._waiting.drop(operation_id)
        self._refreshed.pop(operation_id, None)

    def _move(self, old: Operation | None, new: Operation | None) -> None:
        """Change the totals from what one operation was to what it is."""
        for rolling in self._rolling:
            if old and old.created_at >= rolling.start:
                rolling.add(old, -1)
            if new and new.created_at >= rolling.start:
                rolling.add(new, 1)
        if old:
            self._hourly.add(old, -1)
        if new:
            self._hourly.add(new, 1)

    def _move_day(self, start: float) -> None:
        before, self._failing.day_start = self._failing.day_start, start
        for operation_id in self._store.created_between(*sorted((before, start))):
            if start > before:
                self._failing.drop_from_day(operation_id)
            elif operation_id not in self._not_found:  # the clock was set back
                self._failing.put(self._read(operation_id))

    def _expire(self, entry: Entry) -> None:
        if not entry.operation.is_final:
            self._counters.add("expired_unfinished")


class Oldest(NamedTuple):
    """Of the non-final operations. Unix times."""

    created: Mapping[str, float]
    """`created_at` of the oldest one by status; a status without one is missing."""
    processing_since: float | None
    """When the operation began to be sent that has been processing longest; `None`: there is none."""


def _needs_sorting(operation: Operation) -> bool:
    """Whether an operation is looked up by more than its id and its time."""
    return not operation.is_final or bool(failing_emails(operation) or waiting_emails(operation))


def _succeed(known: Operation, reply: Operation) -> Operation:
    """The later reply over the earlier; `createdAt` does not change, whatever a reply says."""
    if None in reply.stats:
        values = [old if new is None else new for old, new in zip(known.stats, reply.stats, strict=True)]
        return reply._replace(created_at=known.created_at, stats=Stats(*values))
    return reply._replace(created_at=known.created_at)
