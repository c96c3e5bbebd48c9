"""Verdicts over time: since when, what becomes old, and what is logged."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.alerts import Alerts
from exporter.errors import TwilioError, Unauthorized, Unreachable
from exporter.events import PollFinished
from exporter.ledger.snapshot import Snapshot
from exporter.observers.finding import Mail
from exporter.observers.status import AccountStatuses
from exporter.observers.verdicts import Verdict, Verdicts
from tests.observers.test_findings import Recent, same, seen
from tests.support.clock import SATURDAY
from tests.support.whole import logging_to

MINUTE: Final = 60.0
DOWN: Final = Unreachable("no reply within 30 s", reason="timeout")


class Account:
    """One account, polled each minute."""

    def __init__(self, *, interval: float = MINUTE) -> None:
        self.statuses = AccountStatuses(["shop"])
        self.verdicts = Verdicts(self.statuses, lambda _: Alerts(), interval=interval)
        self.now = SATURDAY

    def poll(
        self, recent: Recent | None = None, error: TwilioError | None = None, **changes: object
    ) -> Verdict:
        self.now += MINUTE
        if recent is not None:
            self.statuses.publish("shop", self.snapshot(recent, **changes))
        event = PollFinished("shop", self.now, 1.0, error)
        self.statuses.observe(event)
        self.verdicts.observe(event)
        return self.verdict()

    def snapshot(self, recent: Recent, **changes: object) -> Snapshot:
        return replace(seen(recent, **changes), as_of=self.now)

    def verdict(self, later: float = 0.0) -> Verdict:
        return self.verdicts.current(self.now + later)["shop"]


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    with logging_to("info", "json") as stream:
        yield stream


def lines(log: io.StringIO) -> list[tuple[str, str]]:
    return [(entry["level"], entry["msg"]) for entry in entries(log)]


def entries(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(text) for text in log.getvalue().splitlines()]


def test_trouble_is_logged_at_its_edges(log: io.StringIO) -> None:
    """One line when it begins, with figure and threshold, and one when it has been over for ten minutes."""
    account = Account()
    for recent in (same(1000), *[same(1000, 480)] * 30, *[same(1000)] * 20):
        account.poll(recent)
    assert lines(log) == [
        ("warning", "mail is failing: 48 % of attempts in the last hour"),
        ("info", "mail has recovered"),
    ]
    begin, end = entries(log)
    assert (begin["account"], begin["threshold"]) == ("shop", "5 %")
    assert end["since"] == "2026-03-07T00:02:00.000Z"
    assert end["until"] == "2026-03-07T00:31:00.000Z"


def test_several_troubles_have_a_line_each(log: io.StringIO) -> None:
    """The end of one is not the recovery of the mail."""
    account = Account()
    account.poll(same(1000))
    for _ in range(20):
        account.poll(same(1000, 480), overdue=300)
    for _ in range(20):
        account.poll(same(1000), overdue=300)
    for _ in range(20):
        account.poll(same(1000))
    assert [text for _, text in lines(log)] == [
        "mail is failing: 48 % of attempts in the last hour",
        "mail is late: 300 emails have waited for longer than 1h, 30 % of the mail of 24 hours",
        "mail is no longer failing",
        "mail has recovered",
    ]


def test_fine_mail_and_idle_accounts_are_silent(log: io.StringIO) -> None:
    """A line would say nothing new."""
    for recent in (same(1000), same(0), same(3, 3)):
        account = Account()
        for _ in range(3):
            account.poll(recent)
    assert lines(log) == []


def test_mail_that_stops_is_logged(log: io.StringIO) -> None:
    """For a day there was mail, then there was none."""
    account = Account()
    for recent in (same(1000), *[same(0)] * 3):
        account.poll(recent)
    assert lines(log) == [("info", "mail is unknown: no mail in the last 24 hours")]


def test_no_mail_is_no_recovery(log: io.StringIO) -> None:
    """Trouble is over when mail shows it."""
    account = Account()
    for recent in (same(1000, 480), *[same(0)] * 30):
        account.poll(recent)
    assert "mail has recovered" not in [text for _, text in lines(log)]


def test_old_numbers_are_unknown(log: io.StringIO) -> None:
    """Until then the last verdict stays, and the log of the polls has said that they fail."""
    account = Account()
    account.poll(same(1000))
    for _ in range(15):
        assert account.poll(error=DOWN).mail is Mail.FINE
    for _ in range(3):
        verdict = account.poll(error=DOWN)
    assert verdict.findings[0].figure == "the numbers are more than 15 minutes old"
    assert verdict.since == SATURDAY + 17 * MINUTE
    assert account.poll(same(1000)).mail is Mail.FINE
    assert lines(log) == [("warning", "mail is unknown: the numbers are more than 15 minutes old")]


def test_numbers_become_old_without_an_event() -> None:
    """A scheduler that hangs ends no poll."""
    account = Account()
    account.poll(same(1000))
    assert account.verdict(900).mail is Mail.FINE
    assert account.verdict(901).findings[0].name == "old"
    slow = Account(interval=600.0)
    slow.poll(same(1000))
    assert slow.verdict(3000).mail is Mail.FINE
    assert slow.verdict(3001).findings[0].name == "old"


def test_refused_credential_is_unknown_at_once() -> None:
    """Nothing will be known until it changes."""
    account = Account()
    account.poll(same(1000))
    verdict = account.poll(error=Unauthorized("the credential was refused"))
    assert (verdict.mail, verdict.findings[0].figure) == (Mail.UNKNOWN, "Twilio refuses the credential")
    assert account.poll(same(1000)).mail is Mail.FINE


def test_before_the_first_poll() -> None:
    """It has not finished, or it has failed."""
    account = Account()
    assert account.verdict().findings[0].figure == "the first poll has not finished"
    assert account.poll(error=DOWN).findings[0].figure == "no poll has succeeded yet"


def test_since_when() -> None:
    """Not known if it was so at the first poll; kept over an outage of the polls."""
    account = Account()
    assert account.poll(same(1000, 480)).since is None
    assert account.poll(same(1000)).since == SATURDAY + 2 * MINUTE
    since = account.poll(same(1000, 480)).since
    assert since == SATURDAY + 3 * MINUTE
    account.poll(same(1000, 400))
    account.poll(error=Unauthorized("the credential was refused"))
    assert account.poll(same(1000, 400)).since == since


def test_snapshot_of_an_earlier_process_is_judged() -> None:
    """By its age: it may be old."""
    for age, name in ((300, "failing"), (3600, "old")):
        account = Account()
        account.statuses.publish("shop", replace(seen(same(1000, 480)), as_of=account.now - age))
        account.verdicts.judge("shop", account.now)
        assert account.verdict().findings[0].name == name


@given(st.lists(st.sampled_from([(1000, 41), (1000, 45), (1000, 49), (1000, 51), (1000, 55)]), max_size=60))
def test_share_around_its_threshold_is_one_incident(shares: list[tuple[int, int]]) -> None:
    """The log has one line for it, whatever the order."""
    with logging_to("info", "json") as stream:
        account = Account()
        for attempts, failed in shares:
            account.poll(same(attempts, failed))
        assert len(lines(stream)) <= 1
