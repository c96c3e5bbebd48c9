"""The open connections: accepted within the limits, and closed when the client is too slow.

Must not know what is served, nor how a socket becomes a connection.

Rule: a connection counts until its socket is closed, even if aiohttp has already dropped it.
"""

import asyncio
import ipaddress
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from socket import socket
from typing import Final

from aiohttp import web  # noqa: TID251 - home of aiohttp

from exporter.clock import Clock
from exporter.web.limits import Limits, least_worthy

REQUEST_SECONDS: Final = 10.0
"""From accepting a connection to the end of the TLS handshake, and of the first request's headers.

Clients that are no scrapers have as long for each further request.
"""

READ_SECONDS: Final = 60.0
"""For reading a reply."""


@dataclass(eq=False, slots=True)
class Connection:
    """The connection of one client."""

    address: str
    socket: socket
    since: float
    """When it was accepted, sent a request or was answered, whichever came last; monotonic seconds."""
    cancel_handshake: Callable[[], object] = lambda: None
    transport: asyncio.Transport | None = None
    """`None` during the TLS handshake."""
    is_of_scraper: bool = False
    is_answered: bool = True
    """Whether no request is being handled."""

    @property
    def is_open(self) -> bool:
        return self.socket.fileno() >= 0

    @property
    def is_unread(self) -> bool:
        """Whether the client has not yet read what was sent to it."""
        return self.transport is not None and self.transport.get_write_buffer_size() > 0

    @property
    def is_busy(self) -> bool:
        return not self.is_answered or self.is_unread

    def abort(self) -> None:
        if self.transport is None:
            self.cancel_handshake()
        elif self.is_open:  # before Python 3.11.3 a TLS transport that is closed cannot be aborted
            self.transport.abort()


class Connections:
    """Every open connection, by its protocol."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._open: dict[web.RequestHandler, Connection] = {}

    def __len__(self) -> int:
        self._forget_closed()
        return len(self._open)

    def admit(self, protocol: web.RequestHandler, socket: socket, address: str) -> Connection:
        """Count a new connection; when there are too many, another one is closed."""
        if len(self) >= self._limits.connections:
            self._close_one(of_scrapers=False)
        connection = self._open[protocol] = Connection(address, socket, self._clock.monotonic())
        return connection

    @contextmanager
    def answering(self, request: web.Request) -> Iterator[None]:
        """Marks the connection of a request as busy while the request is handled."""
        connection = self._open.get(request.protocol)
        if connection is None:  # not from our listener
            yield
            return
        connection.is_answered, connection.since = False, self._clock.monotonic()
        try:
            yield
        finally:
            connection.is_answered, connection.since = True, self._clock.monotonic()

    def mark_scraper(self, request: web.Request) -> None:
        """The client of this request was authenticated, or received the metrics."""
        connection = self._open.get(request.protocol)
        if connection is None or connection.is_of_scraper:
            return
        self._forget_closed()
        if sum(each.is_of_scraper for each in self._open.values()) >= self._limits.scrapers:
            self._close_one(of_scrapers=True)
        connection.is_of_scraper = True

    def sweep(self) -> None:
        """Close the connections of clients that are too slow."""
        self._forget_closed()
        now = self._clock.monotonic()
        for connection in self._open.values():
            if now - connection.since >= _patience(connection):
                connection.abort()

    def abort(self) -> None:
        """Close every connection."""
        for connection in self._open.values():
            connection.abort()

    def _close_one(self, *, of_scrapers: bool) -> None:
        held = {each: protocol for protocol, each in self._open.items() if each.is_of_scraper is of_scrapers}
        victim = least_worthy(held)
        victim.abort()
        del self._open[held[victim]]

    def _forget_closed(self) -> None:
        for protocol in [protocol for protocol, each in self._open.items() if not each.is_open]:
            del self._open[protocol]


def is_local(peer: str, own: str) -> bool:
    """Whether the client is a process on this machine: its address is a loopback address, or the same."""
    return peer == own or ipaddress.ip_address(peer).is_loopback


def _patience(connection: Connection) -> float:
    """Seconds without a change after which a connection is closed."""
    if connection.is_unread:
        return READ_SECONDS
    if connection.is_of_scraper or not connection.is_answered:
        return float("inf")
    return REQUEST_SECONDS
