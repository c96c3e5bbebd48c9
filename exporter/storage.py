"""The state file: what survives a restart. The home of sqlite3.

One file for all accounts, one process for the file. Must not know what is counted, or when to save.

Rule 1: one transaction a save: changed operations, forgotten ones, counters, coverage and progress, or
nothing of it; on disk before `save` returns (synchronous=FULL: after a power cut an older state would show
counters that fell).
Rule 2: everything runs in one thread of its own, so that a slow disk never stops the event loop.
Rule 3: a file is never guessed at. Of a newer version or another program: refused, untouched. Damaged: set
aside under another name, and a new one begun.
"""

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from exporter.counting import ZERO, Counts
from exporter.errors import StateError
from exporter.state import Changes, Progress, Row, Saved
from exporter.window import Stretch

APPLICATION_ID: Final = 0x54454531
"""Tells our files from those of other programs (PRAGMA application_id)."""

SCHEMA_VERSION: Final = 1

MIGRATIONS: Final[tuple[str, ...]] = (
    """
    CREATE TABLE accounts (
        name TEXT PRIMARY KEY,
        saved_at REAL NOT NULL,
        coverage REAL NOT NULL,
        counts TEXT NOT NULL,
        progress TEXT NOT NULL
    ) STRICT;
    CREATE TABLE operations (
        account TEXT NOT NULL,
        id TEXT NOT NULL,
        packed BLOB NOT NULL,
        marks BLOB,
        PRIMARY KEY (account, id)
    ) STRICT, WITHOUT ROWID;
    """,
)
"""Migration n leads from schema version n to n + 1."""

_MAGIC: Final = b"SQLite format 3\x00"
_SUFFIXES: Final = ("", "-journal", "-wal", "-shm")

T = TypeVar("T")


class RefusedError(Exception):
    """The file cannot be used, and must not be touched; the message says why and what to do."""


class DamagedError(Exception):
    """The file cannot be read; nothing of it may be believed."""


class Storage:
    """A state file. `keep` are the accounts in the settings; others are pruned after a window (seconds).

    `lock_seconds` is how long to wait for a former process to let go of the file.
    """

    def __init__(self, path: Path, *, keep: Iterable[str], window: float, lock_seconds: float = 5.0) -> None:
        self._path = path
        self._lock_seconds = lock_seconds
        self._keep = frozenset(keep)
        self._window = window
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="state")
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Raises `RefusedError`, `DamagedError`."""
        await self._run(self._open)

    async def load(self, account: str, build: Callable[[Saved], T]) -> T | None:
        """What `build` makes of an account's state, in the file's thread; `None` when there is none.

        Raises `DamagedError`, also for a `ValueError` of `build`.
        """
        return await self._run(self._load, account, build)

    async def save(self, account: str, changes: Changes, progress: Progress) -> None:
        """All of it, or nothing. Raises `StateError`."""
        await self._run(self._save, account, changes, progress)

    async def begin_anew(self, now: float) -> Path:
        """Move a damaged file out of the way and open a new one; gives the old one's new name."""
        return await self._run(self._begin_anew, now)

    async def close(self) -> None:
        """Waits for a save under way."""
        await self._run(self._close)
        self._thread.shutdown()

    def bytes_on_disk(self) -> int:
        """The file and what SQLite keeps beside it."""
        files = (_beside(self._path, suffix) for suffix in _SUFFIXES)
        return sum(file.stat().st_size for file in files if file.exists())

    async def _run(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def _open(self) -> None:
        _refuse_by_header(self._path)
        try:
            self._connection = _connect(self._path, self._lock_seconds)
            _refuse_foreign_tables(self._connection, self._path)
            _check_pages(self._connection)
            _migrate(self._connection)
        except sqlite3.Error as error:
            self._close()
            raise _translated(error, self._path) from error
        except (RefusedError, DamagedError):
            self._close()
            raise

    def _load(self, account: str, build: Callable[[Saved], T]) -> T | None:
        connection = self._opened()
        try:
            row = connection.execute(
                "SELECT coverage, counts, progress FROM accounts WHERE name = ?", (account,)
            ).fetchone()
            if row is None:
                return None
            rows = connection.execute(
                "SELECT id, packed, marks FROM operations WHERE account = ?", (account,)
            )
            coverage, counts, progress = row
            return build(
                Saved(_read_progress(progress), coverage, _read_counts(counts), map(Row._make, rows))
            )
        except (sqlite3.Error, ValueError, TypeError, KeyError) as error:
            raise DamagedError(f"account {account}: {error}") from error

    def _save(self, account: str, changes: Changes, progress: Progress) -> None:
        connection = self._opened()
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT OR REPLACE INTO operations (account, id, packed, marks) VALUES (?, ?, ?, ?)",
                ((account, *row) for row in changes.rows),
            )
            connection.executemany(
                "DELETE FROM operations WHERE account = ? AND id = ?",
                ((account, operation_id) for operation_id in changes.forgotten),
            )
            connection.execute(
                "INSERT OR REPLACE INTO accounts (name, saved_at, coverage, counts, progress)"
                " VALUES (?, ?, ?, ?, ?)",
                (
                    account,
                    progress.last_success_at,
                    changes.coverage,
                    _counts_text(changes.counts),
                    _progress_text(progress),
                ),
            )
            self._prune(connection, progress.last_success_at - self._window)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):  # SQLite may have rolled back by itself
                connection.execute("ROLLBACK")
            raise StateError(f"{self._path}: {error}") from error

    def _prune(self, connection: sqlite3.Connection, before: float) -> None:
        """Drop the accounts that left the settings longer than a window ago."""
        stale = connection.execute("SELECT name FROM accounts WHERE saved_at < ?", (before,)).fetchall()
        for (name,) in stale:
            if name not in self._keep:
                connection.execute("DELETE FROM operations WHERE account = ?", (name,))
                connection.execute("DELETE FROM accounts WHERE name = ?", (name,))

    def _begin_anew(self, now: float) -> Path:
        self._close()
        stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
        aside = self._path.with_name(f"{self._path.name}.damaged-{stamp}")
        for suffix in _SUFFIXES:  # a journal left behind would be played into the new file
            with contextlib.suppress(FileNotFoundError):
                _beside(self._path, suffix).rename(_beside(aside, suffix))
        self._open()
        return aside

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StateError(f"{self._path}: not open")
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _refuse_by_header(path: Path) -> None:
    """Look before SQLite does: opening may already write, and a foreign file must not be touched."""
    try:
        if not path.parent.is_dir():
            raise RefusedError(f"{path}: the directory {path.parent} does not exist")
        with path.open("rb") as file:
            header = file.read(100)
    except FileNotFoundError:
        return
    except OSError as error:
        raise RefusedError(f"{path}: {error.strerror}") from error
    if (not header.strip(b"\0") and header) or (_MAGIC.startswith(header) and 0 < len(header) < len(_MAGIC)):
        raise DamagedError("it is half-written")
    if header and not header.startswith(_MAGIC):
        raise RefusedError(f"{path} is not a state file, but of another program; name another file")
    version, application = _number(header, 60), _number(header, 68)
    if application not in {0, APPLICATION_ID}:
        raise RefusedError(f"{path} is a database of another program; name another file")
    if application == APPLICATION_ID and version > SCHEMA_VERSION:
        raise RefusedError(
            f"{path} was written by a newer version (schema {version}, this one knows {SCHEMA_VERSION}); "
            "run that version, or name another file"
        )


