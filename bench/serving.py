"""The cost of a scrape, and what it delays: 100 accounts, 25,000 series, during polls.

A scrape compared with the same bytes served by bare aiohttp, the CPU of writing the page compared with
prometheus_client's own writer, the longest event loop callback, and how late polls come in a storm of
scrapers. The scrapers run in their own process.
"""

import asyncio
import gc
import multiprocessing
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import cycle
from multiprocessing.pool import Pool
from typing import Final, TypeAlias, TypeVar

from aiohttp import ClientSession, web
from prometheus_client import generate_latest

from bench.measuring import median_ratio, timed_turns
from bench.table import TIMES, Row
from exporter.clock import Clock, SystemClock
from exporter.config.alerts import Alerts
from exporter.events import PollFinished, RequestFinished
from exporter.ledger.snapshot import Snapshot
from exporter.metrics.exposition import Exposition
from exporter.metrics.negotiation import OPENMETRICS, TEXT, Format
from exporter.metrics.registry import Metrics, Scrape
from exporter.operation import STATS, Operation, Stats
from exporter.web.auth import Authenticator
from exporter.web.connections import Connections
from exporter.web.limits import limits_for
from exporter.web.listener import serving
from exporter.web.reloads import Reloaded, SpacedReloads
from exporter.web.routes import Health, Scrapes, build
from exporter.web.service import exposition_of
from tests.support.clock import SATURDAY
from tests.support.states import snapshot_of

SECTION: Final = "Serving"
OPERATIONS: Final = 8
"""Operations with failed mail per account: 8 series each."""

SCRAPE_INTERVAL: Final = 15.0
STORM: Final = 50
ROUNDS: Final = 8
GZIP_MORE: Final = 8
"""Factor for the number of scrapes, because each takes little time."""

CLOCK: Final = SystemClock()
LOOPBACK: Final = (("127.0.0.1", 0),)
PLAIN: Final = {"Accept": "text/plain", "Accept-Encoding": "identity"}
GZIP: Final = {"Accept": "application/openmetrics-text", "Accept-Encoding": "gzip"}


T = TypeVar("T")


def filled(top_failing: int) -> Snapshot:
    stats = Stats(*range(1, len(STATS) + 1))
    ids = (f"comms_operation_{number:026}" for number in range(top_failing))
    return snapshot_of(
        (Operation(each, "completed", SATURDAY - 60, SATURDAY, stats) for each in ids),
        top_failing=top_failing,
    )


class Polls:
    """Publishes to the metrics like polls of all accounts, each once per `interval`, and records delays."""

    def __init__(self, metrics: Metrics, names: Sequence[str], interval: float) -> None:
        self._metrics = metrics
        self.names = names
        self.interval = interval
        self._snapshot = filled(OPERATIONS)
        self.late: list[float] = []

    def poll(self, name: str) -> None:
        self._metrics.publish(name, self._snapshot)
        self._metrics.observe(RequestFinished(name, "list", "200", 0.2, 0.1))
        self._metrics.observe(PollFinished(name, time.time(), 0.2, None))

    async def run(self) -> None:
        started, turn = time.perf_counter(), 0
        while True:
            turn += 1
            due = started + turn * self.interval / len(self.names)
            await asyncio.sleep(due - time.perf_counter())
            self.late.append(time.perf_counter() - due)
            self.poll(self.names[turn % len(self.names)])


@asynccontextmanager
async def running(*schedulers: Awaitable[None]) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(loop) for loop in schedulers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def scrapes(url: str, count: int, headers: dict[str, str]) -> list[float]:
    """Durations of sequential scrapes, each read completely."""

    async def scrape() -> list[float]:
        durations = []
        async with ClientSession(auto_decompress=False) as session:
            for _ in range(count):
                before = time.perf_counter()
                async with session.get(url, headers=headers) as reply:
                    await reply.read()
                durations.append(time.perf_counter() - before)
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


def static(content: bytes) -> web.Application:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=content, content_type="text/plain")

    application = web.Application()
    application.add_routes([web.get("/metrics", handle)])
    return application


Served: TypeAlias = tuple[web.Application, tuple[tuple[str, int], ...], Connections, Clock]


def served(application: web.Application, connections: Connections | None = None) -> Served:
    return application, LOOPBACK, connections or Connections(limits_for(None, 0), CLOCK), CLOCK


def web_service(exposition: Exposition) -> Served:
    connections = Connections(limits_for(None, 0), CLOCK)
    application = build(
        exposition,
        Health(dead=lambda: None, loaded=True),
        {},
        Scrapes(lambda: Scrape(0, {}), lambda _: None),
        "/metrics",
        Authenticator(None, CLOCK),
        connections,
        SpacedReloads(Reloaded, CLOCK),
    )
    return served(application, connections)


