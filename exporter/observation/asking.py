"""Asks an account for the evidence: listings, and the few requests that try one open question each.

Uses the client, so that the rate limiter, pauses and retries are those of polling. Must not know how long
an account is watched, or what the evidence means.

Rule: no more requests than `max_requests`, whatever the replies are; retries of the client come on top.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final

from exporter.clock import Clock
from exporter.errors import Refused
from exporter.observation.evidence import Evidence, Listing, PageFilters
from exporter.observation.harmless import harmless_keys
from exporter.operation import Operation
from exporter.twilio.client import Client
from exporter.twilio.decision import Accepted
from exporter.twilio.protocol import PAGE_SIZE, Page, Request, fetch_request, read_http_date, read_page

SPANS: Final = (7 * 86400.0, 86400.0, 3600.0, 300.0)
"""Seconds of the past that are watched: the longest with fewer operations than `MAX_ROWS`."""

MAX_ROWS: Final = 800
"""One page has room for more, so that operations that are created while watching fit on it."""

MAX_PAGES: Final = 5
"""Of one listing: pages may be short, or empty although more follow."""

BOUND_TRIALS: Final = 3
MIN_WINDOW_ROWS: Final = 4
ROUNDING_SECONDS: Final = 2.0
"""A `Date` has whole seconds, and a reply takes time to arrive: a smaller difference is no skew."""


class RequestsSpentError(Exception):
    """`max_requests` were sent."""


class Asking:
    """Asks one account; the results are in `evidence`."""

    def __init__(self, client: Client, clock: Clock, *, patience: float, max_requests: int) -> None:
        """`patience`: seconds for each request with its retries."""
        self.evidence = Evidence()
        self.requests = 0
        self.start: float | None = None
        """The start of each listing; `None` until the span is known."""
        self._client = client
        self._clock = clock
        self._patience = patience
        self._max_requests = max_requests
        self._skew_seconds = 0.0  # the local clock less the `Date` of the last reply

    async def watch(self) -> bool:
        """One listing of the watched span; the first time, of spans until one fits on a page."""
        self.evidence.saw_listing(await (self._list(self.start) if self.start else self._list_longest()))
        return True

    async def _list_longest(self) -> Listing:
        for span in SPANS:
            start = self._clock.now() - self._skew_seconds - span
            listing = await self._list(start)
            if listing.complete and len(listing.operations) <= MAX_ROWS:
                break
        self.start = start
        return listing

    async def try_bounds(self) -> bool:
        """List from the creation of one operation to that of the next; false: there are no two."""
        pairs = list(pairwise(self.evidence.by_creation()))
        for first, second in pairs[-BOUND_TRIALS:]:
            listed = (await self._list(first.created_at, second.created_at)).operations
            ids = {operation.id for operation in listed}
            self.evidence.start_included.add(first.id in ids)
            self.evidence.end_included.add(second.id in ids)
        return bool(pairs)

    async def try_page_filters(self) -> bool:
        """Ask for a second page without the filters; false: too few operations, or no second page."""
        known = self.evidence.by_creation()
        window = known[len(known) // 4 : -(len(known) // 4)]
        if len(window) < MIN_WINDOW_ROWS or known[-1] in window:
            return False
        start = _between(known[len(known) // 4 - 1], window[0])
        end = _between(window[-1], known[-(len(known) // 4)])
        filters = _filters(start, end)
        size = len(window) - 1
        page = await self._page(filters, size)
        if page.next_token is None:
            return False
        found = await self._following(filters, size, page.next_token, (start, end))
        if found is not None:
            self.evidence.page_filters[found] += 1
        return found is not None

    async def _following(
        self, filters: Sequence[tuple[str, str]], size: int, token: str, window: tuple[float, float]
    ) -> PageFilters | None:
        """How pages after the first one are filtered; `None`: they do not show it."""
        first, last = window
        rows = 0
        try:
            for _ in range(MAX_PAGES):
                page = await self._page((), size, token)
                if any(not first <= each.created_at <= last for each in page.operations):
                    return "forgotten"
                rows += len(page.operations)
                if page.next_token is None:
                    return "carried" if rows else None
                token = page.next_token
        except Refused:
            await self._page(filters, size, token)  # raises, if it is the token that is refused
            return "required"
        return None

    async def try_errors(self) -> bool:
        """Ask for the Errors of an operation, with failed emails if there is one; false: none is known."""
        known = self.evidence.by_creation()
        if not known:
            return False
        operation = max(known, key=lambda each: (each.stats.failed or 0, each.created_at))
        path = fetch_request(operation.id).path + "/Errors"
        call = self.evidence.errors_call
        try:
            reply = await self._ask(Request("errors", path))
        except Refused as error:
            call.statuses[error.status or 0] += 1
        else:
            call.statuses[200] += 1
            call.keys |= harmless_keys(reply.body)
        return True

    async def _list(self, start: float, end: float | None = None) -> Listing:
        """Raises `TwilioError`."""
        asked_at = self._clock.now()  # the first reply shows how much the clocks differ
        operations: list[Operation] = []
        token: str | None = None
        for _ in range(MAX_PAGES):
            page = await self._page(_filters(start, end), PAGE_SIZE, token)
            operations += page.operations
            token = page.next_token
            if token is None or len(operations) > MAX_ROWS:
                break
        answered_at = self._clock.now()
        skew = self._skew_seconds
        return Listing(asked_at - skew, answered_at - skew, operations, complete=token is None)

    async def _page(self, filters: Sequence[tuple[str, str]], size: int, token: str | None = None) -> Page:
        query = (*filters, ("pageSize", str(size)), *([("pageToken", token)] if token is not None else []))
        return read_page((await self._ask(Request("list", "/Emails/Operations", query))).body)

    async def _ask(self, request: Request) -> Accepted:
        """Raises `TwilioError` and `RequestsSpentError`."""
        if self.requests >= self._max_requests:
            raise RequestsSpentError
        self.requests += 1
        reply = await self._client.ask(request, give_up_at=self._clock.monotonic() + self._patience)
        date = read_http_date(reply.headers.get("Date"))
        skew = self._clock.now() - date if date is not None else 0.0
        self._skew_seconds = 0.0 if 0 <= skew < ROUNDING_SECONDS else skew
        self.evidence.saw_headers(reply.headers)
        return reply


def _filters(start: float, end: float | None = None) -> tuple[tuple[str, str], ...]:
    bounds = (("startDate", start), ("endDate", end))
    return tuple((name, _rfc3339(at)) for name, at in bounds if at is not None)


def _rfc3339(at: float) -> str:
    """To the microsecond, because a bound is compared with the `createdAt` of a reply."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _between(first: Operation, second: Operation) -> float:
    return (first.created_at + second.created_at) / 2
