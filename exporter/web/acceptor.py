"""Accepts connections on one listening socket, one for each turn of the event loop.

asyncio's own server accepts a hundred in a turn, more than there may be file descriptors for, and logs each
one that fails. Must not know HTTP or what is served.
"""

import asyncio
import gc
import ssl
from collections.abc import Callable
from logging import ERROR
from socket import socket
from typing import Final

from aiohttp import web  # noqa: TID251 - home of aiohttp

from exporter.clock import Clock
from exporter.logs import line
from exporter.web.connections import REQUEST_SECONDS, Connection, Connections
from exporter.web.handshake import Handshakes

ACCEPT_PAUSE_SECONDS: Final = 1.0
"""After a failure, because the next attempt would most likely fail as well."""

FAILURE_LOG_SECONDS: Final = 60.0
"""Failures to accept are logged once in this time."""

TLS_SHUTDOWN_SECONDS: Final = 2.0
"""How long a client may take to confirm the end of a TLS connection."""


HANDSHAKES_PER_COLLECTION: Final = 16
"""asyncio leaves a reference cycle of 0.3 MB for each failed handshake.

The garbage collector counts objects, not bytes, and would let hundreds of them pile up.
"""


class Acceptor:
    """Hands accepted sockets to protocols of `server`."""

    def __init__(
        self,
        server: Callable[[], web.RequestHandler],
        connections: Connections,
        clock: Clock,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._server = server
        self._connections = connections
        self._clock = clock
        self._tls = tls
        self._opening: set[asyncio.Task[None]] = set()
        self._log_from = float("-inf")
        self._failures = 0
        self._handshakes = Handshakes(clock)
        self._failed_handshakes = 0

    async def accept(self, listening: socket) -> None:
        """Accept connections until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, peer = await loop.sock_accept(listening)
            except ConnectionError:  # the client left before
                continue
            except OSError as error:
                self._failed(error)
                await self._clock.sleep(ACCEPT_PAUSE_SECONDS)
                continue
            self._open(accepted, peer[0])
            await self._clock.sleep(0)  # accepted connections are served before the next one is accepted

    def _open(self, accepted: socket, address: str) -> None:
        protocol = self._server()
        connection = self._connections.admit(protocol, accepted, address)
        opening = asyncio.create_task(self._connect(connection, protocol))
        connection.cancel_handshake = opening.cancel
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    async def _connect(self, connection: Connection, protocol: web.RequestHandler) -> None:
        """With TLS: also the handshake."""
        timeouts = {
            "ssl_handshake_timeout": REQUEST_SECONDS,
            "ssl_shutdown_timeout": TLS_SHUTDOWN_SECONDS,
        }
        try:
            with self._handshakes.watched(connection.socket, connection.address):
                connection.transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
                    lambda: protocol, connection.socket, ssl=self._tls, **(timeouts if self._tls else {})
                )
        except OSError:  # ssl.SSLError among them; asyncio has closed the socket
            pass
        finally:
            if connection.transport is None and self._tls is not None:
                self._collect_failed_handshakes()

    def _collect_failed_handshakes(self) -> None:
        self._failed_handshakes += 1
        if self._failed_handshakes % HANDSHAKES_PER_COLLECTION == 0:
            gc.collect()

    def _failed(self, error: OSError) -> None:
        self._failures += 1
        if self._clock.monotonic() >= self._log_from:
            line(ERROR, "cannot accept connections", error=error.strerror, failures=self._failures)
            self._failures = 0
            self._log_from = self._clock.monotonic() + FAILURE_LOG_SECONDS
