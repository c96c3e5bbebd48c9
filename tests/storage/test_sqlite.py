"""The state file: saved whole or not at all, owned by one, never guessed at."""

import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from exporter.errors import DamagedError, RefusedError, StateError
from exporter.ledger.saved import Progress, Row, Saved
from exporter.storage.schema import APPLICATION_ID, SCHEMA_VERSION
from exporter.storage.sqlite import Storage
from tests.storage.samples import PROGRESS, ROWS, WEEK, changes, many_rows, rebuild, whole
from tests.support.clock import SATURDAY
from tests.support.program import environment


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


async def test_file_belongs_to_one_process(path: Path, storage: Storage) -> None:
    """A second one is told so, and the first is not disturbed."""
    await storage.save("a", changes(), PROGRESS)
    second = storage_at(path)
    with pytest.raises(RefusedError, match="in use by another process"):
        await second.open()
    await second.close()
    await storage.save("a", changes(), PROGRESS)


async def test_full_disk_is_told_and_changes_nothing(storage: Storage) -> None:
    """What was saved before is still whole; afterwards saving works again."""
    await storage.save("a", changes(), PROGRESS)
    pages = await storage._run(lambda: storage._opened().execute("PRAGMA page_count").fetchone()[0])
    await storage._run(lambda: storage._opened().execute(f"PRAGMA max_page_count = {pages}").fetchone())
    many = many_rows(5000)
    with pytest.raises(StateError, match="full"):
        await storage.save("a", changes(rows=many), Progress(SATURDAY + 60, ()))
    assert await storage.load("a", whole) == (PROGRESS, SATURDAY - 100, changes().counts, ROWS)
    await storage._run(lambda: storage._opened().execute("PRAGMA max_page_count = 100000").fetchone())
    await storage.save("a", changes(rows=many), Progress(SATURDAY + 60, ()))


