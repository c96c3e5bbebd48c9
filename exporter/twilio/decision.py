"""What to do about a reply: accept it, send the request again, or give up. Pure; time is an argument.

Must not know how a request is sent or how long anything waits. The table is in docs/architecture.md.

Rule 1: the status decides. Of an error's body only a bounded number is shown.
Rule 2: a pause that outlasts the time of the request means giving up, whatever the status was.
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
    """A reply of the documented kind; its body has not been read yet."""

    body: bytes


class NotFound(NamedTuple):
    """Twilio does not know the operation."""

    error: TwilioError


class RetryAfter(NamedTuple):
    """The same request may succeed later."""

    error: TwilioError
    """Ends the poll if there is no time for another attempt."""
    pause_seconds: float | None = None
    """For every request of the account, as Twilio asks; `None`: this request backs off."""


class GiveUp(NamedTuple):
    """Another attempt would meet the same, or come too late."""

    error: TwilioError
    pause_seconds: float | None = None
    """For every request of the account, as Twilio asks."""


Decision: TypeAlias = Accepted | NotFound | RetryAfter | GiveUp


def decide(request: Request, reply: Reply, now: float, seconds_left: float) -> Decision:
    """`now`: Unix time. `seconds_left`: until the caller gives up on the request."""
    if reply.status == 200:
        return _decide_success(reply, now)
    decision = _decide_failure(request, reply, now)
    if reply.status == 404 and request.call == "fetch":
        return NotFound(decision.error)
    if decision.pause_seconds is not None and decision.pause_seconds > seconds_left:
        error, pause = decision
        message = f"{error}: it asks for {pause:.0f} s, longer than this poll"
        return GiveUp(Throttled(message, request_id=error.request_id), pause)
    return decision


def _decide_success(reply: Reply, now: float) -> Decision:
    problem = check_clocks(reply.headers, now)
    if problem is not None:
        return GiveUp(problem)
    if reply.body is None:
        return GiveUp(Unreadable(f"the reply is longer than {MAX_REPLY_BYTES} bytes"))
    return Accepted(reply.body)


def _decide_failure(request: Request, reply: Reply, now: float) -> RetryAfter | GiveUp:
    request_id = read_request_id(reply.headers)
    message = f"Twilio answered {reply.status}"
    if 400 <= reply.status < 500 and (code := read_error_code(reply.body)):
        message += f" (error {code})"
    match reply.status:
        case 401 | 403:
            return GiveUp(Unauthorized(f"{message}: the credential is refused", request_id=request_id))
        case 429:
            throttled = Throttled(message, retryable=True, request_id=request_id)
            return RetryAfter(throttled, _pause_seconds(reply.headers, now))
        case 500:  # Twilio's reference: "should not be retried"
            return GiveUp(Unavailable(message, request_id=request_id))
        case status if status > 500:
            unavailable = Unavailable(message, request_id=request_id)
            return RetryAfter(unavailable, _pause_seconds(reply.headers, now))
        case status if status >= 400:
            return GiveUp(Refused(message + _hint(request, status), request_id=request_id))
        case status if status >= 300:
            message += ": redirects are not followed, they would take the credential along"
    return GiveUp(Malformed(message, request_id=request_id))


def _hint(request: Request, status: int) -> str:
    """What to look at after a 4xx that is no fault of the credential."""
    if status == 407:
        return ": a proxy asks for a user and a password; check HTTPS_PROXY"
    if status == 404 and request.call == "list":
        return ": there is no such API; check api.base_url"
    return ""


def _pause_seconds(headers: Mapping[str, str], now: float) -> float | None:
    """The reply's own `Date` turns a `Retry-After` date into seconds, because both are of one clock."""
    date = read_http_date(headers.get("Date"))
    return read_retry_after(headers.get("Retry-After"), now if date is None else date)


def check_clocks(headers: Mapping[str, str], now: float) -> Malformed | None:
    """With clocks a day apart we ask for the wrong days, and what is then forgotten or counted stays wrong.

    A machine that polls before its clock is set is in 1970. A reply without a `Date` proves nothing.
    """
    date = read_http_date(headers.get("Date"))
    if date is None or abs(now - date) <= MAX_CLOCK_SKEW_SECONDS:
        return None
    return Malformed(
        f"our clock and Twilio's are {abs(now - date):.0f} s apart: set the clock",
        request_id=read_request_id(headers),
    )
