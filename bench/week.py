"""Checks that memory stays flat: a week of polls of a busy account, with real HTTP and a state file.

The clock is manual, one hour per poll; each poll lists two hours and a slice of the rest. The window is full
from the first poll.
"""

import asyncio
import statistics
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from bench.account import WEEK, Span, served
from bench.measuring import elsewhere, resident_bytes
from bench.program import program
from bench.table import TIMES, Row
from tests.support.clock import SATURDAY

SECTION: Final = "A week"
HOUR: Final = 3600.0


class Day(NamedTuple):
    resident_bytes: float
    """Median over the polls."""
    tracked: int


def live(base_url: str, days: int, polls_a_day: int) -> list[Day]:
    """Measures polls over `days` days."""
    step = 86400 / polls_a_day
    poll = {"interval": step, "recent": 2 * step, "sweep_interval": 86400.0}

    async def measure() -> list[Day]:
        measured = []
        with tempfile.TemporaryDirectory(prefix="bench-week-") as folder:
            async with program(base_url, poll, Path(folder) / "state.sqlite") as bench:
                await bench.poll(step)
                for _ in range(days):
                    resident = []
                    for _ in range(polls_a_day):
                        await bench.poll(step)
                        resident.append(resident_bytes())
                    measured.append(Day(statistics.median(resident), bench.tracked))
        return measured

    return asyncio.run(measure())


def measure(operations_an_hour: int, days: int, polls_a_day: int = 24) -> list[Row]:
    start, end = SATURDAY - WEEK, SATURDAY + (days + 1) * 86400
    count = round((end - start) / HOUR * operations_an_hour)
    with served(Span(count, start, end)) as base_url:
        measured: list[Day] = elsewhere(live, base_url, days, polls_a_day)
    first, middle, last = (measured[day].resident_bytes for day in (0, days // 2, -1))
    what = f"{days} days of {operations_an_hour:,} operations an hour: memory on the last day"
    figures = f"day 1: {first / 1e6:.0f} MB, {measured[0].tracked:,} operations"
    return [
        Row(SECTION, what, last / first, TIMES, figures, 1.05),
        Row(SECTION, "the same", last / middle, TIMES, f"day {days // 2 + 1}: {middle / 1e6:.0f} MB", 1.05),
    ]
