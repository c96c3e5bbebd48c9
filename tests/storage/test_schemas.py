"""State files of every schema that was ever written, opened by this version and by one with another stat."""

import asyncio
import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from exporter.ledger.counters import ZERO
from exporter.ledger.ledger import Ledger
from exporter.ledger.saved import Saved
from exporter.ledger.snapshot import RECENT_AGES
from exporter.storage.schema import SCHEMA_VERSION
from exporter.storage.sqlite import Storage
from tests.storage.files.write import (
    ACCOUNTS,
    COVERAGE,
    FOLDER,
    SAVED_AT,
    WEEK,
    contents,
    counts_by_name,
    operation,
)
from tests.support.program import ROOT, environment

FILES = sorted(FOLDER.glob("schema-*.sqlite"))

each_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def held(file: Path) -> dict[str, Any]:
    """What the file contains, and what later versions have added to it."""
    content: dict[str, Any] = json.loads(file.with_suffix(".json").read_text())
    for account in content.values():
        account["counts"] = {**counts_by_name(ZERO), **account["counts"]}
        if file.stem in {"schema-1", "schema-2"}:
            account["counts"]["delay/5.0"] = account["counts"]["stat/delivered"]
            for each in account["operations"].values():
                each["began"] = each["updated_at"] if may_have_been_scheduled(each) else None
    return content


def may_have_been_scheduled(operation: Mapping[str, Any]) -> bool:
    """Whether more deliveries may come whose delay would be wrong if it had been."""
    stats = Counter({stat: value or 0 for stat, value in operation["stats"].items()})
    settled = sum(stats[each] for each in ("delivered", "opened", "undelivered", "failed", "canceled"))
    waits = stats["queued"] + stats["sent"] > 0 and stats["total"] > settled + stats["scheduled"]
    return operation["status"] != "scheduled" and (
        waits or operation["status"] not in {"completed", "canceled"}
    )


def rebuilt(saved: Saved) -> tuple[Ledger, dict[str, Any]]:
    at = saved.progress.last_success_at
    ledger = Ledger(at, WEEK, RECENT_AGES, coverage=saved.coverage, counts=saved.counts)
    ledger.restore(saved.rows, at)
    return ledger, contents(ledger, saved.coverage, saved.progress)


async def opened(path: Path) -> dict[str, tuple[Ledger, dict[str, Any]]]:
    storage = Storage(path, keep=ACCOUNTS, window=WEEK)
    await storage.open()
    found = {account: await storage.load(account, rebuilt) for account in ACCOUNTS}
    await storage.close()
    return {account: each for account, each in found.items() if each is not None}


def test_there_is_a_file_of_each_schema() -> None:
    """A new one is written by `python -m tests.storage.files.write` and committed with the schema."""
    assert [file.stem for file in FILES] == [f"schema-{n}" for n in range(1, SCHEMA_VERSION + 1)]


@each_file
async def test_file_of_any_schema_is_read_as_it_was_saved(file: Path, tmp_path: Path) -> None:
    """All counters, operations and progress; and a second start reads what the first has migrated."""
    path = Path(shutil.copy(file, tmp_path))
    for _ in range(2):
        found = await opened(path)
        assert {account: what for account, (_, what) in found.items()} == held(file)


@each_file
async def test_marks_of_any_schema_are_kept(file: Path, tmp_path: Path) -> None:
    """What was counted is not counted again when an older, higher value comes back."""
    ledger, before = (await opened(Path(shutil.copy(file, tmp_path))))["shop"]
    ledger.absorb(
        operation(2, "processing", COVERAGE + 60, COVERAGE + 99, delivered=6, failed=7),
        SAVED_AT,
    )
    ledger.absorb(operation(6, "completed", COVERAGE + 100, COVERAGE + 110, total=3, delivered=3), SAVED_AT)
    counts = ledger.counts()
    assert counts["stat", "delivered"] - before["counts"]["stat/delivered"] == 1
    assert counts["operations", ""] == before["counts"]["operations/"]


READ = """
import asyncio, json, sys
from pathlib import Path
from tests.storage.test_schemas import opened
found = asyncio.run(opened(Path(sys.argv[1])))
print(json.dumps({account: what for account, (_, what) in found.items()}))
"""


def with_another_stat(folder: Path, *, counted: bool) -> Path:
    """A copy of the program that knows one stat more; gives the folder to import it from."""
    for package in ("exporter", "tests"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    edits = [
        ("operation.py", "    queued: int | None = None\n", "    complained: int | None = None\n"),
        (
            "twilio/protocol.py",
            "    queued: _Count | None = None\n",
            "    complained: _Count | None = None\n",
        ),
    ]
    if counted:
        edits.append(("ledger/counters.py", "OUTCOME_STATUSES: Final = (", '"complained", '))
    for name, before, added in edits:
        file = folder / "exporter" / name
        text = file.read_text()
        assert text.count(before) == 1, f"{name} has changed: adapt this test"
        file.write_text(text.replace(before, before + added))
    return folder


def read_by(program: Path, path: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path)],
        cwd=program,
        env={**environment(), "PYTHONPATH": str(program)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    content: dict[str, Any] = json.loads(done.stdout)
    return content


def without_the_stat(content: dict[str, Any]) -> dict[str, Any]:
    """What remains after a check that nothing is known of the stat yet."""
    for account in content.values():
        assert account["counts"].pop("stat/complained", 0) == 0
        assert account["counts"].pop("regressions/complained", 0) == 0
        assert all(each["stats"].pop("complained") is None for each in account["operations"].values())
    return content


@pytest.mark.parametrize("counted", [False, True], ids=["shown", "counted"])
@each_file
def test_file_survives_a_new_stat_and_its_removal(file: Path, tmp_path: Path, counted: bool) -> None:
    """The new counter starts at zero, all others are untouched; the version before reads the file again."""
    path = Path(shutil.copy(file, tmp_path))
    program = with_another_stat(tmp_path / "program", counted=counted)
    assert without_the_stat(read_by(program, path)) == held(file)
    found = asyncio.run(opened(path))
    assert {account: what for account, (_, what) in found.items()} == held(file)
