"""What is saved of an account, as plain values that the ledger, the poller and the storage share.

Must not know how or where it is saved.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

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


class Changes(NamedTuple):
    """What has changed in a ledger since its changes were last taken. Nothing that follows alters it."""

    rows: Collection[Row]
    forgotten: Collection[str]
    """Ids."""
    coverage: float
    """Unix time from which on operations count from zero; older ones are baselines."""
    counts: Counts


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an account's polls have come."""

    last_success_at: float
    """Unix time."""
    listed_intervals: ListedIntervals


@dataclass(frozen=True, slots=True)
class Saved:
    """Everything that a former process left of an account."""

    progress: Progress
    coverage: float
    counts: Counts
    rows: Iterable[Row]
    """To be read once."""
