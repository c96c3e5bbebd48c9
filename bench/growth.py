"""What a minute of polls and a scrape cost, by the number of operations and by the number of accounts.

Each figure is given at every size. Its growth is the steepest between two sizes, as the power of the size: 0
if it stays the same, 1 if it doubles when the size does.
"""

import asyncio
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from bench.account import WEEK, Span, served
from bench.measuring import elsewhere, resident_bytes
from bench.program import program
from bench.table import Row
from exporter.metrics.negotiation import OPENMETRICS
from exporter.web.service import exposition_of
from tests.support.clock import SATURDAY

SECTION: Final = "Growth"
INTERVAL: Final = 60.0
OF_AN_ACCOUNT: Final = 100
"""Operations a week of each of many accounts."""

GOAL: Final = 1.1
"""A little more than in proportion: steps of whole pages, and noise."""


class Cost(NamedTuple):
    cpu_seconds: float
    """Of the polls of all accounts and one scrape."""
    requests: float
    resident_bytes: float
    page_bytes: float
    gzipped_bytes: float


def cost(base_url: str, accounts: int, polls: int) -> Cost:
    """Medians over the polls after the first."""

    async def measure() -> Cost:
        cpu_seconds, requests = [], []
        async with program(base_url, accounts=accounts) as bench:
            exposition = exposition_of(bench.hub.metrics, bench.clock)
            await bench.poll_all(INTERVAL)
            for _ in range(polls):
                before = time.process_time()
                requests.append(await bench.poll_all(INTERVAL))
                gzipped = await exposition.gzipped_page(OPENMETRICS)
                cpu_seconds.append(time.process_time() - before)
            resident = resident_bytes()
            page = await exposition.page(OPENMETRICS)
        return Cost(
            statistics.median(cpu_seconds), statistics.mean(requests), resident, len(page), len(gzipped)
        )

    return asyncio.run(measure())


def by_operations(sizes: Sequence[int], polls: int) -> list[Row]:
    end = SATURDAY + INTERVAL * (polls + 2)
    costs = {}
    for size in sizes:
        with served(Span(size, SATURDAY - WEEK, end)) as base_url:
            costs[size] = elsewhere(cost, base_url, 1, polls)
    return compared("operations a week", costs)


def by_accounts(sizes: Sequence[int], polls: int) -> list[Row]:
    with served(Span(OF_AN_ACCOUNT, SATURDAY - WEEK, SATURDAY)) as base_url:
        costs = {size: elsewhere(cost, base_url, size, polls) for size in sizes}
    return compared(f"accounts with {OF_AN_ACCOUNT} operations each", costs)


FIGURES: Final[tuple[tuple[str, str, Callable[[Cost], float]], ...]] = (
    ("CPU a minute", "ms", lambda cost: cost.cpu_seconds * 1e3),
    ("requests a minute", "", lambda cost: cost.requests),
    ("memory", "MB", lambda cost: cost.resident_bytes / 1e6),
    ("page", "kB", lambda cost: cost.page_bytes / 1e3),
    ("page, gzip", "kB", lambda cost: cost.gzipped_bytes / 1e3),
)


def compared(what: str, costs: Mapping[int, Cost]) -> list[Row]:
    sizes = ", ".join(f"{size:,}" for size in costs)
    rows = []
    for name, unit, of in FIGURES:
        figures = {size: of(each) for size, each in costs.items()}
        shown = ", ".join(
            f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}" for figure in figures.values()
        )
        beside = f"{shown} {unit}".rstrip() + f" at {sizes} {what}"
        rows.append(Row(SECTION, f"{name}: growth with {what}", growth(figures), "", beside, GOAL))
    return rows


def growth(figures: Mapping[int, float]) -> float:
    """The steepest power between two consecutive sizes; 0 if all fall."""
    sizes = list(figures)
    powers = [
        math.log(figures[larger] / figures[smaller]) / math.log(larger / smaller)
        for smaller, larger in pairwise(sizes)
    ]
    return max(0.0, *powers)


def measure(operations: Sequence[int], accounts: Sequence[int], polls: int) -> list[Row]:
    return [*by_operations(operations, polls), *by_accounts(accounts, polls)]
