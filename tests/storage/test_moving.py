"""A state moves between a file and a database, and loses or invents nothing."""

from pathlib import Path
from typing import Any

import pytest

from exporter.ledger.counters import ZERO
from exporter.storage.sqlite import Storage
from tests.storage.backends import PostgresBackend, leading
from tests.storage.samples import PROGRESS, ROWS, WEEK, changes, many_rows, whole
from tests.support.clock import SATURDAY
from tests.support.postgres import PASSWORD, Postgres
from tests.support.program import finish

pytestmark = pytest.mark.needs("initdb")

SEEN = {**ZERO, ("stat", "failed"): 2}


@pytest.fixture
def backend(postgres_server: Postgres) -> PostgresBackend:
    return PostgresBackend(postgres_server)


@pytest.fixture
def url(backend: PostgresBackend) -> str:
    return backend.server.url(backend.database.schema)


async def file_at(path: Path) -> Storage:
    storage = Storage(path, keep=("a", "b"), window=WEEK, lock_seconds=0.05)
    await storage.open()
    return storage


async def saved_file(path: Path) -> None:
    storage = await file_at(path)
    await storage.save("a", changes(), PROGRESS)
    await storage.save("b", changes(many_rows(6000)), PROGRESS)
    await storage.close()


async def test_from_a_file_to_the_database_and_back(
    backend: PostgresBackend, url: str, tmp_path: Path
) -> None:
    """Operations, coverage and progress are the same. The file has the counts that no scrape has seen."""
    await saved_file(tmp_path / "old")
    done = finish("restore", f"--input={tmp_path / 'old'}", EXPORTER_STATE__URL=url)
    assert done.returncode == 0, done.stderr
    assert "account a: 2 operations, last poll at 2026-03-07T00:00:00" in done.stdout
    assert "account b: 6000 operations" in done.stdout
    store = await backend.open("a", "b")
    for account, rows in {"a": ROWS, "b": sorted(many_rows(6000))}.items():
        expected = (PROGRESS, SATURDAY - 100, changes().counts, rows)
        assert await store.load(account, whole) == expected
        assert await store.shown(account) == changes().counts, "the counters start at zero"
    await store.note_shown({"a": SEEN})
    done = finish("backup", f"--output={tmp_path / 'new'}", EXPORTER_STATE__URL=url)
    assert done.returncode == 0, done.stderr
    assert "bytes, checked" in done.stdout
    await backend.close()
    moved = await file_at(tmp_path / "new")
    loaded: Any = await moved.load("a", whole)
    assert loaded == (PROGRESS, SATURDAY - 100, {**ZERO, ("stat", "failed"): 1}, ROWS)
    loaded = await moved.load("b", whole)
    assert loaded[2] == ZERO
    assert loaded[3] == sorted(many_rows(6000))
    await moved.close()


async def test_backup_needs_no_lock(backend: PostgresBackend, url: str, tmp_path: Path) -> None:
    """It is made while an exporter is active, and disturbs nothing."""
    store = await backend.open()
    await store.save("a", changes(), PROGRESS)
    assert finish("backup", f"--output={tmp_path / 'copy'}", EXPORTER_STATE__URL=url).returncode == 0
    await store.save("a", changes(), PROGRESS)
    await backend.close()


async def test_a_scrape_during_a_backup(backend: PostgresBackend, url: str, tmp_path: Path) -> None:
    """It has seen more than the copy contains, of which nothing is left to show: no counter is below zero."""
    store = await backend.open()
    await store.save("a", changes(), PROGRESS)
    await store.note_shown({"a": {key: value + 1 for key, value in changes().counts.items()}})
    assert finish("backup", f"--output={tmp_path / 'copy'}", EXPORTER_STATE__URL=url).returncode == 0
    await backend.close()
    copy = await file_at(tmp_path / "copy")
    loaded: Any = await copy.load("a", whole)
    assert loaded[2] == ZERO
    await copy.close()


async def test_what_cannot_be_moved_is_told(backend: PostgresBackend, url: str, tmp_path: Path) -> None:
    """On one line, and nothing is changed."""
    await saved_file(tmp_path / "old")

    def told(*arguments: str, code: int = 1) -> str:
        done = finish(*arguments, EXPORTER_STATE__URL=url)
        assert done.returncode == code
        assert PASSWORD not in done.stderr
        (line,) = done.stderr.splitlines()
        return line

    assert "nothing has been saved to it yet" in told("backup", f"--output={tmp_path / 'new'}")
    assert "does not exist" in told("restore", f"--input={tmp_path / 'nowhere'}")
    assert told("restore", code=2) == "restore needs --input=FILE"
    async with leading(backend.database) as store:
        assert "an exporter is active" in told("restore", f"--input={tmp_path / 'old'}")
        await store.save("a", changes(ROWS[:1]), PROGRESS)
    assert "has a state already" in told("restore", f"--input={tmp_path / 'old'}")
    assert "exists already" in told("backup", f"--output={tmp_path / 'old'}")
    loaded: Any = await (await backend.open()).load("a", whole)
    assert loaded[3] == ROWS[:1]
    await backend.close()


def test_restore_needs_a_database(tmp_path: Path) -> None:
    """A state file is restored by copying it."""
    done = finish("restore", f"--input={tmp_path / 'x'}", f"--state.path={tmp_path / 'y'}")
    assert done.returncode == 2
    assert "state.url: is not set; without a database, copy the backup to state.path" in done.stderr
