"""The conductor of one account: which dates, list, absorb, fetch, absorb, forget, summarise, publish.

Sees protocols and callables only; must not know of HTTP, Prometheus, files or other accounts.

Rule 1: a listing is all or nothing: one that broke off publishes nothing, and the last numbers stay.
Rule 2: a fetch that failed for want of Twilio leaves the listing's numbers standing; one that shows a
refused credential or a reply we cannot read fails the poll, for the next fetch would fare no better.
Rule 3: cancellation passes through everything, at any `await`.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from exporter.clock import Clock
from exporter.errors import Malformed, Throttled, Truncated, TwilioError, Unauthorized
from exporter.ledger import Ledger
from exporter.operation import Operation
from exporter.report import (
    Listener,
    ListingProgressed,
    PollFinished,
    PollStarted,
)
from exporter.snapshot import RECENT_AGES, Snapshot, summarise
from exporter.window import MARGIN_SECONDS, Listing, Range, Stretches, listed
from exporter.wire import PAGE_SIZE, Page

FETCH_SHARE: Final = 0.8
"""Of the interval: when it is gone, no further operation is fetched."""

PATIENCE_SHARE: Final = 0.25
"""Of the interval: what each page of a long listing has at the least for its retries."""


class Api(Protocol):
    """Twilio, as the conductor sees it. Instants are monotonic seconds."""

    async def list_page(
        self, start: float, end: float, page_token: str | None, *, give_up_at: float
    ) -> Page: ...

    async def fetch_operation(self, operation_id: str, *, give_up_at: float) -> Operation | None:
        """The operation; `None` when Twilio no longer knows it."""
        ...


@dataclass(frozen=True, slots=True)
class PollSettings:
    """Durations in seconds."""

    interval: float
    lookback: float
    recent: float
    sweep_interval: float
    concurrency: int
    worst: int
    """How many of the worst operations a snapshot names."""
    page_size: int = PAGE_SIZE
    max_pages: int = 5000
    """Of one range; a longer listing is taken for one without end."""


Publish: TypeAlias = Callable[[str, Snapshot], None]


class Poller:
    """Polls one account; when, is up to `loop`."""

    def __init__(
        self,
        account: str,
        api: Api,
        clock: Clock,
        settings: PollSettings,
        report: Listener,
        publish: Publish,
    ) -> None:
        self._account = account
        self._api = api
        self._clock = clock
        self._settings = settings
        self._report = report
        self._publish = publish
        self._listing = Listing(
            lookback=settings.lookback,
            recent=settings.recent,
            sweep_interval=settings.sweep_interval,
            page_size=settings.page_size,
        )
        self._ledger = Ledger(clock.now(), settings.lookback, RECENT_AGES)
        self._stretches: Stretches = ()
        self._spacing = settings.interval

    async def poll(self) -> Snapshot:
        """One poll, published and reported; raises the `TwilioError` that ended it."""
        started = self._clock.monotonic()
        progress = _Progress(known_unknowns=self._ledger.unknown_statuses)
        self._report(PollStarted(self._account, self._clock.now()))
        try:
            snapshot = await self._read_account(started, progress)
        except TwilioError as error:
            self._finish(started, progress, error)
            raise
        self._publish(self._account, snapshot)
        self._finish(started, progress, None)
        return snapshot

    def _finish(self, started: float, progress: "_Progress", error: TwilioError | None) -> None:
        duration = self._clock.monotonic() - started
        self._spacing = max(self._settings.interval, duration)
        self._report(
            PollFinished(
                account=self._account,
                finished_at=self._clock.now(),
                duration_seconds=duration,
                error=error,
                listed_operations=progress.listed,
                fetched_operations=progress.fetched,
                skipped_fetches=progress.skipped,
                unknown_statuses=self._ledger.unknown_statuses - progress.known_unknowns,
            )
        )

    async def _read_account(self, started: float, progress: "_Progress") -> Snapshot:
        refreshed_before = self._ledger.unfinished()
        covered = await self._list_ranges(started, progress)
        # What the listing did not speak of goes first, then what waited longest before it.
        order = sorted(
            self._ledger.unfinished(), key=lambda each: (each in covered, refreshed_before.get(each, 0.0))
        )
        await self._fetch_all(deque(order), started + FETCH_SHARE * self._settings.interval, progress)
        now = self._clock.now()
        self._ledger.advance(now)
        return summarise(self._ledger, now, worst=self._settings.worst)

    async def _list_ranges(self, started: float, progress: "_Progress") -> set[str]:
        """List what is due; returns the ids of the non-final operations that the listing spoke of."""
        now = self._clock.now()
        ranges = self._listing.ranges(
            now,
            self._stretches,
            older_operations=self._ledger.count_created_before(now - self._settings.recent),
            spacing=self._spacing,
        )
        covered: set[str] = set()
        for span in ranges:
            asked = Range(span.start - MARGIN_SECONDS, span.end + MARGIN_SECONDS)
            async with aclosing(self._pages(asked, started)) as pages:
                async for page in pages:
                    self._absorb_page(page, asked, covered)
                    progress.pages += 1
                    progress.listed += len(page.operations)
                    self._report(ListingProgressed(self._account, progress.pages, progress.listed))
        self._stretches = listed(self._stretches, ranges, now, self._listing.start(now))
        return covered

    async def _pages(self, asked: Range, started: float) -> AsyncGenerator[Page, None]:
        """Page after page until there is no next one; an empty page may have one."""
        interval = self._settings.interval
        tokens: set[str] = set()
        token: str | None = None
        for _ in range(self._settings.max_pages):
            patience = self._clock.monotonic() + PATIENCE_SHARE * interval
            page = await self._api.list_page(
                asked.start, asked.end, token, give_up_at=max(started + interval, patience)
            )
            yield page
            token = page.next_token
            if token is None:
                return
            if token in tokens:
                raise Truncated("a page token came back: the listing would never end")
            tokens.add(token)
        raise Truncated(f"the listing goes on after {self._settings.max_pages} pages")

    def _absorb_page(self, page: Page, asked: Range, covered: set[str]) -> None:
        at = self._clock.now()
        for operation in page.operations:
            # Twilio ignores a parameter that it does not know: what was not asked for is dropped.
            if asked.start <= operation.created_at <= asked.end:
                self._ledger.absorb(operation, at)
                if not operation.is_final:
                    covered.add(operation.id)

    async def _fetch_all(self, queue: deque[str], stop_at: float, progress: "_Progress") -> None:
        async def work() -> None:
            while queue and self._clock.monotonic() < stop_at:
                await self._fetch(queue.popleft(), stop_at, progress)

        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(min(self._settings.concurrency, len(queue))):
                    workers.create_task(work())
        except ExceptionGroup as group:  # not `except*`: before 3.11.4 what it raises comes out in a group
            raise group.exceptions[0] from None
        progress.skipped += len(queue)

    async def _fetch(self, operation_id: str, stop_at: float, progress: "_Progress") -> None:
        try:
            operation = await self._api.fetch_operation(operation_id, give_up_at=stop_at)
        except (Unauthorized, Malformed):
            raise
        except Throttled:
            progress.skipped += 1  # the hold outlasts this poll: there was no time for it
            return
        except TwilioError:
            return
        progress.fetched += 1
        if operation is None:
            self._ledger.lose(operation_id)
        else:
            self._ledger.absorb(operation, self._clock.now())


@dataclass(slots=True)
class _Progress:
    """What one poll has done so far."""

    known_unknowns: int
    pages: int = 0
    listed: int = 0
    fetched: int = 0
    skipped: int = 0
