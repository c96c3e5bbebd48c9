"""What is known of an account's operations, and their sums, which move by differences.

Pure: no I/O, no clock; time is an argument. A poll costs what it listed, not what is known. Must not
know where replies come from or what is made of the sums.

Rule 1: the newest `updated_at` wins, whatever the order of arrival; at the same one, the later reply.
Rule 2: a stat that a reply does not name keeps what is known of it.
Rule 3: an operation that answered 404 leaves the sums, but is remembered until it would have aged out:
should it come back, it is the same one.
Rule 4: what is older than the window is not in the ledger.
"""

import heapq
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from exporter.operation import STAT_INDEX, STATS, STATUSES, Operation
from exporter.packing import pack, unpack

_BUCKET_SECONDS: Final = 60
_FAILED: Final = STAT_INDEX["failed"]
_UNDELIVERED: Final = STAT_INDEX["undelivered"]


class Sums(NamedTuple):
    """Totals over some operations."""

    operations: int
    stats: tuple[int, ...]
    """In the order of `STATS`; what is absent added nothing."""


class Ledger:
    """The operations of one account created within the window.

    `lookback` is the window's length and `ages` those of parts of it, by name, for which sums are kept
    too; all in seconds. An age longer than the window is left out: its sums would claim too much.
    """

    def __init__(self, now: float, lookback: float, ages: Mapping[str, float]) -> None:
        self._packed: dict[str, bytes] = {}
        self._buckets: dict[int, list[str]] = {}  # ids by minute of creation
        self._gone: set[str] = set()
        self._refreshed: dict[str, float] = {}  # non-final ones, and when a reply last spoke of them
        self._troubled: set[str] = set()  # those with failed or undelivered mail
        self._window = _Horizon(lookback, now)
        self._recent = {name: _Horizon(age, now) for name, age in ages.items() if age <= lookback}
        self._horizons = (*self._recent.values(), self._window)
        self.unknown_statuses = 0
        """Operations so far that were first seen with a status unknown to us."""

    def __len__(self) -> int:
        """Operations in the sums."""
        return len(self._packed) - len(self._gone)

    def __contains__(self, operation_id: object) -> bool:
        return operation_id in self._packed and operation_id not in self._gone

    def __iter__(self) -> Iterator[Operation]:
        """The operations in the sums, in no order."""
        return (self._read(each) for each in self._packed if each not in self._gone)

    def absorb(self, reply: Operation, at: float) -> None:
        """Take in what a reply said at `at`; doing so twice is doing so once."""
        if reply.created_at < self._window.start:
            return
        known = self._known(reply.id)
        if known is None:
            self._buckets.setdefault(_bucket(reply.created_at), []).append(reply.id)
        elif reply.updated_at < known.updated_at:
            reply = known
        else:
            reply = _succeed(known, reply)
        if reply.status == "unknown" and (known is None or known.status != "unknown"):
            self.unknown_statuses += 1
        if reply.id in self._gone:
            self._gone.remove(reply.id)
            known = None  # it is in no sum
        if reply != known:
            self._move(known, reply)
        self._note(reply, at)

    def lose(self, operation_id: str) -> None:
        """Take out of the sums what answered 404."""
        if operation_id in self:
            self._move(self._read(operation_id), None)
            self._gone.add(operation_id)
            self._refreshed.pop(operation_id, None)
            self._troubled.discard(operation_id)

    def advance(self, now: float) -> None:
        """Let time pass: every horizon moves, and what falls behind the window is forgotten."""
        for horizon in self._horizons:
            start = now - horizon.age
            sign = -1 if start > horizon.start else 1  # a clock may be set back
            for operation_id in self._created_between(*sorted((horizon.start, start))):
                if operation_id not in self._gone:
                    horizon.add(self._read(operation_id), sign)
            horizon.start = start
        self._forget_before(self._window.start)

    def unfinished(self) -> dict[str, float]:
        """Ids of the non-final operations, and when a reply last spoke of each."""
        return dict(self._refreshed)

    def window_sums(self) -> dict[str, Sums]:
        """By operation status, every status present."""
        return self._window.sums()

    def recent_sums(self) -> dict[str, Sums]:
        """By name of age, over all statuses."""
        return {name: horizon.total() for name, horizon in self._recent.items()}

    def count_created_before(self, instant: float) -> int:
        """To the minute, which is enough to plan pages."""
        return sum(len(ids) for bucket, ids in self._buckets.items() if bucket < _bucket(instant))

    def oldest_unfinished(self) -> dict[str, float]:
        """`created_at` of the oldest non-final operation by status; a status without one is missing."""
        oldest: dict[str, float] = {}
        for operation_id in self._refreshed:
            operation = self._read(operation_id)
            if operation.created_at < oldest.get(operation.status, float("inf")):
                oldest[operation.status] = operation.created_at
        return oldest

    def worst(self, count: int) -> list[Operation]:
        """Most failed and undelivered mail first, ties to the newer; none without either."""
        return heapq.nlargest(count, map(self._read, self._troubled), key=_badness)

    def _known(self, operation_id: str) -> Operation | None:
        packed = self._packed.get(operation_id)
        return None if packed is None else unpack(operation_id, packed)

    def _read(self, operation_id: str) -> Operation:
        return unpack(operation_id, self._packed[operation_id])

    def _move(self, old: Operation | None, new: Operation | None) -> None:
        """Let the sums follow one operation from what it was to what it is."""
        for horizon in self._horizons:
            if old and old.created_at >= horizon.start:
                horizon.add(old, -1)
            if new and new.created_at >= horizon.start:
                horizon.add(new, 1)

    def _note(self, operation: Operation, at: float) -> None:
        self._packed[operation.id] = pack(operation)
        if operation.is_final:
            self._refreshed.pop(operation.id, None)
        else:
            self._refreshed[operation.id] = at
        if _badness(operation)[0]:
            self._troubled.add(operation.id)
        else:
            self._troubled.discard(operation.id)

    def _forget_before(self, instant: float) -> None:
        boundary = _bucket(instant)
        for bucket in [each for each in self._buckets if each <= boundary]:
            kept = []
            for operation_id in self._buckets.pop(bucket):
                if self._read(operation_id).created_at < instant:
                    self._forget(operation_id)
                else:
                    kept.append(operation_id)
            if kept:
                self._buckets[bucket] = kept

    def _forget(self, operation_id: str) -> None:
        del self._packed[operation_id]
        self._gone.discard(operation_id)
        self._refreshed.pop(operation_id, None)
        self._troubled.discard(operation_id)

    def _created_between(self, start: float, end: float) -> Iterator[str]:
        """Ids of what was created from `start` up to, not including, `end`."""
        for bucket in range(_bucket(start), _bucket(end) + 1):
            for operation_id in self._buckets.get(bucket, ()):
                if start <= self._read(operation_id).created_at < end:
                    yield operation_id


