"""Measurements: separate processes, CPU seconds, memory and event loop stalls."""

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
    """Runs in a new process, so that measurements do not share memory."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(call, arguments, options)


def median_ratio(ours: Sequence[float], floor: Sequence[float]) -> float:
    """Median ratio of pairs measured alternately, so that other load affects both."""
    return statistics.median(mine / least for mine, least in zip(ours, floor, strict=True))


def peak_bytes() -> int:
    """Peak resident memory of this process in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def resident_bytes() -> int:
    """Current resident memory of this process in bytes; the peak where it cannot be read."""
    with suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * resource.getpagesize()
    return peak_bytes()


@asynccontextmanager
async def watched(stalls: list[float], wake_seconds: float = WAKE_SECONDS) -> AsyncIterator[None]:
    """Records how late a task runs that is due every few milliseconds."""

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
    """Only the longest callback: a list of all would itself stall the loop during garbage collection."""

    longest_seconds: float = 0.0


@contextmanager
def timed_turns() -> Iterator[Turns]:
    """Measures the CPU seconds of the event loop's callbacks: how long one delays all others.

    It uses the thread's CPU clock, not wall-clock time, so that other processes have no effect.
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
