"""Simulated days wait for no disk: a test that ends a process does not cut the power."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exporter.storage import sqlite as storage


@contextmanager
def unsynced() -> Iterator[None]:
    """State files opened in this process leave it to the system when they reach the disk.

    A month of polls commits some ten thousand times. Where a disk takes 20 ms for each of a commit's four
    syncs, that alone is a quarter of an hour.
    """
    connect = storage._connect

    def connected(path: Path, lock_seconds: float) -> sqlite3.Connection:
        connection = connect(path, lock_seconds)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    storage._connect = connected
    try:
        yield
    finally:
        storage._connect = connect
