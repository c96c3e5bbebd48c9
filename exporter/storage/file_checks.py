"""Checks whether a file is a usable state file, before and after SQLite opens it; translates SQLite's errors.

A file of a newer version or of another program is refused and not changed. An unreadable state file is
damaged. Must not know what is saved.
"""

import contextlib
import sqlite3  # noqa: TID251 - home of sqlite3
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Final

from exporter.errors import DamagedError, RefusedError, StateError
from exporter.storage.schema import APPLICATION_ID, SCHEMA_VERSION, read_contents, version_of

SUFFIXES: Final = ("", "-journal", "-wal", "-shm")
"""Suffixes of the state file and of the files that SQLite keeps beside it."""

_MAGIC: Final = b"SQLite format 3\x00"
_HEADER_BYTES: Final = 100
_ROLLBACK_JOURNAL: Final = b"\x01\x01"
_CHUNK_BYTES: Final = 1 << 20

_DAMAGED: Final = frozenset(
    {
        *(sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISMATCH),
        *(sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_RANGE, sqlite3.SQLITE_CONSTRAINT),
        *(sqlite3.SQLITE_SCHEMA, sqlite3.SQLITE_INTERNAL, sqlite3.SQLITE_EMPTY, sqlite3.SQLITE_NOTFOUND),
        sqlite3.SQLITE_LOCKED,  # with one connection only damage can conflict with it
    }
)
"""Primary result codes for damaged content (https://www.sqlite.org/rescode.html)."""


_WRITE_ERRORS: Final = frozenset(
    {sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_TRUNCATE}
)


def check_header(path: Path) -> None:
    """Check the file before SQLite opens it: opening may write, and a foreign file must not be changed.

    Raises `RefusedError`, `DamagedError`.
    """
    try:
        if not path.parent.is_dir():
            raise RefusedError(f"{path}: the directory {path.parent} does not exist")
        if path.exists() and not path.is_file():
            raise RefusedError(f"{path} is not a regular file")
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
            file.seek(0)
            chunks = iter(lambda: file.read(_CHUNK_BYTES), b"")
            zeros = all(chunk.count(0) == len(chunk) for chunk in chunks)  # a disk image may begin with zeros
    except FileNotFoundError:
        return
    except OSError as error:
        raise RefusedError(f"{path}: {error.strerror}") from error
    if header and (zeros or (_MAGIC.startswith(header) and len(header) < len(_MAGIC))):
        raise DamagedError("it is half-written")
    ours = _number(header, 68) == APPLICATION_ID
    if header and not header.startswith(_MAGIC):
        if ours:
            raise DamagedError("its header is not that of a database")
        raise RefusedError(f"{path} is not a state file but belongs to another program; name another file")
    if ours and header[18:20] != _ROLLBACK_JOURNAL and not beside(path, "-wal").exists():
        raise DamagedError("its header has an unknown format")


def check_tables(connection: sqlite3.Connection, path: Path) -> int:
    """The version of the tables; 0 for an empty database. Raises `RefusedError`, `DamagedError`.

    The marks in the header are read again here: they may be in a journal until SQLite has opened the file.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    tables = version_of(connection)
    if tables is not None and tables == version and application == (APPLICATION_ID if tables else 0):
        return tables
    if tables and not (tables == SCHEMA_VERSION < version and not _is_sound(connection)):
        raise DamagedError("its header and its tables are of different versions")
    if application != APPLICATION_ID:
        raise RefusedError(f"{path} is a database of another program; name another file")
    if version > SCHEMA_VERSION:
        raise RefusedError(
            f"{path} was written by a newer version (schema {version}, this version knows {SCHEMA_VERSION});"
            " run that version, or name another file"
        )
    raise DamagedError("tables are missing")


def _is_sound(connection: sqlite3.Connection) -> bool:
    """Whether the table of contents was written by this version; a newer one may have kept the tables."""
    try:
        read_contents(connection)
    except (sqlite3.Error, ValueError, TypeError, AttributeError):
        return False
    return True


def check_pages(connection: sqlite3.Connection) -> None:
    """Raises `DamagedError`."""
    if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
        raise DamagedError("its pages do not fit together")


@contextlib.contextmanager
def opening(path: Path) -> Iterator[None]:
    """Translate every exception that opening and checking a file may raise."""
    try:
        yield
    except sqlite3.Error as error:
        raise translated(error, path) from error
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        MemoryError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise DamagedError(f"{error}") from error


def translated(error: sqlite3.Error, path: Path) -> RefusedError | DamagedError | StateError:
    """The error for an exception of SQLite; `StateError`: a state file that cannot be written at present."""
    extended = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    code = extended & 0xFF
    if code == sqlite3.SQLITE_BUSY:
        return RefusedError(f"{path} is in use by another process; each process needs its own file")
    if code in _DAMAGED or extended == sqlite3.SQLITE_IOERR_SHORT_READ:
        return DamagedError(str(error))
    journal = beside(path, "-journal")
    if code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN} and path.exists() and journal.exists():
        return StateError(
            f"{path} was not closed properly and cannot be read before its journal {journal} is rolled back:"
            " make both and their directory writable, and restart the exporter"
        )
    if code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_FULL} or extended in _WRITE_ERRORS:
        return StateError(f"{path}: {error}")
    return RefusedError(f"{path}: {error}")


def is_read_only(error: BaseException) -> bool:
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF == sqlite3.SQLITE_READONLY


def identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of the file at a path; `None`: there is none, or it cannot be examined."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def bytes_on_disk(path: Path) -> int:
    total = 0
    for suffix in SUFFIXES:
        with contextlib.suppress(OSError):  # a journal comes and goes
            total += beside(path, suffix).stat().st_size
    return total


def free_name(path: Path, stamp: str) -> Path:
    """A new name for a damaged file; earlier damaged files are kept."""
    first = path.with_name(f"{path.name}.damaged-{stamp}")
    names = (first if number == 0 else first.with_name(f"{first.name}-{number}") for number in count())
    return next(name for name in names if not any(beside(name, suffix).exists() for suffix in SUFFIXES))


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _number(header: bytes, offset: int) -> int:
    """Big-endian, from SQLite's file header (https://www.sqlite.org/fileformat.html#the_database_header)."""
    return int.from_bytes(header[offset : offset + 4], "big")
