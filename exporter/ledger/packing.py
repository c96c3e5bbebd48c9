"""One operation in as few bytes as possible: a million of them must fit into a small pod's memory.

Pure. Must not know why an operation is kept. The state file stores the same bytes, together with the names
that are needed to read them (`Layout`); rows of another layout are converted by `repacker`.

Two times come first, then the packed stats: what most operations share with many others, and what is
therefore packed and unpacked once for all of them.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain
from math import isfinite
from operator import itemgetter
from struct import Struct
from struct import error as StructError  # noqa: N812 - a class, whatever its name
from typing import Final, NamedTuple

from exporter.ledger.counters import COUNTED, Marks
from exporter.operation import STATS, STATUSES, Operation, Stats

_TIMES: Final = Struct("<dd")
packed_stats: Final[Callable[[bytes], bytes]] = itemgetter(slice(_TIMES.size, None))
"""Everything but the times of a packed operation; the same for many of them."""

_SMALL_ABSENT: Final = 255
_LARGE_ABSENT: Final = -1
_CACHED: Final = 4096
"""Packed stats that are remembered, the ones used last."""


@dataclass(frozen=True)
class Layout:
    """The names behind the numbers in packed bytes, in their order."""

    statuses: tuple[str, ...]
    stats: tuple[str, ...]
    counted: tuple[str, ...]

    @cached_property
    def small(self) -> Struct:
        """Status, flags, and a byte for each stat."""
        return Struct(f"<2B{len(self.stats)}B")

    @cached_property
    def large(self) -> Struct:
        """The same with eight bytes for each stat."""
        return Struct(f"<2B{len(self.stats)}q")

    @cached_property
    def marks(self) -> Struct:
        return Struct(f"<{len(self.counted)}q")


LAYOUT: Final = Layout(STATUSES, STATS, COUNTED)
"""The layout of this version."""

_STATUS_INDEX: Final = {status: index for index, status in enumerate(STATUSES)}


class Entry(NamedTuple):
    """An operation and what else must be remembered about it."""

    operation: Operation
    finished: bool = False
    """It was final once."""
    not_found: bool = False
    """A fetch answered 404."""
    had_unknown_stats: bool = False


def pack(
    operation: Operation, finished: bool = False, not_found: bool = False, had_unknown_stats: bool = False
) -> bytes:
    """Everything but the id; an operation with few emails takes 29 bytes."""
    _, status, created_at, updated_at, stats, unknown_stats = operation
    flags = finished | not_found << 1 | (4 if had_unknown_stats or unknown_stats else 0)
    return _TIMES.pack(created_at, updated_at) + _pack_stats(status, flags, stats)


def pack_alike(operations: Sequence[Operation]) -> dict[str, bytes]:
    """The same by id, of operations that have equal status and stats."""
    first = operations[0]
    stats = packed_stats(pack(first, first.is_final))
    return {each.id: _TIMES.pack(each.created_at, each.updated_at) + stats for each in operations}


@lru_cache(maxsize=_CACHED)
def _pack_stats(status: str, flags: int, stats: Stats) -> bytes:
    return _packed_stats(LAYOUT, _STATUS_INDEX[status], flags, stats)


def _packed_stats(layout: Layout, status: int, flags: int, values: Sequence[int | None]) -> bytes:
    if max([value or 0 for value in values]) < _SMALL_ABSENT:
        struct, absent = layout.small, _SMALL_ABSENT
    else:
        struct, absent = layout.large, _LARGE_ABSENT
    return struct.pack(status, flags, *[absent if value is None else value for value in values])


def unpack(operation_id: str, packed: bytes) -> Entry:
    """Raises `ValueError` for bytes that `pack` has not made."""
    created_at, updated_at = _times(packed)
    status, stats, *flags = _unpack_stats(packed_stats(packed))
    return Entry(Operation(operation_id, status, created_at, updated_at, stats), *flags)


@lru_cache(maxsize=_CACHED)
def _unpack_stats(packed: bytes) -> tuple[str, Stats, bool, bool, bool]:
    status, flags, values = _unpacked_stats(LAYOUT, packed)
    return STATUSES[status], Stats(*values), bool(flags & 1), bool(flags & 2), bool(flags & 4)


def _unpacked_stats(layout: Layout, packed: bytes) -> tuple[int, int, list[int | None]]:
    small, large = layout.small, layout.large
    if len(packed) == small.size:
        struct, absent = small, _SMALL_ABSENT
    elif len(packed) == large.size:
        struct, absent = large, _LARGE_ABSENT
    else:
        raise ValueError(f"{len(packed)} bytes are not the packed stats of an operation")
    status, flags, *values = struct.unpack(packed)
    if status >= len(layout.statuses) or flags > 7:
        raise ValueError("these bytes are not an operation")
    if absent == _LARGE_ABSENT:
        _refuse_negative(values)
    return status, flags, [None if value == absent else value for value in values]


def created_at(packed: bytes) -> float:
    """Cheaper than unpacking everything. Raises `ValueError` for too few bytes and for impossible times."""
    return _times(packed)[0]


def creations(packed: Collection[bytes]) -> list[float]:
    """The same of many operations, in a third of the time."""
    try:
        times = list(map(_TIMES.unpack_from, packed))
    except StructError as error:
        raise ValueError(str(error)) from None
    _refuse_infinite(sum(chain.from_iterable(times)))
    return [created_at for created_at, _ in times]


def _times(packed: bytes) -> tuple[float, float]:
    try:
        created_at, updated_at = _TIMES.unpack_from(packed)
    except StructError as error:
        raise ValueError(str(error)) from None
    _refuse_infinite(created_at + updated_at)
    return created_at, updated_at


def _refuse_infinite(times: float) -> None:
    if not isfinite(times):
        raise ValueError("these are not the times of an operation")


def pack_marks(marks: Marks) -> bytes:
    return _packed_marks(LAYOUT, marks)


def _packed_marks(layout: Layout, marks: Sequence[int | None]) -> bytes:
    return layout.marks.pack(*[_LARGE_ABSENT if mark is None else mark for mark in marks])


def unpack_marks(packed: bytes) -> Marks:
    """Raises `ValueError` for bytes that `pack_marks` has not made."""
    return tuple(_unpacked_marks(LAYOUT, packed))


def _unpacked_marks(layout: Layout, packed: bytes) -> list[int | None]:
    if len(packed) != layout.marks.size:
        raise ValueError(f"{len(packed)} bytes are not high-water marks")
    values = layout.marks.unpack(packed)
    _refuse_negative(values)
    return [None if value == _LARGE_ABSENT else value for value in values]


def _refuse_negative(values: Sequence[int]) -> None:
    if min(values) < _LARGE_ABSENT:
        raise ValueError("a count is negative")


def repacker(
    old: Layout, new: Layout = LAYOUT
) -> Callable[[bytes, bytes | None], tuple[bytes, bytes | None]]:
    """A function that converts the packed bytes and marks of one operation from one layout to another.

    Stats are matched by name: one that `old` lacks is absent, one that `new` lacks is dropped, and a status
    that `new` lacks becomes `unknown`. The mark of a stat that was not counted before is its value: it counts
    from now on. The function raises `ValueError` for bytes that were not packed by `old`.
    """
    statuses = [new.statuses.index(each if each in new.statuses else "unknown") for each in old.statuses]

    def repack(packed: bytes, packed_marks: bytes | None) -> tuple[bytes, bytes | None]:
        status, flags, values = _unpacked_stats(old, packed_stats(packed))
        by_name = dict(zip(old.stats, values, strict=True))
        kept = [by_name.get(stat) for stat in new.stats]
        repacked = packed[: _TIMES.size] + _packed_stats(new, statuses[status], flags, kept)
        if packed_marks is None:
            return repacked, None
        by_name |= zip(old.counted, _unpacked_marks(old, packed_marks), strict=True)
        return repacked, _packed_marks(new, [by_name.get(stat) for stat in new.counted])

    return repack
