"""A listing that does not end is recognised, and no other listing is treated as endless."""

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.errors import Truncated
from exporter.events import PollFinished
from exporter.operation import Operation, Stats
from exporter.polling.endless import STALE_PAGES, ListingGuard
from exporter.simulator import faults
from exporter.twilio.protocol import Page
from tests.simulator.ask import a_world
from tests.support.clock import SATURDAY, ManualClock
from tests.support.rig import poller_of
from tests.support.twilio import PlainTwilio
from tests.support.whole import whole


def rows(*numbers: int) -> list[Operation]:
    return [Operation(f"x{number}", "completed", SATURDAY, SATURDAY, Stats()) for number in numbers]


class EndlessTwilio(PlainTwilio):
    """The same rows on every page, each page with a new token."""

    def __init__(self, *numbers: int) -> None:
        super().__init__()
        self.rows = rows(*numbers)
        self.pages = 0

    async def list_page(
        self,
        start: float,
        end: float,
        page_token: str | None,
        *,
        give_up_at: float,
        status: str | None = None,
    ) -> Page:
        self.pages += 1
        return Page(self.rows, f"token {self.pages}")


@pytest.mark.parametrize("numbers", [(), (1, 2, 3)])
async def test_listing_that_never_ends_costs_a_dozen_requests(numbers: tuple[int, ...]) -> None:
    """Whether its pages are empty or repeat the same rows."""
    twilio = EndlessTwilio(*numbers)
    with pytest.raises(Truncated, match="10 pages in a row without a new row"):
        await poller_of("a", twilio, ManualClock()).poll()
    assert STALE_PAGES <= twilio.pages <= STALE_PAGES + 1


async def test_endless_listing_costs_little_in_an_hour() -> None:
    """Its polls become rare: some eighty requests, where there were 295 a minute."""
    async with whole([a_world()]) as exporter:
        exporter.simulator.faults.add(faults.endless_tokens(), times=None)
        await exporter.run_for(3600)
        assert {each.outcome for each in exporter.emitted(PollFinished)} == {"truncated"}
        assert len(exporter.simulator.requests) <= 80
        assert len(exporter.logged("poll failed")) == 1


def test_rows_of_earlier_pages_are_not_new() -> None:
    """A cycle of several pages ends, too."""
    guard, tokens = ListingGuard(5000), map(str, count())
    for number in range(50):
        guard.check(Page(rows(number), next(tokens)))
    for number in range(STALE_PAGES - 1):
        guard.check(Page(rows(number, number + 1), next(tokens)))
    with pytest.raises(Truncated):
        guard.check(Page(rows(30, 40), next(tokens)))


@given(gaps=st.lists(st.integers(0, STALE_PAGES - 1), max_size=20))
def test_empty_pages_between_new_rows_are_read(gaps: list[int]) -> None:
    """Fewer in a row than the limit, however many in all; the last page may be empty as well."""
    guard, tokens = ListingGuard(5000), map(str, count())
    for number, empty in enumerate(gaps):
        for _ in range(empty):
            guard.check(Page([], next(tokens)))
        guard.check(Page(rows(*range(3 * number, 3 * number + 3)), next(tokens)))
    guard.check(Page([], None))


def test_last_page_ends_a_listing_whatever_it_holds() -> None:
    """After many stale pages, and at the limit of pages."""
    guard, tokens = ListingGuard(STALE_PAGES), map(str, count())
    for _ in range(STALE_PAGES - 1):
        guard.check(Page([], next(tokens)))
    guard.check(Page([], None))


def test_repeated_token_and_too_many_pages_end_a_listing() -> None:
    """Although each page has new rows."""
    guard = ListingGuard(5000)
    guard.check(Page(rows(1), "a"))
    with pytest.raises(Truncated, match="a page token was repeated"):
        guard.check(Page(rows(2), "a"))
    guard = ListingGuard(2)
    guard.check(Page(rows(1), "a"))
    with pytest.raises(Truncated, match="more than 2 pages"):
        guard.check(Page(rows(2), "b"))


def test_million_new_operations_are_no_repetition() -> None:
    """Full pages and pages of a single row alike: the memory of ids is bounded, and errs rarely."""
    guard, tokens = ListingGuard(5000), map(str, count())
    for first in range(0, 1_000_000, 1000):
        guard.check(Page([], next(tokens)))
        full = rows(0)[0]
        page = Page([full._replace(id=f"y{first + number}") for number in range(1000)], next(tokens))
        guard.check(page)
        assert guard._stale_pages == 0
    for number in range(100):
        guard.check(Page(rows(number), next(tokens)))
