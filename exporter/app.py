"""The only place where the parts meet: builds them from the settings, starts and stops them.

Decides nothing but who is told what, and in which order things start and stop.
"""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from logging import ERROR, INFO, WARNING
from pathlib import Path
from typing import Final, TextIO

from exporter import __version__, revival
from exporter.access import Access
from exporter.check import Verdict, check_account
from exporter.client import Client
from exporter.clock import Clock, SystemClock
from exporter.credential import Credential
from exporter.errors import CredentialError
from exporter.exposition import Exposition, Part
from exporter.flags import SettingsError
from exporter.forecast import Limits
from exporter.listener import ListenError, Visitors, serving
from exporter.logs import line
from exporter.loop import Loop, first_poll_after
from exporter.metrics import Metrics
from exporter.negotiation import TEXT
from exporter.pace import Pace
from exporter.page import PaceView, status_page, style_sheet, table
from exporter.poller import FETCH_SHARE, Poller, PollSettings
from exporter.report import ListingProgressed, Report, RequestFinished
from exporter.settings import Settings
from exporter.storage import RefusedError, Storage
from exporter.tasks import Tasks, on_hangup, stop_on_signals
from exporter.transport import TransportSettings, open_transport
from exporter.watchers import Watchers
from exporter.web import Health, Page, build
from exporter.window import Listing
from exporter.wire import PAGE_SIZE

FINE: Final = 0
FAILED: Final = 1

TEND_SECONDS: Final = 5.0
"""Between two looks at files that may have changed and at visitors who keep us waiting."""


