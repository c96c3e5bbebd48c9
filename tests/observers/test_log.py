"""What the log observer logs of events, and of the polls of a whole exporter."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.errors import Malformed, Throttled, TwilioError
from exporter.events import (
    ListingProgressed,
    PollFinished,
    PollScheduled,
    PollStarted,
    RequestRetried,
    RowsUnreadable,
    StatusFilterIgnored,
)
from exporter.observers.log import LogObserver
from exporter.observers.status import AccountStatuses
from exporter.simulator import faults
from tests.simulator.ask import a_world, an_operation
from tests.support.clock import SATURDAY, ManualClock
from tests.support.states import snapshot_of
from tests.support.whole import logging_to, whole


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    with logging_to("info", "json") as stream:
        yield stream


def entries(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(text) for text in stream.getvalue().splitlines()]


def ended(at: float, error: TwilioError | None = None) -> PollFinished:
    return PollFinished("a", SATURDAY + at, 1.0, error, listed_operations=5)


def test_only_changes_are_logged(log: io.StringIO) -> None:
    """Logged are the first success, a failure, another kind of failure and the recovery."""
    statuses = AccountStatuses(["a"])
    observer = LogObserver(statuses)
    throttled, malformed = Throttled("slow", request_id="RQ1"), Malformed("at `$.operations`")
    for at, error in (
        (0, None),
        (60, None),
        (120, throttled),
        (180, throttled),
        (240, malformed),
        (300, None),
    ):
        observer.observe(PollStarted("a", SATURDAY + at))
        if error is None:
            statuses.publish("a", snapshot_of([]))
        observer.observe(ended(at, error))
    logged = [(each["level"], each["msg"], each.get("outcome")) for each in entries(log)]
    assert logged == [
        ("info", "first poll succeeded", None),
        ("warning", "poll failed; the last values are kept", "throttled"),
        ("warning", "poll failed; the last values are kept", "malformed"),
        ("info", "poll recovered", None),
    ]
    assert entries(log)[1]["request_id"] == "RQ1"
    assert entries(log)[2]["error"] == "at `$.operations`"
    assert (entries(log)[3]["failed_polls"], entries(log)[3]["failed_seconds"]) == (3, 180)


def test_account_that_starts_failing_is_logged_once(log: io.StringIO) -> None:
    """Repeated failures are one line, which does not mention values, and the recovery is one line."""
    observer = LogObserver(AccountStatuses(["a"]))
    for at, error in ((0, Throttled("x")), (60, Throttled("x")), (120, None)):
        observer.observe(ended(at, error))
    logged = [(each["level"], each["msg"]) for each in entries(log)]
    assert logged == [("warning", "poll failed"), ("info", "poll recovered")]


def test_row_that_is_left_out_is_logged_once(log: io.StringIO) -> None:
    """Once for each field of an account, wherever the row is in the page."""
    observer = LogObserver(AccountStatuses(["a", "b"]))
    for index in range(3):
        for account in ("a", "b"):
            observer.observe(RowsUnreadable(account, (f"$.operations[{index}].stats.failed",)))
    observer.observe(RowsUnreadable("a", ("$.operations[9]",)))
    first, *_ = entries(log)
    assert (first["level"], first["path"]) == ("warning", "$.operations[0].stats.failed")
    assert [each["account"] for each in entries(log)] == ["a", "b", "a"]


def test_ignored_status_filter_is_a_warning(log: io.StringIO) -> None:
    """It names the account."""
    LogObserver(AccountStatuses(["a"])).observe(StatusFilterIgnored("a"))
    (entry,) = entries(log)
    assert (entry["level"], entry["account"]) == ("warning", "a")
    assert entry["msg"] == "Twilio ignored the status filter; operations are fetched"


def test_long_listing_shows_progress_now_and_then(log: io.StringIO) -> None:
    """Progress is logged every 30 seconds, with a rate; each poll starts at zero."""
    observer = LogObserver(AccountStatuses(["a", "b"]))
    for _ in range(2):
        for pages in range(1, 101):
            observer.observe(ListingProgressed("a", pages, pages * 1000, pages * 0.7))
            observer.observe(ListingProgressed("b", 1, 1000, 1.0))
    logged = [(each["account"], each["pages"], each["operations_per_second"]) for each in entries(log)]
    assert logged == [("a", 43, 1429), ("a", 86, 1429)] * 2


def test_debug_logs_every_poll_and_retry() -> None:
    """At debug level each poll and each retry is a line."""
    observer = LogObserver(AccountStatuses(["a"]))
    with logging_to("debug", "logfmt") as stream:
        observer.observe(RequestRetried("a", "timeout", 1.23456))
        observer.observe(ended(0))
        observer.observe(PollScheduled("a", SATURDAY + 60))
    text = stream.getvalue()
    assert 'level=debug msg="request retried" account=a reason=timeout wait_seconds=1.235' in text
    assert "outcome=success" in text


async def test_first_success_shows_the_operations_that_the_gauges_show() -> None:
    """Listed rows that were dropped are not among them."""
    async with whole([a_world(3)]) as exporter:
        ancient = an_operation("ancient", SATURDAY - 30 * 86400)
        exporter.simulator.faults.add(faults.extra_rows(ancient), call="list")
        assert await exporter.poll()
        (logged,) = exporter.logged("first poll succeeded")
        assert " listed_operations=4 tracked_operations=3" in logged
        assert (await exporter.scrape()).value("twilio_email_exporter_tracked_operations") == 3


async def test_first_success_after_a_restart_does_not_look_like_a_loss(tmp_path: Path) -> None:
    """The first poll lists the recent part; the operations restored from the state are still there."""
    clock, state = ManualClock(settle_turns=40), tmp_path / "state.sqlite"
    world = a_world(3000, first_at=SATURDAY - 6 * 86400, step_seconds=170.0)
    for _ in range(2):
        async with whole([world], clock=clock, state=state) as exporter:
            assert await exporter.poll()
            clock.advance(60)
    assert " tracked_operations=3000" in exporter.logged("state restored")[0]
    (logged,) = exporter.logged("first poll succeeded")
    assert " tracked_operations=3000" in logged
    assert " listed_operations=3000" not in logged
