"""Reports failed TLS handshakes: the client receives the reason, and the log one line per interval.

asyncio closes such a connection without sending the alert that OpenSSL has written, and logs nothing. Here
the SSL object that detects the failure sends the alert. A context variable of the task that opens the
connection gives it the socket.

Must not know HTTP beyond two fixed replies, nor who accepts connections.

Rule: a failure to report a failure is ignored.
"""

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from logging import WARNING
from socket import socket
from typing import Final

from exporter.clock import Clock
from exporter.logs import line
from exporter.web.connections import is_local

FAILURE_LOG_SECONDS: Final = 60.0
"""At most one failed handshake is logged in this time; a public port has many."""

_PLAIN_REQUEST: Final = "Client sent an HTTP request to an HTTPS server.\n"
"""The wording of Go's server, which people search for."""


class ClientRefusedError(ssl.SSLError):
    """The program refuses a client that OpenSSL has accepted."""

    def __init__(self, text: str) -> None:
        super().__init__(ssl.SSL_ERROR_SSL, text)
        self.reason = text


@dataclass(eq=False, slots=True)
class _Handshake:
    """The handshake of one connection."""

    socket: socket
    is_local: bool
    has_begun: bool = False
    """Whether the client has sent enough to be answered."""

    def send(self, content: bytes) -> None:
        with suppress(OSError):
            self.socket.send(content)
            # The kernel resets a connection that is closed with unread data, and the client may then lose the
            # alert.
            self.socket.recv(65536)


_current: ContextVar[_Handshake | None] = ContextVar("handshake", default=None)


class ServerObject(ssl.SSLObject):
    """The server side of one TLS connection."""

    outgoing: ssl.MemoryBIO
    handshake: _Handshake | None

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
            self.check_client()
        except ssl.SSLWantReadError:
            if self.handshake:
                self.handshake.has_begun |= self.outgoing.pending > 0
            raise
        except ssl.SSLError as error:
            if self.handshake:
                self.handshake.send(self._final_bytes(error))
            raise

    def check_client(self) -> None:
        """Raises `ClientRefusedError` for a client that may not connect."""

    def _final_bytes(self, error: ssl.SSLError) -> bytes:
        if error.reason == "HTTP_REQUEST":
            return _reply("400 Bad Request", _PLAIN_REQUEST)
        if isinstance(error, ClientRefusedError):
            # Python's ssl cannot send an alert of its own choice, but the client can read by now.
            with suppress(ssl.SSLError):
                self.write(_reply("403 Forbidden", f"{error.reason}\n"))
                self.unwrap()
        return self.outgoing.read()


def server_object(context: ssl.SSLContext, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ssl.SSLObject:
    """A TLS object for one connection; `ServerObject` if the context's `sslobject_class` is one."""
    wrapped = context.wrap_bio(incoming, outgoing, server_side=True)
    if isinstance(wrapped, ServerObject):
        wrapped.outgoing, wrapped.handshake = outgoing, _current.get()
    return wrapped


class Handshakes:
    """The handshakes of one listener."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._log_from = float("-inf")
        self._unlogged = 0

    @contextmanager
    def watched(self, connection: socket, address: str) -> Iterator[None]:
        """Logs the failure of the handshake that runs inside, and gives its socket to the TLS object."""
        handshake = _Handshake(connection, is_local(address, connection.getsockname()[0]))
        token = _current.set(handshake)
        try:
            yield
        except OSError as error:
            if not _is_probe(error, handshake):
                self._log(address, _reason(error))
            raise
        finally:
            _current.reset(token)

    def _log(self, address: str, reason: str) -> None:
        now = self._clock.monotonic()
        if now < self._log_from:
            self._unlogged += 1
            return
        line(WARNING, "TLS handshake failed", client=address, reason=reason, unlogged=self._unlogged or None)
        self._unlogged, self._log_from = 0, now + FAILURE_LOG_SECONDS


def _is_probe(error: OSError, handshake: _Handshake) -> bool:
    """Whether the failure is expected: load balancers connect and close, and local health checks have no
    certificate.
    """
    if not isinstance(error, ssl.SSLError):
        return isinstance(error, ConnectionResetError) and not handshake.has_begun
    return error.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE" and handshake.is_local


_ALERT: Final = re.compile("(?:SSLV3|TLSV1|TLSV13)_ALERT_(.*)")


def _reason(error: OSError) -> str:
    if isinstance(error, ConnectionAbortedError | TimeoutError):  # asyncio's own limit on the time
        return "the client took too long"
    if not isinstance(error, ssl.SSLError) or isinstance(error, ssl.SSLEOFError):
        return "the client closed the connection"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"client certificate: {error.verify_message}"
    if isinstance(error, ClientRefusedError):
        return error.reason
    if error.reason == "HTTP_REQUEST":
        return "plain HTTP request on a TLS port"
    alert = _ALERT.fullmatch(error.reason or "")
    words = (alert[1] if alert else error.reason or "unknown").replace("_", " ").lower()
    return f"alert from the client: {words}" if alert else words


def _reply(status: str, text: str) -> bytes:
    head = [f"HTTP/1.1 {status}", "Content-Type: text/plain; charset=utf-8", f"Content-Length: {len(text)}"]
    return "\r\n".join([*head, "Connection: close", "", text]).encode()