class _Horizon:
    """Sums over what was created within one age, by status; the ledger says what enters and leaves."""

    def __init__(self, age: float, now: float) -> None:
        self.age = age
        self.start = now - age
        self._operations = dict.fromkeys(STATUSES, 0)
        self._stats = {status: [0] * len(STATS) for status in STATUSES}

    def add(self, operation: Operation, sign: int) -> None:
        self._operations[operation.status] += sign
        stats = self._stats[operation.status]
        for index, value in enumerate(operation.stats):
            if value:
                stats[index] += sign * value

    def sums(self) -> dict[str, Sums]:
        return {status: Sums(self._operations[status], tuple(self._stats[status])) for status in STATUSES}

    def total(self) -> Sums:
        columns = zip(*self._stats.values(), strict=True)
        return Sums(sum(self._operations.values()), tuple(sum(column) for column in columns))


def _bucket(instant: float) -> int:
    return int(instant // _BUCKET_SECONDS)


def _succeed(known: Operation, reply: Operation) -> Operation:
    """The later reply over the earlier; `createdAt` does not change, whatever a reply says."""
    stats = tuple([old if new is None else new for old, new in zip(known.stats, reply.stats, strict=True)])
    return reply._replace(created_at=known.created_at, stats=stats)


def _badness(operation: Operation) -> tuple[int, float, str]:
    stats = operation.stats
    return (stats[_FAILED] or 0) + (stats[_UNDELIVERED] or 0), operation.created_at, operation.id
