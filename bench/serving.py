"""The cost of a scrape, and what it delays: 100 accounts, 25,000 series, 8 publishes a second.

Scrapes are compared with the same bytes served by bare aiohttp in the same process, in turns and with pauses,
so that many of them are the first after a publish. The scrapers run in their own process.
"""

import asyncio
import gc
import multiprocessing
import random
import statistics
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from itertools import cycle
from multiprocessing.pool import Pool
from typing import Any, Final, TypeVar

from aiohttp import ClientSession, web

from bench.measuring import timed_turns
from bench.table import TIMES, Row
from exporter.clock import SystemClock
from exporter.config.accounts import Account
from exporter.config.settings import Poll, Settings
from exporter.events import PollFinished, RequestFinished
from exporter.ledger.snapshot import Snapshot
from exporter.metrics.negotiation import OPENMETRICS, TEXT, Format
from exporter.observers.hub import Hub
from exporter.operation import STATS, Operation, Stats
from exporter.supervisor import Supervisor
from exporter.web.connections import Connections
from exporter.web.limits import limits_for
from exporter.web.listener import serving
from exporter.web.service import WebService
from tests.support.clock import SATURDAY
from tests.support.states import snapshot_of

SECTION: Final = "Serving"
OPERATIONS: Final = 8
"""Operations with failed mail per account: 8 series each."""

PUBLISHES_PER_SECOND: Final = 8.0
SCRAPE_INTERVAL: Final = 15.0
STORM: Final = 50
PAUSE_SECONDS: Final = 0.05
"""Longest pause before a scrape."""

CLOCK: Final = SystemClock()
LOOPBACK: Final = (("127.0.0.1", 0),)
PLAIN: Final = {"Accept": "text/plain", "Accept-Encoding": "identity"}
GZIP: Final = {"Accept": "application/openmetrics-text", "Accept-Encoding": "gzip"}

T = TypeVar("T")


def filled(top_failing: int, dice: random.Random) -> Snapshot:
    """Of operations with random stats: equal lines would compress better than real ones."""
    ids = (f"comms_operation_{dice.getrandbits(80):026}" for _ in range(top_failing))
    stats = (Stats(*(dice.randint(1, 10_000) for _ in STATS)) for _ in range(top_failing))
    return snapshot_of(
        (
            Operation(each, "completed", SATURDAY - 60, SATURDAY, its)
            for each, its in zip(ids, stats, strict=True)
        ),
        top_failing=top_failing,
    )


class Polls:
    """Publishes like polls of all accounts, evenly spread, and records how late."""

    def __init__(self, hub: Hub, names: Sequence[str]) -> None:
        dice = random.Random(1)
        self._hub = hub
        self._names = cycle(names)
        self._snapshots = cycle([filled(OPERATIONS, dice) for _ in range(101)])
        self.late: list[float] = []
        for _ in names:
            self.poll()

    def poll(self) -> None:
        """The end of the next account's poll."""
        name = next(self._names)
        self._hub.emit(RequestFinished(name, "list", "200", 0.2, 0.1))
        self._hub.publish(name, next(self._snapshots))
        self._hub.emit(PollFinished(name, time.time(), 0.2, None))

    async def run(self) -> None:
        due = time.perf_counter()
        while True:
            due += 1 / PUBLISHES_PER_SECOND
            await asyncio.sleep(due - time.perf_counter())
            self.late.append(time.perf_counter() - due)
            self.poll()


@asynccontextmanager
async def running(*coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(each) for each in coroutines]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def scrapes(urls: Sequence[str], rounds: int, headers: dict[str, str]) -> list[list[float]]:
    """Durations of scrapes of each URL, in turns, each read completely."""

    async def scrape() -> list[list[float]]:
        dice = random.Random(1)
        durations: list[list[float]] = [[] for _ in urls]
        async with ClientSession(auto_decompress=False) as session:
            for _ in range(rounds):
                for url, its in zip(urls, durations, strict=True):
                    await asyncio.sleep(dice.uniform(0, PAUSE_SECONDS))
                    before = time.perf_counter()
                    async with session.get(url, headers=headers) as reply:
                        await reply.read()
                    its.append(time.perf_counter() - before)
        return durations

    return asyncio.run(scrape())


def storm(url: str, seconds: float) -> tuple[int, int]:
    """Numbers of accepted and rejected scrapes, of many scrapers without pauses."""

    async def scraper(session: ClientSession, until: float, counts: dict[int, int]) -> None:
        while time.perf_counter() < until:
            async with session.get(url, headers=GZIP) as reply:
                await reply.read()
                counts[reply.status] = counts.get(reply.status, 0) + 1
            await asyncio.sleep(0.05 if reply.status == 503 else 0)

    async def rage() -> tuple[int, int]:
        counts: dict[int, int] = {}
        async with ClientSession(auto_decompress=False) as session:
            until = time.perf_counter() + seconds
            await asyncio.gather(*(scraper(session, until, counts) for _ in range(STORM)))
        return counts.get(200, 0), counts.get(503, 0)

    return asyncio.run(rage())


def p99(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


@asynccontextmanager
async def application_served(application: web.Application) -> AsyncIterator[str]:
    """The URL of its metrics."""
    connections = Connections(limits_for(None, 0), CLOCK)
    async with serving(application, LOOPBACK, connections, CLOCK) as bound:
        yield f"http://127.0.0.1:{bound[0][1]}/metrics"


def static(content: bytes) -> AbstractAsyncContextManager[str]:
    """The URL of a page that never changes."""

    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=content, content_type="text/plain")

    application = web.Application()
    application.add_routes([web.get("/metrics", handle)])
    return application_served(application)


