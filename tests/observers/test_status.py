"""The status of accounts, and the page that shows it."""

import re

from exporter import __version__
from exporter.config.alerts import Alerts
from exporter.errors import Unavailable
from exporter.events import ListingProgressed, PollCrashed, PollFinished, PollScheduled, PollStarted
from exporter.ledger.ledger import Ledger
from exporter.ledger.snapshot import RECENT_AGES, Snapshot, summarise
from exporter.observers.finding import Finding, Mail
from exporter.observers.status import AccountStatuses, Edge
from exporter.observers.verdicts import Verdict, Verdicts
from exporter.web.status_page import status_page
from exporter.web.text_table import table
from tests.support.clock import SATURDAY
from tests.support.operations import operation


def snapshot() -> Snapshot:
    ledger = Ledger(SATURDAY, 7 * 86400.0, RECENT_AGES, coverage=0.0)
    ledger.absorb(operation(failed=3, total=1234), SATURDAY)
    return summarise(ledger, SATURDAY, top_failing=5, waiting_after=3600.0, counts=ledger.counts())


def page(statuses: AccountStatuses) -> str:
    now = SATURDAY + 120
    return status_page(
        statuses.accounts.values(),
        Verdicts(statuses, lambda _: Alerts(), interval=60.0).current(now),
        version=__version__,
        telemetry_path="/metrics",
        now=now,
        lookback=7 * 86400.0,
    )


def test_first_poll_shows_its_progress() -> None:
    """A large account is read for minutes."""
    statuses = AccountStatuses(["a"])
    statuses.observe(PollStarted("a", SATURDAY))
    statuses.observe(ListingProgressed("a", 3, 3000, 2.0))
    assert "3,000 operations" in page(statuses)


def test_account_that_waits_for_its_first_poll_shows_when() -> None:
    """Among many accounts that may take a while."""
    statuses = AccountStatuses(["a"])
    statuses.observe(PollScheduled("a", SATURDAY + 30))
    assert "Waiting for the first poll" in page(statuses)
    assert "00:00:30" in page(statuses)


def test_internal_error_shows_until_the_next_poll_ends() -> None:
    """By its kind, and without its text."""
    statuses = AccountStatuses(["a"])
    statuses.observe(PollCrashed("a", SATURDAY, KeyError("a secret")))
    assert "Internal error in the last poll: KeyError" in page(statuses)
    assert "a secret" not in page(statuses)
    statuses.observe(PollFinished("a", SATURDAY + 60, 1.0, None))
    assert "KeyError" not in page(statuses)


def test_page_names_what_ended_the_last_poll() -> None:
    """And not the error of an earlier one; the failure continues."""
    statuses = AccountStatuses(["a"])
    assert (
        statuses.observe(PollFinished("a", SATURDAY, 1.0, Unavailable("Twilio answered 503"))) is Edge.BROKE
    )
    statuses.observe(PollCrashed("a", SATURDAY + 60, KeyError("x")))
    assert "unavailable" not in page(statuses)
    assert "Internal error in the last poll: KeyError" in page(statuses)
    assert "consecutive failed polls: 2" in page(statuses)
    again = PollFinished("a", SATURDAY + 120, 1.0, Unavailable("Twilio answered 503"))
    assert statuses.observe(again) is Edge.BROKE_OTHERWISE
    assert "consecutive failed polls: 3" in page(statuses)
    assert statuses.observe(PollFinished("a", SATURDAY + 180, 1.0, None)) is Edge.RECOVERED


def test_polled_account_shows_sums_and_times() -> None:
    """Last and next poll, and every status."""
    statuses = AccountStatuses(["a"])
    statuses.publish("a", snapshot())
    statuses.observe(PollFinished("a", SATURDAY, 1.0, None))
    statuses.observe(PollScheduled("a", SATURDAY + 60))
    shown = page(statuses)
    assert "2026-03-07 00:00:00 UTC" in shown
    assert "2026-03-07 00:01:00 UTC" in shown
    assert "1,234" in shown
    assert "undelivered" in shown


def test_failing_account_shows_since_when_and_why() -> None:
    """The last values are kept."""
    statuses = AccountStatuses(["a"])
    statuses.publish("a", snapshot())
    statuses.observe(PollFinished("a", SATURDAY, 1.0, None))
    statuses.observe(PollFinished("a", SATURDAY + 60, 1.0, Unavailable("Twilio answered <503>")))
    statuses.observe(PollFinished("a", SATURDAY + 120, 1.0, Unavailable("Twilio answered <503>")))
    shown = page(statuses)
    assert re.search(r"Failing since <time [^>]*>2026-03-07 00:01:00 UTC</time>", shown)
    assert "(1 min ago), consecutive failed polls: 2" in re.sub("<[^>]+>", "", shown)
    assert "&lt;503&gt;" in shown
    assert "<503>" not in shown
    assert "1,234" in shown


def test_table_is_for_people() -> None:
    """The verdicts first, then columns that are aligned, without what does not occur."""
    failing = Finding(Mail.FAILING, "failing", "48 % of attempts in the last hour", "5 %")
    also = Finding(Mail.LATE, "stuck", "an operation has been processing for 3h", "2h")
    verdicts = {"marketing": Verdict((failing, also)), "new": Verdict((Finding(Mail.UNKNOWN, "", "why"),))}
    lines = table({"marketing": snapshot()}, verdicts).splitlines()
    assert lines[:4] == [
        "marketing: mail is failing: 48 % of attempts in the last hour (threshold 5 %)",
        "marketing: mail is late: an operation has been processing for 3h (threshold 2h)",
        "new: mail is unknown: why",
        "",
    ]
    assert lines[4].split()[:4] == ["account", "status", "operations", "total"]
    assert lines[5].split()[:4] == ["marketing", "completed", "1", "1234"]
    assert len(lines) == 6
    assert len({len(text) for text in lines[4:]}) == 1


def test_recovery_from_an_internal_error_is_an_edge() -> None:
    """Its begin was logged, and so is its end."""
    statuses = AccountStatuses(["a"])
    statuses.observe(PollFinished("a", SATURDAY, 1.0, None))
    for at in (60, 120):
        statuses.observe(PollCrashed("a", SATURDAY + at, KeyError()))
    assert statuses.observe(PollFinished("a", SATURDAY + 180, 1.0, None)) is Edge.RECOVERED
    status = statuses.accounts["a"]
    assert (status.failing_since, status.failed_polls) == (SATURDAY + 60, 2)
    assert statuses.observe(PollFinished("a", SATURDAY + 240, 1.0, None)) is None
