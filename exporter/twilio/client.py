"""The API calls of one account: rate limiting, retries and a refused credential.

The only home of tenacity. Must not know polls, the meaning of an operation, or metrics.

Rule 1: retries happen here only, and no retry begins after the instant that the caller gives.
Rule 2: `Retry-After` pauses every request of the account, not only the one that received it.
Rule 3: after 401 or 403 the credential is read again; the request is repeated only if the credential changed.
Rule 4: `_turn` is the only place that waits.
"""

import asyncio
import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from tenacity import AsyncRetrying, RetryCallState, retry_if_result, wait_exponential, wait_random  # noqa: TID251 - home of tenacity

from exporter.clock import Clock
from exporter.email import EmailPage, ErrorPage
from exporter.errors import Throttled, TwilioError, Unauthorized, Unreachable
from exporter.events import (
    Observer,
    RequestFinished,
    RequestRetried,
    RequestsPaused,
    RequestsResumed,
    RowsUnreadable,
    StatsUnknown,
)
from exporter.operation import Operation
from exporter.twilio.decision import Accepted, Decision, GiveUp, NotFound, RetryAfter, decide
from exporter.twilio.emails import emails_request, errors_request, read_emails, read_errors
from exporter.twilio.protocol import (
    Page,
    Reply,
    Request,
    Secret,
    fetch_request,
    list_request,
    read_http_date,
    read_operation,
    read_page,
)
from exporter.twilio.rate_limiter import RateLimiter

MAX_ATTEMPTS: Final = 5

PAUSE_JITTER_SECONDS: Final = 0.5
"""Added to each pause, so that accounts that were paused together do not resume together."""


@dataclass(slots=True)
class RequestBudget:
    """Requests that may still be sent, retries included; each request takes one."""

    left: int

    def take(self) -> None:
        """Raises `Unreachable` if none is left, as when a cancelled request is sent again."""
        if self.left <= 0:
            raise Unreachable("no complete reply within the number of requests allowed", reason="timeout")
        self.left -= 1


class Credential(Protocol):
    """User name and secret of an account."""

    def pair(self) -> tuple[str, Secret]:
        """The pair in use. Raises `Unauthorized` when no secret could be read."""
        ...

    def refuse(self, pair: tuple[str, Secret]) -> None:
        """Twilio answered 401 or 403 to this pair."""
        ...

    async def renewed(self) -> bool:
        """Read the credential again; whether it differs from the refused one."""
        ...


class Transport(Protocol):
    async def exchange(self, request: Request, username: str, secret: Secret) -> Reply:
        """Send once. Raises `Unreachable`."""
        ...


async def _always() -> None:
    pass


