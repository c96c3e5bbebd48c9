"""Refreshing unfinished operations by listings filtered by status, where these save requests.

Uses the reader and leaves the rest to the fetcher, in the same poll. Must not contain HTTP or publishing.

Rule 1: an operation that a listing does not show has another status by now, or no longer exists. It is looked
for under the next status or fetched, so that nothing arrives in a later poll than with fetches.
Rule 2: a listing ends when it has shown all that it was made for, or when fetches of the rest take fewer
requests.
Rule 3: a listing that failed, or that time cut short, keeps its rows. The next poll only fetches, so that a
listing that never succeeds does not take the time of all fetches.
Rule 4: after a listing whose filter was ignored there is no other until the next start.
"""

from collections.abc import Sequence
from contextlib import aclosing
from functools import partial
from typing import Final, NamedTuple

from exporter.clock import Clock
from exporter.errors import TwilioError, Unauthorized
from exporter.events import Observer, StatusFilterIgnored
from exporter.ledger.ledger import Ledger
from exporter.operation import Operation
from exporter.polling.current_poll import CurrentPoll
from exporter.polling.estimate import FETCH_SHARE
from exporter.polling.fewest import (
    LISTED_STATUSES,
    FilteredListing,
    is_cut_before_filtered,
    is_filter_ignored,
)
from exporter.polling.offload import offload
from exporter.polling.reader import Reader
from exporter.polling.window import MARGIN_SECONDS, Range

_MINUTE: Final = 60.0
"""Precision of `Ledger.count_created_before`."""


class _Planned(NamedTuple):
    """A listing that may be made."""

    status: str
    span: Range
    stale: frozenset[str]
    """Ids of the operations that it would refresh."""
    counts: FilteredListing


class FilteredLister:
    """Makes one account's listings filtered by status."""

    def __init__(
        self, account: str, reader: Reader, clock: Clock, emit: Observer, *, interval: float, page_size: int
    ) -> None:
        self._account = account
        self._reader = reader
        self._clock = clock
        self._emit = emit
        self._seconds = FETCH_SHARE * interval
        self._page_size = page_size
        self._reads_all = False
        self._is_ignored = False
        self._skips_poll = False

    async def list_unfinished(self, ledger: Ledger, current: CurrentPoll) -> None:
        """List non-final operations that this poll has not listed yet. Raises `Unauthorized`."""
        skips, self._skips_poll = self._skips_poll, False
        if skips:
            return
        try:
            await self._list_in_turn(ledger, current)
        except Unauthorized:
            raise
        except TwilioError as error:
            self._skips_poll = True
            if not error.outlasts_poll:  # else there is no time for fetches either: they are skipped
                current.note_failure(error)

    async def _list_in_turn(self, ledger: Ledger, current: CurrentPoll) -> None:
        moved: Sequence[Operation] = ()
        for status in LISTED_STATUSES:
            stale = await offload(ledger, partial(_stale, ledger, current, status, moved))
            moved = ()
            if stale and not self._is_ignored:
                planned = self._plan(status, stale, ledger)
                if await self._list(planned, ledger, current):
                    moved = [each for each in stale if each.id not in current.listed_unfinished]

    def _plan(self, status: str, stale: Sequence[Operation], ledger: Ledger) -> _Planned:
        created = [operation.created_at for operation in stale]
        span = Range(min(created), max(created))
        older = ledger.count_created_before(span.start - MARGIN_SECONDS)
        in_range = ledger.count_created_before(span.end + MARGIN_SECONDS + _MINUTE) - older
        moved = sum(operation.status != status for operation in stale)
        matching = ledger.window_totals()[status].operations + moved
        counts = FilteredListing(len(stale), matching, in_range, self._page_size)
        return _Planned(status, span, frozenset(operation.id for operation in stale), counts)

    async def _list(self, planned: _Planned, ledger: Ledger, current: CurrentPoll) -> bool:
        """List if that saves requests; returns whether the listing reached its end."""
        stop_at = current.started + self._seconds
        unseen, pages_read = planned.stale, 0
        reading = self._reader.read(planned.span, ledger, current, status=planned.status, give_up_at=stop_at)
        async with aclosing(reading) as pages:
            while planned.counts.saves_requests(len(unseen), pages_read, reads_all=self._reads_all):
                if self._clock.monotonic() >= stop_at:
                    self._skips_poll = pages_read > 0
                    return False
                page = await anext(pages)
                pages_read += 1
                unseen -= current.listed_unfinished
                if is_filter_ignored(page.operations):
                    self._is_ignored = True
                    self._emit(StatusFilterIgnored(self._account))
                    return False
                if page.next_token is None:
                    return True
                self._reads_all = is_cut_before_filtered(page.operations, self._page_size)
        return False


def _stale(
    ledger: Ledger, current: CurrentPoll, status: str, moved: Sequence[Operation]
) -> Sequence[Operation]:
    """The operations of a status that this poll has not listed, and those that have left the one before."""
    return [
        *moved,
        *(
            each
            for each in ledger.unfinished_operations()
            if each.status == status and each.id not in current.listed_unfinished
        ),
    ]
