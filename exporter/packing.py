"""One operation in as few bytes as it takes: a million of them must fit beside a small pod's limits.

Pure. Knows the shape of an operation and nothing of why it is kept. The state file holds these bytes too:
a change of layout is a change of its schema.
"""

from collections.abc import Sequence
from math import isfinite
from struct import Struct
from struct import error as StructError  # noqa: N812 - a class, whatever its name
from typing import Final, NamedTuple

from exporter.counting import COUNTED
from exporter.operation import STATS, STATUSES, Operation, Stats

_TIMES: Final = Struct("<dd")
_SMALL: Final = Struct(f"<dd2B{len(STATS)}B")
_LARGE: Final = Struct(f"<dd2B{len(STATS)}q")
_MARKS: Final = Struct(f"<{len(COUNTED)}q")
_SMALL_ABSENT: Final = 255
_LARGE_ABSENT: Final = -1
_STATUS_INDEX: Final = {status: index for index, status in enumerate(STATUSES)}


class Entry(NamedTuple):
    """An operation and what else must be remembered of it."""

    operation: Operation
    finished: bool = False
    """It was final once."""
    gone: bool = False
    """It answered 404."""


def pack(entry: Entry) -> bytes:
    """Everything but the id; most operations are of few mails and take 29 bytes."""
    operation = entry.operation
    flags = entry.finished | entry.gone << 1
    head = (operation.created_at, operation.updated_at, _STATUS_INDEX[operation.status], flags)
    stats = operation.stats
    if max([value or 0 for value in stats]) < _SMALL_ABSENT:
        return _SMALL.pack(*head, *[_SMALL_ABSENT if value is None else value for value in stats])
    return _LARGE.pack(*head, *[_LARGE_ABSENT if value is None else value for value in stats])


def unpack(operation_id: str, packed: bytes) -> Entry:
    """Raises `ValueError` for bytes that `pack` has not made."""
    if len(packed) == _SMALL.size:
        layout, absent = _SMALL, _SMALL_ABSENT
    elif len(packed) == _LARGE.size:
        layout, absent = _LARGE, _LARGE_ABSENT
    else:
        raise ValueError(f"{len(packed)} bytes are no operation")
    created_at, updated_at, status, flags, *values = layout.unpack(packed)
    if status >= len(STATUSES) or flags > 3 or not isfinite(created_at + updated_at):
        raise ValueError("not the bytes of an operation")
    if layout is _LARGE:
        _refuse_negative(values)
    stats: Stats = tuple([None if value == absent else value for value in values])
    operation = Operation(operation_id, STATUSES[status], created_at, updated_at, stats)
    return Entry(operation, finished=bool(flags & 1), gone=bool(flags & 2))


def created_at(packed: bytes) -> float:
    """Cheaper than unpacking it all. Raises `ValueError` for too few bytes, and for times that are none."""
    at: float
    updated_at: float
    try:
        at, updated_at = _TIMES.unpack_from(packed)
    except StructError as error:
        raise ValueError(str(error)) from None
    if not isfinite(at + updated_at):
        raise ValueError("not the times of an operation")
    return at


def shape(packed: bytes) -> bytes:
    """Everything but the times: what most operations have in common with many others."""
    return packed[_TIMES.size :]


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
