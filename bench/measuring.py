"""Processes of their own, CPU seconds, memory and stalls."""

import asyncio
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

WAKE_SECONDS: Final = 0.005

T = TypeVar("T")


def elsewhere(call: Callable[..., T], *arguments: object, **options: object) -> T:
    """In a new process: none finds another's memory."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(call, arguments, options)


def median_ratio(ours: Sequence[float], floor: Sequence[float]) -> float:
    """Of pairs that were measured in turns, so that what else the machine does hits both."""
    return statistics.median(mine / least for mine, least in zip(ours, floor, strict=True))


def peak_bytes() -> int:
    """The most memory that this process ever had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def resident_bytes() -> int:
    """The memory that this process has now; where nothing tells, the most it ever had."""
    with suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize()
    return peak_bytes()


@asynccontextmanager
async def watched(stalls: list[float], wake_seconds: float = WAKE_SECONDS) -> AsyncIterator[None]:
    """Notes how late a task is that wants to run every few milliseconds."""

    async def watch() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(wake_seconds)
            stalls.append(time.perf_counter() - before - wake_seconds)

    task = asyncio.create_task(watch())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@dataclass
class Turns:
    """A list of them all would itself hold up the loop, whenever the garbage collector looks through it."""

    longest_seconds: float = 0.0


@contextmanager
def timed_turns() -> Iterator[Turns]:
    """CPU seconds of the loop's callbacks: how long one keeps all others waiting.

    The clock of the thread and not of the wall, so that other processes do not show.
    """
    run = asyncio.Handle._run  # noqa: SLF001 - asyncio has no hook for it
    turns = Turns()

    def timed(handle: asyncio.Handle) -> None:
        before = time.thread_time()
        run(handle)
        turns.longest_seconds = max(turns.longest_seconds, time.thread_time() - before)

    asyncio.Handle._run = timed  # type: ignore[method-assign, assignment] # noqa: SLF001 - same
    try:
        yield turns
    finally:
        asyncio.Handle._run = run  # type: ignore[method-assign] # noqa: SLF001 - same
