"""The cost of listing: the first listing of a large account, and steady polls by number of known operations.

The baseline reads the same pages from the same server with aiohttp and decodes them with msgspec into structs
of the documented form.
"""

import asyncio
import gc
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import aiohttp
import msgspec

from bench.account import WEEK, YOUNG_SECONDS, Span, served
from bench.measuring import elsewhere, median_ratio, peak_bytes, timed_turns
from bench.program import program
from bench.table import TIMES, Row
from exporter.ledger.packing import pack
from exporter.twilio import protocol as wire
from tests.support.clock import SATURDAY

SECTION: Final = "Listing"
INTERVAL: Final = 60.0
DENSE: Final = 5_000
"""Operations of the last two hours, independent of the number of known operations."""


class _Page(msgspec.Struct):
    operations: list[wire._Operation]
    pagination: wire._Pagination


_PAGE: Final = msgspec.json.Decoder(_Page)


class First(NamedTuple):
    cpu_seconds: float
    peak_bytes: int
    """Peak of the whole process."""
    grown_bytes: int
    longest_turn_seconds: float
    operations: int


class Steady(NamedTuple):
    """Figures of one poll."""

    requests: int
    listed: int
    cpu_seconds: float
    longest_turn_seconds: float


def list_first(base_url: str, *, saved: bool = False) -> First:
    """Measures the first poll; with `saved`, of an exporter with a state file."""

    async def measure(state: Path | None) -> First:
        async with program(base_url, state=state) as bench:
            memory, before = peak_bytes(), time.process_time()
            with timed_turns() as turns:
                finished, _ = await bench.poll(INTERVAL)
            cpu_seconds = time.process_time() - before
        peak = peak_bytes()
        return First(cpu_seconds, peak, peak - memory, turns.longest_seconds, finished.listed_operations)

    with tempfile.TemporaryDirectory(prefix="bench-listing-") as folder:
        return asyncio.run(measure(Path(folder) / "state.sqlite" if saved else None))


def list_barely(base_url: str, *, keep: bool) -> float:
    """CPU seconds of the baseline; with `keep` it also keeps each packed operation in a dict."""
    kept: dict[str, bytes] = {}

    async def measure() -> float:
        gc.freeze()
        async with aiohttp.ClientSession() as session:
            before = time.process_time()
            token: str | None = None
            while True:
                request = wire.list_request(SATURDAY - WEEK, SATURDAY, token)
                async with session.get(base_url + request.path, params=request.query) as reply:
                    body = await reply.read()
                if keep:
                    page = wire.read_page(body)
                    kept.update({each.id: pack(each) for each in page.operations})
                    token = page.next_token
                else:
                    token = _PAGE.decode(body).pagination.next
                if token is None:
                    return time.process_time() - before

    return asyncio.run(measure())


def poll_steadily(base_url: str, count: int, poll: dict[str, float]) -> list[Steady]:
    """Measures polls after the first."""

    async def measure() -> list[Steady]:
        polls = []
        async with program(base_url, poll) as bench:
            await bench.poll(INTERVAL)
            for _ in range(count):
                before = time.process_time()
                with timed_turns() as turns:
                    finished, requests = await bench.poll(INTERVAL)
                cpu_seconds = time.process_time() - before
                polls.append(Steady(requests, finished.listed_operations, cpu_seconds, turns.longest_seconds))
        return polls

    return asyncio.run(measure())