async def test_size_is_that_of_the_last_save(
    path: Path, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scrape looks at no disk, which may be gone or hang."""
    before = storage.bytes_on_disk()
    assert before > 0
    await storage.save("a", changes(many_rows(900)), PROGRESS)
    assert storage.bytes_on_disk() >= path.stat().st_size > before
    monkeypatch.setattr(Path, "stat", lambda _: pytest.fail("the disk was asked"))
    assert storage.bytes_on_disk() > before


@pytest.mark.parametrize("replaced", [False, True])
async def test_file_that_was_removed_or_replaced_is_told(
    path: Path, storage: Storage, replaced: bool
) -> None:
    """SQLite would continue to write to the deleted file. After it is put back, saves succeed again."""
    await storage.save("a", changes(), PROGRESS)
    aside = path.rename(path.with_name("aside"))
    if replaced:
        path.write_bytes(aside.read_bytes())
    with pytest.raises(StateError, match="removed or replaced; put it back, or restart"):
        await storage.save("a", changes(), PROGRESS)
    aside.replace(path)
    await storage.save("a", changes(), PROGRESS)


async def test_saving_without_a_file_is_told(path: Path) -> None:
    """Nothing is saved before the file is open, nor after it was closed."""
    storage = storage_at(path)
    with pytest.raises(StateError, match="not open"):
        await storage.save("a", changes(), PROGRESS)
    await storage.close()


SYNCED = """
import asyncio, sys
from pathlib import Path
from exporter.storage.sqlite import Storage

async def main():
    storage = Storage(Path(sys.argv[1]), keep=["a"], window=1e6)
    await storage.open()
    print(*await storage._run(lambda: storage._connection.execute("PRAGMA synchronous").fetchone()))
    await storage.close()

asyncio.run(main())
"""


async def test_commit_waits_for_the_disk(tmp_path: Path) -> None:
    """In a process of its own, because these tests do not."""
    done = subprocess.run(  # noqa: ASYNC221 - nothing else runs here
        [sys.executable, "-c", SYNCED, str(tmp_path / "state")],
        env=environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout == "2\n", done.stderr  # FULL


READ_ONLY = """
import asyncio, os, sys
from pathlib import Path
from exporter.errors import StateError
from exporter.storage.sqlite import Storage
from tests.storage.samples import PROGRESS, ROWS, changes, whole

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
    assert f"schema {SCHEMA_VERSION + 1}, this version knows {SCHEMA_VERSION}" in await refused(path)


@pytest.mark.parametrize("mark", [0, 99])
async def test_database_of_another_program_is_refused(path: Path, mark: int) -> None:
    """With a mark of its own, or with none but tables."""
    database = sqlite3.connect(path)
    database.executescript(f"CREATE TABLE bookmarks (x); PRAGMA application_id = {mark};")
    database.close()
    assert "another program" in await refused(path)


async def test_file_of_another_kind_is_refused(path: Path) -> None:
    """A mistyped path must not damage another program's file."""
    path.write_text("127.0.0.1 localhost\n")
    assert "another program" in await refused(path)


async def test_image_that_begins_with_zeros_is_refused(path: Path) -> None:
    """As those of disks do; only what is zeros throughout can be ours."""
    path.write_bytes(bytes(32768) + b"\x01CD001")
    assert "another program" in await refused(path)


async def test_device_is_refused() -> None:
    """It is never renamed, nor read to its end."""
    assert "not a regular file" in await refused(Path("/dev/zero"))


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (f"ALTER TABLE accounts ADD x; PRAGMA user_version = {SCHEMA_VERSION + 1}", "newer version"),
        (f"DELETE FROM contents; PRAGMA user_version = {SCHEMA_VERSION + 1}", "newer version"),
        ("DROP TABLE operations; PRAGMA application_id = 99", "another program"),
    ],
)
async def test_what_only_the_journal_says_is_refused(tmp_path: Path, statement: str, told: str) -> None:
    """A newer version that crashed may have left its marks there, and not in the header yet."""
    path = tmp_path / "state.sqlite"
    await damage(path)
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode = WAL")
    database.executescript(statement)
    left = tmp_path / "left"
    left.mkdir()
    for file in tmp_path.glob("state.sqlite*"):
        shutil.copy(file, left)
    database.close()
    storage = storage_at(left / "state.sqlite")
    with pytest.raises(RefusedError, match=told):
        await storage.open()
    await storage.close()


async def test_empty_database_with_a_version_is_refused(path: Path) -> None:
    """Somebody has begun something there."""
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 1")
    database.close()
    assert "another program" in await refused(path)


async def test_folder_that_does_not_exist_is_told(tmp_path: Path) -> None:
    """A state that can never be saved is a wrong setting."""
    assert "does not exist" in await refused(tmp_path / "nowhere" / "state")
    assert str(tmp_path) in await refused(tmp_path)


# Files that are ours, and broken.


async def damage(path: Path) -> None:
    storage = storage_at(path)
    await storage.open()
    await storage.save("a", changes(many_rows(3000)), PROGRESS)
    await storage.close()


async def set_aside(path: Path, at: float = SATURDAY) -> Path:
    """Open as the program does, with what it does when the file is damaged."""
    storage = storage_at(path)
    with pytest.raises(DamagedError):
        await storage.open()
    aside = await storage.set_aside(at)
    assert aside is not None
    assert await storage.load("a", whole) is None
    await storage.save("a", changes(), PROGRESS)
    await storage.close()
    return Path(aside)


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


@pytest.mark.parametrize("statement", ["DROP TABLE operations", "PRAGMA user_version = 0"])
async def test_our_file_without_its_tables_is_set_aside(path: Path, statement: str) -> None:
    """Our mark and our tables come in one transaction."""
    await saved_at(path)
    tampered(path, statement)
    await set_aside(path)