class Exporter:
    """The exporter with everything but polls and state: hub, web service, and what renders ahead."""

    def __init__(self, accounts: int) -> None:
        names = [f"account-{number}" for number in range(accounts)]
        account = {"account_sid": f"AC{0:032x}", "auth_token": "secret"}
        settings = Settings(
            poll=Poll(interval=max(1.0, accounts / PUBLISHES_PER_SECOND)),
            accounts=tuple(Account.model_validate({"name": name, **account}) for name in names),
        )
        self.interval = settings.poll.interval
        self.hub = Hub(settings, CLOCK)
        self.polls = Polls(self.hub, names)
        self.web_service = WebService(settings, CLOCK, self.hub, Supervisor(), ())
        self.web_service.health.loaded = True

    @asynccontextmanager
    async def polled(self) -> AsyncIterator[str]:
        """The URL of the metrics, while polls go on."""
        async with (
            application_served(self.web_service.application) as url,
            running(self.polls.run(), self.web_service.render_ahead()),
        ):
            yield url

    async def page(self, format_: Format, headers: dict[str, str]) -> bytes:
        exposition = self.web_service.exposition
        return await (exposition.gzipped_page(format_) if headers is GZIP else exposition.page(format_))


async def elsewhere(pool: Pool, call: Callable[..., T], *arguments: object) -> T:
    """Runs a call in the other process without blocking this event loop."""
    return await asyncio.get_running_loop().run_in_executor(None, pool.apply, call, arguments)


async def compare(
    pool: Pool, exporter: Exporter, format_: Format, headers: dict[str, str], rounds: int
) -> list[Row]:
    page = await exporter.page(format_, headers)
    async with exporter.polled() as here, static(page) as there:
        with timed_turns() as turns:
            ours, bare = await elsewhere(pool, scrapes, (here, there), rounds, headers)
    what = "scrape, gzip" if headers is GZIP else "scrape, text"
    return [
        _compared(f"{what}: p50", statistics.median, ours, bare, len(page)),
        _compared(f"{what}: p99", p99, ours, bare, len(page), 1.5),
        _longest_turn(what, turns.longest_seconds),
    ]


def _compared(
    name: str,
    of: Callable[[Sequence[float]], float],
    ours: Sequence[float],
    bare: Sequence[float],
    size: int,
    goal: float | None = None,
) -> Row:
    figures = f"{of(ours) * 1e3:.2f} ms; {size:,} bytes from bare aiohttp: {of(bare) * 1e3:.2f} ms"
    return Row(SECTION, name, of(ours) / of(bare), TIMES, figures, goal)


def _longest_turn(what: str, seconds: float) -> Row:
    return Row(
        SECTION, f"{what}: longest callback", seconds * 1e3, "ms", "CPU time of one event loop callback", 20.0
    )


async def render(exporter: Exporter, rounds: int) -> list[Row]:
    """CPU of rendering ahead, after each publish, and of a scrape that finds it done."""
    exposition = exporter.web_service.exposition
    ahead: list[float] = []
    scrape: list[float] = []
    await exposition.gzipped_page(OPENMETRICS)
    for _ in range(rounds):
        exporter.polls.poll()
        before = time.process_time()
        await exposition.render_ahead()
        after = time.process_time()
        await exposition.gzipped_page(OPENMETRICS)
        ahead.append(after - before)
        scrape.append(time.process_time() - after)
    a_publish, a_scrape = statistics.median(ahead), statistics.median(scrape)
    share = a_publish * PUBLISHES_PER_SECOND + a_scrape / SCRAPE_INTERVAL
    figures = f"{a_publish * 1e3:.2f} ms a publish, {a_scrape * 1e6:.0f} µs a scrape, each 15 s"
    return [Row(SECTION, "CPU of rendering, of one core", share * 100, "%", figures, 5.0)]


async def endure(pool: Pool, exporter: Exporter, seconds: float) -> list[Row]:
    exporter.polls.late.clear()
    async with exporter.polled() as here:
        with timed_turns() as turns:
            answered, refused = await elsewhere(pool, storm, here, seconds)
    storming = f"storm of {STORM} scrapers for {seconds:.0f} s"
    figures = f"{answered:,} scrapes, {refused:,} rejected"
    late = max(exporter.polls.late) / exporter.interval * 100
    return [
        Row(SECTION, f"{storming}: longest poll delay, share of the interval", late, "%", figures, 5.0),
        _longest_turn(storming, turns.longest_seconds),
    ]


async def _measure(accounts: int, rounds: int, storm_seconds: float) -> list[Row]:
    exporter = Exporter(accounts)
    text = await exporter.page(TEXT, PLAIN)
    gc.freeze()  # as the program does
    series = sum(not line.startswith(b"#") for line in text.splitlines())
    rows = [Row(SECTION, f"series of {accounts} accounts", series, "")]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        rows += await compare(pool, exporter, TEXT, PLAIN, rounds)
        rows += await compare(pool, exporter, OPENMETRICS, GZIP, rounds)
        rows += await render(Exporter(accounts), min(rounds, 200))  # nobody asks it for text
        rows += await endure(pool, exporter, storm_seconds)
    return rows


def measure(accounts: int, rounds: int, storm_seconds: float) -> list[Row]:
    return asyncio.run(_measure(accounts, rounds, storm_seconds))
