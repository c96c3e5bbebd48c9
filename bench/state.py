"""The cost of the state file with a million operations.

A commit of changed rows compared with the same bytes in a plain file, and loading compared with reading the
rows. Each step runs in its own process.
"""

import asyncio
import os
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Final, NamedTuple

from bench.account import UNFINISHED_SHARE, WEEK, Span, drawn
from bench.measuring import WAKE_SECONDS, elsewhere, median_ratio, peak_bytes, watched
from bench.table import TIMES, Row
from exporter.ledger import saved as state
from exporter.ledger.counters import COUNTED, ZERO, counted
from exporter.ledger.packing import pack, pack_marks
from exporter.ledger.saved import Changes, Progress
from exporter.storage.sqlite import Storage
from tests.support.clock import SATURDAY, ManualClock
from tests.support.rig import poller_of
from tests.support.twilio import PlainTwilio

SECTION: Final = "State"
ACCOUNT: Final = "bench"
COMMITS: Final = 7
PROGRESS: Final = Progress(SATURDAY, ())


class Writing(NamedTuple):
    """Seconds of single commits, and of writing plain files of the same size."""

    commits: list[float]
    plain: list[float]

    @property
    def ratio(self) -> float:
        return statistics.median(self.commits) / statistics.median(self.plain)


class Loading(NamedTuple):
    """Figures of loading the state."""

    cpu_seconds: float
    stall_seconds: float
    memory_bytes: int
    operations: int


def saved_rows(count: int) -> Iterator[state.Row]:
    """Rows of one week, oldest first; a few have stats below their high-water marks."""
    dice = random.Random(2)
    for each in drawn(Span(count, SATURDAY - WEEK, SATURDAY, UNFINISHED_SHARE)):
        fallen = dice.random() < 0.01
        once = tuple([(value or 0) + 1 for value in counted(each.stats)]) if fallen else None
        yield state.Row(each.id, pack(each, each.is_final), pack_marks(once) if once else None)


def fill(path: Path, count: int) -> int:
    """Writes a state file with `count` operations; returns its size in bytes."""

    async def save() -> int:
        async with opened(path) as storage:
            await storage.save(ACCOUNT, changes(list(saved_rows(count))), PROGRESS)
            return storage.bytes_on_disk()

    return asyncio.run(save())


def write(path: Path, count: int, changed: int, *, newest: bool) -> Writing:
    """Measures commits of the newest rows, or of rows of any age."""
    rows = list(saved_rows(count))
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


def plainly_written(path: Path, rows: Sequence[state.Row]) -> float:
    content = b"".join(row.id.encode() + row.packed + (row.marks or b"") for row in rows)
    before = time.perf_counter()
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return time.perf_counter() - before


def fetch(path: Path) -> float:
    """CPU seconds of reading every row from SQLite, and nothing else."""
    with closing(sqlite3.connect(path)) as connection:
        before = time.process_time()
        connection.execute("SELECT id, packed, marks, crc FROM operations").fetchall()
        return time.process_time() - before


def load(path: Path) -> Loading:
    """Measures loading, from opening the file to the first snapshot."""

    async def measure() -> Loading:
        poller = poller_of(ACCOUNT, PlainTwilio(), ManualClock())
        stalls = [0.0]
        async with watched(stalls):
            memory, before = peak_bytes(), time.process_time()
            async with opened(path) as storage:
                restored = await storage.load(ACCOUNT, poller.rebuild)
                if restored is None:
                    raise LookupError(f"{path} holds nothing of {ACCOUNT}")
                snapshot = poller.resume(restored)
                cpu_seconds = time.process_time() - before
                await asyncio.sleep(2 * WAKE_SECONDS)  # to see what the last step held up
        return Loading(cpu_seconds, max(stalls), peak_bytes() - memory, snapshot.tracked_operations)

    return asyncio.run(measure())


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Storage]:
    storage = Storage(path, keep=[ACCOUNT], window=WEEK)
    await storage.open()
    try:
        yield storage
    finally:
        await storage.close()


def changes(rows: list[state.Row]) -> Changes:
    return Changes(rows, [], SATURDAY - WEEK, {**ZERO, ("stat", COUNTED[0]): len(rows)})


def measure(operations: int, changed: int, pairs: int) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="bench-state-") as folder:
        path = Path(folder) / "state.sqlite"
        disk_bytes = elsewhere(fill, path, operations)
        newest = elsewhere(write, path, operations, changed, newest=True)
        anywhere = elsewhere(write, path, operations, changed, newest=False)
        loadings: list[Loading] = []
        fetchings: list[float] = []
        for _ in range(pairs):
            loadings.append(elsewhere(load, path))
            fetchings.append(elsewhere(fetch, path))
    loading = loadings[0]
    if loading.operations != operations:
        raise LookupError(f"{loading.operations} of {operations} operations were loaded")
    plain = "the same bytes in a plain file, fsync included"
    commit = f"commit of {changed:,} changed rows"
    memory = loading.memory_bytes / operations
    cpu = [each.cpu_seconds for each in loadings]
    ratio = median_ratio(cpu, fetchings)
    stall = min(each.stall_seconds for each in loadings)
    return [
        Row(SECTION, f"{commit}, the newest", newest.ratio, TIMES, plain),
        Row(SECTION, f"{commit}, of any age", anywhere.ratio, TIMES, plain),
        Row(
            SECTION,
            f"loading {operations:,} operations: CPU",
            ratio,
            TIMES,
            "reading the rows from SQLite",
            3.0,
        ),
        Row(SECTION, "the same", min(cpu), "s", "CPU from opening the file to the first snapshot", 5.0),
        Row(
            SECTION,
            "longest event loop stall while loading",
            stall * 1e3,
            "ms",
            f"the lower of {pairs}",
            100.0,
        ),
        Row(SECTION, "bytes per operation on disk", disk_bytes / operations, "bytes"),
        Row(SECTION, "memory per operation at the peak, after loading", memory, "bytes", "", 400.0),
    ]
