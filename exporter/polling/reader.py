"""Listing an account: the ranges that are due, page after page, into the ledger.

Uses a protocol and callables; must not contain HTTP, fetches or publishing.

Rule 1: a listing is complete or it raises. The rows that arrived stay in the ledger.
Rule 2: Twilio ignores a parameter that it does not know, so rows outside the requested range are dropped.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Final, Protocol

from exporter.clock import Clock
from exporter.config.settings import Poll
from exporter.errors import Malformed
from exporter.events import ListingProgressed, Observer
from exporter.ledger.ledger import Ledger
from exporter.ledger.saved import ListedIntervals
from exporter.operation import FINAL_STATUSES
from exporter.polling.current_poll import CurrentPoll
from exporter.polling.endless import ListingGuard
from exporter.polling.offload import offload
from exporter.polling.window import MARGIN_SECONDS, Listing, Range, listed
from exporter.twilio.protocol import MAX_CLOCK_SKEW_SECONDS, PAGE_SIZE, Page

PATIENCE_SHARE: Final = 0.25
"""Share of the interval: the minimum time that each page of a long listing has for its retries."""

MAX_PAGES: Final = 5000
"""Pages of one range. A longer listing is treated as endless."""


LARGEST_ROUNDING_SECONDS: Final = 2.0
"""A difference between 0 and this may be rounding: the clocks may agree."""


class ListApi(Protocol):
    async def list_page(
        self,
        start: float,
        end: float,
        page_token: str | None,
        *,
        give_up_at: float,
        status: str | None = None,
    ) -> Page:
        """Operations created between two Unix times, of one status or of all. Raises `TwilioError`.

        `give_up_at` is monotonic. Twilio may ignore `status`.
        """
        ...


class Reader:
    """Reads one account's listings into a ledger."""

    def __init__(
        self,
        account: str,
        api: ListApi,
        clock: Clock,
        poll: Poll,
        emit: Observer,
        *,
        page_size: int = PAGE_SIZE,
        max_pages: int = MAX_PAGES,
    ) -> None:
        self._account = account
        self._api = api
        self._clock = clock
        self._poll = poll
        self._emit = emit
        self._max_pages = max_pages
        self._listing = listing_of(poll, page_size)

    async def list_due(
        self, ledger: Ledger, listed_intervals: ListedIntervals, current: CurrentPoll
    ) -> ListedIntervals:
        """List the ranges that are due; returns the listed intervals as they are now."""
        now = current.as_of
        ranges = self._ranges(ledger, listed_intervals, now)
        for each in ranges:
            async with aclosing(self.read(each, ledger, current)) as pages:
                async for _ in pages:
                    pass
        return listed(listed_intervals, ranges, now, self._listing.start(now))

    def _ranges(self, ledger: Ledger, listed_intervals: ListedIntervals, now: float) -> tuple[Range, ...]:
        return self._listing.ranges(
            now,
            listed_intervals,
            older_operations=ledger.count_created_before(now - self._poll.recent),
            # Not the duration of the last poll: after a slow one the next would list more, and be slower.
            spacing=self._poll.interval,
        )

    async def read(
        self,
        wanted: Range,
        ledger: Ledger,
        current: CurrentPoll,
        *,
        status: str | None = None,
        give_up_at: float | None = None,
    ) -> AsyncGenerator[Page, None]:
        """List a range until there is no next page; each page is in the ledger when it is handed out.

        `status`: list operations of this status only. `give_up_at`: monotonic; `None`: by `PATIENCE_SHARE`.
        An empty page may have a next one.
        """
        asked = Range(wanted.start - MARGIN_SECONDS, wanted.end + MARGIN_SECONDS)
        guard = ListingGuard(self._max_pages)
        token: str | None = None
        while True:
            give_up = self._give_up_at(current.started) if give_up_at is None else give_up_at
            page = await self._api.list_page(*asked, token, give_up_at=give_up, status=status)
            if not current.pages:
                await self._advance(ledger, current, page.clock_skew_seconds)
            self._absorb(page, asked, ledger, current)
            elapsed = self._clock.monotonic() - current.started
            self._emit(ListingProgressed(self._account, current.pages, current.listed, elapsed))
            yield page
            guard.check(page)
            token = page.next_token
            if token is None:
                return

    async def _advance(self, ledger: Ledger, current: CurrentPoll, skew: float | None) -> None:
        """Advance the ledger. Forgetting is final, so this waits for a reply whose `Date` was checked."""
        clock_was_set_by = self._clock.now() - current.as_of - (self._clock.monotonic() - current.started)
        if abs(clock_was_set_by) > MAX_CLOCK_SKEW_SECONDS:
            raise Malformed(f"the local clock was set by {clock_was_set_by:.0f} s during the poll")
        api_now = None
        if skew is not None and not _is_rounding(skew):
            current.clock_skew = skew
            api_now = current.api_time(current.as_of)
        await offload(ledger, partial(ledger.advance, current.as_of, api_now))

    def _give_up_at(self, started: float) -> float:
        """Instant of the monotonic clock at which the next page may no longer be retried."""
        interval = self._poll.interval
        return max(started + interval, self._clock.monotonic() + PATIENCE_SHARE * interval)

    def _absorb(self, page: Page, asked: Range, ledger: Ledger, current: CurrentPoll) -> None:
        current.pages += 1
        current.listed += len(page.operations)
        ledger.note_unreadable_rows(len(page.unreadable))
        at = current.api_time(self._clock.now())
        start, end = asked
        wanted = [each for each in page.operations if start <= each.created_at <= end]
        ledger.absorb_all(wanted, at)
        current.listed_unfinished.update([each.id for each in wanted if each.status not in FINAL_STATUSES])


def _is_rounding(skew: float) -> bool:
    """Whether a skew may be rounding: a `Date` has whole seconds, and a reply takes time to arrive."""
    return 0 <= skew <= LARGEST_ROUNDING_SECONDS


def listing_of(poll: Poll, page_size: int = PAGE_SIZE) -> Listing:
    """The settings that shape a listing."""
    return Listing(poll.lookback, poll.recent, poll.sweep_interval, page_size)
