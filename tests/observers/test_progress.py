"""The progress of a long listing on a terminal."""

import io

from exporter.events import ListingProgressed, PollFinished
from exporter.observers.progress import ProgressLine
from tests.support.clock import SATURDAY


def test_one_line_shows_the_last_page_of_any_account() -> None:
    """Each page overwrites the whole line, and the end of a poll clears it for the log."""
    terminal = io.StringIO()
    progress = ProgressLine(terminal)
    progress.observe(ListingProgressed("newsletter", 12, 12000, 4.0))
    progress.observe(ListingProgressed("a", 1, 1000, 0.0))
    progress.observe(PollFinished("a", SATURDAY, 1.0, None))
    first, second, cleared, rest = terminal.getvalue().removeprefix("\r").split("\r")
    assert first.rstrip() == "newsletter: 12,000 operations on 12 pages, 3,000 per second"
    assert second.rstrip() == "a: 1,000 operations on 1 pages, 0 per second"
    assert len(first) == len(second) == len(cleared)
    assert cleared.strip() == rest == ""


def test_long_name_stays_on_one_line() -> None:
    """A second line could not be overwritten."""
    terminal = io.StringIO()
    ProgressLine(terminal).observe(ListingProgressed("a" * 64, 12, 12000, 4.0))
    assert len(terminal.getvalue()) == 80