def first(operations: int, pairs: int) -> list[Row]:
    firsts: list[First] = []
    saving: list[First] = []
    floors, keeping = [], []
    with served(Span(operations, SATURDAY - WEEK + 1, SATURDAY - 2 * YOUNG_SECONDS)) as base_url:
        for _ in range(pairs):
            floors.append(elsewhere(list_barely, base_url, keep=False))
            firsts.append(elsewhere(list_first, base_url))
            saving.append(elsewhere(list_first, base_url, saved=True))
            keeping.append(elsewhere(list_barely, base_url, keep=True))
    if {each.operations for each in firsts} != {operations}:
        raise LookupError("not all of the operations were listed")
    many = f"first listing of {operations:,} operations"
    ours = [each.cpu_seconds for each in firsts]
    turn = min(each.longest_turn_seconds for each in firsts)
    return [
        Row(
            SECTION, f"{many}: CPU", median_ratio(ours, floors), TIMES, "getting and decoding the pages", 2.5
        ),
        Row(SECTION, "the same", median_ratio(ours, keeping), TIMES, "that, and a dict of packed operations"),
        Row(
            SECTION,
            "a dict of packed operations alone",
            median_ratio(keeping, floors),
            TIMES,
            "getting and decoding the pages",
        ),
        Row(
            SECTION,
            f"{many}, with a state file: CPU",
            median_ratio([each.cpu_seconds for each in saving], ours),
            TIMES,
            "without a state file",
            1.5,
        ),
        Row(SECTION, f"{many}: peak memory", max(each.peak_bytes for each in firsts) / 1e6, "MB", "", 300.0),
        Row(
            SECTION,
            "memory per operation at the peak",
            max(each.grown_bytes for each in firsts) / operations,
            "bytes",
        ),
        Row(SECTION, f"{many}: longest callback", turn * 1e3, "ms", "CPU time of one event loop callback"),
    ]


def steady(sizes: Sequence[int], polls: int) -> list[Row]:
    """The same poll by number of known operations: 5,000 of the last two hours and a page of the rest."""
    rows = []
    least = None
    for size in sizes:
        measured = _steadily(size, polls)
        cost = statistics.median(each.cpu_seconds / each.listed for each in measured)
        least = least or cost
        listed = statistics.median(each.listed for each in measured)
        requests = statistics.median(each.requests for each in measured)
        turn = statistics.median(each.longest_turn_seconds for each in measured)
        what = f"steady poll, {size:,} known"
        figures = f"{requests:.0f} requests, {listed:,.0f} listed"
        beside = f"the first row of these; {figures}"
        rows += [
            Row(SECTION, f"{what}: CPU per listed operation", cost / least, TIMES, beside, 1.5),
            Row(
                SECTION,
                f"{what}: longest callback",
                turn * 1e3,
                "ms",
                "CPU time of one event loop callback",
                20.0,
            ),
        ]
    return rows


def _steadily(size: int, polls: int) -> list[Steady]:
    recent, until = SATURDAY - 7200, SATURDAY + INTERVAL * (polls + 2)
    older = Span(size - DENSE, SATURDAY - WEEK + INTERVAL * (polls + 2), recent)
    dense = Span(round(DENSE * (until - recent) / 7200), recent, until)
    # So long a sweep that each poll lists about one page of the older part.
    poll = {"sweep_interval": INTERVAL * (size // wire.PAGE_SIZE + 2)}
    with served(older, dense) as base_url:
        return elsewhere(poll_steadily, base_url, polls, poll)


def everyday(operations: int, polls: int) -> list[Row]:
    """The cost of an account with the default settings: two hours and a fifteenth of the rest per poll."""
    end = SATURDAY + INTERVAL * (polls + 2)
    with served(Span(operations, SATURDAY - WEEK, end)) as base_url:
        measured = elsewhere(poll_steadily, base_url, polls, {})
    requests = statistics.median(each.requests for each in measured)
    listed = statistics.median(each.listed for each in measured)
    share = statistics.median(each.cpu_seconds for each in measured) / INTERVAL * 100
    turn = statistics.median(each.longest_turn_seconds for each in measured)
    what = f"poll with the default settings, {operations:,} known"
    return [
        Row(SECTION, f"{what}: of one core", share, "%", f"{requests:.0f} requests, {listed:,.0f} listed"),
        Row(
            SECTION,
            f"{what}: longest callback",
            turn * 1e3,
            "ms",
            "CPU time of one event loop callback",
            20.0,
        ),
    ]
