"""One operation in as few bytes as it takes: a million of them must fit beside a small pod's limits.

Pure. Knows the shape of an operation and nothing of why it is kept. The state file holds these bytes too:
a change of layout is a change of its schema.

Two times, and then the look: what most operations have in common with many others, and is read and written
once for all of them.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import isfinite
from struct import Struct
from struct import error as StructError  # noqa: N812 - a class, whatever its name
from typing import Final, NamedTuple

from exporter.ledger.counters import COUNTED
from exporter.operation import STATS, STATUSES, Operation, Stats

_TIMES: Final = Struct("<dd")
_SMALL: Final = Struct(f"<2B{len(STATS)}B")
_LARGE: Final = Struct(f"<2B{len(STATS)}q")
_MARKS: Final = Struct(f"<{len(COUNTED)}q")
_SMALL_ABSENT: Final = 255
_LARGE_ABSENT: Final = -1
_STATUS_INDEX: Final = {status: index for index, status in enumerate(STATUSES)}
_CACHED: Final = 4096
"""Remembered, the ones last used."""


class Entry(NamedTuple):
    """An operation and what else must be remembered of it."""

    operation: Operation
    finished: bool = False
    """It was final once."""
    not_found: bool = False
    """It answered 404."""


def pack(operation: Operation, finished: bool = False, not_found: bool = False) -> bytes:
    """Everything but the id; most operations are of few mails and take 29 bytes."""
    _, status, created_at, updated_at, stats = operation
    return _TIMES.pack(created_at, updated_at) + _pack_stats(status, finished | not_found << 1, stats)


@lru_cache(maxsize=_CACHED)
def _pack_stats(status: str, flags: int, stats: Stats) -> bytes:
    if max([value or 0 for value in stats]) < _SMALL_ABSENT:
        layout, absent = _SMALL, _SMALL_ABSENT
    else:
        layout, absent = _LARGE, _LARGE_ABSENT
    return layout.pack(_STATUS_INDEX[status], flags, *[absent if value is None else value for value in stats])


def unpack(operation_id: str, packed: bytes) -> Entry:
    """Raises `ValueError` for bytes that `pack` has not made."""
    created_at, updated_at = _times(packed)
    status, finished, not_found, stats = _unpack_stats(packed[_TIMES.size :])
    return Entry(Operation(operation_id, status, created_at, updated_at, stats), finished, not_found)


@lru_cache(maxsize=_CACHED)
def _unpack_stats(look: bytes) -> tuple[str, bool, bool, Stats]:
    if len(look) == _SMALL.size:
        layout, absent = _SMALL, _SMALL_ABSENT
    elif len(look) == _LARGE.size:
        layout, absent = _LARGE, _LARGE_ABSENT
    else:
        raise ValueError(f"{len(look)} bytes are no look of an operation")
    status, flags, *values = layout.unpack(look)
    if status >= len(STATUSES) or flags > 3:
        raise ValueError("not the bytes of an operation")
    if layout is _LARGE:
        _refuse_negative(values)
    stats: Stats = tuple([None if value == absent else value for value in values])
    return STATUSES[status], bool(flags & 1), bool(flags & 2), stats


def created_at(packed: bytes) -> float:
    """Cheaper than unpacking it all. Raises `ValueError` for too few bytes, and for times that are none."""
    return _times(packed)[0]


def _times(packed: bytes) -> tuple[float, float]:
    try:
        created_at, updated_at = _TIMES.unpack_from(packed)
    except StructError as error:
        raise ValueError(str(error)) from None
    if not isfinite(created_at + updated_at):
        raise ValueError("not the times of an operation")
    return created_at, updated_at


def pack_marks(marks: Stats) -> bytes:
    """Of the counted stats, in their order."""
    return _MARKS.pack(*[_LARGE_ABSENT if mark is None else mark for mark in marks])


def unpack_marks(packed: bytes) -> Stats:
    """Raises `ValueError` for bytes that `pack_marks` has not made."""
    if len(packed) != _MARKS.size:
        raise ValueError(f"{len(packed)} bytes are no marks")
    values = _MARKS.unpack(packed)
    _refuse_negative(values)
    return tuple([None if value == _LARGE_ABSENT else value for value in values])


def _refuse_negative(values: Sequence[int]) -> None:
    if min(values) < _LARGE_ABSENT:
        raise ValueError("a count is negative")
