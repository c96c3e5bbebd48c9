"""One operation in as few bytes as it takes: a million of them must fit beside a small pod's limits.

Pure. Knows the shape of an operation and nothing of why it is kept.
"""

from struct import Struct
from typing import Final

from exporter.operation import STATS, STATUSES, Operation

_SMALL: Final = Struct(f"<Bdd{len(STATS)}B")
_LARGE: Final = Struct(f"<Bdd{len(STATS)}q")
_SMALL_ABSENT: Final = 255
_LARGE_ABSENT: Final = -1
_STATUS_INDEX: Final = {status: index for index, status in enumerate(STATUSES)}


def pack(operation: Operation) -> bytes:
    """Everything but the id; most operations are of few mails and take 28 bytes."""
    head = (_STATUS_INDEX[operation.status], operation.created_at, operation.updated_at)
    stats = operation.stats
    if max([value or 0 for value in stats]) < _SMALL_ABSENT:
        return _SMALL.pack(*head, *[_SMALL_ABSENT if value is None else value for value in stats])
    return _LARGE.pack(*head, *[_LARGE_ABSENT if value is None else value for value in stats])


def unpack(operation_id: str, packed: bytes) -> Operation:
    layout, absent = (_SMALL, _SMALL_ABSENT) if len(packed) == _SMALL.size else (_LARGE, _LARGE_ABSENT)
    status, created_at, updated_at, *stats = layout.unpack(packed)
    return Operation(
        operation_id,
        STATUSES[status],
        created_at,
        updated_at,
        tuple([None if value == absent else value for value in stats]),
    )
