"""The exporter beside what one would use otherwise.

For the scrape of many series: prometheus_client's own handler for aiohttp, which serves the same series. For
the whole: `bench.naive`, both as processes, polling and scraped once a second.
"""

import asyncio
import multiprocessing
import re
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from multiprocessing.pool import Pool
from typing import Final, NamedTuple

from aiohttp import web
from prometheus_client.aiohttp import make_aiohttp_handler

from bench.account import Span, served
from bench.measuring import timed_turns
from bench.serving import GZIP, Exporter, application_served, elsewhere, p99, running, scrapes
from bench.table import Row
from tests.metrics.registries import registry_of
from tests.support.program import environment, fetch, free_port

SECTION: Final = "Peers"
PATIENCE_SECONDS: Final = 60.0


class Scraped(NamedTuple):
    durations: list[float]
    cpu_seconds: float
    """Of one scrape, and of the publishes since the one before."""
    longest_turn_seconds: float


@asynccontextmanager
async def library(exporter: Exporter) -> AsyncIterator[str]:
    """The URL of prometheus_client's handler, while polls go on."""
    metrics = exporter.hub.metrics
    registry = registry_of(*metrics.polled, *metrics.own, metrics.live, metrics.python)
    application = web.Application()
    application.add_routes([web.get("/metrics", make_aiohttp_handler(registry))])
    async with application_served(application) as url, running(exporter.polls.run()):
        yield url


async def scraped(pool: Pool, url: str, rounds: int) -> Scraped:
    before = time.process_time()
    with timed_turns() as turns:
        (durations,) = await elsewhere(pool, scrapes, (url,), rounds, GZIP)
    return Scraped(durations, (time.process_time() - before) / rounds, turns.longest_seconds)


async def of_the_page(accounts: int, rounds: int) -> list[Row]:
    exporter = Exporter(accounts)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        async with exporter.polled() as url:
            ours = await scraped(pool, url, 4 * rounds)
        async with library(exporter) as url:
            theirs = await scraped(pool, url, rounds)
    what = f"scrape of {accounts} accounts, gzip"
    peer = "with prometheus_client's handler"
    return [
        _beside(
            f"{what}: p50", 1e3, statistics.median(ours.durations), statistics.median(theirs.durations), peer
        ),
        _beside(f"{what}: p99", 1e3, p99(ours.durations), p99(theirs.durations), peer),
        _beside(f"{what}: CPU, with the publishes", 1e3, ours.cpu_seconds, theirs.cpu_seconds, peer),
        _beside(
            f"{what}: longest callback", 1e3, ours.longest_turn_seconds, theirs.longest_turn_seconds, peer
        ),
    ]


class Second(NamedTuple):
    """Figures of one poll and one scrape, each second."""

    requests: float
    cpu_seconds: float
    scrape_seconds: float


def second_of(command: Sequence[str], port: int, requests: str, rounds: int) -> Second:
    """Runs a program, and scrapes it once a second; `requests` is its counter of requests to Twilio."""
    process = subprocess.Popen(command, env=environment())  # noqa: S603 - ours
    url = f"http://127.0.0.1:{port}/metrics"
    try:
        first, durations = _page(url), []
        for _ in range(rounds):
            time.sleep(1.0)
            before = time.perf_counter()
            last = _page(url)
            durations.append(time.perf_counter() - before)
    finally:
        process.kill()
        process.wait()
    return Second(
        (_sum(last, requests) - _sum(first, requests)) / rounds,
        (_sum(last, "process_cpu_seconds_total") - _sum(first, "process_cpu_seconds_total")) / rounds,
        statistics.median(durations),
    )


def _page(url: str) -> str:
    until = time.monotonic() + PATIENCE_SECONDS
    while (page := fetch(url)) is None:
        if time.monotonic() > until:
            raise TimeoutError(f"{url} does not answer")
        time.sleep(0.01)
    return page


def _sum(page: str, name: str) -> float:
    return sum(map(float, re.findall(rf"^{name}(?:{{.*}})? (\S+)$", page, re.MULTILINE)))


def of_the_whole(operations: int, rounds: int) -> list[Row]:
    now = time.time()
    with served(Span(operations, now - 6 * 86400, now - 120)) as base_url:
        port = free_port()
        command = [sys.executable, "-m", "bench.naive", base_url, str(port)]
        naive = second_of(command, port, "naive_requests_total", rounds)
        port = free_port()
        ours = second_of(polling(base_url, port), port, "twilio_email_exporter_requests_total", rounds)
    what = f"{operations:,} operations a week, poll and scrape"
    peer = "with an exporter that fetches all on each scrape"
    return [
        _beside(f"{what}: requests", 1, ours.requests, naive.requests, peer, ""),
        _beside(f"{what}: CPU", 1e3, ours.cpu_seconds, naive.cpu_seconds, peer),
        _beside(f"{what}: duration of the scrape", 1e3, ours.scrape_seconds, naive.scrape_seconds, peer),
    ]


def polling(base_url: str, port: int) -> list[str]:
    """The command that runs the exporter, polling once a second."""
    account = (f"TWILIO_ACCOUNT_SID=AC{0:032x}", "TWILIO_AUTH_TOKEN=secret")
    flags = (f"--api.base_url={base_url}", f"--web.listen_address=127.0.0.1:{port}", "--poll.interval=1s")
    return ["env", *account, sys.executable, "-m", "exporter", *flags, "--log.level=error"]


def _beside(name: str, factor: float, ours: float, theirs: float, peer: str, unit: str = "ms") -> Row:
    return Row(SECTION, name, ours * factor, unit, f"{theirs * factor:,.3g} {unit} {peer}".replace("  ", " "))


def measure(accounts: int, operations: int, rounds: int) -> list[Row]:
    return [*asyncio.run(of_the_page(accounts, rounds)), *of_the_whole(operations, max(2, rounds // 10))]
