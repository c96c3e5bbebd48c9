"""The commands that poll, from start to stop: `run`, `once` and `check`.

Defines the order in which the parts start and stop; must not know how a part is built.
"""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from logging import ERROR, INFO
from typing import Protocol, TextIO

from exporter.clock import SystemClock
from exporter.config.parsers import ListenAddress
from exporter.config.settings import Settings
from exporter.errors import ListenError, RefusedError
from exporter.events import Event, RequestFinished
from exporter.exit_codes import FAILED, SUCCESS
from exporter.logs import line
from exporter.metrics.negotiation import TEXT
from exporter.observers.activity import ALWAYS, Mandate
from exporter.observers.hub import Hub
from exporter.observers.progress import ProgressLine
from exporter.polling import resume
from exporter.polling.check import clock_text
from exporter.polling.service import Polling
from exporter.storage.store import StateStore
from exporter.supervisor import Supervisor, on_hangup, stop_on_signals
from exporter.web.routes import Health
from exporter.web.service import WebService, exposition_of
from exporter.web.text_table import table


async def run(
    settings: Settings,
    *,
    on_start: Callable[[], object] = lambda: None,
    on_listening: Callable[[Sequence[tuple[str, int]]], None] | None = None,
    changed_settings: Callable[[], Sequence[str]] = tuple,
    lease_seconds: float = 10.0,
) -> int:
    """Poll and serve until SIGTERM or SIGINT; returns the exit code.

    `lease_seconds`: with a database, another process is active within this time after this one falls silent.

    `on_start` is called once the whole configuration is valid. `changed_settings` is called on a reload: it
    reads the settings again and names those that differ.
    """
    clock, supervisor = SystemClock(), Supervisor()
    hub = Hub(settings, clock)
    polling = Polling(settings, clock, hub)
    web_service = WebService(settings, clock, hub, supervisor, polling.reloads, changed_settings)
    health = web_service.health
    stop = stop_on_signals()
    on_hangup(web_service.reload)
    term = partial(_term, polling, web_service, supervisor)
    on_start()

    def listen() -> None:
        _announce_addresses(bound, on_listening)
        health.loaded = True

    def be_ready() -> None:
        health.ready = not stop.is_set()

    try:
        async with (
            web_service.opened() as bound,
            supervisor.running(
                {
                    "rendering of metrics": web_service.render_ahead(),
                    "maintenance of files and connections": web_service.maintain(),
                }
            ),
            _announced(stop, health),
        ):
            if settings.database is None:
                async with (
                    resume.open_storage(settings, hub.statuses.accounts, clock) as storage,
                    term(storage, ALWAYS),
                ):
                    listen()
                    be_ready()
                    await stop.wait()
            else:
                # Without the extra `postgresql` there is no driver to import.
                from exporter.polling.election import Election

                election = Election(
                    settings,
                    settings.database,
                    hub.statuses.accounts,
                    hub.activity,
                    clock,
                    be_ready,
                    lease_seconds,
                )
                listen()
                await election.run(term, stop)
    except (ListenError, RefusedError) as error:
        line(ERROR, "cannot start", error=error)
        return FAILED
    return SUCCESS


@asynccontextmanager
async def _term(
    polling: Polling,
    web_service: WebService,
    supervisor: Supervisor,
    storage: StateStore | None,
    mandate: Mandate,
) -> AsyncIterator[None]:
    """Poll, from what the state holds; it is saved at the end, unless an error ends it."""
    async with (
        polling.schedulers(storage, mandate) as schedulers,
        web_service.counters_released_in_time(),
        supervisor.running(
            {
                **{f"polling of account {each.account}": each.run() for each in schedulers},
                **{f"breakdown of account {each.account}": each.run() for each in polling.refreshers},
            }
        ),
    ):
        with _frozen_objects():
            yield


def _announce_addresses(
    bound: Sequence[tuple[str, int]], on_listening: Callable[[Sequence[tuple[str, int]]], None] | None
) -> None:
    for host, port in bound:
        line(INFO, "listening", address=ListenAddress(host, port))
    if on_listening is not None:
        on_listening(bound)


@contextmanager
def _frozen_objects() -> Iterator[None]:
    """What exists now lives until the end of this context; collecting it took 40 ms each time."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@asynccontextmanager
async def _announced(stop: asyncio.Event, health: Health) -> AsyncIterator[None]:
    """Say so as soon as `stop` is set, before anything has ended."""

    async def announce() -> None:
        await stop.wait()
        health.ready = False
        line(INFO, "stopping")

    announcing = asyncio.create_task(announce())
    try:
        yield
    finally:
        announcing.cancel()


class Output(Protocol):
    """Standard output, or a buffer."""

    def write(self, text: str, /) -> object: ...


async def once(settings: Settings, *, as_table: bool, out: Output, err: TextIO) -> int:
    """Poll each account once and print the result, unless all polls failed; returns the exit code.

    The page is for a textfile collector of node_exporter, so it has no metrics of this short process.
    """
    clock = SystemClock()
    hub = Hub(settings, clock)
    if err.isatty():
        hub.observers.insert(0, ProgressLine(err).observe)
    async with Polling(settings, clock, hub).schedulers() as schedulers:
        results = await asyncio.gather(*(each.attempt() for each in schedulers))
    if not any(results):
        return FAILED
    if as_table:
        statuses = hub.statuses.accounts.values()
        snapshots = {each.account: each.snapshot for each in statuses if each.snapshot}
        out.write(table(snapshots, hub.verdicts.current(clock.now())) + "\n")
    else:
        page = exposition_of(hub.metrics, clock, with_python=False)
        out.write((await page.page(TEXT)).decode())
    return SUCCESS if all(results) else FAILED


async def check(settings: Settings, *, out: Output) -> int:
    """Test each credential and print the cost of polling; returns the exit code."""
    clock = SystemClock()
    hub = Hub(settings, clock)
    events: list[Event] = []
    hub.observers.append(events.append)
    verdicts = await Polling(settings, clock, hub).check()
    for verdict in verdicts:
        out.write("".join(f"{text}\n" for text in verdict.lines))
    requests = [event for event in events if isinstance(event, RequestFinished)]
    skews = [each.clock_skew_seconds for each in requests if each.clock_skew_seconds is not None]
    out.write(f"{clock_text(skews)}\n")
    out.write(f"accounts checked: {len(verdicts)}, requests made: {len(requests)}\n")
    return SUCCESS if all(verdict.good for verdict in verdicts) else FAILED