class Client:
    """Each call raises a `TwilioError` when it fails. `give_up_at` is an instant of the monotonic clock."""

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
        confirm: Callable[[], Awaitable[None]] = _always,
    ) -> None:
        """`confirm` returns at once while this process may send requests, and otherwise never."""
        self.account = account
        self._confirm = confirm
        self._transport = transport
        self._credential = credential
        self._rate_limiter = rate_limiter
        self._clock = clock
        self._emit = emit
        self._slots = asyncio.Semaphore(concurrency)
        self._paused_since: float | None = None
        self._pause_error: type[TwilioError] = Throttled  # of the pause that ends last
        self._clock_skew_seconds: float | None = None  # by the last reply

    async def list_page(
        self,
        start: float,
        end: float,
        page_token: str | None,
        *,
        give_up_at: float,
        status: str | None = None,
    ) -> Page:
        """One page of the operations created between two Unix times; rows left out are reported."""
        request = list_request(start, end, page_token, status)
        page = read_page(_accepted(await self._send(request, give_up_at)))
        if page.unreadable:
            self._emit(RowsUnreadable(self.account, page.unreadable))
        self._report_unknown_stats(page.operations)
        return page._replace(clock_skew_seconds=self._clock_skew_seconds)

    async def fetch_operation(
        self, operation_id: str, *, give_up_at: float, budget: RequestBudget | None = None
    ) -> Operation | None:
        """One operation; `None` when Twilio answers 404."""
        decision = await self._send(fetch_request(operation_id), give_up_at, budget)
        if isinstance(decision, NotFound):
            return None
        operation = read_operation(_accepted(decision), operation_id)
        self._report_unknown_stats([operation])
        return operation

    async def ask(self, request: Request, *, give_up_at: float) -> Accepted:
        """The headers and the body of a 200. Raises `TwilioError`; `Refused` has the status of a 4xx."""
        return _accept(await self._send(request, give_up_at))

    def _report_unknown_stats(self, operations: Iterable[Operation]) -> None:
        if names := {name for operation in operations for name in operation.unknown_stats}:
            self._emit(StatsUnknown(self.account, tuple(sorted(names))))

    async def list_emails_page(
        self,
        status: str,
        start: float,
        end: float,
        page_token: str | None,
        *,
        budget: RequestBudget,
        give_up_at: float,
        operation_id: str | None = None,
        tag_keys: Collection[str] | None = None,
    ) -> EmailPage:
        """One page of the emails with a status, created between two Unix times.

        `budget` must not be used up. `operation_id`: those of one operation only. `tag_keys`: the tags to
        keep; `None` keeps all.
        """
        request = emails_request(status, start, end, page_token, operation_id)
        return read_emails(_accepted(await self._send(request, give_up_at, budget)), tag_keys)

    async def list_errors_page(
        self, operation_id: str, page_token: str | None, *, budget: RequestBudget, give_up_at: float
    ) -> ErrorPage | None:
        """One page of the errors of an operation; `None` when Twilio answers 404."""
        decision = await self._send(errors_request(operation_id, page_token), give_up_at, budget)
        return None if isinstance(decision, NotFound) else read_errors(_accepted(decision))

    async def _send(
        self, request: Request, give_up_at: float, budget: RequestBudget | None = None
    ) -> Decision:
        """The decision about the last reply, after the retries."""
        not_before = -math.inf

        async def attempt() -> Decision:
            return await self._attempt(request, not_before, give_up_at, budget)

        async def back_off(seconds: float) -> None:
            nonlocal not_before  # tenacity decides how long; `_turn` waits
            not_before = self._clock.monotonic() + seconds

        def enough(state: RetryCallState) -> bool:
            out_of_time = self._clock.monotonic() + state.upcoming_sleep > give_up_at
            out_of_requests = budget is not None and budget.left <= 0
            return out_of_time or out_of_requests or state.attempt_number >= MAX_ATTEMPTS

        retrying = AsyncRetrying(
            retry=retry_if_result(lambda decision: isinstance(decision, RetryAfter)),
            wait=_wait,
            stop=enough,
            sleep=back_off,
            before_sleep=self._note_retry,
            retry_error_callback=_last_decision,
        )
        decision: Decision = await retrying(attempt)
        return decision

    async def _attempt(
        self, request: Request, not_before: float, give_up_at: float, budget: RequestBudget | None
    ) -> Decision:
        async with self._turn(not_before, give_up_at):
            await self._confirm()
            pair = self._credential.pair()
            left_at = self._clock.monotonic()
            if budget is not None:
                budget.take()
            try:
                reply = await self._transport.exchange(request, *pair)
            except Unreachable as error:
                self._note_request(request, error.reason, left_at, None)
                return RetryAfter(error)
            except asyncio.CancelledError:  # it has been sent, and counts
                self._note_request(request, "timeout", left_at, None)
                raise
            self._note_request(request, str(reply.status), left_at, reply)
        decision = decide(request, reply, self._clock.now(), give_up_at - self._clock.monotonic())
        self._adjust(decision, reply, left_at)
        if isinstance(decision, GiveUp) and isinstance(decision.error, Unauthorized):
            self._credential.refuse(pair)
            if await self._credential.renewed():
                return RetryAfter(decision.error)
        return decision

    @asynccontextmanager
    async def _turn(self, not_before: float, give_up_at: float) -> AsyncIterator[None]:
        """Enter when a slot is free, the back-off is over and the rate limiter allows a request.

        A waiting request holds no slot. Several may wait for the same instant, so each checks again after its
        wait. Raises the error of the account's pause when that ends after `give_up_at`.
        """
        while True:
            async with self._slots:
                now = self._clock.monotonic()
                delay = max(not_before - now, self._rate_limiter.delay(now))
                if delay <= 0:
                    self._rate_limiter.acquire(now)
                    yield
                    return
            if now + self._rate_limiter.paused_for(now) > give_up_at:
                raise self._pause_error(
                    "the pause that Twilio asked for outlasts this poll", outlasts_poll=True
                )
            if now > give_up_at:
                raise Throttled(
                    "the current rate limit allows no further request in this poll", outlasts_poll=True
                )
            await self._clock.sleep(delay)

    def _adjust(self, decision: Decision, reply: Reply, left_at: float) -> None:
        """Apply a reply to the rate limit and the pause of the whole account."""
        match decision:
            case Accepted() | NotFound():
                self._rate_limiter.succeeded(left_at)
                if self._paused_since is not None:
                    self._emit(RequestsResumed(self.account, self._paused_since, self._clock.now()))
                    self._paused_since = None
            case RetryAfter(error, pause) | GiveUp(error, pause):
                if reply.status == 429:
                    self._rate_limiter.throttled(left_at, self._clock.monotonic())
                elif pause is None:
                    return
                self._pause(pause, error)

    def _pause(self, seconds: float | None, error: TwilioError) -> None:
        """`seconds` is `None` when Twilio named no duration."""
        if seconds is not None:
            now = self._clock.monotonic()
            jitter = random.uniform(0, PAUSE_JITTER_SECONDS)  # noqa: S311 - no secret
            if seconds + jitter > self._rate_limiter.paused_for(now):
                self._rate_limiter.pause(now + seconds + jitter)
                self._pause_error = type(error)
        if self._paused_since is None:
            self._paused_since = self._clock.now()
            until = None if seconds is None else self._paused_since + seconds
            self._emit(
                RequestsPaused(self.account, error.outcome, self._paused_since, until, error.request_id)
            )

    def _note_request(self, request: Request, code: str, started: float, reply: Reply | None) -> None:
        seconds = self._clock.monotonic() - started
        date = read_http_date(reply.headers.get("Date")) if reply else None
        skew = self._clock.now() - date if date is not None else None
        self._clock_skew_seconds = skew
        self._emit(RequestFinished(self.account, request.call, code, seconds, skew))

    def _note_retry(self, state: RetryCallState) -> None:
        match _last_decision(state):
            case RetryAfter(error):
                reason = error.reason if isinstance(error, Unreachable) else error.outcome
                self._emit(RequestRetried(self.account, reason, state.upcoming_sleep, error.request_id))


def _accept(decision: Decision) -> Accepted:
    """Raises the error of any other decision."""
    if isinstance(decision, Accepted):
        return decision
    raise decision.error


def _accepted(decision: Decision) -> bytes:
    """The body of an accepted reply. Raises the error of any other decision."""
    return _accept(decision).body


def _last_decision(state: RetryCallState) -> Decision | None:
    """`None` when the attempt raised an exception."""
    outcome = state.outcome
    return None if outcome is None or outcome.failed else outcome.result()


_BACKOFF = wait_exponential(multiplier=0.5, max=10) + wait_random(0, 0.5)


def _wait(state: RetryCallState) -> float:
    """Seconds before the next attempt: Twilio's `Retry-After`, or exponential back-off."""
    match _last_decision(state):
        case RetryAfter(_, pause) if pause is not None:
            return pause
    return _BACKOFF(state)
