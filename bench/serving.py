"""What a scrape costs, and whom it keeps waiting: `python -m bench.serving`.

Prints, for a page of 25,000 series while polls go on: the p99 of a scrape against the same bytes served by
bare aiohttp, the longest stall of the event loop, and how late polls come in a storm of 50 scrapers. The
scrapers live in a process of their own; times are the machine's.
"""

import argparse
import asyncio
import gc
import multiprocessing
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from multiprocessing.pool import Pool
from typing import Final, TypeVar

from aiohttp import ClientSession, web

from exporter.access import Access
from exporter.app import exposition_of
from exporter.clock import SystemClock
from exporter.exposition import Exposition
from exporter.listener import Visitors, serving
from exporter.metrics import Metrics
from exporter.negotiation import OPENMETRICS, TEXT
from exporter.operation import STATS, Operation
from exporter.report import PollFinished, RequestFinished
from exporter.snapshot import Snapshot
from exporter.web import Health, build
from tests.clock import SATURDAY
from tests.states import snapshot_of

ACCOUNTS: Final = 60
OPERATIONS: Final = 35
"""With failed mail, in each account: 8 series each."""

STORM: Final = 50
LOOPBACK: Final = (("127.0.0.1", 0),)
PLAIN: Final = {"Accept": "text/plain", "Accept-Encoding": "identity"}
GZIP: Final = {"Accept": "application/openmetrics-text", "Accept-Encoding": "gzip"}


T = TypeVar("T")


def filled(worst: int) -> Snapshot:
    stats = tuple(range(1, len(STATS) + 1))
    ids = (f"comms_operation_{number:026}" for number in range(worst))
    return snapshot_of(
        (Operation(each, "completed", SATURDAY - 60, SATURDAY, stats) for each in ids), worst=worst
    )


class Polls:
    """What polls of all accounts tell the metrics, each account once in `interval`; and how late."""

    def __init__(self, metrics: Metrics, names: Sequence[str], interval: float) -> None:
        self._metrics = metrics
        self._names = names
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
            due = started + turn * self.interval / len(self._names)
            await asyncio.sleep(due - time.perf_counter())
            self.late.append(time.perf_counter() - due)
            self.poll(self._names[turn % len(self._names)])


async def watch_stalls(stalls: list[float]) -> None:
    while True:
        before = time.perf_counter()
        await asyncio.sleep(0.001)
        stalls.append(time.perf_counter() - before - 0.001)


@asynccontextmanager
async def running(*loops: Awaitable[None]) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(loop) for loop in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def scrapes(url: str, count: int, headers: dict[str, str]) -> list[float]:
    """Durations of scrapes one after the other, each read to its end."""

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
    """Scrapes answered and sent away, of many scrapers who never rest."""

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


def door(exposition: Exposition) -> web.Application:
    access, visitors = Access(None, SystemClock()), Visitors()
    return build(
        exposition,
        Health(dead=lambda: None, loaded=True),
        {},
        lambda: None,
        "/metrics",
        access,
        visitors,
        list,
    )


async def elsewhere(pool: Pool, call: Callable[..., T], *arguments: object) -> T:
    """In the other process, without keeping this one's loop waiting."""
    return await asyncio.get_running_loop().run_in_executor(None, pool.apply, call, arguments)


async def compare(
    pool: Pool, polls: Polls, exposition: Exposition, page: bytes, headers: dict[str, str], count: int
) -> None:
    stalls: list[float] = []
    ours: list[float] = []
    bare: list[float] = []
    async with (
        serving(door(exposition), LOOPBACK) as here,
        serving(static(page), LOOPBACK) as there,
        running(polls.run(), watch_stalls(stalls)),
    ):
        for _ in range(4):  # in turns, so that what else the machine does hits both
            for bound, durations in ((here, ours), (there, bare)):
                url = f"http://127.0.0.1:{bound[0][1]}/metrics"
                durations.extend(await elsewhere(pool, scrapes, url, count // 4, headers))
    for name, of in (("p50", statistics.median), ("p99", p99)):
        here_ms, there_ms = of(ours) * 1e3, of(bare) * 1e3
        ratio = f"ratio {here_ms / there_ms:.2f}" + (" (goal: 1.5)" if name == "p99" else "")
        print(f"  scrape, {name}: {here_ms:.2f} ms, static {there_ms:.2f} ms, {ratio}")
    print(f"  longest stall of the loop: {max(stalls) * 1e3:.1f} ms (goal: 20)")


async def endure(pool: Pool, polls: Polls, exposition: Exposition, seconds: float) -> None:
    stalls: list[float] = []
    polls.late.clear()
    async with serving(door(exposition), LOOPBACK) as here, running(polls.run(), watch_stalls(stalls)):
        answered, refused = await elsewhere(pool, storm, f"http://127.0.0.1:{here[0][1]}/metrics", seconds)
    print(f"storm of {STORM} scrapers for {seconds:.0f} s: {answered:,} scrapes, {refused:,} sent away")
    late = max(polls.late)
    print(f"  latest poll: {late * 1e3:.1f} ms, {late / polls.interval:.2%} of the interval (goal: 5 %)")
    print(f"  longest stall of the loop: {max(stalls) * 1e3:.1f} ms")


async def measure(count: int, storm_seconds: float, interval: float) -> None:
    names = [f"account-{number}" for number in range(ACCOUNTS)]
    metrics = Metrics(names, version="0", interval=interval)
    polls = Polls(metrics, names, interval)
    for name in names:
        polls.poll(name)
    exposition = exposition_of(metrics, SystemClock())
    gc.freeze()  # as the program does
    text = await exposition.page(TEXT)
    series = sum(not line.startswith(b"#") for line in text.splitlines())
    print(f"{series:,} series of {ACCOUNTS} accounts, a poll every {interval / ACCOUNTS:.2f} s")
    compressed = await exposition.gzipped_page(OPENMETRICS)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        for title, page, headers in (("text", text, PLAIN), ("OpenMetrics, gzip", compressed, GZIP)):
            print(f"{title}, {len(page):,} bytes")
            await compare(pool, polls, exposition, page, headers, count)
        await endure(pool, polls, exposition, storm_seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scrapes", type=int, default=800, help="in each comparison (default: 800)")
    parser.add_argument("--storm-seconds", type=float, default=60.0, help="default: 60")
    parser.add_argument("--poll-interval", type=float, default=60.0, help="default: 60")
    arguments = parser.parse_args()
    asyncio.run(measure(arguments.scrapes, arguments.storm_seconds, arguments.poll_interval))


if __name__ == "__main__":
    main()
