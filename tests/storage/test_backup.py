"""A backup is a state that was saved, whatever another process does to the file."""

import random
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path

import pytest

from exporter.clock import SystemClock
from exporter.errors import DamagedError, RefusedError, StateError
from exporter.storage import backup
from exporter.storage.backup import PATIENCE_SECONDS, back_up
from exporter.storage.sqlite import Storage, check_copy
from tests.storage.saver import ACCOUNTS, WEEK, number_of, save
from tests.support.clock import SATURDAY, ManualClock
from tests.support.program import ROOT, environment

PROCESSES = 4
BACKUPS_EACH = 40


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.sqlite"


def storage_at(path: Path) -> Storage:
    storage = Storage(path, keep=ACCOUNTS, window=WEEK, lock_seconds=0.0)
    storage._open()
    return storage


def closed(storage: Storage) -> None:
    storage._close()
    storage._thread.shutdown()


def numbers(path: Path) -> list[int]:
    """The number of each account's last save; fails if the file contains anything else."""
    storage = storage_at(path)
    try:
        found = [storage._load(account, number_of) for account in ACCOUNTS]
    finally:
        closed(storage)
    return [number or 0 for number in found]


def write(path: Path, *saves: int) -> None:
    storage = storage_at(path)
    for number in saves:
        for account in ACCOUNTS:
            save(storage, account, number)
    closed(storage)


@contextmanager
def saving(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that saves without a pause, killed at the end at any instant of a save."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.storage.saver", str(path)],
        env=environment(),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "saving\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("times_show_changes", [True, False])
