"""The log: one line per event, and only changes of state."""

import io
import json
import logging
import re
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
)
from exporter.logs import LOG, configure, line
from exporter.observers.log import LogObserver
from exporter.observers.status import AccountStatuses
from exporter.simulator.scenarios import SCENARIOS
from exporter.simulator.world import World
from tests.support.clock import SATURDAY, ManualClock
from tests.support.whole import whole


@pytest.fixture(autouse=True)
def untouched_logging() -> Iterator[None]:
    root = logging.getLogger()
    before = (root.handlers[:], root.level, LOG.level)
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    LOG.setLevel(before[2])


@pytest.fixture
def log() -> io.StringIO:
    stream = io.StringIO()
    configure("info", "json", stream)
    return stream


def entries(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(text) for text in stream.getvalue().splitlines()]


def ended(at: float, error: TwilioError | None = None) -> PollFinished:
    return PollFinished("a", SATURDAY + at, 1.0, error, listed_operations=5)


def test_only_changes_are_logged(log: io.StringIO) -> None:
    """Logged are the first success, a failure, another kind of failure and the recovery."""
    observer = LogObserver(AccountStatuses(["a"]))
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


async def test_lines_of_a_restart_agree(tmp_path: Path) -> None:
    """The first poll lists less than the state holds; both lines show the tracked operations."""
    clock = ManualClock(settle_turns=40)
    world = World(SCENARIOS["steady"], started=clock.now())
    for _ in range(2):
        async with whole([world], clock=clock, state=tmp_path / "state.db") as exporter:
            assert await exporter.poll()
    (restored,) = exporter.logged("state restored")
    (first,) = exporter.logged("first poll succeeded")
    tracked, listed = numbers_in(first, "tracked_operations"), numbers_in(first, "listed_operations")
    assert numbers_in(restored, "tracked_operations") == tracked
    assert 0 < listed[0] < tracked[0]
    assert not numbers_in(restored + first, "operations")


def numbers_in(text: str, name: str) -> list[int]:
    return [int(number) for number in re.findall(rf" {name}=(\d+)", text)]


def test_account_that_starts_failing_is_logged_once(log: io.StringIO) -> None:
    """Repeated failures are one line, and the recovery is one line."""
    observer = LogObserver(AccountStatuses(["a"]))
    for at, error in ((0, Throttled("x")), (60, Throttled("x")), (120, None)):
        observer.observe(ended(at, error))
    assert [each["level"] for each in entries(log)] == ["warning", "info"]


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


def test_long_listing_shows_progress_now_and_then(log: io.StringIO) -> None:
    """Progress is logged every 20 pages."""
    observer = LogObserver(AccountStatuses(["a"]))
    for pages in range(1, 101):
        observer.observe(ListingProgressed("a", pages, pages * 1000))
    assert [each["pages"] for each in entries(log)] == [20, 40, 60, 80, 100]


def test_debug_logs_every_poll_and_retry() -> None:
    """At debug level each poll and each retry is a line."""
    stream = io.StringIO()
    configure("debug", "logfmt", stream)
    observer = LogObserver(AccountStatuses(["a"]))
    observer.observe(RequestRetried("a", "timeout", 1.23456))
    observer.observe(ended(0))
    observer.observe(PollScheduled("a", SATURDAY + 60))
    text = stream.getvalue()
    assert 'level=debug msg="request retried" account=a reason=timeout wait_seconds=1.235' in text
    assert "outcome=success" in text


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("word", "word"),
        ("two words", '"two words"'),
        ('quo"te', '"quo\\"te"'),
        ("a=b", '"a=b"'),
        ("new\nline", '"new\\nline"'),
        ("", '""'),
        ("back\\slash", '"back\\\\slash"'),
        ("\x1b[31mred", '"\\u001b[31mred"'),
        ("naïve", "naïve"),
    ],
)
def test_line_stays_a_line(value: str, written: str) -> None:
    """Any value of a field stays on one line."""
    stream = io.StringIO()
    configure("info", "logfmt", stream)
    line(logging.INFO, "said", field=value, nothing=None)
    assert stream.getvalue().endswith(f" level=info msg=said field={written}\n")


def test_traceback_is_a_field(log: io.StringIO) -> None:
    """An internal error is logged with its traceback and type, without its text, which may quote a secret."""
    try:
        raise RuntimeError("oops")
    except RuntimeError:
        LOG.exception("died")
    (entry,) = entries(log)
    assert str(entry["traceback"]).endswith("\nRuntimeError")
    assert "test_traceback_is_a_field" in str(entry["traceback"])
