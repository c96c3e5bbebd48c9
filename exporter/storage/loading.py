"""Builds what an account's state is for from its rows; shared by the storages.

Must not know how rows are stored.
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

from exporter.errors import DamagedError
from exporter.ledger.saved import Row, Saved
from exporter.storage.codec import AccountRow

T = TypeVar("T")


def built(row: AccountRow, build: Callable[[Saved], T], rows: Iterator[Row]) -> T:
    """Raises `DamagedError` for a `ValueError` of `build`, of the row or of the rows."""
    try:
        progress, coverage, counts = row.decoded()
        return build(Saved(progress, coverage, counts, rows))
    except ValueError as error:
        raise DamagedError(f"account {row.name}: {error}") from error
