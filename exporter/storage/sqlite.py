"""The state file: stores in SQLite what survives a restart.

One file for all accounts, one process for the file. Must not know what is counted, or when to save.

Rule 1: a save is one transaction: changed operations, forgotten ones, counters, coverage and progress, or
nothing; on disk before `save` returns (synchronous=FULL: after a power cut an older state would show counters
that fell).
Rule 2: everything runs in one thread of its own, so that a slow disk never stops the event loop.
Rule 3: the content of a file is never guessed. A file of a newer version or of another program is refused and
not changed. A damaged file is renamed, and a new one is created.
Rule 4: only rows that were saved together are loaded: checksums cover every row and every set of rows.
Rule 5: if the file cannot be written, the exporter starts and cannot save.
"""

import asyncio
import contextlib
import os
import sqlite3  # noqa: TID251 - home of sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, TypeVar

from exporter.errors import DamagedError, RefusedError, StateError
from exporter.ledger.packing import LAYOUT
from exporter.ledger.saved import Changes, Progress, Row, Saved
from exporter.storage import schema
from exporter.storage.chunks import chunked
from exporter.storage.codec import AccountRow, Digest, encode_account, unsealed
from exporter.storage.file_checks import (
    SUFFIXES,
    beside,
    bytes_on_disk,
    check_header,
    check_pages,
    check_tables,
    free_name,
    identity,
    is_read_only,
    opening,
    translated,
)
from exporter.storage.loading import built

_CHUNK_ROWS: Final = 5000
"""Rows that are looked up and written together, in the order of their ids, as they are on the pages."""

T = TypeVar("T")


class Storage:
    """A state file. `keep` are the accounts in the settings; others are pruned after a window (seconds).

    `lock_seconds` is how long to wait until a former process has released the file.
    """

    def __init__(self, path: Path, *, keep: Iterable[str], window: float, lock_seconds: float = 5.0) -> None:
        self._path = path
        self._lock_seconds = lock_seconds
        self._keep = frozenset(keep)
        self._window = window
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="state")
        self._connection: sqlite3.Connection | None = None
        self._accounts: dict[str, AccountRow] = {}
        self._identity: tuple[int, int] | None = None
        self._bytes = 0
        self._unwritable: StateError | None = None

    async def open(self) -> None:
        """Raises `RefusedError`, `DamagedError`."""
        await self._run(self._open)

    async def load(self, account: str, build: Callable[[Saved], T]) -> T | None:
        """The result of `build` for an account's state, in the file's thread; `None` without a state.

        Raises `DamagedError`, also for a `ValueError` of `build`; `RefusedError` for other failures, such as
        a disk that cannot be read.
        """
        return await self._run(self._load, account, build)

    async def save(self, account: str, changes: Changes, progress: Progress) -> None:
        """Save everything or nothing. Raises `StateError`."""
        await self._run(self._save, account, changes, progress)

    async def accounts(self) -> list[AccountRow]:
        return await self._run(lambda: list(self._accounts.values()))

    async def shown(self, account: str) -> None:
        """The file belongs to one process: it shows the counters as they are."""

    async def set_aside(self, now: float) -> str | None:
        """Rename a damaged file and open a new one; returns the new name of the damaged one.

        `None`: another process has already done so and left a usable file, which is now open.
        Raises `RefusedError`, also when another process has done so and uses the file.
        """
        aside = await self._run(self._set_aside, now)
        return None if aside is None else str(aside)

    async def close(self) -> None:
        """Close the file, after a save in progress."""
        await self._run(self._close)
        self._thread.shutdown()

    def bytes_on_disk(self) -> int:
        """Size of the file and its journal as of the last save: a scrape must not wait for the disk."""
        return self._bytes

    async def _run(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def _open(self) -> None:
        check_header(self._path)
        try:
            with opening(self._path):
                self._connection = connection = _connect(self._path, self._lock_seconds)
                version = check_tables(connection, self._path)
                check_pages(connection)
                self._accounts = _made_current(connection, version)
            self._unwritable = None
            self._identity = identity(self._path)
            self._bytes = bytes_on_disk(self._path)
        except StateError as error:
            self._close()
            self._unwritable = error
        except BaseException:
            self._close()
            raise

    def _load(self, account: str, build: Callable[[Saved], T]) -> T | None:
        row = self._accounts.get(account)
        if row is None:
            return None
        try:
            with _reading(self._opened(), row) as rows:
                return built(row, build, rows)
        except sqlite3.Error as error:
            raise translated(error, self._path) from error

    def _save(self, account: str, changes: Changes, progress: Progress) -> None:
        connection = self._writable()
        if identity(self._path) != self._identity:  # SQLite would go on writing to a file that has no name
            raise StateError(f"{self._path} was removed or replaced; put it back, or restart the exporter")
        accounts = dict(self._accounts)
        try:
            with _transaction(connection):
                operations = _write_rows(connection, account, changes, accounts.get(account))
                row = encode_account(account, changes.coverage, changes.counts, progress, operations)
                schema.write_account(connection, row)
                accounts[account] = row
                self._prune(connection, accounts, progress.last_success_at - self._window)
                schema.write_contents(connection, LAYOUT, schema.digest_of(accounts))
        except (sqlite3.Error, ValueError) as error:
            raise StateError(f"{self._path}: {error}") from error
        self._accounts = accounts
        self._bytes = bytes_on_disk(self._path)

    def _prune(self, connection: sqlite3.Connection, accounts: dict[str, AccountRow], before: float) -> None:
        """Drop the accounts that left the settings longer than a window ago."""
        for name in accounts.keys() - self._keep:
            if accounts[name].saved_at < before:
                connection.execute("DELETE FROM operations WHERE account = ?", (name,))
                connection.execute("DELETE FROM accounts WHERE name = ?", (name,))
                del accounts[name]

    def _set_aside(self, now: float) -> Path | None:
        if self._connection is None:  # never opened here; it may now be the new file of another process
            with contextlib.suppress(DamagedError):
                self._open()
                return None
        self._close()
        aside = free_name(self._path, datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ"))
        try:
            for suffix in SUFFIXES:  # a journal left behind would be applied to the new file
                with contextlib.suppress(FileNotFoundError):
                    beside(self._path, suffix).rename(beside(aside, suffix))
        except OSError as error:
            raise RefusedError(
                f"{self._path} is damaged, and cannot be renamed: {error.strerror}; move it away"
            ) from error
        self._open()
        return aside

    def _writable(self) -> sqlite3.Connection:
        """The connection; tries again to open a file that could not be written at the start."""
        if self._unwritable is not None:
            with contextlib.suppress(DamagedError, RefusedError):
                self._open()
            if self._unwritable is not None:
                raise self._unwritable
            if self._accounts:  # counters started at zero without it, and must not overwrite its counters
                self._close()
                self._unwritable = StateError(f"{self._path} can be used again; restart the exporter")
                raise self._unwritable
        return self._opened()

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StateError(f"{self._path}: not open")
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._accounts = {}


def _connect(path: Path, lock_seconds: float) -> sqlite3.Connection:
    """A connection that owns the file until it is closed, or reads it if it may not write."""
    with contextlib.suppress(OSError):  # it exists, or SQLite will report why it cannot be created
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))  # SQLite gives the journal the same mode
    connection = sqlite3.connect(path, timeout=lock_seconds, isolation_level=None)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")
    except BaseException as error:  # a message of SQLite that quotes damaged text is a UnicodeDecodeError
        if not is_read_only(error):
            connection.close()
            raise
    return connection


