"""How accounts fare, and what people are shown of it."""

import re

from exporter import __version__
from exporter.errors import Unavailable
from exporter.events import ListingProgressed, PollCrashed, PollFinished, PollScheduled, PollStarted
from exporter.ledger.ledger import Ledger
from exporter.ledger.snapshot import RECENT_AGES, Snapshot, summarise
from exporter.observers.status import Board, Edge
from exporter.web.status_page import status_page, table
from tests.support.clock import SATURDAY
from tests.support.operations import operation


def snapshot() -> Snapshot:
    ledger = Ledger(SATURDAY, 7 * 86400.0, RECENT_AGES, coverage=0.0)
    ledger.absorb(operation(failed=3, total=1234), SATURDAY)
    return summarise(ledger, SATURDAY, worst=5, counts=ledger.counts())


def page(board: Board) -> str:
    return status_page(
        board.accounts.values(), version=__version__, telemetry_path="/metrics", now=SATURDAY + 120
    )


def test_first_poll_shows_its_progress() -> None:
    """A large account is read for minutes."""
    board = Board(["a"])
    board.observe(PollStarted("a", SATURDAY))
    board.observe(ListingProgressed("a", 3, 3000))
    assert "3,000 operations" in page(board)


def test_account_that_waits_for_its_first_tick_shows_when() -> None:
    """Among many accounts that may take a while."""
    board = Board(["a"])
    board.observe(PollScheduled("a", SATURDAY + 30))
    assert "Waiting for the first poll" in page(board)
    assert "00:00:30" in page(board)


def test_internal_error_shows_until_the_next_poll_ends() -> None:
    """By its kind, and without its text."""
    board = Board(["a"])
    board.observe(PollCrashed("a", SATURDAY, KeyError("a secret")))
    assert "internal error (KeyError)" in page(board)
    assert "a secret" not in page(board)
    board.observe(PollFinished("a", SATURDAY + 60, 1.0, None))
    assert "KeyError" not in page(board)


def test_page_names_what_ended_the_last_poll() -> None:
    """And nothing of an earlier one; the failure goes on."""
    board = Board(["a"])
    assert board.observe(PollFinished("a", SATURDAY, 1.0, Unavailable("Twilio answered 503"))) is Edge.BROKE
    board.observe(PollCrashed("a", SATURDAY + 60, KeyError("x")))
    assert "unavailable" not in page(board)
    assert "internal error (KeyError)" in page(board)
    assert "polls in a row: 2" in page(board)
    again = PollFinished("a", SATURDAY + 120, 1.0, Unavailable("Twilio answered 503"))
    assert board.observe(again) is Edge.BROKE_OTHERWISE
    assert "polls in a row: 3" in page(board)
    assert board.observe(PollFinished("a", SATURDAY + 180, 1.0, None)) is Edge.RECOVERED


def test_polled_account_shows_sums_and_times() -> None:
    """Last and next poll, and every status."""
    board = Board(["a"])
    board.publish("a", snapshot())
    board.observe(PollFinished("a", SATURDAY, 1.0, None))
    board.observe(PollScheduled("a", SATURDAY + 60))
    shown = page(board)
    assert "2026-03-07 00:00:00 UTC" in shown
    assert "2026-03-07 00:01:00 UTC" in shown
    assert "1,234" in shown
    assert "undelivered" in shown


def test_failing_account_shows_since_when_and_why() -> None:
    """The last numbers stay."""
    board = Board(["a"])
    board.publish("a", snapshot())
    board.observe(PollFinished("a", SATURDAY, 1.0, None))
    board.observe(PollFinished("a", SATURDAY + 60, 1.0, Unavailable("Twilio answered <503>")))
    board.observe(PollFinished("a", SATURDAY + 120, 1.0, Unavailable("Twilio answered <503>")))
    shown = page(board)
    assert re.search(r"Failing since <time [^>]*>2026-03-07 00:01:00 UTC</time>", shown)
    assert "(1 min ago), polls in a row: 2" in re.sub("<[^>]+>", "", shown)
    assert "&lt;503&gt;" in shown
    assert "<503>" not in shown
    assert "1,234" in shown


def test_table_is_for_people() -> None:
    """Aligned, and without what does not occur."""
    lines = table({"marketing": snapshot()}).splitlines()
    assert lines[0].split()[:4] == ["account", "status", "operations", "total"]
    assert lines[1].split()[:4] == ["marketing", "completed", "1", "1234"]
    assert len(lines) == 2
    assert len({len(text) for text in lines}) == 1


def test_recovery_from_a_mistake_of_ours_is_an_edge() -> None:
    """It was told when it began, and so it is when it is over."""
    board = Board(["a"])
    board.observe(PollFinished("a", SATURDAY, 1.0, None))
    for at in (60, 120):
        board.observe(PollCrashed("a", SATURDAY + at, KeyError()))
    assert board.observe(PollFinished("a", SATURDAY + 180, 1.0, None)) is Edge.RECOVERED
    status = board.accounts["a"]
    assert (status.failing_since, status.failed_polls) == (SATURDAY + 60, 2)
    assert board.observe(PollFinished("a", SATURDAY + 240, 1.0, None)) is None
