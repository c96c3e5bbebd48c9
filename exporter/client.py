"""One account's way to Twilio: sends what `wire` words, waits for its pace, and owns every retry.

The only home of aiohttp's client and of tenacity. Must not know of polls, operations' meaning or metrics.

Rule 1: no retry happens anywhere else, and none outlasts the instant that the caller names. (aiohttp
repeats a GET on a broken connection by itself, unseen, unless a middleware hides the break from it.)
Rule 2: `Retry-After` holds every request of the account, not just the one that met it.
Rule 3: no redirect is followed and no unbounded body is read.
"""

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import aiohttp
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_exponential, wait_random

from exporter import __version__
from exporter.clock import Clock
from exporter.errors import Malformed, Throttled, TwilioError, Unreachable
from exporter.operation import Operation
from exporter.pace import Pace
from exporter.report import Listener, RequestFinished, RequestRetried
from exporter.wire import (
    MAX_REPLY_BYTES,
    Page,
    Request,
    fetch_request,
    list_request,
    read_http_date,
    read_operation,
    read_page,
    read_status,
)

MAX_ATTEMPTS: Final = 5

Credential: TypeAlias = Callable[[], tuple[str, str]]
"""Gives user name and secret, read anew at each call."""


@dataclass(frozen=True, slots=True)
class ClientSettings:
    base_url: str
    timeout: float
    """Seconds for one request, whole."""
    concurrency: int
    ca_file: Path | None = None


@asynccontextmanager
async def open_session(settings: ClientSettings) -> AsyncIterator[aiohttp.ClientSession]:
    """A session with its own connections; proxies come from the environment, except to loopback."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=settings.concurrency, ssl=_tls(settings.ca_file)),
        timeout=aiohttp.ClientTimeout(total=settings.timeout),
        headers={"User-Agent": f"twilio-email-exporter/{__version__}", "Accept": "application/json"},
        trust_env=not is_loopback(settings.base_url),
        cookie_jar=aiohttp.DummyCookieJar(),
        middlewares=[_send_once],
    ) as session:
        yield session


class Client:
    """The two calls, for one account. Raises `TwilioError` and nothing else of its own."""

    def __init__(
        self,
        account: str,
        settings: ClientSettings,
        session: aiohttp.ClientSession,
        credential: Credential,
        pace: Pace,
        clock: Clock,
        report: Listener,
    ) -> None:
        self._account = account
        self._base_url = settings.base_url
        self._session = session
        self._credential = credential
        self._pace = pace
        self._clock = clock
        self._report = report
        self._slots = asyncio.Semaphore(settings.concurrency)

    async def list_page(self, start: float, end: float, page_token: str | None, *, give_up_at: float) -> Page:
        """A page of the operations created between two Unix times."""
        return read_page(await self._send(list_request(start, end, page_token), give_up_at))

    async def fetch_operation(self, operation_id: str, *, give_up_at: float) -> Operation | None:
        """One operation; `None` when Twilio no longer knows it."""
        try:
            body = await self._send(fetch_request(operation_id), give_up_at)
        except _Gone:
            return None
        return read_operation(body, operation_id)

    async def _send(self, request: Request, give_up_at: float) -> bytes:
        """Send until answered; `give_up_at` is monotonic, and no attempt begins after it."""

        def enough(state: RetryCallState) -> bool:
            out_of_time = self._clock.monotonic() + state.upcoming_sleep > give_up_at
            return out_of_time or state.attempt_number >= MAX_ATTEMPTS

        retrying = AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, TwilioError) and error.retryable),
            wait=_wait,
            stop=enough,
            sleep=self._clock.sleep,
            before_sleep=self._note_retry,
            reraise=True,
        )
        return await retrying(self._attempt, request, give_up_at)

    async def _attempt(self, request: Request, give_up_at: float) -> bytes:
        async with self._slots:
            await self._await_turn(give_up_at)
            started = self._clock.monotonic()
            try:
                reply = await self._exchange(request)
            except Unreachable as error:
                self._note_request(request, error.reason, started, None)
                raise
            self._note_request(request, str(reply.status), started, reply)
        return self._judge(request, reply, give_up_at)

    async def _await_turn(self, give_up_at: float) -> None:
        """Wait until the pace lets a request leave; several may wait, so look again after each wait."""
        while (wait := self._pace.wait(now := self._clock.monotonic())) > 0:
            if now + self._pace.held_for(now) > give_up_at:
                raise Throttled("Twilio asked for a pause that outlasts this poll")
            await self._clock.sleep(wait)
        self._pace.take(now)

    async def _exchange(self, request: Request) -> "_Reply":
        user, secret = self._credential()
        try:
            async with self._session.get(
                self._base_url + request.path,
                params=request.query,
                headers={"Authorization": _basic(user, secret)},
                allow_redirects=False,
            ) as response:
                return _Reply(response.status, response.headers, await _read_bounded(response))
        # Never str(error): those of aiohttp show the URL, and with it the page token.
        except TimeoutError:
            raise Unreachable("no complete reply in time", reason="timeout") from None
        except (aiohttp.ClientError, OSError, _BrokenError) as error:
            raise Unreachable(_describe(error), reason="connection") from None

    def _judge(self, request: Request, reply: "_Reply", give_up_at: float) -> bytes:
        if request.endpoint == "fetch" and reply.status == 404:
            raise _Gone
        error = read_status(reply.status, reply.headers, self._clock.now())
        if error is None:
            if reply.body is None:
                raise Malformed(f"the reply is longer than {MAX_REPLY_BYTES} bytes")
            return reply.body
        if error.retry_after_seconds is not None:
            until = self._clock.monotonic() + error.retry_after_seconds
            self._pace.hold(until)
            if until > give_up_at:
                message = f"{error}: it asks for {error.retry_after_seconds:.0f} s, longer than this poll"
                raise Throttled(message, request_id=error.request_id)
        raise error

    def _note_request(self, request: Request, code: str, started: float, reply: "_Reply | None") -> None:
        seconds = self._clock.monotonic() - started
        date = read_http_date(reply.headers.get("Date")) if reply else None
        skew = self._clock.now() - date if date is not None else None
        self._report(RequestFinished(self._account, request.endpoint, code, seconds, skew))

    def _note_retry(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, TwilioError):
            reason = error.reason if isinstance(error, Unreachable) else error.outcome
            self._report(RequestRetried(self._account, reason, state.upcoming_sleep))


class _Gone(Exception):
    """Twilio no longer knows an operation; not a failure, so not of the tree in `errors`."""


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes | None
    """`None`: longer than we read."""


_BACKOFF = wait_exponential(multiplier=0.5, max=10) + wait_random(0, 0.5)


def _wait(state: RetryCallState) -> float:
    """Seconds before the next attempt: what Twilio asks for, or ever longer."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after_seconds if isinstance(error, TwilioError) else None
    return asked if asked is not None else _BACKOFF(state)


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes | None:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_REPLY_BYTES:
            response.close()  # the rest of it is not wanted, and the connection no longer usable
            return None
    return bytes(body)


class _BrokenError(Exception):
    """The connection broke; the cause is aiohttp's error."""


async def _send_once(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    try:
        return await send(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _BrokenError from error


def _basic(user: str, secret: str) -> str:
    return "Basic " + b64encode(f"{user}:{secret}".encode()).decode()


def _describe(error: BaseException) -> str:
    if isinstance(error, _BrokenError) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"TLS: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection: {error.os_error}"
    return f"the connection failed: {type(error).__name__}"


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    return context


def is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
