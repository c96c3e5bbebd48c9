"""The state file: what survives a restart. The home of sqlite3.

One file for all accounts, one process for the file. Must not know what is counted, or when to save.

Rule 1: one transaction a save: changed operations, forgotten ones, counters, coverage and progress, or
nothing of it; on disk before `save` returns (synchronous=FULL: after a power cut an older state would show
counters that fell).
Rule 2: everything runs in one thread of its own, so that a slow disk never stops the event loop.
Rule 3: a file is never guessed at. Of a newer version or another program: refused, untouched. Damaged: set
aside under another name, and a new one begun.
Rule 4: nothing is believed without its checksum: SQLite knows whether its pages fit together, not whether a
bit within a row has flipped.
"""

import asyncio
import contextlib
import json
import math
import os
import sqlite3  # noqa: TID251 - home of sqlite3
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeVar
from zlib import crc32

from exporter.errors import DamagedError, RefusedError, StateError
from exporter.ledger.counters import ZERO, Counts
from exporter.ledger.saved import Changes, ListedInterval, Progress, Row, Saved

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
        progress TEXT NOT NULL,
        crc INTEGER NOT NULL
    );
    CREATE TABLE operations (
        account TEXT NOT NULL,
        id TEXT NOT NULL,
        packed BLOB NOT NULL,
        marks BLOB,
        crc INTEGER NOT NULL,
        PRIMARY KEY (account, id)
    ) WITHOUT ROWID;
    """,
)
"""Migration n leads from schema version n to n + 1."""

_MAGIC: Final = b"SQLite format 3\x00"
_TABLES: Final = frozenset({"accounts", "operations"})
_CHUNK_BYTES: Final = 1 << 20
_LATEST: Final = 4e9  # the year 2096: no poll has succeeded after it
_SUFFIXES: Final = ("", "-journal", "-wal", "-shm")

T = TypeVar("T")


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
        self._identity: tuple[int, int] | None = None
        self._bytes = 0

    async def open(self) -> None:
        """Raises `RefusedError`, `DamagedError`."""
        await self._run(self._open)

    async def load(self, account: str, build: Callable[[Saved], T]) -> T | None:
        """What `build` makes of an account's state, in the file's thread; `None` when there is none.

        Raises `DamagedError`, also for a `ValueError` of `build`; `RefusedError` for what is no fault of the
        content, as a disk that cannot be read.
        """
        return await self._run(self._load, account, build)

    async def save(self, account: str, changes: Changes, progress: Progress) -> None:
        """All of it, or nothing. Raises `StateError`."""
        await self._run(self._save, account, changes, progress)

    async def start_new_file(self, now: float) -> Path | None:
        """Move a damaged file out of the way and open a new one; gives the old one's new name.

        `None`: another process has done so meanwhile, and left a file that can be used; it is open.
        Raises `RefusedError`, also when another process has begun anew and owns the file now.
        """
        return await self._run(self._start_new_file, now)

    async def close(self) -> None:
        """Waits for a save under way."""
        await self._run(self._close)
        self._thread.shutdown()

    def bytes_on_disk(self) -> int:
        """The file and what SQLite keeps beside it, as of the last save: a scrape waits for no disk."""
        return self._bytes

    async def _run(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def _open(self) -> None:
        _refuse_by_header(self._path)
        try:
            self._connection = _connect(self._path, self._lock_seconds)
            _refuse_by_marks(self._connection, self._path)
            _check_pages(self._connection)
            _migrate(self._connection)
            self._identity = _identity(self._path)
            self._bytes = _bytes_on_disk(self._path)
        except sqlite3.Error as error:
            self._close()
            raise _translated(error, self._path) from error
        except (RefusedError, DamagedError):
            self._close()
            raise

    def _load(self, account: str, build: Callable[[Saved], T]) -> T | None:
        connection = self._opened()
        try:
            # As bytes: text that is not UTF-8 is damage, and sqlite3's error would not say so.
            row = connection.execute(
                "SELECT coverage, CAST(counts AS BLOB), CAST(progress AS BLOB), crc FROM accounts"
                " WHERE name = ?",
                (account,),
            ).fetchone()
            if row is None:
                return None
            progress, coverage, counts = _read_account(account, *row)
            return build(Saved(progress, coverage, counts, _read_rows(connection, account)))
        except sqlite3.Error as error:
            raise _translated(error, self._path) from error
        except ValueError as error:
            raise DamagedError(f"account {account}: {error}") from error

    def _save(self, account: str, changes: Changes, progress: Progress) -> None:
        connection = self._opened()
        if _identity(self._path) != self._identity:  # SQLite would go on writing where nobody finds it again
            raise StateError(f"{self._path} was removed or replaced; put it back, or restart the exporter")
        try:
            counts, how_far = _counts_text(changes.counts), _progress_text(progress)
            checksum = account_checksum(account, changes.coverage, counts.encode(), how_far.encode())
            with _transaction(connection):
                connection.executemany(
                    "INSERT OR REPLACE INTO operations (account, id, packed, marks, crc)"
                    " VALUES (?, ?, ?, ?, ?)",
                    _sealed(account, changes.rows),
                )
                connection.executemany(
                    "DELETE FROM operations WHERE account = ? AND id = ?",
                    ((account, operation_id) for operation_id in changes.forgotten),
                )
                connection.execute(
                    "INSERT OR REPLACE INTO accounts (name, saved_at, coverage, counts, progress, crc)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    (account, progress.last_success_at, changes.coverage, counts, how_far, checksum),
                )
                self._prune(connection, progress.last_success_at - self._window)
        except (sqlite3.Error, ValueError) as error:
            raise StateError(f"{self._path}: {error}") from error
        self._bytes = _bytes_on_disk(self._path)

    def _prune(self, connection: sqlite3.Connection, before: float) -> None:
        """Drop the accounts that left the settings longer than a window ago."""
        stale = connection.execute("SELECT name FROM accounts WHERE saved_at < ?", (before,)).fetchall()
        for (name,) in stale:
            if name not in self._keep:
                connection.execute("DELETE FROM operations WHERE account = ?", (name,))
                connection.execute("DELETE FROM accounts WHERE name = ?", (name,))

    def _start_new_file(self, now: float) -> Path | None:
        if self._connection is None:  # the file was never ours, and may be another process's new one by now
            with contextlib.suppress(DamagedError):
                self._open()
                return None
        self._close()
        aside = _free_name(self._path, now)
        try:
            for suffix in _SUFFIXES:  # a journal left behind would be played into the new file
                with contextlib.suppress(FileNotFoundError):
                    _beside(self._path, suffix).rename(_beside(aside, suffix))
        except OSError as error:
            raise RefusedError(
                f"{self._path} is damaged, and cannot be renamed: {error.strerror}; move it away"
            ) from error
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
        if path.exists() and not path.is_file():
            raise RefusedError(f"{path} is not a regular file")
        with path.open("rb") as file:
            header = file.read(100)
            file.seek(0)
            chunks = iter(lambda: file.read(_CHUNK_BYTES), b"")
            zeros = all(chunk.count(0) == len(chunk) for chunk in chunks)  # a disk image only begins so
    except FileNotFoundError:
        return
    except OSError as error:
        raise RefusedError(f"{path}: {error.strerror}") from error
    if header and (zeros or (_MAGIC.startswith(header) and len(header) < len(_MAGIC))):
        raise DamagedError("it is half-written")
    if header and not header.startswith(_MAGIC):
        raise RefusedError(f"{path} is not a state file, but of another program; name another file")
    _refuse_strange(path, application=_number(header, 68), version=_number(header, 60))


def _refuse_strange(path: Path, *, application: int, version: int) -> None:
    """By the marks of the file: of another program, or of a newer version of ours."""
    if application not in {0, APPLICATION_ID}:
        raise RefusedError(f"{path} is a database of another program; name another file")
    if application == APPLICATION_ID and version > SCHEMA_VERSION:
        raise RefusedError(
            f"{path} was written by a newer version (schema {version}, this one knows {SCHEMA_VERSION}); "
            "run that version, or name another file"
        )


def _identity(path: Path) -> tuple[int, int] | None:
    """Of the file behind a path; `None`: there is none, or nobody can look."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _bytes_on_disk(path: Path) -> int:
    total = 0
    for suffix in _SUFFIXES:
        with contextlib.suppress(OSError):  # a journal comes and goes
            total += _beside(path, suffix).stat().st_size
    return total


