"""Resuming where a former process stopped, or from zero with a damaged file."""

import io
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.config.settings import Settings, State
from exporter.errors import RefusedError
from exporter.ledger.counters import ZERO
from exporter.ledger.packing import pack
from exporter.ledger.saved import Changes, Progress, Row
from exporter.polling import resume
from exporter.storage.sqlite import Storage
from tests.support.clock import SATURDAY, ManualClock
from tests.support.operations import IDS, operation
from tests.support.rig import poller_of
from tests.support.twilio import PlainTwilio
from tests.support.whole import logging_to

ACCOUNTS = ("a", "b")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.sqlite"


@pytest.fixture(autouse=True)
def log() -> Iterator[io.StringIO]:
    with logging_to("info", "json") as stream:
        yield stream


def logged(log: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(text) for text in log.getvalue().splitlines()]


def settings(path: Path | None) -> Settings:
    return Settings(state=State(path=path))


async def save_both(path: Path) -> None:
    async with resume.open_storage(settings(path), ACCOUNTS, ManualClock()) as storage:
        assert storage is not None
        for account in ACCOUNTS:
            await save(storage, account)


async def save(storage: Storage, account: str) -> None:
    row = Row(IDS[0], pack(operation(failed=3), finished=True), None)
    counts = {**ZERO, ("stat", "failed"): 3}
    await storage.save(account, Changes([row], [], SATURDAY - 900, counts), Progress(SATURDAY - 60, ()))


async def resumed(path: Path) -> list[resume.Known]:
    """What a start shows, after which everything can be saved again."""
    clock = ManualClock()
    async with resume.open_storage(settings(path), ACCOUNTS, clock) as storage:
        assert storage is not None
        pollers = [poller_of(account, PlainTwilio(), clock, store=storage) for account in ACCOUNTS]
        known = await resume.resume_pollers(pollers, storage, clock)
        for poller in pollers:
            await poller.poll()
        return known


def set_aside(path: Path) -> Path:
    return path.with_name("state.sqlite.damaged-20260307T000000Z")


async def test_every_account_goes_on(path: Path, log: io.StringIO) -> None:
    """With the numbers that were saved, and a line for each account."""
    await save_both(path)
    known = await resumed(path)
    assert [(account, shown.counts["stat", "failed"]) for account, shown, _ in known] == [("a", 3), ("b", 3)]
    assert [(each["msg"], each["account"]) for each in logged(log)] == [
        ("state restored", "a"),
        ("state restored", "b"),
    ]
    assert not set_aside(path).exists()


async def test_without_a_path_there_is_no_file() -> None:
    """The counters then live as long as the process."""
    async with resume.open_storage(settings(None), ACCOUNTS, ManualClock()) as storage:
        assert storage is None


async def test_first_start_knows_nothing(path: Path, log: io.StringIO) -> None:
    """And logs nothing."""
    assert await resumed(path) == []
    assert logged(log) == []


async def test_damaged_file_is_set_aside(path: Path, log: io.StringIO) -> None:
    """All accounts restart at zero, and the log names the old file."""
    await save_both(path)
    half = path.read_bytes()[:5000]
    path.write_bytes(half)
    assert await resumed(path) == []
    (line,) = logged(log)
    assert (line["level"], line["msg"]) == ("error", "state is damaged; counters restart at zero")
    assert line["set_aside"] == str(set_aside(path))
    assert set_aside(path).read_bytes() == half
    assert [account for account, *_ in await resumed(path)] == ["a", "b"], "and was saved in the new file"


@pytest.mark.parametrize("account", ACCOUNTS)
async def test_damage_of_one_account_is_damage_of_all(path: Path, account: str, log: io.StringIO) -> None:
    """Whichever is read first: the cause of the wrong bytes may have changed others."""
    await save_both(path)
    database = sqlite3.connect(path)
    database.execute("UPDATE operations SET packed = zeroblob(29) WHERE account = ?", (account,))
    database.commit()
    database.close()
    assert await resumed(path) == []
    (line,) = logged(log)
    assert str(line["error"]).startswith(f"account {account}: ")
    assert line["set_aside"] == str(set_aside(path))
    assert set_aside(path).exists()


async def test_file_of_another_program_is_refused(path: Path, log: io.StringIO) -> None:
    """The program does not start, and nothing is set aside."""
    path.write_text("127.0.0.1 localhost\n")
    with pytest.raises(RefusedError, match="another program"):
        await resumed(path)
    assert logged(log) == []
    assert [each.name for each in path.parent.iterdir()] == [path.name]
