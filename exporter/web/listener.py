"""Where the server listens, and how much patience it has with who connects.

Must not know what is served. Time comes with the calls.
"""

import ipaddress
import logging
import os
import socket
import ssl
from asyncio import BaseTransport
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web  # noqa: TID251 - home of aiohttp
from aiohttp.http_exceptions import HttpProcessingError  # noqa: TID251 - home of aiohttp
from aiohttp.log import server_logger  # noqa: TID251 - home of aiohttp

from exporter.errors import ListenError

SHUTDOWN_SECONDS: Final = 2.0
"""A scrape under way at the end may take this long; the whole stop has 5 s."""

KEEPALIVE_SECONDS: Final = 310.0
"""Longer than the longest scrape interval that makes sense, five minutes: the connection serves again."""

REQUEST_SECONDS: Final = 10.0
"""Between connecting and the end of the first request's headers."""

READ_SECONDS: Final = 60.0
"""For reading a reply."""

HEADER_BYTES: Final = 8190
"""One header, or the request line; beyond it the answer is 400."""

HEADERS: Final = 100
"""In one request."""


class Connections:
    """The open connections; those that keep us waiting are cut off."""

    def __init__(self) -> None:
        self._server: web.Server | None = None
        self._active: set[web.RequestHandler] = set()
        self._waiting_since: dict[web.RequestHandler, float] = {}

    def attach(self, server: web.Server | None) -> None:
        self._server = server

    def request_received(self, request: web.Request) -> None:
        """A request has come in whole."""
        self._active.add(request.protocol)

    def sweep(self, now: float) -> None:
        """Cut off who has kept us waiting for too long; `now` counts seconds, from any instant."""
        open_now = set(self._server.connections) if self._server else set()
        self._active &= open_now
        before, self._waiting_since = self._waiting_since, {}
        for protocol in open_now:
            transport = protocol.transport
            reading = transport is not None and transport.get_write_buffer_size() > 0
            if transport is None or (protocol in self._active and not reading):
                continue
            since = self._waiting_since[protocol] = before.get(protocol, now)
            if now - since >= (READ_SECONDS if reading else REQUEST_SECONDS):
                transport.abort()


def is_of_this_machine(transport: BaseTransport | None) -> bool:
    """Whether the other end is a process here: its address is a loopback one, or our own."""
    peer, own = (transport and transport.get_extra_info(name) for name in ("peername", "sockname"))
    if not peer or not own:  # already gone
        return False
    return bool(peer[0] == own[0] or ipaddress.ip_address(peer[0]).is_loopback)


class _ClientFaults(logging.Filter):
    """Keeps a broken request, which got its 400, and who left before the reply from filling the log."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError | ConnectionError)


@asynccontextmanager
async def serving(
    application: web.Application,
    addresses: Iterable[tuple[str | None, int]],
    connections: Connections | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[list[tuple[str, int]]]:
    """Serve on every address (host `None`: all of them); gives those bound, with their real ports."""
    runner = web.AppRunner(
        application,
        access_log=None,
        shutdown_timeout=SHUTDOWN_SECONDS,
        keepalive_timeout=KEEPALIVE_SECONDS,
        max_line_size=HEADER_BYTES,
        max_field_size=HEADER_BYTES,
        max_headers=HEADERS,
    )
    server_logger.addFilter(_CLIENT_FAULTS)
    await runner.setup()
    try:
        if connections is not None:
            connections.attach(runner.server)
        for host, port in addresses:
            try:
                await web.TCPSite(runner, host, port, ssl_context=tls).start()
            except OSError as error:
                raise ListenError(f"cannot listen on {_shown(host)}:{port}: {_why(error)}") from error
        yield [(address[0], address[1]) for address in runner.addresses]
    finally:
        await runner.cleanup()


_CLIENT_FAULTS: Final = _ClientFaults()


def _shown(host: str | None) -> str:
    return f"[{host}]" if host and ":" in host else host or ""


def _why(error: OSError) -> str:
    if isinstance(error, socket.gaierror) or error.errno is None:
        return f"{error.strerror or error}"
    return os.strerror(error.errno)  # asyncio's own text says the address a second time
