"""The state file: saved whole or not at all, owned by one, never guessed at."""

import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from exporter.counting import ZERO
from exporter.errors import StateError
from exporter.packing import Entry, pack, pack_marks
from exporter.state import Changes, Progress, Row, Saved
from exporter.storage import (
    APPLICATION_ID,
    SCHEMA_VERSION,
    DamagedError,
    RefusedError,
    Storage,
)
from exporter.window import Stretch
from tests.clock import SATURDAY
from tests.operations import IDS, operation
from tests.program import environment

WEEK = 7 * 86400.0
PROGRESS = Progress(SATURDAY, (Stretch(SATURDAY - WEEK, SATURDAY - 60, SATURDAY),))
ROWS = [
    Row(IDS[0], pack(Entry(operation(0, failed=3), finished=True)), None),
    Row(IDS[1], pack(Entry(operation(1, status="processing", sent=900), gone=True)), pack_marks((1,) * 8)),
]


def changes(rows: list[Row] = ROWS, forgotten: list[str] | None = None) -> Changes:
    return Changes(rows, forgotten or [], SATURDAY - 100, {**ZERO, ("stat", "failed"): 3})


def whole(saved: Saved) -> tuple[Progress, float, object, list[Row]]:
    return saved.progress, saved.coverage, saved.counts, sorted(saved.rows)


def storage_at(path: Path, *keep: str) -> Storage:
    return Storage(path, keep=keep or ("a",), window=WEEK, lock_seconds=0.05)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.sqlite"


@pytest.fixture
async def storage(path: Path) -> AsyncIterator[Storage]:
    storage = storage_at(path)
    await storage.open()
    yield storage
    await storage.close()


async def test_what_was_saved_is_loaded_by_the_next_process(path: Path) -> None:
    """Rows, marks, counters, coverage and progress, to the last bit."""
    first = storage_at(path)
    await first.open()
    await first.save("a", changes(), PROGRESS)
    await first.save("a", changes(rows=[], forgotten=[IDS[0]]), PROGRESS)
    await first.close()
    second = storage_at(path)
    await second.open()
    loaded = await second.load("a", whole)
    assert loaded == (PROGRESS, SATURDAY - 100, changes().counts, ROWS[1:])
    assert await second.load("b", whole) is None
    assert second.bytes_on_disk() == path.stat().st_size > 0
    await second.close()


async def test_file_belongs_to_one_process(path: Path, storage: Storage) -> None:
    """A second one is told so, and the first is not disturbed."""
    await storage.save("a", changes(), PROGRESS)
    second = storage_at(path)
    with pytest.raises(RefusedError, match="in use by another process"):
        await second.open()
    await second.close()
    await storage.save("a", changes(), PROGRESS)


async def test_account_that_left_the_settings_is_kept_for_a_window(path: Path) -> None:
    """Then its rows go; one in the settings stays, however long it has been failing."""
    storage = storage_at(path, "a", "failing")
    await storage.open()
    for name in ("left", "failing"):
        await storage.save(name, changes(), PROGRESS)
    await storage.save("a", changes(), Progress(SATURDAY + WEEK, ()))
    assert await storage.load("left", whole) is not None
    await storage.save("a", changes(), Progress(SATURDAY + WEEK + 1, ()))
    assert await storage.load("left", whole) is None
    assert await storage.load("failing", whole) is not None
    await storage.close()
    left = sqlite3.connect(path)
    assert left.execute("SELECT count(*) FROM operations WHERE account = 'left'").fetchone() == (0,)
    left.close()


async def test_full_disk_is_told_and_changes_nothing(storage: Storage) -> None:
    """What was saved before is still whole; afterwards saving works again."""
    await storage.save("a", changes(), PROGRESS)
    pages = await storage._run(lambda: storage._opened().execute("PRAGMA page_count").fetchone()[0])
    await storage._run(lambda: storage._opened().execute(f"PRAGMA max_page_count = {pages}").fetchone())
    many = [Row(f"{IDS[0]}{n}", ROWS[0].packed, None) for n in range(5000)]
    with pytest.raises(StateError, match="full"):
        await storage.save("a", changes(rows=many), Progress(SATURDAY + 60, ()))
    assert await storage.load("a", whole) == (PROGRESS, SATURDAY - 100, changes().counts, ROWS)
    await storage._run(lambda: storage._opened().execute("PRAGMA max_page_count = 100000").fetchone())
    await storage.save("a", changes(rows=many), Progress(SATURDAY + 60, ()))


async def test_saving_without_a_file_is_told(path: Path) -> None:
    """Nothing is saved before the file is open, nor after it was closed."""
    storage = storage_at(path)
    with pytest.raises(StateError, match="not open"):
        await storage.save("a", changes(), PROGRESS)
    await storage.close()


READ_ONLY = """
import asyncio, os, sys
from pathlib import Path
from exporter.errors import StateError
from exporter.storage import Storage
from tests.test_storage import PROGRESS, ROWS, changes, whole

async def main():
    storage = Storage(Path(sys.argv[1]), keep=["a"], window=1e6, lock_seconds=0.05)
    await storage.open()
    assert (await storage.load("a", whole))[3] == ROWS
    try:
        await storage.save("a", changes(), PROGRESS)
    except StateError as error:
        print(error)
    await storage.close()

if os.geteuid() == 0:  # root writes everywhere
    os.setgid(65534)
    os.setuid(65534)
asyncio.run(main())
"""


