"""Nothing is believed that was not saved together: flipped bits, mixed commits, journals cut short."""

import shutil
import sqlite3
from pathlib import Path
from typing import TypeAlias

import pytest

from exporter.errors import DamagedError
from exporter.ledger.counters import ZERO
from exporter.ledger.packing import LAYOUT, Layout, pack, pack_marks
from exporter.ledger.saved import Changes, ListedInterval, Progress, Row, Saved
from exporter.storage import schema
from exporter.storage.schema import APPLICATION_ID
from exporter.storage.sqlite import Storage
from tests.support.clock import SATURDAY
from tests.support.operations import IDS, operation

WEEK = 7 * 86400.0
ACCOUNTS = ("office", "shop")

State: TypeAlias = dict[str, object]
"""What was saved of each account, or loaded."""


def held(saved: Saved) -> object:
    return saved.progress, saved.coverage, saved.counts, sorted(saved.rows)


def loaded(path: Path) -> State | DamagedError:
    """What a start finds, without the file's thread; any other exception is a failure of the test."""
    storage = Storage(path, keep=ACCOUNTS, window=WEEK, lock_seconds=0.0)
    try:
        storage._open()
        return {account: storage._load(account, held) for account in ACCOUNTS}
    except DamagedError as error:
        assert str(error)
        return error
    finally:
        storage._close()
        storage._thread.shutdown()


def save(storage: Storage, account: str, number: int, rows: list[Row]) -> None:
    progress = Progress(SATURDAY + number, (ListedInterval(SATURDAY - WEEK, SATURDAY, SATURDAY),))
    storage._save(account, Changes(rows, [], SATURDAY - 100, {**ZERO, ("stat", "failed"): number}), progress)


def fill(path: Path) -> Storage:
    """Two accounts on pages of 512 bytes, so that a test of every bit is a short one."""
    database = sqlite3.connect(path)
    database.executescript("PRAGMA page_size = 512; VACUUM")
    database.close()
    storage = Storage(path, keep=ACCOUNTS, window=WEEK)
    storage._open()
    for account in ACCOUNTS:
        rows = [
            Row(each, pack(operation(number, failed=number), finished=True), None)
            for number, each in enumerate(IDS[:3])
        ]
        save(storage, account, 1, [*rows[:-1], rows[-1]._replace(marks=pack_marks((9,) * 8))])
    return storage


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.sqlite"


@pytest.mark.long
def test_every_flipped_bit_is_harmless_or_found(path: Path) -> None:
    """A start loads exactly what was saved, or names the file damaged."""
    fill(path)._close()
    before = path.read_bytes()
    truth = loaded(path)
    assert isinstance(truth, dict)
    wrong: list[int] = []
    found = 0
    for bit in range(8 * len(before)):
        content = bytearray(before)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        result = loaded(path)
        found += isinstance(result, DamagedError)
        if not isinstance(result, DamagedError) and result != truth:
            wrong.append(bit)
    assert wrong == []
    assert found > len(before)


def test_files_of_different_commits_are_not_mixed(path: Path) -> None:
    """Pages of two commits, as a copy contains them that was made while one was written."""
    storage = fill(path)
    before = path.read_bytes()
    save(storage, "shop", 2, [Row(IDS[0], pack(operation(0, failed=50)), None)])
    storage._close()
    after = path.read_bytes()
    assert len(before) == len(after)
    truths = [loaded(path)]
    path.write_bytes(before)
    truths.append(loaded(path))
    for page in range(0, len(before), 512):
        for first, second in ((before, after), (after, before)):
            path.write_bytes(first[:page] + second[page : page + 512] + first[page + 512 :])
            result = loaded(path)
            assert isinstance(result, DamagedError) or result in truths, page


@pytest.mark.long
def test_hot_journal_that_was_cut_short_restores_a_commit_or_is_found(path: Path, tmp_path: Path) -> None:
    """At every byte: the state before the commit, the state after it, or damage."""
    storage = fill(path)
    connection = storage._opened()
    connection.execute("PRAGMA cache_spill = 1")
    connection.execute("PRAGMA cache_size = 1")
    before = loaded_copy(path, tmp_path / "before")
    left = tmp_path / "left"
    left.mkdir()

    def crash(statement: str) -> None:
        """What a process leaves that is killed within the transaction."""
        if statement == "COMMIT":
            for file in tmp_path.glob("state.sqlite*"):
                shutil.copy(file, left)

    connection.set_trace_callback(crash)
    many = [Row(f"{IDS[0]}{number:02d}", pack(operation(0, failed=5)), None) for number in range(30)]
    save(storage, "shop", 2, many)
    storage._close()
    after = loaded(path)
    database, journal = ((left / name).read_bytes() for name in ("state.sqlite", "state.sqlite-journal"))
    assert len(journal) > 512
    results = []
    for length in range(len(journal) + 1):
        (left / "state.sqlite").write_bytes(database)
        (left / "state.sqlite-journal").write_bytes(journal[:length])
        results.append(loaded(left / "state.sqlite"))
    assert results[-1] == before
    assert all(isinstance(each, DamagedError) or each in (before, after) for each in results)


def loaded_copy(path: Path, folder: Path) -> State | DamagedError:
    folder.mkdir()
    return loaded(Path(shutil.copy(path, folder)))


@pytest.mark.parametrize(
    "offset",
    [0, 18, 60, 63, 68, 71],
    ids=["magic", "write version", "version", "version's last byte", "mark", "mark's last byte"],
)
def test_marks_of_a_file_that_is_ours_are_damage_and_not_another_program(path: Path, offset: int) -> None:
    """Its tables show whose it is."""
    fill(path)._close()
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)
    assert isinstance(loaded(path), DamagedError)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM accounts WHERE name = 'shop'",
        "DELETE FROM operations WHERE account = 'shop' AND id = (SELECT min(id) FROM operations)",
        "DELETE FROM contents",
        "INSERT INTO contents SELECT * FROM contents",
        "UPDATE contents SET layout = '{}'",
        "UPDATE accounts SET operations = 'many'",
        "UPDATE operations SET account = 'offices' WHERE account = 'shop' AND id LIKE '%ccc'",
        "CREATE TABLE another (x)",
        "CREATE TRIGGER t AFTER INSERT ON accounts BEGIN DELETE FROM operations; END",
    ],
)
def test_rows_that_were_not_saved_together_are_damage(path: Path, statement: str) -> None:
    """However sound each of them is."""
    fill(path)._close()
    database = sqlite3.connect(path)
    database.execute(statement)
    database.commit()
    database.close()
    assert isinstance(loaded(path), DamagedError)


def test_row_of_another_commit_is_found_before_rows_are_repacked(path: Path) -> None:
    """The row is sound by itself; a new checksum must not make it part of the set."""
    fill(path)._close()
    database = sqlite3.connect(path, isolation_level=None)
    older = Layout(LAYOUT.statuses, tuple(reversed(LAYOUT.stats)), LAYOUT.counted)
    schema.write_contents(database, older, schema.read_contents(database)[1])
    schema.write_operations(database, "shop", [Row(IDS[0], pack(operation(0, failed=77)), None)])
    database.close()
    assert isinstance(loaded(path), DamagedError)


def test_application_id_is_that_of_the_first_version() -> None:
    """It is in the header of every file that was ever written."""
    assert APPLICATION_ID.to_bytes(4) == b"TEE1"
