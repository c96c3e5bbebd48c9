"""Encodes the saved state as text and bytes, with checksums. Pure; must not know SQLite.

Every row of an operation has a checksum of its own. The row of an account covers the set of its operations by
their number and the sum of their checksums, and one row covers the set of accounts in the same way. This
detects rows that are valid by themselves but were not saved together.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, repeat
from operator import add
from struct import Struct
from struct import error as StructError  # noqa: N812 - a class, whatever its name
from typing import Any, Final, NamedTuple, TypeAlias
from zlib import crc32

from exporter.ledger.counters import ZERO, Counts
from exporter.ledger.packing import Layout
from exporter.ledger.saved import ListedInterval, Progress, Row, rows_of
from exporter.storage.chunks import chunked

StoredRow: TypeAlias = tuple[bytes, bytes, bytes | None, float | None, int]
"""A row of an operation as the file holds it: id, packed, marks, began and checksum."""

SealedRow: TypeAlias = tuple[str, str, bytes, bytes | None, float | None, int]
"""A row of an operation to be stored: account, id, packed, marks, began and checksum."""

_CHUNK_ROWS: Final = 200
"""Rows whose checksums are checked together: few, or Python's garbage collector would scan them."""

_BEGAN: Final = Struct("<d")
_LATEST: Final = 4e9  # the year 2096: no poll has succeeded after it


class Digest(NamedTuple):
    """Covers a set of rows in any order; it is updated by differences."""

    rows: int = 0
    checksum: int = 0
    """The sum of the rows' checksums."""

    def plus(self, other: "Digest") -> "Digest":
        return Digest(self.rows + other.rows, self.checksum + other.checksum)

    def minus(self, other: "Digest") -> "Digest":
        return Digest(self.rows - other.rows, self.checksum - other.checksum)


@dataclass(frozen=True, slots=True)
class AccountRow:
    """One row of the table of accounts."""

    name: str
    coverage: float
    counts: str
    """JSON: name, label and value of each counter."""
    progress: str
    """JSON."""
    operations: Digest

    @property
    def checksum(self) -> int:
        return checksum_of(self.name, self.coverage, self.counts, self.progress, *self.operations)

    def decoded(self) -> tuple[Progress, float, Counts]:
        """Raises `ValueError` for values that no exporter can have saved."""
        try:
            return _read_progress(self.progress), _finite(self.coverage), read_counts(self.counts)
        except (TypeError, KeyError, OverflowError, RecursionError) as error:
            raise ValueError(f"counters or progress cannot be read: {error!r}") from error

    @property
    def saved_at(self) -> float:
        """Unix time of the last successful poll."""
        return self.decoded()[0].last_success_at


def encode_account(
    name: str, coverage: float, counts: Counts, progress: Progress, operations: Digest
) -> AccountRow:
    """Raises `ValueError` for a number that JSON cannot represent."""
    return AccountRow(name, coverage, counts_text(counts), _progress_text(progress), operations)


def checksum_of(*parts: object) -> int:
    """CRC-32 of plain values."""
    return crc32(repr(parts).encode())


def layout_text(layout: Layout) -> str:
    return json.dumps(
        {"statuses": layout.statuses, "stats": layout.stats, "counted": layout.counted},
    )


def read_layout(text: str) -> Layout:
    """Raises `ValueError`."""
    written = json.loads(text)
    try:
        return Layout(*(tuple(map(str, written[part])) for part in ("statuses", "stats", "counted")))
    except (TypeError, KeyError) as error:
        raise ValueError(f"the layout cannot be read: {error!r}") from error


def sealed(account: str, rows: Iterable[Row]) -> list[SealedRow]:
    """The rows of operations with their checksums."""
    if not (columns := tuple(zip(*rows, strict=True))):
        return []
    ids, *others = columns
    checksums = _checksums(account, list(map(str.encode, ids)), *others)
    return list(zip(repeat(account), *columns, checksums))


def unsealed(account: str, rows: Iterable[StoredRow], expected: Digest | None) -> Iterator[Row]:
    """Yields rows and checks their checksums, and at the end their digest; `None`: the digest is unknown.

    Raises `ValueError` at a mismatch. A damaged SQLite file may contain a value of any type.
    """
    return chain.from_iterable(_unsealed_chunks(account, iter(rows), expected))


def _unsealed_chunks(
    account: str, rows: Iterator[StoredRow], expected: Digest | None
) -> Iterator[Iterable[Row]]:
    found = Digest()
    for chunk in chunked(rows, _CHUNK_ROWS):
        *columns, checksums = zip(*chunk, strict=True)
        try:
            right = _checksums(account, *columns) == list(checksums)
        except (TypeError, StructError):
            right = False
        if not right:
            raise ValueError("the checksum of an operation is wrong")
        found = found.plus(Digest(len(chunk), sum(checksums)))
        ids, *others = columns
        yield rows_of(map(bytes.decode, ids), *others)
    if expected is not None and found != expected:
        raise ValueError(f"{found.rows} operations are not those that were saved ({expected.rows})")


def _checksums(
    account: str,
    ids: Iterable[bytes],
    packed: Iterable[bytes],
    marks: Iterable[bytes | None],
    began: Iterable[float | None],
) -> list[int]:
    """The checksums of rows. Columns, because a start with a million rows would take twice the time."""
    checksums = list(map(crc32, map(add, ids, packed), repeat(crc32(account.encode()))))
    for index, (some_marks, since) in enumerate(zip(marks, began, strict=True)):
        # Not `if some_marks`: a flipped bit turns SQLite's NULL into the integer 0.
        if some_marks is not None:
            checksums[index] = crc32(some_marks, checksums[index])
        if since is not None:
            checksums[index] = crc32(_BEGAN.pack(since), checksums[index])
    return checksums


def _finite(value: Any) -> float:
    """The value unchanged, so that an integer stays one; `True` is not a number."""
    if type(value) not in {int, float} or not math.isfinite(value):
        raise ValueError("not a finite number")
    finite: float = value
    return finite


def counts_text(counts: Counts) -> str:
    """Raises `ValueError` for a number that JSON cannot represent."""
    return json.dumps([[name, label, value] for (name, label), value in counts.items()], allow_nan=False)


def read_counts(text: str) -> Counts:
    """Counters that this version does not have are dropped; counters that it adds start at zero.

    Raises `ValueError`.
    """
    counts = {(name, label): _finite(value) for name, label, value in json.loads(text)}
    if any(value < 0 for value in counts.values()):
        raise ValueError("a counter is negative")
    return {key: counts.get(key, zero) for key, zero in ZERO.items()}


def _progress_text(progress: Progress) -> str:
    return json.dumps(
        {"last_success_at": progress.last_success_at, "listed_intervals": progress.listed_intervals},
        allow_nan=False,
    )


def _read_progress(text: str) -> Progress:
    written: Mapping[str, Any] = json.loads(text)
    intervals = tuple([ListedInterval(*map(_finite, each)) for each in written["listed_intervals"]])
    last_success_at = _finite(written["last_success_at"])
    if not 0 <= last_success_at <= _LATEST or any(each.start >= each.end for each in intervals):
        raise ValueError("no poll can have made this progress")
    return Progress(last_success_at, intervals)