async def run(
    settings: Settings, *, on_listening: Callable[[Sequence[tuple[str, int]]], None] | None = None
) -> int:
    """Poll and serve until SIGTERM or SIGINT; gives the exit code."""
    clock = SystemClock()
    parts = _Parts(settings, clock, web_config_file=settings.web.config_file)
    addresses = [(each.host, each.port) for each in settings.web.listen_address]
    stop = stop_on_signals()
    on_hangup(parts.reload)
    try:
        async with (
            serving(parts.application, addresses, parts.visitors, parts.access.tls) as bound,
            revival.opened(settings, parts.watchers.board.accounts, clock) as storage,
            parts.loops(storage) as loops,
            parts.counters_released_in_time(),
            parts.tasks.turning(
                {
                    **{f"the poll loop of account {loop.account}": loop.run() for loop in loops},
                    "the watch over files and visitors": parts.tend(),
                }
            ),
        ):
            for host, port in bound:
                line(INFO, "listening", address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
            if on_listening is not None:
                on_listening(bound)
            gc.freeze()  # what lives as long as the process: looking through it again held the loop for 40 ms
            parts.health.loaded = parts.health.ready = True
            await stop.wait()
            parts.health.ready = False
            line(INFO, "stopping")
    except (ListenError, RefusedError) as error:
        line(ERROR, "cannot start", error=error)
        return FAILED
    return FINE


async def once(settings: Settings, *, as_table: bool, out: TextIO, err: TextIO) -> int:
    """One poll of each account, printed; gives the exit code."""
    parts = _Parts(settings, SystemClock())
    if err.isatty():
        parts.watchers.listeners.append(_progress_line(err))
    async with parts.loops() as loops:
        results = await asyncio.gather(*(loop.attempt() for loop in loops))
    if as_table:
        statuses = parts.watchers.board.accounts.values()
        out.write(table({each.account: each.snapshot for each in statuses if each.snapshot}) + "\n")
    else:
        out.write((await parts.exposition.page(TEXT)).decode())
    return FINE if all(results) else FAILED


async def check(settings: Settings, *, out: TextIO) -> int:
    """Try each account's credential and say what polling it will cost; gives the exit code."""
    parts = _Parts(settings, SystemClock())
    reports: list[Report] = []
    parts.watchers.listeners.append(reports.append)
    async with AsyncExitStack() as sessions:
        clients = [await parts.client(credential, sessions) for credential in parts.credentials]
        verdicts = await asyncio.gather(*(parts.check(client) for client in clients))
    out.writelines(f"{text}\n" for verdict in verdicts for text in verdict.lines)
    requests = sum(isinstance(report, RequestFinished) for report in reports)
    out.write(f"accounts checked: {len(verdicts)}, requests made: {requests}\n")
    return FINE if all(verdict.good for verdict in verdicts) else FAILED


class _Parts:
    """Everything that lives as long as the process, wired."""

    def __init__(self, settings: Settings, clock: Clock, *, web_config_file: Path | None = None) -> None:
        self._settings = settings
        self._clock = clock
        accounts = settings.own_accounts
        names = [account.name for account in accounts]
        if not names:
            line(WARNING, "no account falls to this shard; nothing is polled", shard=settings.shard)
        self.watchers = watchers = Watchers(settings, clock)
        self.exposition = exposition_of(watchers.metrics, clock)
        self._paces = {name: Pace(settings.api.requests_per_second) for name in names}
        for name, pace in self._paces.items():
            watchers.watch_pace(name, partial(_view, pace, clock))
        self.credentials = [Credential(each.name, each.credential, watchers.report) for each in accounts]
        self.access = Access(web_config_file, clock)
        self.visitors = Visitors()
        self.reloads = [self.access.reload, *(credential.reload for credential in self.credentials)]
        """What reads files again; each raises what is wrong, and leaves what was in force."""
        self.tasks = Tasks()
        self.health = Health(dead=lambda: self.tasks.dead() or watchers.vigil.reason())
        self.application = build(
            self.exposition,
            self.health,
            {"/": self._status_page, "/status.css": lambda: Page(style_sheet(), "text/css")},
            watchers.metrics.release_counters,
            settings.web.telemetry_path,
            self.access,
            self.visitors,
            self.reload,
        )

    @asynccontextmanager
    async def loops(self, storage: Storage | None = None) -> AsyncIterator[list[Loop]]:
        """A loop for each account, with a session, a pace and a poller of its own; saved at the end."""
        async with AsyncExitStack() as sessions:
            clients = [await self.client(credential, sessions) for credential in self.credentials]
            pollers = [self._poller(client, storage) for client in clients]
            if storage is not None:
                await self._resume(pollers, storage)
            try:
                yield [self._loop(index, poller) for index, poller in enumerate(pollers)]
            finally:
                await asyncio.gather(*(poller.close() for poller in pollers))

    @asynccontextmanager
    async def counters_released_in_time(self) -> AsyncIterator[None]:
        async def release() -> None:
            await self._clock.sleep(self._settings.metrics.first_scrape_timeout)
            self.watchers.metrics.release_counters()

        releasing = asyncio.create_task(release())
        try:
            yield
        finally:
            releasing.cancel()

    async def _resume(self, pollers: Sequence[Poller], storage: Storage) -> None:
        self.watchers.watch_state(storage.bytes_on_disk)
        for account, snapshot in await revival.resume(pollers, storage, self._clock):
            self.watchers.restore(account, snapshot)

    def _loop(self, index: int, poller: Poller) -> Loop:
        credential, interval = self.credentials[index], self._settings.poll.interval
        return Loop(
            poller.account,
            poller.poll,
            credential.renewed,
            self._clock,
            self.watchers.report,
            interval=interval,
            first_after=first_poll_after(index, len(self.credentials), interval),
        )

    async def check(self, client: Client) -> Verdict:
        poll, api = self._settings.poll, self._settings.api
        listing = Listing(poll.lookback, poll.recent, poll.sweep_interval, PAGE_SIZE)
        limits = Limits(poll.interval, api.requests_per_second, api.concurrency, FETCH_SHARE)
        return await check_account(client.account, client, self._clock, listing, limits, api.timeout)

    async def client(self, credential: Credential, sessions: AsyncExitStack) -> Client:
        api = self._settings.api
        settings = TransportSettings(
            base_url=api.base_url, timeout=api.timeout, concurrency=api.concurrency, ca_file=api.ca_file
        )
        transport = await sessions.enter_async_context(open_transport(settings))
        return Client(
            credential.account,
            transport,
            credential,
            self._paces[credential.account],
            self._clock,
            self.watchers.report,
            concurrency=api.concurrency,
        )

    def _poller(self, client: Client, storage: Storage | None) -> Poller:
        poll = self._settings.poll
        settings = PollSettings(
            interval=poll.interval,
            lookback=poll.lookback,
            recent=poll.recent,
            sweep_interval=poll.sweep_interval,
            concurrency=self._settings.api.concurrency,
            worst=self._settings.metrics.top_operations,
        )
        return Poller(
            client.account,
            client,
            self._clock,
            settings,
            self.watchers.report,
            self.watchers.publish,
            storage,
        )

    def reload(self) -> list[str]:
        """Read again what may change while running; gives what is wrong, one line each."""
        problems: list[str] = []
        for reload in self.reloads:
            try:
                reload()
            except SettingsError as error:
                problems += map(str, error.problems)
            except (CredentialError, OSError) as error:
                problems.append(str(error))
        self.watchers.metrics.reloaded(self._clock.now(), successful=not problems)
        for problem in problems:
            line(ERROR, "reload failed; what was in force stays", problem=problem)
        if not problems:
            line(INFO, "reloaded")
        return problems

    async def tend(self) -> None:
        """What must be looked at from time to time."""
        while True:
            await self._clock.sleep(TEND_SECONDS)
            self.visitors.sweep(self._clock.monotonic())
            if self.access.changed():
                self.reload()

    def _status_page(self) -> Page:
        return Page(
            status_page(
                self.watchers.board.accounts.values(),
                version=__version__,
                telemetry_path=self._settings.web.telemetry_path,
                now=self._clock.now(),
                paces={name: pace() for name, pace in self.watchers.paces.items()},
            )
        )


def exposition_of(metrics: Metrics, clock: Clock) -> Exposition:
    """The page of some metrics; each part is written again when it has changed."""
    return Exposition(
        [
            Part(metrics.polled, lambda: metrics.publishes),
            Part(metrics.own, lambda: metrics.changes),
            Part(metrics.live, lambda: int(clock.monotonic())),  # once a second, however many scrape
        ]
    )


def _view(pace: Pace, clock: Clock) -> PaceView:
    wait = pace.wait(clock.monotonic())
    return PaceView(pace.requests_per_second, clock.now() + wait if wait > 0 else 0.0)


def _progress_line(err: TextIO) -> Callable[[Report], None]:
    """One line that counts up while a large window is read."""

    def show(report: Report) -> None:
        if isinstance(report, ListingProgressed):
            err.write(f"\r{report.account}: {report.operations} operations in {report.pages} pages … ")
            err.flush()

    return show
