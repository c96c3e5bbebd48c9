"""Simulates a month in minutes, to find lost or invented counts and leaks: `python -m bench.soak`.

Prints, at the end of each simulated day, memory, handles, threads, tasks, the size of the state file and the
lost and invented counts so far; at the end each counter, and each figure with its limit. Exit code 1 if a
limit is exceeded. tests/support/month.py defines the events of the month.

The simulated Twilio runs in the same process: its memory and its ends of the connections are included.
"""

import argparse
import asyncio
import ctypes
import gc
import logging
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from tests.support.disk import unsynced
from tests.support.month import DAY, Month, Plan, played


class Measured(NamedTuple):
    """The process at one instant."""

    day: float
    resident_bytes: int
    blocks: int
    """Memory blocks allocated by the interpreter: memory in use, without the allocator's overhead."""
    handles: int
    threads: int
    tasks: int
    state_bytes: int
    operations: int
    polls: int
    failed_polls: int
    lost: float
    invented: float


def measure(month: Month) -> Measured:
    witnesses = [witness for _, witness in month.witnesses()]
    return Measured(
        month.clock.monotonic() / DAY,
        resident_bytes(),
        sys.getallocatedblocks(),
        handles(),
        threading.active_count(),
        len(asyncio.all_tasks()),
        month.state_bytes(),
        month.tracked_operations(),
        month.polls,
        month.failed_polls,
        sum(sum(witness.lost.values()) for witness in witnesses),
        sum(sum(witness.invented.values()) for witness in witnesses),
    )


def resident_bytes() -> int:
    """Measures after the C library has returned free memory, where it can."""
    gc.collect()
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def handles() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


class Limit(NamedTuple):
    """A figure and the limit that it must not exceed at the end."""

    what: str
    figure: float
    limit: float
    reason: str

    @property
    def met(self) -> bool:
        return self.figure <= self.limit


def limits(result: "Result") -> list[Limit]:
    """Compares the last measurement with the first; each is taken late in the life of a process."""
    first, last = result.measured[0], result.measured[-1]
    connections = 4 * len(result.plan.cast)
    return [
        Limit("emails lost", last.lost, 0, "nothing may be lost"),
        Limit("emails invented", last.invented, 0, "nothing may be invented"),
        Limit(
            "memory in use, to the first",
            last.blocks / first.blocks,
            1.2,
            "up to 4,096 packed stats are cached; the number of operations varies by a tenth",
        ),
        Limit(
            "resident memory, to the first",
            last.resident_bytes / first.resident_bytes,
            1.25,
            "the same, and fragmentation",
        ),
        Limit(
            "state file, bytes an operation at the most",
            last.state_bytes / max(each.operations for each in result.measured),
            250,
            "pages are half full; rows of removed accounts are kept for the length of the window",
        ),
        Limit(
            "handles more than at first",
            last.handles - first.handles,
            connections,
            "two connections per account, counted at both ends",
        ),
        Limit(
            "tasks more than at first",
            last.tasks - first.tasks,
            connections,
            "one for each connection of the simulators, and one for its request",
        ),
        Limit(
            "threads more than at first",
            last.threads - first.threads,
            6,
            "thread pool of the event loop on two cores",
        ),
        Limit("handles left after the last stop", result.handles_left, 0, "everything opened must be closed"),
        Limit("tasks left after the last stop", result.tasks_left, 0, "all tasks must have ended"),
    ]


class Count(NamedTuple):
    """One counter of one account over one coverage."""

    account: str
    stat: str
    counted: float
    lost: float
    invented: float
    unsure: float
    """What only failed polls, or no poll, can have seen: the counter may be higher by this."""


class Result(NamedTuple):
    plan: Plan
    measured: list[Measured]
    counts: list[Count]
    happened: Counter[str]
    handles_left: int
    tasks_left: int


async def soak(plan: Plan, tell: Callable[[Measured], None] = lambda _: None) -> Result:
    """Runs the plan."""
    measured: list[Measured] = []

    def measure_and_print(month: Month) -> None:
        measured.append(measure(month))
        tell(measured[-1])

    with tempfile.TemporaryDirectory(prefix="soak-") as folder, unsynced():
        async with played(plan, Path(folder), measure_and_print) as month:
            handles_before, tasks_before = handles(), len(asyncio.all_tasks())
            logging.disable(logging.CRITICAL)  # thousands of failures, all on purpose
            try:
                await month.run()
            finally:
                logging.disable(logging.NOTSET)
            for _ in range(100):  # the simulators' ends of the connections close, too
                await asyncio.sleep(0)
            left = handles() - handles_before, len(asyncio.all_tasks()) - tasks_before
    counts = [
        Count(account, stat, counted, witness.lost[stat], witness.invented[stat], unsure)
        for account, witness in month.witnesses()
        for stat, counted, unsure in witness.summary()
    ]
    return Result(plan, measured, counts, month.happened, *left)


COLUMNS: Final[tuple[tuple[str, Callable[[Measured], str]], ...]] = (
    ("day", lambda each: f"{each.day:.1f}"),
    ("RSS MB", lambda each: f"{each.resident_bytes / 1e6:.1f}"),
    ("blocks", lambda each: f"{each.blocks:,}"),
    ("handles", lambda each: f"{each.handles}"),
    ("threads", lambda each: f"{each.threads}"),
    ("tasks", lambda each: f"{each.tasks}"),
    ("state kB", lambda each: f"{each.state_bytes / 1e3:.0f}"),
    ("operations", lambda each: f"{each.operations:,}"),
    ("polls", lambda each: f"{each.polls:,}"),
    ("failed", lambda each: f"{each.failed_polls:,}"),
    ("lost", lambda each: f"{each.lost:.0f}"),
    ("invented", lambda each: f"{each.invented:.0f}"),
)


def heading() -> str:
    return " ".join(f"{name:>10}" for name, _ in COLUMNS)


def line(measured: Measured) -> str:
    return " ".join(f"{text(measured):>10}" for _, text in COLUMNS)


def summary(result: Result) -> str:
    """The counts, the events, and each figure with its limit."""
    lines = [f"{'account':<12}{'status':<12}{'counted':>10}{'lost':>8}{'invented':>10}{'unsure':>8}"]
    lines += [
        f"{account:<12}{stat:<12}{counted:>10,.0f}{lost:>8.0f}{invented:>10.0f}{unsure:>8.0f}"
        for account, stat, counted, lost, invented, unsure in result.counts
    ]
    lines += ["", ", ".join(f"{count} {what}" for what, count in result.happened.items()), ""]
    lines += [
        f"{'ok ' if each.met else 'NO '} {each.what}: {each.figure:,.2f} of {each.limit:,.2f} ({each.reason})"
        for each in limits(result)
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--days", type=int, default=Plan.days, help="days to simulate (default: %(default)s)")
    parser.add_argument(
        "--interval",
        type=float,
        default=Plan.interval,
        help="poll interval in seconds (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=Plan.seed, help="random seed (default: %(default)s)")
    arguments = parser.parse_args()
    plan = Plan(arguments.days, arguments.interval, arguments.seed)
    began = time.perf_counter()
    print(heading())
    result = asyncio.run(soak(plan, lambda measured: print(line(measured), flush=True)))
    print(f"\n{summary(result)}\n{plan.days} days in {time.perf_counter() - began:.0f} s")
    return 0 if all(each.met for each in limits(result)) else 1


if __name__ == "__main__":
    sys.exit(main())
