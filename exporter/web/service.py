"""The web service as the settings describe it: metrics, probes, status page, reload.

Shows what the observers hold; must not know pollers, storage or Twilio.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from logging import ERROR, INFO, WARNING
from types import MappingProxyType
from typing import Final

from exporter import __version__
from exporter.clock import Clock
from exporter.config.problems import SettingsError
from exporter.config.settings import Settings
from exporter.errors import CredentialError
from exporter.logs import LOG, line
from exporter.metrics.exposition import Exposition
from exporter.metrics.registry import ORDER, Metrics
from exporter.observers.hub import Hub
from exporter.supervisor import Supervisor
from exporter.web.auth import Authenticator
from exporter.web.connections import Connections
from exporter.web.limits import allowed_files, limits_for
from exporter.web.listener import serving
from exporter.web.reloads import Reloaded, SpacedReloads
from exporter.web.routes import Health, Page, Scrapes, build

MAINTENANCE_SECONDS: Final = 5.0
"""Interval of the checks for changed files and for slow connections."""

RENDERING_SECONDS: Final = 0.1
"""Least time between two renderings ahead of scrapes; publishes in between are rendered together."""


class WebService:
    """`reloads` read the files of other parts again; if one raises an error, the previous content is kept.

    `changed_settings` reads the settings again and names those that differ; it may raise `SettingsError`.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        hub: Hub,
        supervisor: Supervisor,
        reloads: Iterable[Callable[[], None]],
        changed_settings: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._hub = hub
        self._authenticator = Authenticator(settings.web.config_file, clock)
        poll_connections = len(settings.accounts) * settings.api.concurrency
        self._connections = Connections(limits_for(allowed_files(), poll_connections), clock)
        self._changed_settings = changed_settings
        self._reloads = [self._authenticator.reload, *reloads]
        self.exposition = exposition_of(hub.metrics, clock)
        self._published = asyncio.Event()
        hub.snapshot_observers.append(lambda *_: self._published.set())
        self.health = Health(dead=lambda: supervisor.dead() or hub.watchdog.reason())
        self.application = build(
            self.exposition,
            self.health,
            {"/": self.status_page, "/status.css": _style_sheet},
            Scrapes(hub.activity.scrape, hub.metrics.note_seen),
            settings.web.telemetry_path,
            self._authenticator,
            self._connections,
            SpacedReloads(self.reload, clock),
        )

    def opened(self) -> AbstractAsyncContextManager[list[tuple[str, int]]]:
        """Serve; yields the bound addresses. Raises `ListenError`."""
        addresses = [(each.host, each.port) for each in self._settings.web.listen_address]
        return serving(self.application, addresses, self._connections, self._clock, self._authenticator.tls)

    def status_page(self, query: Mapping[str, str] = MappingProxyType({})) -> Page:
        from exporter.web.status_page import status_page  # jinja2: 2 MB, and nobody may ever look

        now = self._clock.now()
        return Page(
            status_page(
                self._hub.statuses.accounts.values(),
                self._hub.verdicts.current(now),
                version=__version__,
                telemetry_path=self._settings.web.telemetry_path,
                now=now,
                lookback=self._settings.poll.lookback,
                rate_limits=self._hub.rate_limits(),
                query=query,
                standing=self._hub.activity.standing,
            )
        )

    def reload(self) -> Reloaded:
        """Read all reloadable files again."""
        problems, need_restart = self._reload_files(), list[str]()
        if not problems:
            try:
                need_restart += self._changed_settings()
            except SettingsError as error:
                problems += map(str, error.problems)
        self._hub.metrics.reloaded(self._clock.now(), successful=not problems)
        for problem in problems:
            line(ERROR, "reload failed, keeping the previous configuration", problem=problem)
        if not problems:
            line(INFO, "reloaded")
        if need_restart:
            line(WARNING, "changed settings need a restart", settings=", ".join(need_restart))
        return Reloaded(problems, need_restart)

    def _reload_files(self) -> list[str]:
        """The problems, one line each."""
        problems: list[str] = []
        for reload in self._reloads:
            try:
                reload()
            except SettingsError as error:
                problems += map(str, error.problems)
            except (CredentialError, OSError) as error:
                problems.append(str(error))
        return problems

    async def maintain(self) -> None:
        """Close slow connections and reload changed files, until cancelled. Internal errors are logged."""
        while True:
            await self._clock.sleep(MAINTENANCE_SECONDS)
            try:
                self._connections.sweep()
                if self._authenticator.changed():
                    self.reload()
            except Exception:  # noqa: BLE001 - later runs must still happen
                LOG.exception("periodic maintenance of the web service failed")

    async def render_ahead(self) -> None:
        """Render what is published before it is scraped, until cancelled. Internal errors are logged."""
        while True:
            await self._published.wait()
            self._published.clear()
            try:
                await self.exposition.render_ahead()
            except Exception:  # noqa: BLE001 - a scrape will try again
                LOG.exception("rendering the metrics failed")
            await self._clock.sleep(RENDERING_SECONDS)

    @asynccontextmanager
    async def counters_released_in_time(self) -> AsyncIterator[None]:
        """Release the counters after `metrics.first_scrape_timeout`, even without a first scrape."""

        async def release() -> None:
            await self._clock.sleep(self._settings.metrics.first_scrape_timeout)
            self._hub.metrics.release_counters()

        releasing = asyncio.create_task(release())
        try:
            yield
        finally:
            releasing.cancel()


def _style_sheet(_: Mapping[str, str]) -> Page:
    from exporter.web.status_page import style_sheet  # as above

    return Page(style_sheet(), "text/css")


def exposition_of(metrics: Metrics, clock: Clock, *, with_python: bool = True) -> Exposition:
    """The metrics page. `with_python=False` leaves out the metrics of the process and its Python."""
    parts = [*metrics.polled, *metrics.own, metrics.live, *([metrics.python] if with_python else [])]
    return Exposition(parts, ORDER, clock.monotonic)
