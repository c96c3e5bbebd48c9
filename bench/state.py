"""What the state costs: `python -m bench.state`.

Prints, for a state file of a million operations: a commit of 5,000 changed rows against the same bytes
written to a plain file, the loading of it all against merely fetching the rows, the longest stall of the
event loop meanwhile, and the bytes that an operation takes on disk and in memory. Each step has a process
of its own, so that none finds another's memory; times are the machine's.
"""

import argparse
import asyncio
import multiprocessing
import os
import random
import resource
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from exporter.counting import COUNTED, ZERO, counted
from exporter.operation import Operation, stats_of
from exporter.packing import Entry, pack, pack_marks
from exporter.poller import Poller, PollSettings
from exporter.simulator.ids import operation_id
from exporter.state import Changes, Progress, Row
from exporter.storage import Storage
from tests.clock import SATURDAY, ManualClock
from tests.twilio import PlainTwilio

ACCOUNT: Final = "bench"
WEEK: Final = 7 * 86400.0
COMMITS: Final = 7
WAKE_SECONDS: Final = 0.005
PROGRESS: Final = Progress(SATURDAY, ())
SETTINGS: Final = PollSettings(
    interval=60.0, lookback=WEEK, recent=86400.0, sweep_interval=3600.0, concurrency=4, worst=20
)

T = TypeVar("T")


def drawn(count: int, seed: int = 1) -> Iterator[Row]:
    """Operations of one week, oldest first; the same for the same seed.

    Most are of one to three mails, some of hundreds; a few are not final, or show less than they once did.
    """
    dice = random.Random(seed)
    for number in range(count):
        created_at = SATURDAY - WEEK + WEEK * number / count
        mails = dice.randint(100, 900) if dice.random() < 0.02 else dice.choice((1, 1, 1, 1, 2, 2, 3))
        failed = sum(dice.random() < 0.02 for _ in range(min(mails, 10)))
        opened = (mails - failed) // 2
        stats = stats_of(
            total=mails,
            recipients=mails,
            attempts=mails,
            scheduled=0,
            queued=0,
            sent=0,
            delivered=mails - failed - opened,
            opened=opened,
            undelivered=failed // 2,
            failed=failed - failed // 2,
            canceled=0,
        )
        status = "processing" if dice.random() < 0.005 else "completed"
        name = operation_id(round(created_at * 1000), dice.getrandbits(80))
        updated_at = created_at + dice.expovariate(1 / 20)
        packed = pack(Entry(Operation(name, status, created_at, updated_at, stats), status == "completed"))
        once = tuple([(value or 0) + 1 for value in counted(stats)]) if dice.random() < 0.01 else None
        yield Row(name, packed, pack_marks(once) if once else None)


class Writing(NamedTuple):
    """Seconds of single commits and of plain files of as many bytes."""

    commits: list[float]
    plain: list[float]

    @property
    def seconds(self) -> float:
        return statistics.median(self.commits)

    @property
    def ratio(self) -> float:
        return self.seconds / statistics.median(self.plain)


class Loading(NamedTuple):
    """What it took to take up the state again."""

    seconds: float
    stall_seconds: float
    memory_bytes: int
    operations: int


class Measured(NamedTuple):
    """All that the table shows."""

    operations: int
    changed: int
    newest: Writing
    anywhere: Writing
    loading: Loading
    fetching_seconds: float
    disk_bytes: int


class Line(NamedTuple):
    """A line of the table; without a goal it only tells."""

    what: str
    figure: str
    beside: str = ""
    goal: str = ""
    met: bool = True


def fill(path: Path, count: int) -> int:
    """A state file of so many operations; gives its bytes."""

    async def save() -> int:
        async with opened(path) as storage:
            await storage.save(ACCOUNT, changes(list(drawn(count))), PROGRESS)
            return storage.bytes_on_disk()

    return asyncio.run(save())


def write(path: Path, count: int, changed: int, *, newest: bool) -> Writing:
    """Commits of the newest rows, or of any."""
    rows = list(drawn(count))
    candidates = rows[-2 * changed :] if newest else rows
    dice = random.Random(2)

    async def measure() -> Writing:
        writing = Writing([], [])
        async with opened(path) as storage:
            for _ in range(COMMITS):
                some = dice.sample(candidates, min(changed, len(candidates)))
                before = time.perf_counter()
                await storage.save(ACCOUNT, changes(some), PROGRESS)
                writing.commits.append(time.perf_counter() - before)
                writing.plain.append(plainly_written(path.with_name("plain"), some))
        return writing

    return asyncio.run(measure())


