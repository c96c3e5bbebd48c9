"""What Prometheus, Kubernetes and people touch. The home of aiohttp's server.

Serves finished pages; must never call Twilio, and must not know how numbers come about.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from exporter.exposition import Exposition, accepts_gzip, choose_format, compress

SHUTDOWN_SECONDS: Final = 2.0
"""A scrape under way at the end may take this long; the whole stop has 5 s."""


@dataclass(slots=True)
class Health:
    """What the probes answer."""

    dead: Callable[[], str | None]
    """Why the process should be restarted; `None`: its loops turn."""
    ready: bool = False
    loaded: bool = False
    """Counters stand where a former process left them; before, a scrape would see them fall to zero."""


class ListenError(Exception):
    """An address cannot be listened on; the message names it and why."""


@asynccontextmanager
async def serving(
    application: web.Application, addresses: Iterable[tuple[str | None, int]]
) -> AsyncIterator[list[tuple[str, int]]]:
    """Serve on every address (host `None`: all of them); gives those bound, with their real ports."""
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        for host, port in addresses:
            try:
                await web.TCPSite(runner, host, port).start()
            except OSError as error:
                raise ListenError(f"cannot listen on {host or ''}:{port}: {error.strerror}") from error
        yield [(address[0], address[1]) for address in runner.addresses]
    finally:
        await runner.cleanup()


def build(
    exposition: Exposition,
    health: Health,
    status_page: Callable[[], str],
    on_scrape: Callable[[], None],
    reload: Callable[[], None],
    telemetry_path: str,
) -> web.Application:
    application = web.Application()
    application.add_routes(
        [
            web.get(telemetry_path, _metrics(exposition, health, on_scrape)),
            web.get("/-/healthy", _healthy(health)),
            web.get("/-/ready", _ready(health)),
            web.post("/-/reload", _reload(reload)),
            web.get("/", _status(status_page)),
        ]
    )
    return application


_Handler = Callable[[web.Request], Awaitable[web.Response]]


def _metrics(exposition: Exposition, health: Health, on_scrape: Callable[[], None]) -> _Handler:
    async def handle(request: web.Request) -> web.Response:
        if not health.loaded:
            return web.Response(text="the state is being loaded\n", status=503)
        format_ = choose_format(request.headers.get("Accept"))
        page = await exposition.page(format_)
        headers = {"Content-Type": format_.content_type, "Vary": "Accept, Accept-Encoding"}
        if accepts_gzip(request.headers.get("Accept-Encoding")):
            page, headers["Content-Encoding"] = compress(page), "gzip"
        if request.method == "GET":
            on_scrape()
        return web.Response(body=page, headers=headers)

    return handle


def _healthy(health: Health) -> _Handler:
    async def handle(_: web.Request) -> web.Response:
        reason = health.dead()
        return web.Response(text="OK\n") if reason is None else web.Response(text=f"{reason}\n", status=503)

    return handle


def _ready(health: Health) -> _Handler:
    async def handle(_: web.Request) -> web.Response:
        if health.ready:
            return web.Response(text="OK\n")
        return web.Response(text="not ready\n", status=503)

    return handle


def _reload(reload: Callable[[], None]) -> _Handler:
    async def handle(_: web.Request) -> web.Response:
        reload()
        return web.Response(text="OK\n")

    return handle


def _status(page: Callable[[], str]) -> _Handler:
    async def handle(_: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return web.Response(text=page(), content_type="text/html", headers=headers)

    return handle