async def test_backups_of_a_process_that_saves_and_is_killed(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times_show_changes: bool
) -> None:
    """Each of hundreds is a state that was saved, and none is older than the one before.

    Without the times of change, of which a file system may be sure to some milliseconds only, checksums
    alone show that a copy is torn.
    """
    monkeypatch.setattr(backup, "_sync", lambda _: None)  # the machine stays up
    if not times_show_changes:
        calls = count(1)
        monkeypatch.setattr(backup, "_version", lambda _: (next(calls) + 1) // 2)
    outputs = (tmp_path / f"backup-{number}" for number in count())
    newest = [0, 0]
    for _ in range(PROCESSES):
        with saving(path) as process:
            for output in islice(outputs, BACKUPS_EACH):
                await back_up(path, output, SystemClock())
                newest = not_older(numbers(output), newest)
            assert process.poll() is None
        output = next(outputs)
        await back_up(path, output, SystemClock())
        newest = not_older(numbers(output), newest)
        assert newest == numbers(path)
    assert min(newest) > 2 * PROCESSES
    assert not [each for each in tmp_path.iterdir() if each.name.startswith(".")]


def not_older(found: list[int], before: list[int]) -> list[int]:
    assert all(now >= earlier for now, earlier in zip(found, before, strict=True))
    return found


def test_torn_copy_is_refused(path: Path, tmp_path: Path) -> None:
    """Mixed pages of two states are refused, unless they differ in pages that contain nothing."""
    write(path, 1, 2)
    old = path.read_bytes()
    write(path, 3)
    new = path.read_bytes()
    size = 4096
    differing = [at for at in range(0, len(new), size) if old[at : at + size] != new[at : at + size]]
    assert len(differing) > 10
    choice, refused = random.Random(7), 0
    for number in range(300):
        taken = set(choice.sample(differing, choice.randint(1, len(differing) - 1)))
        torn = b"".join(
            (new if at in taken else old)[at : at + size] for at in range(0, max(len(new), len(old)), size)
        )
        copy = tmp_path / f"torn-{number}"
        copy.write_bytes(torn)
        try:
            check_copy(copy)
        except DamagedError:
            refused += 1
        else:
            assert numbers(copy) in ([2, 2], [3, 2], [3, 3])
    assert refused > 250


async def test_backup_next_to_a_running_exporter(path: Path, tmp_path: Path) -> None:
    """The file stays locked, and the backup is a file for its owner only, with the accounts returned."""
    write(path, 1)
    output = tmp_path / "backup"
    with saving(path):
        accounts = await back_up(path, output, SystemClock())
        with pytest.raises(RefusedError, match="in use by another process"):
            storage_at(path)
        assert [SATURDAY + number for number in numbers(output)] == [each.saved_at for each in accounts]
    assert [each.name for each in accounts] == list(ACCOUNTS)
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    assert {each.name for each in tmp_path.iterdir()} - {"state.sqlite-journal"} == {"backup", "state.sqlite"}


async def test_unfinished_save_is_undone(path: Path, tmp_path: Path) -> None:
    """The backup of a killed process's file and journal is its last finished save; the file is unchanged."""
    write(path, 1)
    owner = storage_at(path)
    connection = owner._connection
    assert connection is not None
    connection.execute("PRAGMA cache_size = 1")  # pages reach the file before the transaction ends
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE operations SET packed = zeroblob(300)")
    killed = tmp_path / "killed.sqlite"
    for suffix in ("", "-journal"):
        shutil.copyfile(f"{path}{suffix}", f"{killed}{suffix}")
    content = killed.read_bytes()
    assert content != path.read_bytes() or content.count(bytes(300))
    connection.execute("ROLLBACK")
    closed(owner)
    output = tmp_path / "backup"
    await back_up(killed, output, ManualClock())
    assert killed.read_bytes() == content
    assert numbers(output) == [1, 1]


@pytest.mark.parametrize("version", [1, 2, 3])
async def test_backup_of_an_older_version_stays_one(version: int, tmp_path: Path) -> None:
    """A backup made before an upgrade can be used by the version that it came from."""
    path = Path(__file__).parent / "files" / f"schema-{version}.sqlite"
    output = tmp_path / "backup"
    await back_up(path, output, ManualClock())
    with sqlite3.connect(output) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (version,)
    connection.close()


async def test_no_file_is_replaced(path: Path, tmp_path: Path) -> None:
    """Not even a former backup, a dangling link, or the state itself."""
    write(path, 1)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    former = tmp_path / "former"
    former.write_bytes(b"precious")
    for output in (path, link, former):
        with pytest.raises(RefusedError, match="exists already"):
            await back_up(path, output, ManualClock())
    assert former.read_bytes() == b"precious"
    assert numbers(path) == [1, 1]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "state.sqlite: does not exist"),
        (b"", "state.sqlite: nothing has been saved to it yet"),
        (b"hello " * 100, "state.sqlite is not a state file"),
        (b"\0" * 9000, "state.sqlite: it is half-written"),
    ],
)
async def test_file_without_a_state(path: Path, tmp_path: Path, content: bytes | None, problem: str) -> None:
    """The message names the state file, and nothing is left behind."""
    if content is not None:
        path.write_bytes(content)
    with pytest.raises((RefusedError, DamagedError), match=problem):
        await back_up(path, tmp_path / "backup", ManualClock())
    assert [each for each in tmp_path.iterdir() if each != path] == []


async def test_damaged_state_is_not_backed_up(path: Path, tmp_path: Path) -> None:
    """A flipped bit of a row is an error, at the second look."""
    write(path, 1)
    content = bytearray(path.read_bytes())
    content[content.index(bytes(range(200))) + 5] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedError, match="checksum of an operation"):
        await back_up(path, tmp_path / "backup", ManualClock())
    assert not (tmp_path / "backup").exists()


async def test_file_that_changes_during_every_copy(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copying ends after a minute, with an error."""
    write(path, 1)
    clock = ManualClock()
    copyfile = shutil.copyfile

    def changed(source: Path, target: Path) -> None:
        copyfile(source, target)
        with path.open("ab") as file:
            file.write(b"\0")

    monkeypatch.setattr(shutil, "copyfile", changed)
    with pytest.raises(StateError, match="saves have changed it during every copy"):
        await back_up(path, tmp_path / "backup", clock)
    assert clock.monotonic() >= PATIENCE_SECONDS


async def test_output_that_cannot_be_written(path: Path, tmp_path: Path) -> None:
    """The message names the output."""
    write(path, 1)
    with pytest.raises(RefusedError, match="missing/backup: No such file or directory"):
        await back_up(path, tmp_path / "missing" / "backup", ManualClock())
