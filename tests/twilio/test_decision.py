"""What is done about a reply, status by status."""

import pytest

from exporter.errors import Malformed, Refused, Throttled, TwilioError, Unauthorized, Unavailable
from exporter.twilio.decision import Accepted, Decision, GiveUp, NotFound, RetryAfter, check_clocks, decide
from exporter.twilio.protocol import Reply, fetch_request, list_request

NOW = 1_770_112_800.0  # 2026-02-03T10:00:00Z
DATE = "Tue, 03 Feb 2026 10:00:00 GMT"
LIST = list_request(NOW - 60, NOW, None)
FETCH = fetch_request("comms_operation_01kabcdefghjkmnpqrstvwxyz0")


def decided(
    status: int, *, body: bytes | None = b"{}", now: float = NOW, seconds_left: float = 60.0, **headers: str
) -> Decision:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return decide(LIST, Reply(status, named, body), now, seconds_left)


STATUS_TABLE: list[tuple[int, type[RetryAfter | GiveUp], type[TwilioError]]] = [
    (101, GiveUp, Malformed),
    (204, GiveUp, Malformed),
    (301, GiveUp, Malformed),
    (400, GiveUp, Refused),
    (401, GiveUp, Unauthorized),
    (403, GiveUp, Unauthorized),
    (404, GiveUp, Refused),
    (418, GiveUp, Refused),
    (429, RetryAfter, Throttled),
    (500, GiveUp, Unavailable),
    (502, RetryAfter, Unavailable),
    (503, RetryAfter, Unavailable),
    (504, RetryAfter, Unavailable),
    (999, RetryAfter, Unavailable),
]


@pytest.mark.parametrize(("status", "kind", "error"), STATUS_TABLE)
def test_status_decides(status: int, kind: type[RetryAfter | GiveUp], error: type[TwilioError]) -> None:
    """The error table, row by row."""
    decision = decided(status, Twilio_Request_Id="RQ123")
    assert isinstance(decision, kind)
    assert type(decision.error) is error
    assert decision.error.request_id == "RQ123"
    assert decision.pause_seconds is None
    assert str(status) in str(decision.error)


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (400, "Twilio answered 400 (error 20001)"),
        (401, "Twilio answered 401 (error 20001): the credential is refused"),
        (404, "Twilio answered 404 (error 20001): no such API at this URL; check api.base_url"),
        (407, "Twilio answered 407 (error 20001): a proxy requires a user and a password; check HTTPS_PROXY"),
        (429, "Twilio answered 429 (error 20001)"),
        (503, "Twilio answered 503"),
    ],
)
def test_error_shows_the_number_of_a_4xx_and_a_hint(status: int, told: str) -> None:
    """Nothing else of the body."""
    decision = decided(status, body=b'{"errors": [{"code": 20001, "message": "S3CRET"}]}')
    assert isinstance(decision, RetryAfter | GiveUp)
    assert str(decision.error) == told


def test_body_of_a_200_is_accepted_unread() -> None:
    """One that was too long to be read is not."""
    assert decided(200, body=b"<html>") == Accepted(b"<html>", {})
    refused = decided(200, body=None)
    assert isinstance(refused, GiveUp)
    assert isinstance(refused.error, Malformed)
    assert "longer than" in str(refused.error)


def test_404_to_a_fetch_is_an_operation_that_is_not_found() -> None:
    """404 to a listing is a request that was refused."""
    assert isinstance(decide(FETCH, Reply(404, {}, b""), NOW, 60.0), NotFound)
    assert isinstance(decide(LIST, Reply(404, {}, b""), NOW, 60.0), GiveUp)


@pytest.mark.parametrize(("status", "kind"), [(429, Throttled), (502, Unavailable), (503, Unavailable)])
def test_retry_after_pauses_the_account(status: int, kind: type[TwilioError]) -> None:
    """Also where it outlasts the time of the request, which then ends with the error of its status."""
    decision = decided(status, Retry_After="60")
    assert isinstance(decision, RetryAfter)
    assert decision.pause_seconds == 60.0
    beyond = decided(status, Retry_After="61", Twilio_Request_Id="RQ123")
    assert isinstance(beyond, GiveUp)
    assert beyond.pause_seconds == 61.0
    assert type(beyond.error) is kind
    assert beyond.error.outlasts_poll
    assert not decision.error.outlasts_poll
    assert beyond.error.request_id == "RQ123"
    assert (
        str(beyond.error) == f"Twilio answered {status}: Retry-After is 61 s, longer than this poll may take"
    )


@pytest.mark.parametrize("status", [400, 401, 404, 500])
def test_retry_after_of_other_replies_is_ignored(status: int) -> None:
    """Only 429 and the 5xx that may be repeated pause anything."""
    decision = decided(status, Retry_After="60")
    assert isinstance(decision, GiveUp)
    assert decision.pause_seconds is None


@pytest.mark.parametrize("ahead", [-7200.0, 0.0, 7200.0])
def test_retry_after_date_is_one_of_twilios_clock(ahead: float) -> None:
    """A minute is a minute, however wrong ours is."""
    decision = decided(429, now=NOW + ahead, Date=DATE, Retry_After="Tue, 03 Feb 2026 10:01:00 GMT")
    assert isinstance(decision, RetryAfter)
    assert decision.pause_seconds == 60.0


@pytest.mark.parametrize(
    ("date", "good"),
    [
        (DATE, True),
        ("Mon, 02 Feb 2026 10:00:01 GMT", True),
        ("Mon, 02 Feb 2026 09:59:00 GMT", False),
        ("Thu, 01 Jan 1970 00:00:00 GMT", False),
        ("Tue, 03 Feb 2099 10:00:00 GMT", False),
        ("nonsense", True),
    ],
)
def test_clocks_a_day_apart_end_the_poll(date: str, good: bool) -> None:
    """Before what is counted and forgotten is wrong for good; a reply without a date proves nothing."""
    problem = check_clocks({"Date": date}, NOW)
    assert (problem is None) is good
    assert isinstance(decided(200, Date=date), Accepted) is good
    assert problem is None or "set the local clock" in str(problem)
