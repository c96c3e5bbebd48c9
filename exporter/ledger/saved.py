"""The saved state of an account, as plain values that the ledger, the poller and the storage share.

Must not know how or where it is saved.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Final, NamedTuple, TypeAlias

from exporter.ledger.counters import Counts


class ListedInterval(NamedTuple):
    """A part of the past, and when it was last listed. Unix times."""

    start: float
    end: float
    listed_at: float


ListedIntervals: TypeAlias = tuple[ListedInterval, ...]
"""In order of date, without overlap."""


class Row(NamedTuple):
    """One operation."""

    id: str
    packed: bytes
    """As `packing` packs it."""
    marks: bytes | None
    """Packed high-water marks. `None`: they equal the values."""
    began: float | None = None
    """Unix time at which sending began. `None`: when the operation was created."""


_new_row: Final[Callable[[type[Row], tuple[Any, ...]], Row]] = tuple.__new__


def rows_of(
    ids: Iterable[str],
    packed: Iterable[bytes],
    marks: Iterable[bytes | None],
    began: Iterable[float | None],
) -> Iterator[Row]:
    """Rows from columns, in a third of the time that `Row(...)` takes."""
    return map(_new_row, repeat(Row), zip(ids, packed, marks, began, strict=True))


class Changes(NamedTuple):
    """Changes of a ledger since they were last taken; later changes do not alter this value."""

    rows: Collection[Row]
    forgotten: Collection[str]
    """Ids."""
    coverage: float
    """Unix time from which on operations count from zero; older ones are baselines."""
    counts: Counts


@dataclass(frozen=True, slots=True)
class Progress:
    """The last success and the listed intervals of an account."""

    last_success_at: float
    """Unix time."""
    listed_intervals: ListedIntervals


@dataclass(frozen=True, slots=True)
class Saved:
    """The complete state of an account as an earlier process saved it."""

    progress: Progress
    coverage: float
    counts: Counts
    rows: Iterable[Row]
    """Can be iterated once."""
