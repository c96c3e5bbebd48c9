"""The HTTP server: the addresses it listens on, and the limits of a request.

Must not know what is served, or how connections are limited.
"""

import asyncio
import logging
import os
import socket
import ssl
from asyncio import BaseTransport
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Final, cast

from aiohttp import web, web_response  # noqa: TID251 - home of aiohttp
from aiohttp.http_exceptions import HttpProcessingError  # noqa: TID251 - home of aiohttp
from aiohttp.log import server_logger  # noqa: TID251 - home of aiohttp

from exporter.clock import Clock
from exporter.config.parsers import ListenAddress
from exporter.errors import ListenError
from exporter.web.acceptor import Acceptor
from exporter.web.connections import Connections, is_local

SHUTDOWN_SECONDS: Final = 2.0
"""At the stop, scrapes under way may take this long; the whole stop has 5 s."""

KEEPALIVE_SECONDS: Final = 310.0
"""Idle time between two requests. Longer than five minutes, the longest scrape interval that makes sense."""

SERVER: Final = "twilio-email-exporter"
"""The `Server` header; aiohttp's names its own version and Python's."""

BACKLOG: Final = 1024
"""Connections that may wait to be accepted; the clients of further ones try again after a second."""

HEADER_BYTES: Final = 8190
"""Maximum size of a header, and of the request line; larger ones are answered with 400."""

HEADERS: Final = 100
"""Maximum number of headers in a request."""


def is_of_this_machine(transport: BaseTransport | None) -> bool:
    """Whether the client runs on this machine: its address is a loopback address, or the server's own."""
    peer, own = (transport and transport.get_extra_info(name) for name in ("peername", "sockname"))
    if not peer or not own:  # the connection is already closed
        return False
    return is_local(peer[0], own[0])


class _ClientFaults(logging.Filter):
    """Drops log records of malformed requests, which were answered with 400, and of lost connections."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError | ConnectionError)


@asynccontextmanager
async def serving(
    application: web.Application,
    addresses: Iterable[tuple[str | None, int]],
    connections: Connections,
    clock: Clock,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[list[tuple[str, int]]]:
    """Serve on every address; yields the bound ones with their real ports. Raises `ListenError`.

    Host `None` means every interface.
    """
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
    # Replies to malformed requests are built by aiohttp alone: neither handlers nor signals see them.
    web_response.SERVER_SOFTWARE = SERVER  # type: ignore[attr-defined]
    await runner.setup()
    acceptor = Acceptor(cast("web.Server", runner.server), connections, clock, tls)
    try:
        async with _listening(addresses) as sockets, _running(map(acceptor.accept, sockets)):
            yield [each.getsockname()[:2] for each in sockets]
    finally:
        await runner.cleanup()
        connections.abort()


@asynccontextmanager
async def _listening(addresses: Iterable[tuple[str | None, int]]) -> AsyncIterator[list[socket.socket]]:
    sockets: list[socket.socket] = []
    try:
        for host, port in addresses:
            try:
                sockets += await _bound(host, port)
            except OSError as error:
                raise ListenError(f"cannot listen on {ListenAddress(host, port)}: {_why(error)}") from error
        yield sockets
    finally:
        for each in sockets:
            each.close()


async def _bound(host: str | None, port: int) -> list[socket.socket]:
    """Listening sockets, one for each address family; asyncio resolves the name and sets their options."""
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, host, port, start_serving=False)
    sockets = [each.dup() for each in server.sockets]
    server.close()
    for each in sockets:
        each.listen(BACKLOG)
    return sockets


@asynccontextmanager
async def _running(coroutines: Iterable[Coroutine[None, None, None]]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(each) for each in coroutines]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


_CLIENT_FAULTS: Final = _ClientFaults()


def _why(error: OSError) -> str:
    if isinstance(error, socket.gaierror) or error.errno is None:
        return f"{error.strerror or error}"
    return os.strerror(error.errno)  # asyncio's own text repeats the address