def _number(header: bytes, offset: int) -> int:
    """Big-endian, from SQLite's file header (https://www.sqlite.org/fileformat.html#the_database_header)."""
    return int.from_bytes(header[offset : offset + 4], "big")


def _connect(path: Path, lock_seconds: float) -> sqlite3.Connection:
    """A connection that owns the file until it is closed, or reads it if it may not write."""
    with contextlib.suppress(OSError):  # it exists, or SQLite will report why it cannot be created
        os.close(
            os.open(path, os.O_CREAT | os.O_EXCL, 0o600)
        )  # SQLite creates the journal with the same mode
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


def _refuse_by_marks(connection: sqlite3.Connection, path: Path) -> None:
    """Look again: what a journal holds is not in the header yet.

    An empty database may become ours; one that is not, and without our mark, is somebody's.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
    _refuse_strange(path, application=application, version=version)
    if not application and (version or tables):
        raise RefusedError(f"{path} is a database of another program; name another file")
    if application and (version < 1 or not tables >= _TABLES):
        raise DamagedError("tables are missing")


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


def account_checksum(account: str, coverage: float, counts: bytes, progress: bytes) -> int:
    """CRC-32 of all that is loaded of an account's own row."""
    return crc32(repr((account, coverage, counts, progress)).encode())


