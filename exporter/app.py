"""The only place where the parts meet: builds them from the settings, starts and stops them.

Decides nothing but who is told what, and in which order things start and stop.
"""

import asyncio
import contextlib
import gc
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from logging import ERROR, INFO
from pathlib import Path
from typing import Final, TextIO

from exporter import __version__
from exporter.access import Access
from exporter.client import Client, ClientSettings, open_session
from exporter.clock import Clock, SystemClock
from exporter.errors import TwilioError, Unauthorized
from exporter.exposition import Exposition, Part
from exporter.listener import ListenError, Visitors, serving
from exporter.logs import LOG, Narrator, line
from exporter.metrics import Metrics
from exporter.negotiation import TEXT
from exporter.pace import Pace
from exporter.page import PaceView, status_page, style_sheet, table
from exporter.poller import Poller, PollSettings
from exporter.report import ListingProgressed, Report
from exporter.settings import Account, CredentialError, Settings, SettingsError
from exporter.snapshot import Snapshot
from exporter.status import Board
from exporter.storage import DamagedError, RefusedError, Storage
from exporter.web import Health, Page, build

FINE: Final = 0
FAILED: Final = 1

TEND_SECONDS: Final = 5.0
"""Between two looks at files that may have changed and at visitors who keep us waiting."""


