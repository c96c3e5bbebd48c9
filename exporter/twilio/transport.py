"""One HTTP exchange with Twilio, bounded in time and size. The home of aiohttp's client session.

Must not know retries, rate limits or what a reply means.

Rule 1: a request is sent once. aiohttp repeats a GET after a broken connection without a trace, unless a
middleware hides the break from it.
Rule 2: no redirect is followed, because the credential would be sent along. No unbounded body is read.
Rule 3: every exception of aiohttp becomes `Unreachable`. Its own text is dropped, because it shows the URL,
which holds the page token.
"""

import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path
from typing import Final

import aiohttp  # noqa: TID251 - home of aiohttp

from exporter import __version__
from exporter.config.proxies import proxy_for
from exporter.config.settings import Api
from exporter.errors import Unreachable
from exporter.twilio.failures import describe
from exporter.twilio.protocol import MAX_REPLY_BYTES, Reply, Request, Secret
from exporter.twilio.resolver import Resolver

_RESOLVER: Final = Resolver()
"""Shared by all accounts, because they look up the same name."""


MAX_HEADER_BYTES: Final = 64 * 1024
"""Of a single header, and of the status line."""

MAX_HEADERS: Final = 1000


class Transport:
    """Sends the requests of one account, which has a session of its own."""

    def __init__(self, base_url: str, session: aiohttp.ClientSession) -> None:
        self._base_url = base_url
        self._session = session

    async def exchange(self, request: Request, username: str, secret: Secret) -> Reply:
        """Send the request once and read the reply. Raises `Unreachable`."""
        headers = {"Authorization": _basic(username, secret.get_secret_value())}
        try:
            async with self._session.get(
                self._base_url + request.path, params=request.query, headers=headers, allow_redirects=False
            ) as response:
                return Reply(response.status, response.headers, await _read_body(response))
        except TimeoutError as error:
            raise Unreachable(describe(error), reason="timeout") from None
        except _BrokenError as error:
            raise Unreachable(describe(error.__cause__ or error), reason="connection") from None
        except (
            aiohttp.ClientError,
            OSError,
            ValueError,
        ) as error:  # ValueError: a URL or host name that cannot be used
            raise Unreachable(describe(error), reason="connection") from None


@asynccontextmanager
async def open_transport(api: Api) -> AsyncIterator[Transport]:
    async with open_session(api) as session:
        yield Transport(api.base_url, session)


@asynccontextmanager
async def open_session(api: Api) -> AsyncIterator[aiohttp.ClientSession]:
    """A session with connections of its own. The proxy comes from the environment; none to loopback."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=api.concurrency,
            ssl=_tls(api.ca_file) if api.ca_file else True,  # True: aiohttp's context, made at its import
            resolver=_RESOLVER,
        ),
        timeout=aiohttp.ClientTimeout(total=api.timeout),
        headers={"User-Agent": f"twilio-email-exporter/{__version__}", "Accept": "application/json"},
        # Not trust_env: it also looks for a password in ~/.netrc, and then refuses to send ours.
        proxy=proxy_for(api.base_url),
        cookie_jar=aiohttp.DummyCookieJar(),
        middlewares=[_send_once],
        # aiohttp's limit is 8 KiB, but gateways add longer headers to good replies.
        max_line_size=MAX_HEADER_BYTES,
        max_field_size=MAX_HEADER_BYTES,
        max_headers=MAX_HEADERS,
    ) as session:
        yield session


async def _read_body(response: aiohttp.ClientResponse) -> bytes | None:
    """Raises for a broken body of a 200 only: the status of an error counts, whatever its body is."""
    try:
        return await _read_bounded(response)
    except aiohttp.ClientPayloadError:
        if response.status == 200:
            raise
        return b""


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes | None:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_REPLY_BYTES:
            response.close()  # the rest is not read, so the connection cannot be used again
            return None
    return bytes(body)


class _BrokenError(Exception):
    """A broken connection, hidden from aiohttp's own retry. The cause is aiohttp's exception."""


async def _send_once(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    try:
        return await send(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _BrokenError from error


def _basic(user: str, secret: str) -> str:
    return "Basic " + b64encode(f"{user}:{secret}".encode()).decode()


@lru_cache(maxsize=1)
def _tls(ca_file: Path) -> ssl.SSLContext:
    """Shared by all accounts: loading the system's CA certificates takes 20 ms and 2 MB."""
    context = ssl.create_default_context()
    context.load_verify_locations(cafile=ca_file)
    # Since 3.13 Python checks certificates strictly (RFC 5280); many company CAs state no key usage.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