def _sealed(account: str, rows: Iterable[Row]) -> Iterator[tuple[str, str, bytes, bytes | None, int]]:
    start = crc32(account.encode())
    for operation_id, packed, marks in rows:
        checksum = crc32(marks or b"", crc32(packed, crc32(operation_id.encode(), start)))
        yield account, operation_id, packed, marks, checksum


def _read_rows(connection: sqlite3.Connection, account: str) -> Iterator[Row]:
    """Raises `ValueError` for one that is not as it was saved."""
    start = crc32(account.encode())
    rows = connection.execute(
        "SELECT CAST(id AS BLOB), packed, marks, crc FROM operations WHERE account = ?", (account,)
    )
    for operation_id, packed, marks, checksum in rows:
        if crc32(marks or b"", crc32(packed, crc32(operation_id, start))) != checksum:
            raise ValueError("the checksum of an operation is wrong")
        yield Row(operation_id.decode(), packed, marks)


def _read_account(
    account: str, coverage: float, counts: bytes, progress: bytes, checksum: int
) -> tuple[Progress, float, Counts]:
    """Raises `ValueError` for what was not saved so."""
    if account_checksum(account, coverage, counts, progress) != checksum:
        raise ValueError("the checksum of the account is wrong")
    try:
        return _read_progress(progress.decode()), _finite(coverage), _read_counts(counts.decode())
    except (TypeError, KeyError, OverflowError, RecursionError) as error:
        raise ValueError(f"counters or progress cannot be read: {error!r}") from error


def _finite(value: Any) -> float:
    """As it is, so that an integer stays one; `True` is none."""
    if type(value) not in {int, float} or not math.isfinite(value):
        raise ValueError("not a finite number")
    finite: float = value
    return finite


def _counts_text(counts: Counts) -> str:
    return json.dumps([[name, label, value] for (name, label), value in counts.items()], allow_nan=False)


def _read_counts(text: str) -> Counts:
    counts = {(name, label): _finite(value) for name, label, value in json.loads(text)}
    if any(value < 0 for value in counts.values()):
        raise ValueError("a counter is negative")
    return {key: counts.get(key, zero) for key, zero in ZERO.items()}


def _progress_text(progress: Progress) -> str:
    return json.dumps(
        {"last_success_at": progress.last_success_at, "stretches": progress.listed_intervals}, allow_nan=False
    )


def _read_progress(text: str) -> Progress:
    written = json.loads(text)
    listed_intervals = tuple(
        [ListedInterval(*map(_finite, (start, end, at))) for start, end, at in written["stretches"]]
    )
    last_success_at = _finite(written["last_success_at"])
    if not 0 <= last_success_at <= _LATEST or any(piece.start >= piece.end for piece in listed_intervals):
        raise ValueError("progress that no poll can make")
    return Progress(last_success_at, listed_intervals)


def _free_name(path: Path, now: float) -> Path:
    """For a damaged file; nothing that was set aside before is lost."""
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    first = path.with_name(f"{path.name}.damaged-{stamp}")
    names = (first if number == 0 else first.with_name(f"{first.name}-{number}") for number in count())
    return next(name for name in names if not any(_beside(name, suffix).exists() for suffix in _SUFFIXES))


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
