"""The commands that poll, from start to stop: `run`, `once` and `check`.

Decides in which order the parts begin and end; must not know how a part is built.
"""

import asyncio
import gc
from collections.abc import Callable, Sequence
from logging import ERROR, INFO
from typing import Final, TextIO

from exporter.clock import SystemClock
from exporter.config.settings import Settings
from exporter.errors import ListenError, RefusedError
from exporter.events import ListingProgressed, Report, RequestFinished
from exporter.logs import line
from exporter.metrics.negotiation import TEXT
from exporter.observers.hub import Watchers
from exporter.polling import resume as revival
from exporter.polling.service import Polling
from exporter.supervisor import Tasks, on_hangup, stop_on_signals
from exporter.web.service import Door, exposition_of
from exporter.web.status_page import table

FINE: Final = 0
FAILED: Final = 1


async def run(
    settings: Settings, *, on_listening: Callable[[Sequence[tuple[str, int]]], None] | None = None
) -> int:
    """Poll and serve until SIGTERM or SIGINT; gives the exit code."""
    clock, tasks = SystemClock(), Tasks()
    watchers = Watchers(settings, clock)
    polling = Polling(settings, clock, watchers)
    door = Door(settings, clock, watchers, tasks, polling.reloads)
    stop = stop_on_signals()
    on_hangup(door.reload)
    try:
        async with (
            door.opened() as bound,
            revival.opened(settings, watchers.board.accounts, clock) as storage,
            polling.loops(storage) as loops,
            door.counters_released_in_time(),
            tasks.turning(
                {
                    **{f"the poll loop of account {loop.account}": loop.run() for loop in loops},
                    "the watch over files and visitors": door.tend(),
                }
            ),
        ):
            for host, port in bound:
                line(INFO, "listening", address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
            if on_listening is not None:
                on_listening(bound)
            gc.freeze()  # what lives as long as the process: looking through it again held the loop for 40 ms
            door.health.loaded = door.health.ready = True
            await stop.wait()
            door.health.ready = False
            line(INFO, "stopping")
    except (ListenError, RefusedError) as error:
        line(ERROR, "cannot start", error=error)
        return FAILED
    return FINE


async def once(settings: Settings, *, as_table: bool, out: TextIO, err: TextIO) -> int:
    """One poll of each account, printed; gives the exit code."""
    clock = SystemClock()
    watchers = Watchers(settings, clock)
    if err.isatty():
        watchers.listeners.append(_progress_line(err))
    async with Polling(settings, clock, watchers).loops() as loops:
        results = await asyncio.gather(*(loop.attempt() for loop in loops))
    if as_table:
        statuses = watchers.board.accounts.values()
        out.write(table({each.account: each.snapshot for each in statuses if each.snapshot}) + "\n")
    else:
        out.write((await exposition_of(watchers.metrics, clock).page(TEXT)).decode())
    return FINE if all(results) else FAILED


async def check(settings: Settings, *, out: TextIO) -> int:
    """Try each account's credential and say what polling it will cost; gives the exit code."""
    clock = SystemClock()
    watchers = Watchers(settings, clock)
    reports: list[Report] = []
    watchers.listeners.append(reports.append)
    verdicts = await Polling(settings, clock, watchers).check()
    out.writelines(f"{text}\n" for verdict in verdicts for text in verdict.lines)
    requests = sum(isinstance(report, RequestFinished) for report in reports)
    out.write(f"accounts checked: {len(verdicts)}, requests made: {requests}\n")
    return FINE if all(verdict.good for verdict in verdicts) else FAILED


def _progress_line(err: TextIO) -> Callable[[Report], None]:
    """One line that counts up while a large window is read."""

    def show(report: Report) -> None:
        if isinstance(report, ListingProgressed):
            err.write(f"\r{report.account}: {report.operations} operations in {report.pages} pages … ")
            err.flush()

    return show