async def test_read_only_file_is_read_and_each_write_is_told(tmp_path: Path) -> None:
    """As a user who may not write it."""
    folder = tmp_path / "state"
    folder.mkdir()
    path = folder / "state.sqlite"
    storage = storage_at(path)
    await storage.open()
    await storage.save("a", changes(), PROGRESS)
    await storage.close()
    for each in [each for each in folder.parents if each.is_relative_to(tempfile.gettempdir())]:
        each.chmod(0o755)  # whoever it is must get there
    path.chmod(0o444)
    folder.chmod(0o555)
    done = subprocess.run(  # noqa: ASYNC221 - nothing else runs here
        [sys.executable, "-c", READ_ONLY, str(path)],
        env=environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    folder.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert "readonly database" in done.stdout


# Files that are not ours to use.


async def refused(path: Path) -> str:
    before = path.read_bytes() if path.is_file() else None
    storage = storage_at(path)
    with pytest.raises(RefusedError) as caught:
        await storage.open()
    await storage.close()
    assert before is None or path.read_bytes() == before, "and it is left as it was"
    return str(caught.value)


async def test_newer_schema_is_refused(path: Path) -> None:
    """Told with both versions; nothing is written."""
    database = sqlite3.connect(path)
    database.executescript(
        f"CREATE TABLE t (x); PRAGMA application_id = {APPLICATION_ID};"
        f"PRAGMA user_version = {SCHEMA_VERSION + 1};"
    )
    database.close()
    assert f"schema {SCHEMA_VERSION + 1}, this one knows {SCHEMA_VERSION}" in await refused(path)


@pytest.mark.parametrize("mark", [0, 99])
async def test_database_of_another_program_is_refused(path: Path, mark: int) -> None:
    """With a mark of its own, or with none but tables."""
    database = sqlite3.connect(path)
    database.executescript(f"CREATE TABLE bookmarks (x); PRAGMA application_id = {mark};")
    database.close()
    assert "another program" in await refused(path)


async def test_file_of_another_kind_is_refused(path: Path) -> None:
    """A mistyped path must cost nobody their file."""
    path.write_text("127.0.0.1 localhost\n")
    assert "another program" in await refused(path)


async def test_folder_that_does_not_exist_is_told(tmp_path: Path) -> None:
    """A state that can never be saved is a wrong setting."""
    assert "does not exist" in await refused(tmp_path / "nowhere" / "state")
    assert str(tmp_path) in await refused(tmp_path)


# Files that are ours, and broken.


async def damage(path: Path) -> None:
    storage = storage_at(path)
    await storage.open()
    many = [Row(f"{IDS[0]}{n}", ROWS[0].packed, None) for n in range(3000)]
    await storage.save("a", changes(rows=many), PROGRESS)
    await storage.close()


async def set_aside(path: Path, at: float = SATURDAY) -> Path:
    """Open as the program does, with what it does when the file is damaged."""
    storage = storage_at(path)
    with pytest.raises(DamagedError):
        await storage.open()
    aside = await storage.begin_anew(at)
    assert await storage.load("a", whole) is None
    await storage.save("a", changes(), PROGRESS)
    await storage.close()
    return aside


@pytest.mark.parametrize("length", [5, 16, 100, 4096, 50_000])
async def test_half_written_file_is_set_aside(path: Path, length: int) -> None:
    """Under a name that says when; a new one is begun."""
    await damage(path)
    whole_file = path.read_bytes()
    path.write_bytes(whole_file[:length])
    aside = await set_aside(path)
    assert aside.name == "state.sqlite.damaged-20260307T000000Z"
    assert aside.read_bytes() == whole_file[:length]


async def test_zeroed_file_is_set_aside(path: Path) -> None:
    """As a power cut leaves it."""
    path.write_bytes(bytes(8192))
    await set_aside(path)


@pytest.mark.parametrize("offset", [4096 * 3 + 8, 4096 * 10 + 100])
async def test_overwritten_page_is_set_aside(path: Path, offset: int) -> None:
    """Found when the file is opened, not when its rows are believed."""
    await damage(path)
    content = bytearray(path.read_bytes())
    content[offset : offset + 600] = b"\xff" * 600
    path.write_bytes(bytes(content))
    await set_aside(path)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE operations SET packed = x'00'",
        "UPDATE operations SET marks = x'0011'",
        "UPDATE accounts SET counts = '{'",
        'UPDATE accounts SET counts = \'[["stat", "failed", -1]]\'',
        'UPDATE accounts SET counts = \'[["stat", "failed", "1"]]\'',
        "UPDATE accounts SET progress = '{}'",
        "UPDATE accounts SET progress = '[]'",
    ],
)
async def test_content_that_cannot_be_read_is_damage(path: Path, statement: str) -> None:
    """Nothing of the file is believed then, not even what can be read."""
    storage = storage_at(path)
    await storage.open()
    await storage.save("a", changes(), PROGRESS)
    await storage.close()
    database = sqlite3.connect(path)
    database.execute(statement)
    database.commit()
    database.close()

    def rebuild(saved: Saved) -> object:
        from exporter.ledger import Ledger

        ledger = Ledger(SATURDAY, WEEK, {}, coverage=saved.coverage)
        ledger.restore(saved.rows, SATURDAY)
        return ledger

    storage = storage_at(path)
    await storage.open()
    with pytest.raises(DamagedError, match="account a"):
        await storage.load("a", rebuild)
    await storage.close()


async def test_file_that_was_never_finished_becomes_ours(path: Path) -> None:
    """An empty file, or a database without tables: a first start that was cut short."""
    path.touch()
    storage = storage_at(path)
    await storage.open()
    await storage.save("a", changes(), PROGRESS)
    await storage.close()
