"""Who may read the state file."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from exporter.storage.sqlite import Storage

pytestmark = pytest.mark.skipif(os.name != "posix", reason="file modes")


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def opened(path: Path) -> Storage:
    storage = Storage(path, keep=["shop"], window=60)
    await storage.open()
    return storage


async def test_file_and_journal_are_for_the_owner_only(tmp_path: Path) -> None:
    """Whatever the umask allows: SQLite gives a journal the mode of its file."""
    path = tmp_path / "state.db"
    with umask(0):
        storage = await opened(path)
        connection = storage._connection
        assert connection is not None
        await storage._run(connection.execute, "BEGIN IMMEDIATE")
        await storage._run(connection.execute, "CREATE TABLE probe (x)")
        assert {each.name: mode(each) for each in tmp_path.iterdir()} == {
            "state.db": 0o600,
            "state.db-journal": 0o600,
        }
        await storage._run(connection.execute, "ROLLBACK")
        await storage.close()


async def test_mode_of_an_existing_file_stays(tmp_path: Path) -> None:
    """An operator may have given it to a group."""
    path = tmp_path / "state.db"
    await (await opened(path)).close()
    path.chmod(0o640)
    await (await opened(path)).close()
    assert mode(path) == 0o640
