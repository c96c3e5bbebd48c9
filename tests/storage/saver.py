"""A process that saves as fast as it can, for the tests of backups: `python -m tests.storage.saver STATE`.

Every save of an account has a number, and everything in it follows from the number.
"""

import sys
from itertools import count
from pathlib import Path

from exporter.ledger.counters import ZERO
from exporter.ledger.packing import pack
from exporter.ledger.saved import Changes, ListedInterval, Progress, Row, Saved
from exporter.storage.sqlite import Storage
from tests.support.clock import SATURDAY
from tests.support.disk import unsynced
from tests.support.operations import operation

WEEK = 7 * 86400.0
ACCOUNTS = ("office", "shop")
_IDS = [f"comms_operation_{number:026d}" for number in range(200)]
_FILLER = bytes(range(200))


def rows(number: int) -> list[Row]:
    """Some are forgotten and some return, so that the file's pages move."""
    kept = [each for index, each in enumerate(_IDS) if (index + number) % 7]
    return [Row(each, pack(operation(0, failed=number), finished=True) + _FILLER, None) for each in kept]


def progress(number: int) -> Progress:
    return Progress(SATURDAY + number, (ListedInterval(SATURDAY - WEEK, SATURDAY, SATURDAY),))


def number_of(saved: Saved) -> int:
    """The number of the save that wrote exactly this. Raises `AssertionError`."""
    number = round(saved.progress.last_success_at - SATURDAY)
    assert saved.progress == progress(number)
    assert saved.counts[("stat", "failed")] == number
    assert sorted(saved.rows) == sorted(rows(number))
    return number


def save(storage: Storage, account: str, number: int) -> None:
    new = rows(number)
    forgotten = {row.id for row in rows(number - 1)} - {row.id for row in new}
    changes = Changes(new, sorted(forgotten), SATURDAY, {**ZERO, ("stat", "failed"): number})
    storage._save(account, changes, progress(number))


def main(path: Path) -> None:
    storage = Storage(path, keep=ACCOUNTS, window=WEEK)
    with unsynced():  # the process is killed, not the machine
        storage._open()
    last = {account: storage._load(account, number_of) or 0 for account in ACCOUNTS}
    sys.stdout.write("saving\n")
    sys.stdout.flush()
    for number in count(min(last.values()) + 1):
        for account in ACCOUNTS:
            if number > last[account]:
                save(storage, account, number)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
