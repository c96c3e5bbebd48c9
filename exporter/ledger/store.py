"""The operations of one account as bytes, by id and by minute of creation, and which of them have changed.

Pure. Must not know what is counted, or why an operation changes.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain
from typing import Final

from exporter.ledger.counters import Marks
from exporter.ledger.packing import created_at, pack_marks
from exporter.ledger.saved import Row, rows_of

MINUTE_SECONDS: Final = 60.0


class OperationStore:
    """Instants are Unix times."""

    def __init__(self) -> None:
        # Ids are kept in tuples and in dicts without values: Python's garbage collector, which blocks the
        # event loop, scans every set and list, but no tuple of strings and (up to 3.13) no dict of them.
        self.packed: dict[str, bytes] = {}
        """To be read only; `add`, `replace` and `remove` change it."""
        self.marks: dict[str, Marks] = {}
        """High-water marks of the operations with a value below its mark."""
        self.began: dict[str, float] = {}
        """When sending began, of the operations that were seen scheduled before."""
        self.changed: dict[str, None] = {}
        """Ids of changed operations to save."""
        self._unsaved: list[tuple[str, ...]] = []  # ids of new operations; some may have been removed
        self._forgotten: dict[str, None] = {}
        self._minutes: dict[float, tuple[str, ...]] = {}  # ids by minute of creation

    def add(self, packed: Mapping[str, bytes], minutes: Mapping[float, Iterable[str]]) -> None:
        """Add operations. `minutes`: their ids by minute of creation, the Unix time divided by 60."""
        for minute, ids in minutes.items():
            self._minutes[minute] = (*self._minutes.get(minute, ()), *ids)
        self.packed.update(packed)

    def add_new(self, packed: Mapping[str, bytes], minutes: Mapping[float, Iterable[str]]) -> None:
        """Add operations that are not saved yet."""
        self.add(packed, minutes)
        self._unsaved.append(tuple(packed))

    def replace(self, operation_id: str, packed: bytes) -> None:
        if packed != self.packed[operation_id]:
            self.packed[operation_id] = packed
            self.changed[operation_id] = None

    def remove_created_between(self, start: float, end: float) -> Iterator[tuple[str, bytes]]:
        """Remove and yield the operations created before `end`; none in the store is older than `start`."""
        for minute in self._minutes_between(start, end):
            ids = self._minutes.pop(minute)
            removed = dict.fromkeys([each for each in ids if created_at(self.packed[each]) < end])
            if len(removed) < len(ids):
                self._minutes[minute] = tuple([each for each in ids if each not in removed])
            for operation_id in removed:
                self.marks.pop(operation_id, None)
                self.began.pop(operation_id, None)
                self.forget(operation_id)
                yield operation_id, self.packed.pop(operation_id)

    def forget(self, operation_id: str) -> None:
        """Mark an operation for deletion from the saved state."""
        self.changed.pop(operation_id, None)
        self._forgotten[operation_id] = None

    def created_between(self, start: float, end: float) -> Iterator[str]:
        """Ids of what was created from `start` up to, but not including, `end`."""
        for minute in self._minutes_between(start, end):
            for operation_id in self._minutes[minute]:
                if start <= created_at(self.packed[operation_id]) < end:
                    yield operation_id

    def count_created_before(self, instant: float) -> int:
        """Number of operations created before `instant`, rounded to a minute."""
        boundary = int(instant // MINUTE_SECONDS)
        younger = [minute for minute in self._minutes if minute >= boundary]  # these are fewer
        return len(self.packed) - sum(len(self._minutes[minute]) for minute in younger)

    def take_changes(self) -> tuple[Collection[Row], Collection[str]]:
        """Rows to save and ids to delete; both are empty in the store afterwards."""
        if sum(map(len, self._unsaved)) >= len(self.packed):  # the first save
            packed = self.packed.copy()
        else:
            unsaved = chain(*self._unsaved, self.changed)
            packed = {each: self.packed[each] for each in unsaved if each in self.packed}
        marks = {each: pack_marks(self.marks[each]) for each in self.marks.keys() & packed.keys()}
        began = {each: self.began[each] for each in self.began.keys() & packed.keys()}
        forgotten = self._forgotten.keys() - packed.keys()
        self.discard_changes()
        return _Rows(packed, marks, began), forgotten

    def discard_changes(self) -> None:
        """Nothing is to be saved any more."""
        self._unsaved = []
        self.changed = {}
        self._forgotten = {}

    def restore_changes(self, rows: Iterable[str], forgotten: Iterable[str]) -> None:
        """Mark ids again that could not be saved or deleted, unless they have changed since."""
        self.changed.update(dict.fromkeys(each for each in rows if each in self.packed))
        self._forgotten.update(dict.fromkeys(each for each in forgotten if each not in self.packed))

    def _minutes_between(self, start: float, end: float) -> list[float]:
        """The minutes between two instants that have operations."""
        first, last = int(start // MINUTE_SECONDS), int(end // MINUTE_SECONDS)
        if last - first < len(self._minutes):
            return [float(minute) for minute in range(first, last + 1) if minute in self._minutes]
        # The clock leapt: there are more minutes between the two than have operations.
        return [minute for minute in self._minutes if first <= minute <= last]


class _Rows(Collection[Row]):
    """Builds each row when it is iterated: a first poll may have a million."""

    def __init__(
        self, packed: Mapping[str, bytes], marks: Mapping[str, bytes], began: Mapping[str, float]
    ) -> None:
        self._packed = packed
        self._marks = marks
        self._began = began

    def __len__(self) -> int:
        return len(self._packed)

    def __iter__(self) -> Iterator[Row]:
        ids = self._packed.keys()
        return rows_of(ids, self._packed.values(), map(self._marks.get, ids), map(self._began.get, ids))

    def __contains__(self, row: object) -> bool:
        return any(row == each for each in self)