async def run(
    settings: Settings, *, on_listening: Callable[[Sequence[tuple[str, int]]], None] | None = None
) -> int:
    """Poll and serve until SIGTERM or SIGINT; gives the exit code."""
    parts = _Parts(settings, SystemClock(), web_config_file=settings.web.config_file)
    addresses = [(each.host, each.port) for each in settings.web.listen_address]
    stop = stop_on_signals()
    try:
        async with (
            serving(parts.application, addresses, parts.visitors, parts.access.tls) as bound,
            parts.storage() as storage,
            parts.pollers(storage) as pollers,
            _saved_at_the_end(pollers),
            parts.counters_released_in_time(),
            _turning([*(poller.run() for poller in pollers), parts.tend()]) as tasks,
        ):
            reload_on_signal(parts.reload)
            for host, port in bound:
                line(INFO, "listening", address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
            if on_listening is not None:
                on_listening(bound)
            parts.health.dead = lambda: _dead(tasks)
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
        parts.listeners.append(_progress_line(err))
    async with parts.pollers() as pollers:
        results = await asyncio.gather(*(_succeeds(poller) for poller in pollers))
    if as_table:
        statuses = parts.board.accounts.values()
        out.write(table({each.account: each.snapshot for each in statuses if each.snapshot}) + "\n")
    else:
        out.write((await parts.exposition.page(TEXT)).decode())
    return FINE if all(results) else FAILED


class _Parts:
    """Everything that lives as long as the process, wired."""

    def __init__(self, settings: Settings, clock: Clock, *, web_config_file: Path | None = None) -> None:
        self._settings = settings
        self._clock = clock
        names = [account.name for account in settings.accounts]
        self.metrics = Metrics(names, version=__version__, interval=settings.poll.interval)
        self._paces = {name: Pace(settings.api.requests_per_second) for name in names}
        self.exposition = exposition_of(self.metrics)
        self.board = Board(names)
        self.listeners: list[Callable[[Report], None]] = [
            self.metrics.observe,
            Narrator(self.board).observe,
        ]
        self.health = Health(dead=lambda: None)
        self.access = Access(web_config_file, clock)
        self.visitors = Visitors()
        self.reloads: list[Callable[[], None]] = [self.access.reload]
        """What reads files again; each raises `SettingsError` and leaves what was in force."""
        self.metrics.reloaded(clock.now(), successful=True)
        self.application = build(
            self.exposition,
            self.health,
            {"/": self._status_page, "/status.css": lambda: Page(style_sheet(), "text/css")},
            self.metrics.release_counters,
            settings.web.telemetry_path,
            self.access,
            self.visitors,
            self.reload,
        )

    @asynccontextmanager
    async def storage(self) -> AsyncIterator[Storage | None]:
        """The open state file, if there is to be one; raises `RefusedError`."""
        if self._settings.state.path is None:
            yield None
            return
        names = [account.name for account in self._settings.accounts]
        storage = Storage(self._settings.state.path, keep=names, window=self._settings.poll.lookback)
        try:
            try:
                await storage.open()
            except DamagedError as error:
                await self._begin_anew(storage, error)
            self.metrics.watch_state(storage.bytes_on_disk)
            yield storage
        finally:
            await storage.close()

    @asynccontextmanager
    async def pollers(self, storage: Storage | None = None) -> AsyncIterator[list[Poller]]:
        """A poller for each account, each with a session and a pace of its own, where it stopped."""
        async with AsyncExitStack() as sessions:
            pollers = [await self._poller(each, sessions, storage) for each in self._settings.accounts]
            if storage is not None:
                await self._resume(pollers, storage)
            yield pollers

    @asynccontextmanager
    async def counters_released_in_time(self) -> AsyncIterator[None]:
        async def release() -> None:
            await self._clock.sleep(self._settings.metrics.first_scrape_timeout)
            self.metrics.release_counters()

        releasing = asyncio.create_task(release())
        try:
            yield
        finally:
            releasing.cancel()

    async def _resume(self, pollers: Sequence[Poller], storage: Storage) -> None:
        """All accounts or none: with a file that is damaged for one, nothing in it may be believed."""
        try:
            found = [await storage.load(poller.account, poller.rebuild) for poller in pollers]
        except DamagedError as error:
            await self._begin_anew(storage, error)
            return
        for poller, resumption in zip(pollers, found, strict=True):
            if resumption is not None:
                snapshot = poller.resume(resumption)
                self.metrics.restore(poller.account, snapshot)
                self.board.restore(poller.account, snapshot)
                operations = snapshot.tracked_operations
                line(INFO, "state restored", account=poller.account, operations=operations)

    async def _begin_anew(self, storage: Storage, error: DamagedError) -> None:
        aside = await storage.begin_anew(self._clock.now())
        line(ERROR, "state is damaged; counters begin anew", error=error, set_aside=aside)

    async def _poller(self, account: Account, sessions: AsyncExitStack, storage: Storage | None) -> Poller:
        api, poll = self._settings.api, self._settings.poll
        settings = ClientSettings(
            base_url=api.base_url, timeout=api.timeout, concurrency=api.concurrency, ca_file=api.ca_file
        )
        client = Client(
            account.name,
            settings,
            await sessions.enter_async_context(open_session(settings)),
            _credential(account),
            self._paces[account.name],
            self._clock,
            self._report,
        )
        return Poller(
            account.name,
            client,
            self._clock,
            PollSettings(
                interval=poll.interval,
                lookback=poll.lookback,
                recent=poll.recent,
                sweep_interval=poll.sweep_interval,
                concurrency=api.concurrency,
                worst=self._settings.metrics.top_operations,
            ),
            self._report,
            self._publish,
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
        self.metrics.reloaded(self._clock.now(), successful=not problems)
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

    def _report(self, report: Report) -> None:
        for listener in self.listeners:
            listener(report)

    def _publish(self, account: str, snapshot: Snapshot) -> None:
        self.metrics.publish(account, snapshot)
        self.board.publish(account, snapshot)

    def _status_page(self) -> Page:
        return Page(
            status_page(
                self.board.accounts.values(),
                version=__version__,
                telemetry_path=self._settings.web.telemetry_path,
                now=self._clock.now(),
                paces={name: _shown(pace, self._clock) for name, pace in self._paces.items()},
            )
        )


def exposition_of(metrics: Metrics) -> Exposition:
    """The page of some metrics; each part is written again when it has changed."""
    return Exposition(
        [
            Part(metrics.polled, lambda: metrics.publishes),
            Part(metrics.own, lambda: metrics.changes),
            Part(metrics.live, object),  # never the same twice
        ]
    )


def _shown(pace: Pace, clock: Clock) -> PaceView:
    return PaceView(pace.requests_per_second, clock.now() + pace.wait(clock.monotonic()))


def _credential(account: Account) -> Callable[[], tuple[str, str]]:
    def read() -> tuple[str, str]:
        try:
            credential = account.credential()
        except CredentialError as error:
            raise Unauthorized(str(error)) from None
        return credential.username, credential.secret.get_secret_value()

    return read


@asynccontextmanager
async def _saved_at_the_end(pollers: Sequence[Poller]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await asyncio.gather(*(poller.save() for poller in pollers))


@asynccontextmanager
async def _turning(loops: Iterable[Coroutine[None, None, None]]) -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks = [asyncio.create_task(loop) for loop in loops]
    for task in tasks:
        task.add_done_callback(_tell_death)
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def _dead(tasks: Sequence[asyncio.Task[None]]) -> str | None:
    return "a poll loop has died" if any(task.done() for task in tasks) else None


def _tell_death(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        LOG.critical("a poll loop has died", exc_info=error)


async def _succeeds(poller: Poller) -> bool:
    try:
        await poller.poll()
    except TwilioError:  # reported, and so logged
        return False
    return True


def stop_on_signals() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):  # Windows has no such handlers
            loop.add_signal_handler(number, stop.set)
    return stop


def reload_on_signal(reload: Callable[[], object]) -> None:
    with contextlib.suppress(NotImplementedError, AttributeError):  # Windows has no such signal
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)


def _progress_line(err: TextIO) -> Callable[[Report], None]:
    """One line that counts up while a large window is read."""

    def show(report: Report) -> None:
        if isinstance(report, ListingProgressed):
            err.write(f"\r{report.account}: {report.operations} operations in {report.pages} pages … ")
            err.flush()

    return show