async def test_nothing_that_was_set_aside_is_overwritten(path: Path) -> None:
    """Not even by a second damage in the same second."""
    names = []
    for length in (8192, 4096, 100):
        path.write_bytes(bytes(length))
        names.append(await set_aside(path))
    assert [each.name.partition("Z")[2] for each in names] == ["", "-1", "-2"]
    assert [each.stat().st_size for each in names] == [8192, 4096, 100]


async def test_file_that_another_process_replaced_is_not_renamed(path: Path) -> None:
    """Both found the damage; the slower one must not take the new file away."""
    path.write_bytes(bytes(8192))
    first, second = storage_at(path), storage_at(path)
    for each in (first, second):
        with pytest.raises(DamagedError):
            await each.open()
    await first.set_aside(SATURDAY)
    await first.save("a", changes(), PROGRESS)
    with pytest.raises(RefusedError, match="in use by another process"):
        await second.set_aside(SATURDAY + 1)
    await first.save("a", changes(), PROGRESS)
    await first.close()
    assert await second.set_aside(SATURDAY + 2) is None, "it can be used"
    assert await second.load("a", whole) is not None
    await second.close()


async def test_damaged_file_that_cannot_be_renamed_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what to do."""

    def fail(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    path.write_bytes(bytes(8192))
    storage = storage_at(path)
    with pytest.raises(DamagedError):
        await storage.open()
    monkeypatch.setattr(Path, "rename", fail)  # root may rename anything
    with pytest.raises(RefusedError, match="Permission denied; move it away"):
        await storage.set_aside(SATURDAY)
    await storage.close()


async def saved_at(path: Path, rows: list[Row] = ROWS) -> None:
    storage = storage_at(path)
    await storage.open()
    await storage.save("a", changes(rows), PROGRESS)
    await storage.close()


def tampered(path: Path, statement: str, *values: object) -> None:
    database = sqlite3.connect(path)
    database.execute(statement, values)
    database.commit()
    database.close()


async def load_damaged(path: Path, match: str = "account a") -> None:
    storage = storage_at(path)

    async def read() -> None:
        await storage.open()
        await storage.load("a", rebuild)

    with pytest.raises(DamagedError, match=match):
        await read()
    await storage.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE operations SET id = CAST(x'ff' || substr(id, 2) AS TEXT)",
        "UPDATE accounts SET progress = CAST(x'ff' AS TEXT)",
    ],
)
async def test_text_that_is_none_is_damage(path: Path, statement: str) -> None:
    """SQLite keeps any bytes as text."""
    await saved_at(path)
    tampered(path, statement)
    await load_damaged(path, "checksum|codec")


@pytest.mark.parametrize("bit", range(0, 29 * 8, 5))
async def test_flipped_bit_is_damage(path: Path, bit: int) -> None:
    """Wherever in an operation: other numbers would be as good as invented."""
    await saved_at(path)
    content = bytearray(path.read_bytes())
    content[content.index(ROWS[0].packed) + bit // 8] ^= 1 << bit % 8
    path.write_bytes(bytes(content))
    await load_damaged(path)


async def test_only_what_is_wrong_with_the_content_is_damage(path: Path) -> None:
    """A failing disk and an internal error do not change the file."""

    def disk_fails(_: Saved) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        raise error

    def mistaken(_: Saved) -> None:
        raise KeyError("mistake")

    await saved_at(path)
    before = path.read_bytes()
    storage = storage_at(path)
    await storage.open()
    with pytest.raises(RefusedError, match="disk I/O error"):
        await storage.load("a", disk_fails)
    with pytest.raises(KeyError, match="mistake"):
        await storage.load("a", mistaken)
    await storage.close()
    assert path.read_bytes() == before


async def test_file_that_was_never_finished_becomes_ours(path: Path) -> None:
    """An empty file, or a database without tables: a first start that was cut short."""
    path.touch()
    storage = storage_at(path)
    await storage.open()
    await storage.save("a", changes(), PROGRESS)
    await storage.close()