async def elsewhere(pool: Pool, call: Callable[..., T], *arguments: object) -> T:
    """Runs a call in the other process without blocking this event loop."""
    return await asyncio.get_running_loop().run_in_executor(None, pool.apply, call, arguments)


async def compare(
    pool: Pool, polls: Polls, exposition: Exposition, format_: Format, headers: dict[str, str], count: int
) -> list[Row]:
    """Measures both alternately, so that other load affects both."""
    gzipped = headers is GZIP
    page = await (exposition.gzipped_page(format_) if gzipped else exposition.page(format_))
    each_round = count // ROUNDS * (GZIP_MORE if gzipped else 1)
    ours: list[list[float]] = []
    bare: list[list[float]] = []
    async with (
        serving(*web_service(exposition)) as here,
        serving(*served(static(page))) as there,
        running(polls.run()),
    ):
        for _ in range(ROUNDS):
            for bound, durations in ((here, ours), (there, bare)):
                url = f"http://127.0.0.1:{bound[0][1]}/metrics"
                durations.append(await elsewhere(pool, scrapes, url, each_round, headers))
    what = f"scrape of {len(page):,} bytes, {'gzip' if gzipped else 'text'}"
    static_bytes = "static bytes from bare aiohttp"
    return [
        Row(SECTION, f"{what}: p50", _ratio(statistics.median, ours, bare), TIMES, static_bytes),
        Row(SECTION, f"{what}: p99", _ratio(p99, ours, bare), TIMES, static_bytes, 1.5),
    ]


def _ratio(
    of: Callable[[Sequence[float]], float], ours: Sequence[list[float]], bare: Sequence[list[float]]
) -> float:
    return median_ratio([of(durations) for durations in ours], [of(durations) for durations in bare])


async def write_again(metrics: Metrics, exposition: Exposition, polls: Polls, rounds: int) -> list[Row]:
    """CPU of writing a page after as many polls as there are between two scrapes."""
    between = round(len(polls.names) * SCRAPE_INTERVAL / polls.interval)
    accounts = cycle(polls.names)
    ours: list[float] = []
    floor: list[float] = []
    for _ in range(rounds):
        for _ in range(between):
            polls.poll(next(accounts))
        before = time.process_time()
        await exposition.page(TEXT)
        ours.append(time.process_time() - before)
        before = time.process_time()
        for registry in (metrics.polled, metrics.own, metrics.live):
            generate_latest(registry)
        floor.append(time.process_time() - before)
    what = "CPU of a scrape every 15 s during polls"
    share = statistics.median(ours) / SCRAPE_INTERVAL * 100
    return [
        Row(SECTION, what, median_ratio(ours, floor), TIMES, "prometheus_client's own writer"),
        Row(SECTION, "the same, share of one core", share, "%"),
    ]


async def endure(pool: Pool, polls: Polls, exposition: Exposition, seconds: float) -> list[Row]:
    polls.late.clear()
    async with serving(*web_service(exposition)) as here, running(polls.run()):
        with timed_turns() as turns:
            answered, refused = await elsewhere(
                pool, storm, f"http://127.0.0.1:{here[0][1]}/metrics", seconds
            )
    storming = f"storm of {STORM} scrapers for {seconds:.0f} s"
    figures = f"{answered:,} scrapes, {refused:,} rejected"
    late = max(polls.late) / polls.interval * 100
    return [
        Row(SECTION, f"{storming}: longest poll delay, share of the interval", late, "%", figures, 5.0),
        Row(
            SECTION,
            f"{storming}: longest callback",
            turns.longest_seconds * 1e3,
            "ms",
            "CPU time of one event loop callback",
            20.0,
        ),
    ]


async def _measure(accounts: int, count: int, storm_seconds: float, interval: float) -> list[Row]:
    names = [f"account-{number}" for number in range(accounts)]
    metrics = Metrics(names, version="0", interval=interval, alerts_of=lambda _: Alerts())
    polls = Polls(metrics, names, interval)
    for name in names:
        polls.poll(name)
    exposition = exposition_of(metrics, SystemClock())
    gc.freeze()  # as the program does
    text = await exposition.page(TEXT)
    series = sum(not line.startswith(b"#") for line in text.splitlines())
    rows = [Row(SECTION, f"series of {accounts} accounts", series, "")]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        rows += await compare(pool, polls, exposition, TEXT, PLAIN, count)
        rows += await compare(pool, polls, exposition, OPENMETRICS, GZIP, count)
        rows += await write_again(metrics, exposition, polls, ROUNDS)
        rows += await endure(pool, polls, exposition, storm_seconds)
    return rows


def measure(accounts: int, scrapes: int, storm_seconds: float, interval: float) -> list[Row]:
    """`interval`: seconds in which each account is polled once."""
    return asyncio.run(_measure(accounts, scrapes, storm_seconds, interval))
