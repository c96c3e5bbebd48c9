"""The only place where the parts meet: builds them from the settings, starts and stops them.

Decides nothing but who is told what, and in which order things start and stop.
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from logging import ERROR, INFO
from typing import Final, TextIO

from exporter import __version__
from exporter.client import Client, ClientSettings, open_session
from exporter.clock import Clock, SystemClock
from exporter.errors import TwilioError, Unauthorized
from exporter.exposition import TEXT, Exposition
from exporter.logs import LOG, Narrator, line
from exporter.metrics import Metrics
from exporter.pace import Pace
from exporter.page import status_page, table
from exporter.poller import Poller, PollSettings
from exporter.report import ListingProgressed, Report
from exporter.settings import Account, CredentialError, Settings
from exporter.snapshot import Snapshot
from exporter.status import Board
from exporter.storage import DamagedError, RefusedError, Storage
from exporter.web import Health, ListenError, build, serving

FINE: Final = 0
FAILED: Final = 1


async def run(
    settings: Settings, *, on_listening: Callable[[Sequence[tuple[str, int]]], None] | None = None
) -> int:
    """Poll and serve until SIGTERM or SIGINT; gives the exit code."""
    parts = _Parts(settings, SystemClock())
    addresses = [(each.host, each.port) for each in settings.web.listen_address]
    stop = stop_on_signals()
    try:
        async with (
            serving(parts.application, addresses) as bound,
            parts.storage() as storage,
            parts.pollers(storage) as pollers,
            _saved_at_the_end(pollers),
            parts.counters_released_in_time(),
            _polling(pollers) as tasks,
        ):
            for host, port in bound:
                line(INFO, "listening", address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
            if on_listening is not None:
                on_listening(bound)
            parts.health.dead = lambda: _dead(tasks)
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

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        names = [account.name for account in settings.accounts]
        self.metrics = Metrics(names, version=__version__, interval=settings.poll.interval)
        self.exposition = Exposition(self.metrics.polled, self.metrics.own)
        self.board = Board(names)
        self.listeners: list[Callable[[Report], None]] = [
            self.metrics.observe,
            Narrator(self.board).observe,
        ]
        self.health = Health(dead=lambda: None)
        self.application = build(
            self.exposition,
            self.health,
            self._status_page,
            self._release_counters,
            settings.web.telemetry_path,
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
            self._release_counters()

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
        self.exposition.published()

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
            Pace(api.requests_per_second),
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

    def _report(self, report: Report) -> None:
        for listener in self.listeners:
            listener(report)

    def _publish(self, account: str, snapshot: Snapshot) -> None:
        self.metrics.publish(account, snapshot)
        self.board.publish(account, snapshot)
        self.exposition.published()

    def _release_counters(self) -> None:
        if self.metrics.release_counters():
            self.exposition.published()

    def _status_page(self) -> str:
        return status_page(
            self.board.accounts.values(),
            version=__version__,
            telemetry_path=self._settings.web.telemetry_path,
        )


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
async def _polling(pollers: Sequence[Poller]) -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks = [asyncio.create_task(poller.run()) for poller in pollers]
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


def _progress_line(err: TextIO) -> Callable[[Report], None]:
    """One line that counts up while a large window is read."""

    def show(report: Report) -> None:
        if isinstance(report, ListingProgressed):
            err.write(f"\r{report.account}: {report.operations} operations in {report.pages} pages … ")
            err.flush()

    return show
