"""Write a small state file of the current schema, and what it holds: `python -m tests.storage.files.write`.

Run it once for each new schema and commit both files; never write those of an older schema again.
"""

import asyncio
import json
from pathlib import Path
from typing import Any, Final

from exporter.ledger.counters import Counts
from exporter.ledger.ledger import Ledger
from exporter.ledger.saved import ListedInterval, Progress
from exporter.ledger.snapshot import RECENT_AGES
from exporter.operation import STATS, Operation, Stats
from exporter.storage.schema import SCHEMA_VERSION
from exporter.storage.sqlite import Storage

FOLDER: Final = Path(__file__).parent
WEEK: Final = 604800.0
COVERAGE: Final = 1_772_841_600.0
SAVED_AT: Final = COVERAGE + 7200.0
LISTED_INTERVALS: Final = (
    ListedInterval(SAVED_AT - WEEK, SAVED_AT - 600.0, SAVED_AT - 60.0),
    ListedInterval(SAVED_AT - 600.0, SAVED_AT, SAVED_AT),
)


def stats(**values: int) -> Stats:
    return Stats(**values)


def operation(number: int, status: str, created_at: float, updated_at: float, **values: int) -> Operation:
    return Operation(f"comms_operation_01k{number:023d}", status, created_at, updated_at, stats(**values))


def shop() -> Ledger:
    """A baseline, values above a byte, absent values, a value that fell, a fetch that answered 404."""
    ledger = Ledger(COVERAGE, WEEK, RECENT_AGES, coverage=COVERAGE)
    at = SAVED_AT
    ledger.absorb(
        operation(
            1,
            "completed",
            COVERAGE - 9000,
            COVERAGE - 8000,
            total=500,
            recipients=500,
            attempts=510,
            delivered=450,
            failed=50,
            undelivered=0,
            opened=12,
        ),
        at,
    )
    ledger.absorb(
        operation(
            2,
            "processing",
            COVERAGE + 60,
            COVERAGE + 90,
            total=40,
            recipients=41,
            queued=30,
            sent=5,
            delivered=5,
            failed=0,
            undelivered=0,
        ),
        at,
    )
    ledger.absorb(
        operation(
            2,
            "processing",
            COVERAGE + 60,
            COVERAGE + 95,
            total=40,
            recipients=41,
            queued=20,
            sent=5,
            delivered=3,
            failed=7,
            undelivered=5,
        ),
        at,
    )
    ledger.absorb(
        operation(
            3,
            "completed",
            COVERAGE + 70,
            COVERAGE + 170,
            total=100_000,
            recipients=100_000,
            attempts=100_254,
            delivered=99_000,
            opened=255,
            failed=600,
            undelivered=400,
            canceled=0,
        ),
        at,
    )
    ledger.absorb(operation(4, "scheduled", COVERAGE + 80, COVERAGE + 80, total=9, scheduled=9), at)
    ledger.absorb(operation(5, "unknown", COVERAGE + 90, COVERAGE + 99, total=1, sent=1), at)
    ledger.absorb(operation(6, "completed", COVERAGE + 100, COVERAGE + 110, total=3, delivered=3), at)
    ledger.mark_not_found(operation(6, "", 0, 0).id)
    ledger.absorb(operation(7, "canceled", COVERAGE + 110, COVERAGE + 130, total=5, canceled=5), at)
    ledger.absorb(operation(7, "canceled", COVERAGE + 110, COVERAGE + 140, total=5, canceled=5, failed=1), at)
    return ledger


def news() -> Ledger:
    """An operation that was scheduled for an hour, and one with a stat that is not known."""
    ledger = Ledger(COVERAGE, WEEK, RECENT_AGES, coverage=COVERAGE, late_after=900.0)
    sent_at = COVERAGE + 3600
    ledger.absorb(operation(1, "scheduled", COVERAGE, COVERAGE, total=9, scheduled=9), sent_at - 60)
    begun = operation(1, "processing", COVERAGE, sent_at, total=9, queued=9)
    ledger.absorb(begun, sent_at + 30)
    partly = begun._replace(updated_at=sent_at + 1000, stats=stats(total=9, queued=0, sent=4, delivered=5))
    ledger.absorb(partly, SAVED_AT)
    unknown = operation(2, "completed", COVERAGE + 5, COVERAGE + 15, total=3, delivered=3)
    ledger.absorb(unknown._replace(unknown_stats=("complained",)), SAVED_AT)
    return ledger


def office() -> Ledger:
    ledger = Ledger(COVERAGE, WEEK, RECENT_AGES, coverage=COVERAGE)
    for number in range(20):
        ledger.absorb(
            operation(
                number,
                "completed",
                COVERAGE + number,
                COVERAGE + 30 + number,
                total=number,
                recipients=number,
                attempts=number,
                delivered=number // 2,
                failed=number // 3,
            ),
            SAVED_AT,
        )
    return ledger


ACCOUNTS: Final = {"office": office, "shop": shop, "news": news}


def contents(ledger: Ledger, coverage: float, progress: Progress) -> dict[str, Any]:
    """What an account's state says, by names, so that later versions can be compared with it."""
    return {
        "last_success_at": progress.last_success_at,
        "listed_intervals": [list(each) for each in progress.listed_intervals],
        "coverage": coverage,
        "counts": counts_by_name(ledger.counts()),
        "operations": {
            each.id: {
                "status": each.status,
                "created_at": each.created_at,
                "updated_at": each.updated_at,
                "stats": dict(zip(STATS, each.stats, strict=True)),
                "began": ledger._store.began.get(each.id),
            }
            for each in sorted(ledger)
        },
    }


def counts_by_name(counts: Counts) -> dict[str, float]:
    return {f"{name}/{label}": value for (name, label), value in sorted(counts.items())}


async def write(path: Path) -> dict[str, Any]:
    """A new file; gives what it holds, by account."""
    storage = Storage(path, keep=ACCOUNTS, window=WEEK)
    await storage.open()
    progress = Progress(SAVED_AT, LISTED_INTERVALS)
    held = {}
    for account, build in ACCOUNTS.items():
        ledger = build()
        changes = ledger.take_changes()
        held[account] = contents(ledger, changes.coverage, progress)
        await storage.save(account, changes, progress)
    await storage.close()
    return held


def main() -> None:
    path = FOLDER / f"schema-{SCHEMA_VERSION}.sqlite"
    held = asyncio.run(write(path))
    path.with_suffix(".json").write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
