"""The whole exporter except the listener, on a clock that tests move.

Each account has its own simulated Twilio; all of them share one address.
"""

import asyncio
import io
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import BasicAuth, web
from prometheus_client.parser import text_string_to_metric_families

from exporter import logs
from exporter.breakdown import Breakdown
from exporter.config.accounts import Account
from exporter.config.breakdown import Breakdown as BreakdownSettings
from exporter.config.settings import Api, Poll, Settings, State
from exporter.events import Event
from exporter.ledger.snapshot import Snapshot
from exporter.metrics.negotiation import TEXT
from exporter.observers.hub import Hub
from exporter.polling import resume
from exporter.polling.scheduler import Scheduler
from exporter.polling.service import Polling
from exporter.simulator.journal import Endpoint
from exporter.simulator.listener import Listener
from exporter.simulator.server import PATHS, Simulator
from exporter.simulator.world import World
from exporter.storage.sqlite import Storage
from exporter.supervisor import Supervisor
from exporter.web.service import WebService
from tests.support.clock import ManualClock

R = TypeVar("R", bound=Event)


@dataclass
class Whole:
    hub: Hub
    polling: Polling
    supervisor: Supervisor
    web_service: WebService
    clock: ManualClock
    simulators: Mapping[str, Simulator]
    log: io.StringIO
    storage: Storage | None = None
    schedulers: Mapping[str, Scheduler] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    @property
    def simulator(self) -> Simulator:
        """The simulated Twilio of the only account."""
        (simulator,) = self.simulators.values()
        return simulator

    async def poll(self) -> bool:
        """Poll the only account; returns whether the poll succeeded."""
        (scheduler,) = self.schedulers.values()
        return await scheduler.attempt()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Sequence[asyncio.Task[None]]]:
        """Run the schedulers and refreshers of all accounts; none may end by itself."""
        async with self.supervisor.running(
            {
                **{each.account: each.run() for each in self.schedulers.values()},
                **{f"breakdown of {each.account}": each.run() for each in self.polling.refreshers},
            }
        ) as tasks:
            yield tasks
        assert all(task.cancelled() for task in tasks), tasks

    async def run_for(self, seconds: float) -> None:
        async with self.running():
            await self.clock.sleep(seconds)

    async def refresh(self) -> Breakdown | None:
        """Refresh the breakdown of the only account; returns the last one that was published."""
        (refresher,) = self.polling.refreshers
        await refresher.refresh()
        return self.hub.statuses.accounts[refresher.account].breakdown

    async def scrape(self) -> "Scrape":
        text = (await self.web_service.exposition.page(TEXT)).decode()
        return Scrape(text)

    def emitted(self, kind: type[R], account: str | None = None) -> list[R]:
        return [each for each in self.events if isinstance(each, kind) and account in {None, each.account}]

    def logged(self, message: str) -> list[str]:
        return [line for line in self.log.getvalue().splitlines() if message in line]


