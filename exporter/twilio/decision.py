"""The decision about a reply: accept it, retry the request, or give up. Pure; time is an argument.

Must not know how requests are sent, nor wait. The table of statuses is documented in docs/architecture.md.

Rule 1: the status decides. The only part of an error's body that is used is its numeric code.
Rule 2: a `Retry-After` that ends after the time of the request means giving up, with the status's own error.
"""

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from exporter.errors import Malformed, Refused, Throttled, TwilioError, Unauthorized, Unavailable, Unreadable
from exporter.twilio.protocol import (
    MAX_CLOCK_SKEW_SECONDS,
    MAX_REPLY_BYTES,
    Reply,
    Request,
    read_error_code,
    read_http_date,
    read_request_id,
    read_retry_after,
)


class Accepted(NamedTuple):
    """Status 200; the body has not been parsed yet."""

    body: bytes
    headers: Mapping[str, str]


class NotFound(NamedTuple):
    """Status 404 to a request for one operation, or for its errors."""

    error: TwilioError


class RetryAfter(NamedTuple):
    """The same request may succeed if it is repeated."""

    error: TwilioError
    """Raised when there is no time, or no attempt, left."""
    pause_seconds: float | None = None
    """`Retry-After`, for every request of the account; `None`: only this request waits, with back-off."""


class GiveUp(NamedTuple):
    """Another attempt would fail in the same way, or begin too late."""

    error: TwilioError
    pause_seconds: float | None = None
    """`Retry-After`, for every request of the account."""


Decision: TypeAlias = Accepted | NotFound | RetryAfter | GiveUp


def decide(request: Request, reply: Reply, now: float, seconds_left: float) -> Decision:
    """`now` is Unix time; `seconds_left` is the time until the caller gives up."""
    if reply.status == 200:
        return _decide_success(reply, now)
    decision = _decide_failure(request, reply, now)
    if reply.status == 404 and request.call in {"fetch", "errors"}:
        return NotFound(decision.error)
    if decision.pause_seconds is not None and decision.pause_seconds > seconds_left:
        error, pause = decision
        message = f"{error}: Retry-After is {pause:.0f} s, longer than this poll may take"
        return GiveUp(type(error)(message, request_id=error.request_id, outlasts_poll=True), pause)
    return decision


def _decide_success(reply: Reply, now: float) -> Decision:
    problem = check_clocks(reply.headers, now)
    if problem is not None:
        return GiveUp(problem)
    if reply.body is None:
        return GiveUp(Unreadable(f"the reply is longer than {MAX_REPLY_BYTES} bytes"))
    return Accepted(reply.body, reply.headers)


def _decide_failure(request: Request, reply: Reply, now: float) -> RetryAfter | GiveUp:
    request_id = read_request_id(reply.headers)
    message = f"Twilio answered {reply.status}"
    if 400 <= reply.status < 500 and (code := read_error_code(reply.body)):
        message += f" (error {code})"
    match reply.status:
        case 401 | 403:
            return GiveUp(Unauthorized(f"{message}: the credential is refused", request_id=request_id))
        case 429:
            throttled = Throttled(message, request_id=request_id)
            return RetryAfter(throttled, _pause_seconds(reply.headers, now))
        case 500:  # Twilio's reference: "should not be retried"
            return GiveUp(Unavailable(message, request_id=request_id))
        case status if status > 500:
            unavailable = Unavailable(message, request_id=request_id)
            return RetryAfter(unavailable, _pause_seconds(reply.headers, now))
        case status if status >= 400:
            message += _hint(request, status)
            return GiveUp(Refused(message, status=status, request_id=request_id))
        case status if status >= 300:
            message += ": redirects are not followed, because the credential would be sent along"
    return GiveUp(Malformed(message, request_id=request_id))


def _hint(request: Request, status: int) -> str:
    """What to check after a 4xx other than 401, 403 and 429."""
    if status == 407:
        return ": a proxy requires a user and a password; check HTTPS_PROXY"
    if status == 404 and request.call in {"list", "emails"}:
        return ": no such API at this URL; check api.base_url"
    return ""


def _pause_seconds(headers: Mapping[str, str], now: float) -> float | None:
    """A `Retry-After` date is compared with the reply's own `Date`, because the same clock made both."""
    date = read_http_date(headers.get("Date"))
    return read_retry_after(headers.get("Retry-After"), now if date is None else date)


def check_clocks(headers: Mapping[str, str], now: float) -> Malformed | None:
    """The error if the local clock and the reply's `Date` are more than a day apart.

    With a wrong clock the wrong days are listed, and operations are forgotten or counted for good. A machine
    that has not set its clock yet is in 1970. A reply without a `Date` cannot be checked.
    """
    date = read_http_date(headers.get("Date"))
    if date is None or abs(now - date) <= MAX_CLOCK_SKEW_SECONDS:
        return None
    return Malformed(
        f"the local clock and Twilio's differ by {abs(now - date):.0f} s: set the local clock",
        request_id=read_request_id(headers),
    )