def plainly_written(path: Path, rows: Sequence[Row]) -> float:
    content = b"".join(row.id.encode() + row.packed + (row.marks or b"") for row in rows)
    before = time.perf_counter()
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return time.perf_counter() - before


def fetch(path: Path) -> float:
    """Seconds of reading every row and doing nothing with it."""
    with closing(sqlite3.connect(path)) as connection:
        before = time.perf_counter()
        connection.execute("SELECT id, packed, marks, crc FROM operations").fetchall()
        return time.perf_counter() - before


def load(path: Path) -> Loading:
    """What a start does, from opening the file to the first snapshot."""

    async def measure() -> Loading:
        poller = Poller(ACCOUNT, PlainTwilio(), ManualClock(), SETTINGS, lambda _: None, lambda _, __: None)
        stalls = [0.0]
        async with watched(stalls):
            memory, before = peak_bytes(), time.perf_counter()
            async with opened(path) as storage:
                resumption = await storage.load(ACCOUNT, poller.rebuild)
                if resumption is None:
                    raise LookupError(f"{path} holds nothing of {ACCOUNT}")
                snapshot = poller.resume(resumption)
                seconds = time.perf_counter() - before
                await asyncio.sleep(2 * WAKE_SECONDS)  # to see what the last step held up
        return Loading(seconds, max(stalls), peak_bytes() - memory, snapshot.tracked_operations)

    return asyncio.run(measure())


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Storage]:
    storage = Storage(path, keep=[ACCOUNT], window=WEEK)
    await storage.open()
    try:
        yield storage
    finally:
        await storage.close()


@asynccontextmanager
async def watched(stalls: list[float]) -> AsyncIterator[None]:
    """Notes how late a task is that wants to run every few milliseconds."""

    async def watch() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(WAKE_SECONDS)
            stalls.append(time.perf_counter() - before - WAKE_SECONDS)

    task = asyncio.create_task(watch())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def changes(rows: list[Row]) -> Changes:
    return Changes(rows, [], SATURDAY - WEEK, {**ZERO, ("stat", COUNTED[0]): len(rows)})


def peak_bytes() -> int:
    """The most memory that this process ever had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def elsewhere(call: Callable[..., T], *arguments: object, **options: object) -> T:
    """In a new process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(call, arguments, options)


def measure(operations: int, changed: int) -> Measured:
    with tempfile.TemporaryDirectory(prefix="bench-state-") as folder:
        path = Path(folder) / "state.sqlite"
        disk_bytes = elsewhere(fill, path, operations)
        return Measured(
            operations,
            changed,
            newest=elsewhere(write, path, operations, changed, newest=True),
            anywhere=elsewhere(write, path, operations, changed, newest=False),
            loading=elsewhere(load, path),
            fetching_seconds=elsewhere(fetch, path),
            disk_bytes=disk_bytes,
        )


def lines(measured: Measured) -> Iterator[Line]:
    for where, writing in (("the newest", measured.newest), ("of any age", measured.anywhere)):
        yield Line(
            f"commit of {measured.changed:,} changed rows, {where}",
            f"{writing.seconds * 1e3:.0f} ms",
            f"{writing.ratio:.1f} times the same bytes in a plain file, fsync included",
        )
    loading, count = measured.loading, measured.operations
    yield Line(
        f"loading {count:,} operations",
        f"{loading.seconds:.2f} s",
        f"{loading.seconds / measured.fetching_seconds:.1f} times fetchall of the same rows",
        "5 s",
        loading.seconds < 5,
    )
    stall = loading.stall_seconds
    yield Line("longest stall of the loop meanwhile", f"{stall * 1e3:.0f} ms", "", "100 ms", stall < 0.1)
    yield Line("on disk, an operation", f"{measured.disk_bytes / count:.0f} bytes")
    a_million = loading.memory_bytes / count * 1e6
    yield Line(
        "in memory, an operation",
        f"{loading.memory_bytes / count:.0f} bytes",
        f"{a_million / 1e6:.0f} MB for a million, at the peak",
        "400 MB",
        a_million < 400e6,
    )


def table(measured: Measured) -> str:
    head = ("", "figure", "which is", "goal", "met")
    rows = [
        (each.what, each.figure, each.beside, each.goal, ("yes" if each.met else "NO") if each.goal else "")
        for each in lines(measured)
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--operations", type=int, default=1_000_000, help="default: a million")
    parser.add_argument("--changed", type=int, default=5_000, help="rows in a commit (default: 5,000)")
    arguments = parser.parse_args()
    print(table(measure(arguments.operations, arguments.changed)))


if __name__ == "__main__":
    main()
