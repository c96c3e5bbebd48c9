"""The HTTP routes for Prometheus, Kubernetes and browsers, and the access check in front of them.

Serves pages that are ready; must never call Twilio, and must not know how the numbers are computed.

Rule: access is checked for every path, also for paths that do not exist, as in exporter-toolkit: first the
rate limit, then the user. Probes from the same machine are exempt.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from aiohttp import web  # noqa: TID251 - home of aiohttp
from aiohttp.typedefs import Handler, Middleware  # noqa: TID251 - home of aiohttp

from exporter.metrics.exposition import Exposition
from exporter.metrics.negotiation import accepts_gzip, choose_format
from exporter.metrics.registry import Scrape
from exporter.web.auth import Authenticator
from exporter.web.connections import Connections
from exporter.web.listener import is_of_this_machine
from exporter.web.passwords import Client, TooManyChecksError
from exporter.web.reloads import Reloaded, is_cross_site

CONCURRENT_SCRAPES: Final = 20
"""Far more than one exporter has Prometheus servers. Further scrapes get 503 with `Retry-After`."""


@dataclass(slots=True)
class Health:
    """What `/-/healthy` and `/-/ready` report."""

    dead: Callable[[], str | None]
    """Why the process should be restarted; `None` if its schedulers run. Called only once `loaded` is set."""
    ready: bool = False
    loaded: bool = False
    """The counters have been restored from the state, and the schedulers run.

    Until then a scrape would see counters fall to zero, and stopped schedulers are not a failure.
    """


@dataclass(frozen=True, slots=True)
class Scrapes:
    """What a scrape depends on, besides the page."""

    begin: Callable[[], Scrape]
    """Its term changes whenever the process begins or ceases to be active: a page must not mix both."""
    seen: Callable[[Scrape], object]
    """Called after the page was sent."""


@dataclass(frozen=True, slots=True)
class Page:
    """A rendered document for browsers."""

    text: str
    content_type: str = "text/html"


def build(
    exposition: Exposition,
    health: Health,
    pages: Mapping[str, Callable[[Mapping[str, str]], Page]],
    scrapes: "Scrapes",
    telemetry_path: str,
    authenticator: Authenticator,
    connections: Connections,
    reload: Callable[[], Awaitable[Reloaded]],
) -> web.Application:
    """The application. `pages` renders the document of each path for its query; `reload` reads the files
    again.
    """
    application = web.Application(middlewares=[_guard(authenticator, connections)])
    application.on_response_prepare.append(_configured_headers(authenticator))
    application.add_routes(
        [
            web.get(telemetry_path, _metrics(exposition, health, scrapes, connections)),
            web.get("/-/healthy", _healthy(health)),
            web.get("/-/ready", _ready(health)),
            web.post("/-/reload", _reload(reload)),
            *(web.get(path, _document(page)) for path, page in pages.items()),
        ]
    )
    return application


_PROBES: Final = frozenset({"/-/healthy", "/-/ready"})

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _guard(authenticator: Authenticator, connections: Connections) -> Middleware:
    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        with connections.answering(request):
            if request.path in _PROBES and is_of_this_machine(request.transport):
                return await handler(request)
            refusal = await _refusal(request, authenticator)
            if refusal is not None:
                return refusal
            if authenticator.config.users:
                connections.mark_scraper(request)
            return await handler(request)

    return guard


async def _refusal(request: web.Request, authenticator: Authenticator) -> web.Response | None:
    """The reply to a request that is refused; `None` if it is allowed."""
    if not authenticator.within_rate():
        return web.Response(text="Too Many Requests\n", status=429)
    client = Client(request.remote or "", lambda: request.transport is None)
    try:
        if await authenticator.authenticates(request.headers.get("Authorization"), client):
            return None
    except TooManyChecksError:
        return web.Response(
            text="too many pending password checks\n", status=503, headers={"Retry-After": "1"}
        )
    headers = {"WWW-Authenticate": 'Basic realm="twilio-email-exporter", charset="UTF-8"'}
    return web.Response(text="Unauthorized\n", status=401, headers=headers)


def _configured_headers(
    authenticator: Authenticator,
) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    async def add(_: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(authenticator.config.headers)

    return add


def _metrics(exposition: Exposition, health: Health, scrapes: Scrapes, connections: Connections) -> _Handler:
    under_way = 0

    async def handle(request: web.Request) -> web.StreamResponse:
        nonlocal under_way
        if not health.loaded:
            return web.Response(text="loading the state\n", status=503)
        if under_way >= CONCURRENT_SCRAPES:
            return web.Response(
                text="too many concurrent scrapes\n", status=503, headers={"Retry-After": "1"}
            )
        under_way += 1
        try:
            # Sent here, not by aiohttp after the return, so that a slow reader counts as a scrape under way.
            response, scrape = await _send_page(exposition, request, scrapes.begin)
        finally:
            under_way -= 1
        connections.mark_scraper(request)
        if request.method == "GET":
            scrapes.seen(scrape)
        return response

    return handle


async def _send_page(
    exposition: Exposition, request: web.Request, begin: Callable[[], Scrape]
) -> tuple[web.StreamResponse, Scrape]:
    """Send the page; returns what it shows."""
    format_ = choose_format(request.headers.get("Accept"))
    is_gzipped = accepts_gzip(request.headers.get("Accept-Encoding"))
    while True:
        scrape = begin()
        pieces = [await exposition.gzipped_page(format_)] if is_gzipped else await exposition.pieces(format_)
        if begin().term == scrape.term:  # the lock may have been lost while the page was rendered
            break
    headers = {"Content-Type": format_.content_type, "Vary": "Accept, Accept-Encoding"}
    response: web.StreamResponse
    if is_gzipped:
        headers["Content-Encoding"] = "gzip"
        # Sends head and small body in one packet.
        response, pieces = web.Response(body=pieces[0], headers=headers), []
    else:
        response = web.StreamResponse(headers=headers)
        response.content_length = sum(map(len, pieces))
    await response.prepare(request)
    for piece in pieces if request.method != "HEAD" else ():
        await response.write(piece)
    await response.write_eof()
    return response, scrape


def _healthy(health: Health) -> _Handler:
    async def handle(_: web.Request) -> web.Response:
        reason = health.dead() if health.loaded else None
        return web.Response(text="OK\n") if reason is None else web.Response(text=f"{reason}\n", status=503)

    return handle


def _ready(health: Health) -> _Handler:
    async def handle(_: web.Request) -> web.Response:
        if health.ready:
            return web.Response(text="OK\n")
        return web.Response(text="not ready\n", status=503)

    return handle


def _reload(reload: Callable[[], Awaitable[Reloaded]]) -> _Handler:
    async def handle(request: web.Request) -> web.Response:
        if is_cross_site(request.headers):
            return web.Response(text="cross-site requests may not reload the configuration\n", status=403)
        problems, need_restart = await reload()
        if problems:
            return web.Response(text="\n".join(problems) + "\n", status=500)
        restart = f"restart to apply: {', '.join(need_restart)}\n" if need_restart else ""
        return web.Response(text=f"OK\n{restart}")

    return handle


_PAGE_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def _document(page: Callable[[Mapping[str, str]], Page]) -> _Handler:
    async def handle(request: web.Request) -> web.Response:
        # With a hundred accounts, rendering takes tens of milliseconds.
        document = await asyncio.to_thread(page, request.query)
        return web.Response(text=document.text, content_type=document.content_type, headers=_PAGE_HEADERS)

    return handle
