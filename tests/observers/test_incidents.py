"""What comes and goes many times a minute is logged when it begins, and when it is over."""

import io
import json
from collections.abc import Iterator

import pytest

from exporter.errors import Malformed, Throttled, TwilioError
from exporter.events import PollFinished, PollStarted, RequestsPaused, RequestsResumed
from exporter.observers.incident import QUIET_SECONDS
from exporter.observers.log import LogObserver
from exporter.observers.status import AccountStatuses
from exporter.simulator.faults import Fault, status
from exporter.simulator.reply import Reply
from tests.simulator.ask import a_world
from tests.support.clock import SATURDAY
from tests.support.whole import logging_to, whole

DAY = 86400


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    with logging_to("info", "json") as stream:
        yield stream


@pytest.fixture
def observer() -> LogObserver:
    return LogObserver(AccountStatuses(["a"]))


def logged(log: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(text) for text in log.getvalue().splitlines()]


def pause(observer: LogObserver, at: float, reason: str = "throttled") -> None:
    observer.observe(RequestsPaused("a", reason, at, at + 1, "RQ1"))
    observer.observe(RequestsResumed("a", at, at + 2))


def poll(observer: LogObserver, at: float, error: TwilioError | None = None, throttled: int = 0) -> None:
    observer.observe(PollStarted("a", at))
    for number in range(throttled):
        pause(observer, at + 3 * number)
    observer.observe(PollFinished("a", at + 50, 50.0, error))


def test_day_of_flapping_is_two_lines(observer: LogObserver, log: io.StringIO) -> None:
    """Ten 429 in each of 1,440 polls, each answered after a second."""
    poll(observer, SATURDAY - 60)
    for minute in range(DAY // 60):
        poll(observer, SATURDAY + 60 * minute, throttled=10)
    for minute in range(DAY // 60, DAY // 60 + 20):
        poll(observer, SATURDAY + 60 * minute)
    first, begins, ends = logged(log)
    assert first["msg"] == "first poll succeeded"
    assert (begins["msg"], begins["request_id"], begins["since"]) == (
        "throttled",
        "RQ1",
        "2026-03-07T00:00:00.000Z",
    )
    assert (ends["msg"], ends["since"], ends["until"], ends["pauses"]) == (
        "no longer throttled",
        "2026-03-07T00:00:00.000Z",
        "2026-03-07T23:59:29.000Z",
        14_400,
    )


def test_throttling_now_and_then_is_one_incident(observer: LogObserver, log: io.StringIO) -> None:
    """Every fifth poll, with good polls in between."""
    poll(observer, SATURDAY - 60)
    for minute in range(DAY // 60):
        poll(observer, SATURDAY + 60 * minute, throttled=minute % 5 == 0)
    assert [each["msg"] for each in logged(log)] == ["first poll succeeded", "throttled"]


def test_throttling_is_over_after_a_quiet_time_and_a_good_poll(
    observer: LogObserver, log: io.StringIO
) -> None:
    """A failed poll does not end it. The next pause is a new incident."""
    poll(observer, SATURDAY, throttled=1)
    poll(observer, SATURDAY + QUIET_SECONDS, Throttled("no"))
    assert not [each for each in logged(log) if each["msg"] == "no longer throttled"]
    poll(observer, SATURDAY + QUIET_SECONDS + 60)
    poll(observer, SATURDAY + QUIET_SECONDS + 120, throttled=1)
    messages = [each["msg"] for each in logged(log)]
    assert [each for each in messages if "throttled" in str(each)] == [
        "throttled",
        "no longer throttled",
        "throttled",
    ]


def test_pauses_for_two_reasons_are_two_incidents(observer: LogObserver, log: io.StringIO) -> None:
    """A pause after 503 is not called throttling, and each reason has its own end."""
    poll(observer, SATURDAY - 60)
    for minute in range(60):
        pause(observer, SATURDAY + 60 * minute, "unavailable" if minute % 2 else "throttled")
        poll(observer, SATURDAY + 60 * minute + 5)
    for minute in range(60, 80):
        poll(observer, SATURDAY + 60 * minute)
    assert [(each["msg"], each.get("pauses")) for each in logged(log)[1:]] == [
        ("throttled", None),
        ("unavailable; Twilio asked for a pause", None),
        ("no longer throttled", 30),
        ("no longer unavailable", 30),
    ]


def test_failing_fetches_are_one_incident(observer: LogObserver, log: io.StringIO) -> None:
    """Which fetches fail may change from poll to poll. A poll that skipped all of them does not end it."""
    error = Malformed("JSON is malformed", request_id="RQ2")

    def fetch(at: float, fetched: int, failed: int, skipped: int = 0) -> None:
        cause = error if failed else None
        observer.observe(PollFinished("a", SATURDAY + at, 1.0, None, 9, fetched, skipped, failed, cause))

    for minute in range(60):
        fetch(60 * minute, 5, failed=minute % 2)
    assert [each["msg"] for each in logged(log)] == [
        "first poll succeeded",
        "fetches failed; the values from the listing are kept",
    ]
    begins = logged(log)[1]
    assert (begins["failed"], begins["outcome"], begins["request_id"]) == (1, "malformed", "RQ2")
    fetch(60 * 59 + QUIET_SECONDS, 0, failed=0, skipped=5)
    assert len(logged(log)) == 2
    fetch(60 * 60 + QUIET_SECONDS, 5, failed=0)
    ends = logged(log)[2]
    assert (ends["msg"], ends["since"], ends["until"]) == (
        "fetches succeed again",
        "2026-03-07T00:01:00.000Z",
        "2026-03-07T00:59:00.000Z",
    )


async def test_flapping_twilio_is_a_handful_of_lines() -> None:
    """Every second request of an hour is answered with 429, over HTTP."""
    answers = iter(range(10**6))

    def change(reply: Reply) -> Reply:
        return status(429, retry_after=1).change(reply) if next(answers) % 2 else reply

    async with whole([a_world()], poll={"interval": 300.0}) as exporter:
        exporter.simulator.faults.add(Fault("flap", change), times=None)
        await exporter.run_for(3600)
        requests = exporter.simulator.requests
        assert sum(each.status == 429 for each in requests) > 10
        assert len(exporter.log.getvalue().splitlines()) <= 4