class Scrape:
    """A page as Prometheus reads it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._samples = [
            sample for family in text_string_to_metric_families(text) for sample in family.samples
        ]

    def value(self, name: str, **labels: str) -> float:
        """The value of the only series with these labels."""
        (value,) = self.values(name, **labels).values()
        return value

    def values(self, name: str, **labels: str) -> dict[tuple[str, ...], float]:
        return {
            tuple(sample.labels.values()): sample.value
            for sample in self._samples
            if sample.name == name and labels.items() <= sample.labels.items()
        }

    def polled(self) -> str:
        """The lines with data from Twilio."""
        lines = self.text.splitlines()
        return "\n".join(
            line for line in lines if line.startswith(("twilio_email_window", "twilio_email_top"))
        )


def sid(number: int) -> str:
    return f"AC{number:032x}"


@asynccontextmanager
async def whole(
    worlds: Sequence[World],
    *,
    clock: ManualClock | None = None,
    api: Mapping[str, Any] | None = None,
    poll: Mapping[str, Any] | None = None,
    breakdown: Mapping[str, Any] | None = None,
    state: Path | None = None,
    account: Callable[[int], Mapping[str, Any]] = lambda number: {"auth_token": f"secret-{number}"},
    log_format: str = "logfmt",
    level: str = "info",
    on_publish: Callable[[str, Snapshot], None] = lambda *_: None,
    **simulator: Any,
) -> AsyncIterator[Whole]:
    """An exporter with accounts `a0`, `a1`, …, one for each world."""
    clock = clock or ManualClock(settle_turns=40)
    simulators = {
        sid(n): Simulator(world, clock, credential=(sid(n), f"secret-{n}"), **simulator)
        for n, world in enumerate(worlds)
    }
    async with switchboard(simulators) as origin:
        settings = Settings(
            api=Api(**{"base_url": f"{origin}/v1", **(api or {})}),
            poll=Poll(**(poll or {})),
            breakdown=BreakdownSettings(**(breakdown or {})),
            state=State(path=state),
            accounts=tuple(
                Account.model_validate({"name": f"a{n}", "account_sid": sid(n), **account(n)})
                for n in range(len(worlds))
            ),
        )
        with logging_to(level, log_format) as log:
            supervisor = Supervisor()
            hub = Hub(settings, clock)
            hub.snapshot_observers.append(on_publish)
            polling = Polling(settings, clock, hub)
            hold_credentials(clock, polling)
            web_service = WebService(settings, clock, hub, supervisor, polling.reloads)
            by_name = {f"a{n}": simulators[sid(n)] for n in range(len(worlds))}
            made = Whole(hub, polling, supervisor, web_service, clock, by_name, log)
            hub.observers.append(made.events.append)
            async with (
                resume.open_storage(settings, hub.statuses.accounts, clock) as storage,
                polling.schedulers(storage) as schedulers,
            ):
                made.storage = storage
                if storage is not None:
                    _hold(clock, storage)
                made.schedulers = dict(zip(by_name, schedulers, strict=True))
                yield made


def hold_credentials(clock: ManualClock, polling: Polling) -> None:
    """Stop the clock while a secret's file is read in a thread."""
    for credential in polling._credentials:
        credential.renewed = partial(_held, clock, credential.renewed)  # type: ignore[method-assign]


async def _held(clock: ManualClock, work: Callable[[], Awaitable[bool]]) -> bool:
    with clock.held():
        return await work()


def _hold(clock: ManualClock, storage: Storage) -> None:
    """Stop the clock while the thread of the state file works, because it takes real time."""
    run = storage._run

    async def held(work: Callable[..., Any], *arguments: Any) -> Any:
        with clock.held():
            return await run(work, *arguments)

    storage._run = held  # type: ignore[method-assign]


@asynccontextmanager
async def switchboard(simulators: Mapping[str, Simulator]) -> AsyncIterator[str]:
    """One address for all simulators; the user name of a request selects one."""

    def whose(request: web.Request) -> Simulator:
        return simulators[BasicAuth.decode(request.headers["Authorization"]).login]

    async def serve(request: web.Request, call: Endpoint) -> web.StreamResponse:
        return await whose(request).serve(request, call)

    listener = Listener("127.0.0.1", 0)
    await listener.open([web.get(path, partial(serve, call=call)) for call, path in PATHS.items()])
    try:
        yield listener.origin
    finally:
        for simulator in simulators.values():
            simulator._closing.set()
        await listener.close()


@contextmanager
def logging_to(level: str, format_: str) -> Iterator[io.StringIO]:
    """Send the log to a stream, and restore the configuration afterwards."""
    root = logging.getLogger()
    handlers, root_level, own_level = root.handlers[:], root.level, logs.LOG.level
    stream = io.StringIO()
    logs.configure(level, format_, stream)
    try:
        yield stream
    finally:
        root.handlers[:] = handlers
        root.setLevel(root_level)
        logs.LOG.setLevel(own_level)