def _made_current(connection: sqlite3.Connection, version: int) -> dict[str, AccountRow]:
    """Create, migrate or repack the tables as needed; returns the accounts, checked."""
    if version == schema.SCHEMA_VERSION:
        layout, digest = schema.read_contents(connection)
        accounts = schema.read_accounts(connection, digest)
        if layout == LAYOUT:
            return accounts
    with _transaction(connection):
        return _converted(connection, version)


def _converted(connection: sqlite3.Connection, version: int) -> dict[str, AccountRow]:
    if version == 0:
        schema.create(connection)
    else:
        schema.migrate(connection, version)
    layout, digest = schema.read_contents(connection)
    accounts = schema.read_accounts(connection, digest)
    return accounts if layout == LAYOUT else schema.repack(connection, layout, accounts)


def check_copy(path: Path) -> list[AccountRow]:
    """Undo an unfinished save in a copy of a state file, and check every page and row; returns the accounts.

    A copy of an older version stays one. Raises `DamagedError`, `RefusedError`, `StateError`.
    """
    check_header(path)
    with opening(path), contextlib.closing(_connect(path, 0.0)) as connection:
        version = check_tables(connection, path)
        check_pages(connection)
        if version == 0:
            raise RefusedError(f"{path}: nothing has been saved to it yet")
        connection.execute("BEGIN")
        try:
            accounts = list(_converted(connection, version).values())
            for row in accounts:
                row.decoded()
                with _reading(connection, row) as rows:
                    deque(rows, maxlen=0)
        finally:
            connection.execute("ROLLBACK")
    return accounts


@contextlib.contextmanager
def _reading(connection: sqlite3.Connection, row: AccountRow) -> Iterator[Iterator[Row]]:
    """An account's rows. They raise `ValueError` for a wrong checksum, and at the end for a wrong digest."""
    # An open cursor would keep the file locked after `close`, for as long as an exception refers to it.
    with contextlib.closing(connection.cursor()) as cursor:
        cursor.execute(
            "SELECT CAST(id AS BLOB), packed, marks, began, crc FROM operations WHERE account = ?",
            (row.name,),
        )
        yield unsealed(row.name, cursor, row.operations)


def _write_rows(
    connection: sqlite3.Connection, account: str, changes: Changes, before: AccountRow | None
) -> Digest:
    """Write the changes of an account; returns the digest of all its operations."""
    digest = before.operations if before else Digest()
    size = min(_CHUNK_ROWS, connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER) - 1)
    for forgotten in chunked(changes.forgotten, size):
        if digest.rows:
            digest = digest.minus(_saved_digest(connection, account, forgotten))
            connection.executemany(
                "DELETE FROM operations WHERE account = ? AND id = ?", ((account, each) for each in forgotten)
            )
    has_rows = digest.rows > 0
    for rows in chunked(changes.rows, size):
        rows.sort(key=attrgetter("id"))
        if has_rows:
            digest = digest.minus(_saved_digest(connection, account, [row.id for row in rows]))
        digest = digest.plus(schema.write_operations(connection, account, rows))
    return digest


def _saved_digest(connection: sqlite3.Connection, account: str, ids: Sequence[str]) -> Digest:
    """The digest of those of the operations that are saved."""
    marks = ",".join("?" * len(ids))
    (found,) = connection.execute(
        f"SELECT count(*), ifnull(sum(crc), 0) FROM operations WHERE account = ? AND id IN ({marks})",  # noqa: S608 - marks only
        (account, *ids),
    )
    return Digest(*found)


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # SQLite may have rolled back by itself
            connection.execute("ROLLBACK")
        raise