def _number(header: bytes, offset: int) -> int:
    """Big-endian, from SQLite's file header (https://www.sqlite.org/fileformat.html#the_database_header)."""
    return int.from_bytes(header[offset : offset + 4], "big")


def _connect(path: Path, lock_seconds: float) -> sqlite3.Connection:
    """A connection that owns the file until it is closed, or reads it if it may not write."""
    connection = sqlite3.connect(path, timeout=lock_seconds, isolation_level=None)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_READONLY:
            connection.close()
            raise
    return connection


def _refuse_foreign_tables(connection: sqlite3.Connection, path: Path) -> None:
    """An empty database may become ours; one with tables and without our mark is somebody's."""
    marked = connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    if not marked and connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone():
        raise RefusedError(f"{path} is a database of another program; name another file")


def _check_pages(connection: sqlite3.Connection) -> None:
    if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
        raise DamagedError("its pages do not fit together")


def _migrate(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == SCHEMA_VERSION:
        return
    steps = "".join(MIGRATIONS[version:])
    # The pragmas are part of the transaction: a crash leaves the old version, whole.
    connection.executescript(
        f"BEGIN; {steps} PRAGMA application_id = {APPLICATION_ID};"
        f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
    )


def _translated(error: sqlite3.Error, path: Path) -> RefusedError | DamagedError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return RefusedError(f"{path} is in use by another process; each process needs a file of its own")
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return DamagedError(str(error))
    return RefusedError(f"{path}: {error}")


def _counts_text(counts: Counts) -> str:
    return json.dumps([[name, label, value] for (name, label), value in counts.items()], allow_nan=False)


def _read_counts(text: str) -> Counts:
    counts = {(name, label): value for name, label, value in json.loads(text)}
    if any(not isinstance(value, int | float) or value < 0 for value in counts.values()):
        raise ValueError("a counter is not a number")
    return {key: counts.get(key, zero) for key, zero in ZERO.items()}


def _progress_text(progress: Progress) -> str:
    return json.dumps(
        {"last_success_at": progress.last_success_at, "stretches": progress.stretches}, allow_nan=False
    )


def _read_progress(text: str) -> Progress:
    written = json.loads(text)
    stretches = tuple(Stretch(float(start), float(end), float(at)) for start, end, at in written["stretches"])
    return Progress(float(written["last_success_at"]), stretches)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
