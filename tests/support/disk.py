"""Turns off syncing of state files: no test simulates a power cut, and syncs are slow."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exporter.storage import sqlite as storage


@contextmanager
def unsynced() -> Iterator[None]:
    """State files opened in this process are written without waiting for the disk.

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
