"""The operations of one account as bytes, by id and by minute of creation, and which of them have changed.

Pure. Must not know what is counted, or why an operation changes.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from exporter.ledger.counters import Marks
from exporter.ledger.packing import created_at, pack_marks
from exporter.ledger.saved import Row, rows_of

_BUCKET_SECONDS: Final = 60


class OperationStore:
    """Instants are Unix times."""

    def __init__(self) -> None:
        # Ids are kept in dicts without values: Python's garbage collector, which blocks the event loop, scans
        # every set and list, but up to Python 3.13 no dict of strings.
        self.packed: dict[str, bytes] = {}
        """To be read only; `add`, `replace` and `remove` change it."""
        self.marks: dict[str, Marks] = {}
        """High-water marks of the operations with a value below its mark."""
        self.began: dict[str, float] = {}
        """When sending began, of the operations that were seen scheduled before."""
        self.changed: dict[str, None] = {}
        """Ids of operations to save; callers add new and changed ones."""
        self._forgotten: dict[str, None] = {}
        self._buckets: defaultdict[int, dict[str, None]] = defaultdict(dict)  # ids by minute of creation

    def add(self, operation_id: str, at: float, packed: bytes) -> None:
        """`at` is the instant of its creation, as in `packed`."""
        self.packed[operation_id] = packed
        self._buckets[int(at // _BUCKET_SECONDS)][operation_id] = None

    def replace(self, operation_id: str, packed: bytes) -> None:
        if packed != self.packed[operation_id]:
            self.packed[operation_id] = packed
            self.changed[operation_id] = None

    def remove_created_between(self, start: float, end: float) -> Iterator[tuple[str, bytes]]:
        """Remove and yield the operations created before `end`; none in the store is older than `start`."""
        for bucket in self._minutes(start, end):
            ids = self._buckets[bucket]
            for operation_id in [each for each in ids if created_at(self.packed[each]) < end]:
                del ids[operation_id]
                self.marks.pop(operation_id, None)
                self.began.pop(operation_id, None)
                self.forget(operation_id)
                yield operation_id, self.packed.pop(operation_id)
            if not ids:
                del self._buckets[bucket]

    def forget(self, operation_id: str) -> None:
        """Mark an operation for deletion from the saved state."""
        self.changed.pop(operation_id, None)
        self._forgotten[operation_id] = None

    def created_between(self, start: float, end: float) -> Iterator[str]:
        """Ids of what was created from `start` up to, but not including, `end`."""
        for bucket in self._minutes(start, end):
            for operation_id in self._buckets[bucket]:
                if start <= created_at(self.packed[operation_id]) < end:
                    yield operation_id

    def count_created_before(self, instant: float) -> int:
        """Number of operations created before `instant`, rounded to a minute."""
        boundary = int(instant // _BUCKET_SECONDS)
        younger = [bucket for bucket in self._buckets if bucket >= boundary]  # these are fewer
        return len(self.packed) - sum(len(self._buckets[bucket]) for bucket in younger)

    def take_changes(self) -> tuple[Collection[Row], Collection[str]]:
        """Rows to save and ids to delete; both are empty in the store afterwards."""
        changed, self.changed = self.changed, {}
        forgotten, self._forgotten = self._forgotten, {}
        packed = list(map(self.packed.__getitem__, changed))
        marks = {each: self.marks[each] for each in self.marks.keys() & changed.keys()}
        began = {each: self.began[each] for each in self.began.keys() & changed.keys()}
        return _Rows(changed, packed, marks, began), forgotten.keys() - changed.keys()

    def restore_changes(self, rows: Iterable[str], forgotten: Iterable[str]) -> None:
        """Mark ids again that could not be saved or deleted, unless they have changed since."""
        self.changed.update(dict.fromkeys(each for each in rows if each in self.packed))
        self._forgotten.update(dict.fromkeys(each for each in forgotten if each not in self.packed))

    def _minutes(self, start: float, end: float) -> list[int]:
        """The minutes between two instants that have operations."""
        first, last = int(start // _BUCKET_SECONDS), int(end // _BUCKET_SECONDS)
        if last - first < len(self._buckets):
            return [bucket for bucket in range(first, last + 1) if bucket in self._buckets]
        # The clock leapt: there are more minutes between the two than buckets.
        return [bucket for bucket in self._buckets if first <= bucket <= last]


class _Rows(Collection[Row]):
    """Builds each row when it is iterated: a first poll may have a million."""

    def __init__(
        self,
        ids: Mapping[str, None],
        packed: Sequence[bytes],
        marks: Mapping[str, Marks],
        began: Mapping[str, float],
    ) -> None:
        self._ids = ids
        self._packed = packed
        self._marks = marks
        self._began = began

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[Row]:
        marks = {operation_id: pack_marks(each) for operation_id, each in self._marks.items()}
        return rows_of(self._ids, self._packed, map(marks.get, self._ids), map(self._began.get, self._ids))

    def __contains__(self, row: object) -> bool:
        return any(row == each for each in self)
