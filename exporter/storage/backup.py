"""Copies a state file, also while another process saves to it.

A running exporter has locked its file, so SQLite could not open it. This module reads the bytes of the file
and its journal instead, and takes no lock. A save in between tears the copy: times and checksums show that,
and the copy is made again.

Rule 1: a copy gets its name after all its pages and rows were checked, so it is a state that was saved.
Rule 2: it never replaces a file, and it can be read by its owner only.
"""

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeAlias

from exporter.clock import Clock
from exporter.errors import DamagedError, RefusedError, StateError
from exporter.storage.codec import AccountRow
from exporter.storage.file_checks import SUFFIXES, beside
from exporter.storage.sqlite import check_copy

PATIENCE_SECONDS: Final = 60.0
"""A save takes milliseconds, and there are at most a few in a second."""

_PAUSE_SECONDS: Final = 0.05
"""Between two copies; longer than the resolution of a file's time of change."""

_CopyError: TypeAlias = DamagedError | RefusedError | StateError

_Version: TypeAlias = Sequence[tuple[int, int, int] | None]
"""Inode, size and time of change of the file and of those that SQLite keeps next to it."""


async def back_up(path: Path, output: Path, clock: Clock) -> list[AccountRow]:
    """Copy the state to a new file; returns the accounts in the copy.

    Raises `DamagedError` for the state, `RefusedError`, `StateError`; then there is no new file.
    """
    _check_new(output)
    try:
        with TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as folder:
            copy = Path(folder) / "state"
            accounts = await _copy_checked(path, copy, clock)
            _place(copy, output)
    except OSError as error:
        at = error.filename if str(error.filename).startswith(str(path)) else output
        raise RefusedError(f"{at}: {error.strerror}") from error
    return accounts


async def _copy_checked(path: Path, copy: Path, clock: Clock) -> list[AccountRow]:
    give_up_at = clock.monotonic() + PATIENCE_SECONDS
    refused: _Version | None = None
    while True:
        version = _version(path)
        _copy(path, copy)
        if version == _version(path):
            try:
                return check_copy(copy)
            except (DamagedError, RefusedError, StateError) as error:
                if version == refused:  # a second copy of the same content
                    raise _about(path, copy, error) from error
                refused = version
        if clock.monotonic() > give_up_at:
            raise StateError(f"{path}: saves have changed it during every copy; try again")
        await clock.sleep(_PAUSE_SECONDS)


def _about(path: Path, copy: Path, error: _CopyError) -> _CopyError:
    """The error with the name of the state file instead of that of its copy."""
    text = str(error).replace(str(copy), str(path))
    return type(error)(text if str(path) in text else f"{path}: {text}")


def _version(path: Path) -> _Version:
    """Raises `RefusedError` if there is no state file."""
    if not path.is_file():
        raise RefusedError(f"{path}: {'is not a regular file' if path.exists() else 'does not exist'}")
    found: list[tuple[int, int, int] | None] = []
    for suffix in SUFFIXES:
        try:
            status = beside(path, suffix).stat()
        except FileNotFoundError:
            found.append(None)
        else:
            found.append((status.st_ino, status.st_size, status.st_mtime_ns))
    return found


def _copy(path: Path, copy: Path) -> None:
    """Copy the file with its journal, which SQLite needs to undo an unfinished save."""
    for suffix in SUFFIXES:
        beside(copy, suffix).unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            shutil.copyfile(beside(path, suffix), beside(copy, suffix))


def _place(copy: Path, output: Path) -> None:
    """Give the copy its name, on disk before this returns."""
    copy.chmod(0o600)
    _sync(copy)
    _check_new(output)
    copy.rename(output)
    _sync(output.parent)


def _check_new(output: Path) -> None:
    if os.path.lexists(output):
        raise RefusedError(f"{output} exists already; name another file")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
