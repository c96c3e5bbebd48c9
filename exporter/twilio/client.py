"""One account's way to Twilio: sends what `wire` words, waits for its pace, and owns every retry.

The only home of tenacity. Must not know of polls, operations' meaning or metrics.

Rule 1: no retry happens anywhere else, and none outlasts the instant that the caller names.
Rule 2: `Retry-After` holds every request of the account, not just the one that met it.
Rule 3: a refused credential is read again, and only another one is tried.
"""

import asyncio
import random
from typing import Final, Protocol

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_exponential, wait_random  # noqa: TID251 - home of tenacity

from exporter.clock import Clock
from exporter.errors import Malformed, Throttled, TwilioError, Unauthorized, Unreachable
from exporter.events import Observer, RequestFinished, RequestRetried, RequestsPaused, RequestsResumed
from exporter.operation import Operation
from exporter.twilio.protocol import (
    MAX_REPLY_BYTES,
    Page,
    Reply,
    Request,
    Secret,
    fetch_request,
    list_request,
    read_http_date,
    read_operation,
    read_page,
    read_status,
)
from exporter.twilio.rate_limiter import RateLimiter

MAX_ATTEMPTS: Final = 5

PAUSE_JITTER_SECONDS: Final = 0.5
"""Accounts that were told to wait together do not come back together."""


class Credential(Protocol):
    """What requests are signed with."""

    def pair(self) -> tuple[str, Secret]:
        """User name and secret. Raises `Unauthorized` when there is none."""
        ...

    def refuse(self, pair: tuple[str, Secret]) -> None: ...

    def renewed(self) -> bool:
        """Whether there is now another one than the refused."""
        ...


class Transport(Protocol):
    async def exchange(self, request: Request, username: str, secret: Secret) -> Reply:
        """Raises `Unreachable`."""
        ...


class Client:
    """The two calls, for one account. Raises `TwilioError` and nothing else of its own."""

    def __init__(
        self,
        account: str,
        transport: Transport,
        credential: Credential,
        rate_limiter: RateLimiter,
        clock: Clock,
        emit: Observer,
        *,
        concurrency: int,
    ) -> None:
        self.account = account
        self._transport = transport
        self._credential = credential
        self._rate_limiter = rate_limiter
        self._clock = clock
        self._emit = emit
        self._slots = asyncio.Semaphore(concurrency)
        self._throttled_since: float | None = None
        self._clock_skew_seconds: float | None = None  # by the last reply

    async def list_page(self, start: float, end: float, page_token: str | None, *, give_up_at: float) -> Page:
        """A page of the operations created between two Unix times."""
        page = read_page(await self._send(list_request(start, end, page_token), give_up_at))
        return page._replace(clock_skew_seconds=self._clock_skew_seconds)

    async def fetch_operation(self, operation_id: str, *, give_up_at: float) -> Operation | None:
        """One operation; `None` when Twilio no longer knows it."""
        try:
            body = await self._send(fetch_request(operation_id), give_up_at)
        except _NotFound:
            return None
        return read_operation(body, operation_id)

    async def _send(self, request: Request, give_up_at: float) -> bytes:
        """Send until answered; `give_up_at` is monotonic. No hold or back-off beyond it is waited for."""

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
            pair = self._credential.pair()
            left_at = self._clock.monotonic()
            try:
                reply = await self._transport.exchange(request, *pair)
            except Unreachable as error:
                self._note_request(request, error.reason, left_at, None)
                raise
            self._note_request(request, str(reply.status), left_at, reply)
        try:
            body = _judge(request, reply, self._clock.now())
        except _NotFound:
            self._speed_up(left_at)
            raise
        except Unauthorized as error:
            self._credential.refuse(pair)
            error.retryable = self._credential.renewed()
            raise
        except TwilioError as error:
            self._slow_down(error, reply.status == 429, left_at, give_up_at)
            raise
        self._speed_up(left_at)
        return body

    async def _await_turn(self, give_up_at: float) -> None:
        """Wait until the pace lets a request leave; several may wait, so look again after each wait."""
        while (delay := self._rate_limiter.delay(now := self._clock.monotonic())) > 0:
            if now + max(0.0, self._rate_limiter.paused_for(now)) > give_up_at:
                raise Throttled("the pause that Twilio asks for, or the rate it allows, outlasts this poll")
            await self._clock.sleep(delay)
        self._rate_limiter.acquire(now)

    def _slow_down(self, error: TwilioError, refused: bool, left_at: float, give_up_at: float) -> None:
        """Draw the conclusions for every request of the account; raises when the poll cannot wait."""
        now = self._clock.monotonic()
        if refused:
            self._rate_limiter.throttled(left_at, now)
        asked = error.retry_after_seconds
        if asked is not None:
            self._rate_limiter.pause(now + asked + random.uniform(0, PAUSE_JITTER_SECONDS))  # noqa: S311 - no secret
        if self._throttled_since is None and (refused or asked is not None):
            self._throttled_since = self._clock.now()
            until = None if asked is None else self._throttled_since + asked
            self._emit(RequestsPaused(self.account, self._throttled_since, until, error.request_id))
        if asked is not None and now + asked > give_up_at:
            message = f"{error}: it asks for {asked:.0f} s, longer than this poll"
            raise Throttled(message, request_id=error.request_id) from None

    def _speed_up(self, left_at: float) -> None:
        self._rate_limiter.succeeded(left_at)
        if self._throttled_since is not None:
            self._emit(RequestsResumed(self.account, self._throttled_since, self._clock.now()))
            self._throttled_since = None

    def _note_request(self, request: Request, code: str, started: float, reply: Reply | None) -> None:
        seconds = self._clock.monotonic() - started
        date = read_http_date(reply.headers.get("Date")) if reply else None
        skew = self._clock.now() - date if date is not None else None
        self._clock_skew_seconds = skew
        self._emit(RequestFinished(self.account, request.call, code, seconds, skew))

    def _note_retry(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, TwilioError):
            reason = error.reason if isinstance(error, Unreachable) else error.outcome
            self._emit(RequestRetried(self.account, reason, state.upcoming_sleep, error.request_id))


class _NotFound(Exception):
    """Twilio no longer knows an operation; not a failure, so not of the tree in `errors`."""


def _judge(request: Request, reply: Reply, now: float) -> bytes:
    """The body of a good reply; raises for every other."""
    if request.call == "fetch" and reply.status == 404:
        raise _NotFound
    error = read_status(reply.status, reply.headers, now)
    if error is not None:
        raise error
    if reply.body is None:
        raise Malformed(f"the reply is longer than {MAX_REPLY_BYTES} bytes")
    return reply.body


_BACKOFF = wait_exponential(multiplier=0.5, max=10) + wait_random(0, 0.5)


def _wait(state: RetryCallState) -> float:
    """Seconds before the next attempt: what Twilio asks for, or ever longer."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after_seconds if isinstance(error, TwilioError) else None
    return asked if asked is not None else _BACKOFF(state)
