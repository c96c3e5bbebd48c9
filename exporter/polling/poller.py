"""The conductor of one account: which dates, list, absorb, fetch, absorb, save, summarise, publish.

Sees protocols and callables only; must not know of HTTP, Prometheus, files or other accounts.

Rule 1: a listing is all or nothing: one that broke off publishes nothing, and the last numbers stay.
Rule 2: a fetch that failed for want of Twilio leaves the listing's numbers standing; one that shows a
refused credential or a reply we cannot read fails the poll, for the next fetch would fare no better.
Rule 3: save first, publish then: a crash at any instant neither loses nor repeats an email.
Rule 4: cancellation passes through everything, at any `await`.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Protocol, TypeAlias, TypeVar

from exporter.clock import Clock
from exporter.errors import (
    Malformed,
    Refused,
    StateError,
    Throttled,
    Truncated,
    TwilioError,
    Unavailable,
    Unreachable,
)
from exporter.events import (
    ListingProgressed,
    Observer,
    PollFinished,
    PollStarted,
    StateSaved,
)
from exporter.ledger.counters import Counts
from exporter.ledger.ledger import Ledger
from exporter.ledger.saved import Changes, Progress, Saved
from exporter.ledger.snapshot import RECENT_AGES, Snapshot, summarise
from exporter.operation import Operation
from exporter.polling.window import MARGIN_SECONDS, NEVER, Listing, Range, listed
from exporter.twilio.protocol import MAX_CLOCK_SKEW_SECONDS, PAGE_SIZE, Page

FETCH_SHARE: Final = 0.8
"""Of the interval: when it is gone, no further operation is fetched."""

LARGE_LEDGER: Final = 20_000
"""Operations; what is done with fewer takes the event loop a few milliseconds."""

FAILURES_TO_STOP_AT: Final = 5
"""Fetches in a row: a Twilio that is ill is left alone until the next poll; the listing's numbers stand."""

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
    top_failing: int
    """How many of the worst operations a snapshot names."""
    page_size: int = PAGE_SIZE
    max_pages: int = 5000
    """Of one range; a longer listing is taken for one without end."""


class Store(Protocol):
    """Where an account's state survives."""

    async def save(self, account: str, changes: Changes, progress: Progress) -> None:
        """All of it, or nothing. Raises `StateError`."""
        ...


T = TypeVar("T")

Publish: TypeAlias = Callable[[str, Snapshot], None]


class Poller:
    """Polls one account; when, is up to `loop`."""

    def __init__(
        self,
        account: str,
        api: Api,
        clock: Clock,
        settings: PollSettings,
        emit: Observer,
        publish: Publish,
        store: Store | None = None,
    ) -> None:
        self.account = account
        self._api = api
        self._clock = clock
        self._settings = settings
        self._emit = emit
        self._publish = publish
        self._store = store
        self._listing = Listing(
            lookback=settings.lookback,
            recent=settings.recent,
            sweep_interval=settings.sweep_interval,
            page_size=settings.page_size,
        )
        now = clock.now()
        self._ledger = Ledger(now, settings.lookback, RECENT_AGES, coverage=now)
        self._progress = Progress(last_success_at=NEVER, listed_intervals=())
        self._safe_counts = self._ledger.counts()
        self._is_unsaved = False

    def rebuild(self, saved: Saved) -> "Resumption":
        """What `resume` takes; slow for a large account, and safe in another thread.

        Raises `ValueError` for what cannot be read.
        """
        ledger = Ledger(
            saved.progress.last_success_at,
            self._settings.lookback,
            RECENT_AGES,
            coverage=saved.coverage,
            counts=saved.counts,
        )
        ledger.restore(saved.rows, saved.progress.last_success_at)
        return Resumption(ledger, saved.progress, saved.counts)

    def resume(self, resumption: "Resumption") -> Snapshot:
        """Go on where a former process stopped; gives what it knew, as of its last success."""
        self._ledger, self._progress = resumption.ledger, resumption.progress
        # Not the ledger's: with a shorter window some of it has just expired, and that is not saved yet.
        self._safe_counts = resumption.counts
        return self._summarise(self._progress.last_success_at)

    async def poll(self) -> Snapshot:
        """One poll, saved, published and reported; raises the `TwilioError` that ended it."""
        work = _Work(as_of=self._clock.now(), started=self._clock.monotonic())
        self._is_unsaved = False
        self._begin(work.as_of)
        self._emit(PollStarted(self.account, work.as_of))
        try:
            await self._read_account(work)
        except TwilioError as error:
            self._finish(work, error)
            raise
        self._progress = replace(self._progress, last_success_at=work.as_of)
        self._is_unsaved = True
        await self.save()  # first, so that what was shown is never lost
        snapshot = await self._beside(partial(self._summarise, work.as_of))
        self._publish(self.account, snapshot)
        self._finish(work, None)
        return snapshot

    async def close(self) -> None:
        """Save what the last poll could not; nothing of a poll that broke off or is under way."""
        if self._is_unsaved:
            await self.save()

    def _begin(self, now: float) -> None:
        """Coverage begins with the first poll that lists anything: until then the clock may still be set."""
        has_listed = self._progress.listed_intervals or len(self._ledger)
        if self._progress.last_success_at == NEVER and not has_listed:
            self._ledger = Ledger(now, self._settings.lookback, RECENT_AGES, coverage=now)

    async def save(self) -> None:
        """Write what is not yet safe. Where that fails the counters wait: what is shown must survive."""
        if self._store is not None and self._progress.last_success_at == NEVER:
            return
        changes = await self._beside(self._ledger.take_changes)
        if self._store is not None:
            try:
                await self._store.save(self.account, changes, self._progress)
            except BaseException as error:  # a cancelled save, too: its thread may still fail
                self._ledger.restore_changes(changes)
                if not isinstance(error, StateError):
                    raise
                self._emit(StateSaved(self.account, error, 0))
                return
            self._emit(StateSaved(self.account, None, len(changes.rows)))
        self._is_unsaved = False
        self._safe_counts = changes.counts

    async def _beside(self, work: Callable[[], T]) -> T:
        """In a thread where the ledger is large: after a day's outage a million operations take a second.

        Nothing else touches the ledger meanwhile, so a cancellation waits until the thread has let go of it.
        """
        if len(self._ledger) < LARGE_LEDGER:
            return work()
        working = asyncio.ensure_future(asyncio.to_thread(work))
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            await asyncio.wait([working])
            raise

    def _summarise(self, now: float) -> Snapshot:
        return summarise(self._ledger, now, top_failing=self._settings.top_failing, counts=self._safe_counts)

    def _finish(self, work: "_Work", error: TwilioError | None) -> None:
        self._emit(
            PollFinished(
                account=self.account,
                finished_at=self._clock.now(),
                duration_seconds=self._clock.monotonic() - work.started,
                error=error,
                listed_operations=work.listed,
                fetched_operations=work.fetched,
                skipped_fetches=work.skipped,
            )
        )

    async def _read_account(self, work: "_Work") -> None:
        """List what is due, then fetch what is not final, as far as time allows."""
        refreshed_before = self._ledger.unfinished()
        covered = await self._list_ranges(work)

        def fetch_order() -> list[str]:
            """What the listing did not speak of goes first, then what waited longest before it."""
            unfinished = self._ledger.unfinished()
            return sorted(unfinished, key=lambda each: (each in covered, refreshed_before.get(each, 0.0)))

        order = deque(await self._beside(fetch_order))
        await self._fetch_all(order, work.started + FETCH_SHARE * self._settings.interval, work)

    async def _list_ranges(self, work: "_Work") -> set[str]:
        """List what is due; returns the ids of the non-final operations that the listing spoke of."""
        now = work.as_of
        ranges = self._listing.ranges(
            now,
            self._progress.listed_intervals,
            older_operations=self._ledger.count_created_before(now - self._settings.recent),
            # Not what the last poll took: a slow one would list more the next time, and be slower still.
            spacing=self._settings.interval,
        )
        covered: set[str] = set()
        for span in ranges:
            asked = Range(span.start - MARGIN_SECONDS, span.end + MARGIN_SECONDS)
            async with aclosing(self._pages(asked, work.started)) as pages:
                async for page in pages:
                    if not work.pages:
                        await self._move_on(work)
                    self._absorb_page(page, asked, covered)
                    work.pages += 1
                    work.listed += len(page.operations)
                    self._emit(ListingProgressed(self.account, work.pages, work.listed))
        listed_intervals = listed(self._progress.listed_intervals, ranges, now, self._listing.start(now))
        self._progress = replace(self._progress, listed_intervals=listed_intervals)
        return covered

    async def _move_on(self, work: "_Work") -> None:
        """Forgetting is for good: only after a reply whose `Date` was held against our clock as it is now."""
        clock_was_set_by = self._clock.now() - work.as_of - (self._clock.monotonic() - work.started)
        if abs(clock_was_set_by) > MAX_CLOCK_SKEW_SECONDS:
            raise Malformed(f"our clock was set by {clock_was_set_by:.0f} s during the poll")
        await self._beside(partial(self._ledger.advance, work.as_of))

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

    async def _fetch_all(self, queue: deque[str], stop_at: float, work: "_Work") -> None:
        fatal: list[TwilioError] = []

        async def fetch_on() -> None:
            while queue and not fatal and self._clock.monotonic() < stop_at:
                try:
                    fetched = await self._fetch(queue.popleft(), stop_at, work)
                    work.failed_in_a_row = 0 if fetched else work.failed_in_a_row + 1
                    if work.failed_in_a_row >= FAILURES_TO_STOP_AT:
                        return
                except Throttled:  # the hold outlasts this poll: there is no time for any of them
                    work.skipped += 1 + len(queue)
                    queue.clear()
                except TwilioError as error:
                    fatal.append(error)

        # An error raised through the group could swallow a cancellation that comes at the same moment.
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(self._settings.concurrency, len(queue))):
                workers.create_task(fetch_on())
        if fatal:
            raise fatal[0]
        work.skipped += len(queue)

    async def _fetch(self, operation_id: str, stop_at: float, work: "_Work") -> bool:
        """Whether it was answered. Raises what every further fetch would meet, too."""
        try:
            operation = await self._api.fetch_operation(operation_id, give_up_at=stop_at)
        except (Unavailable, Unreachable, Refused):
            return False  # the listing's numbers stand
        except Throttled as error:
            if error.retryable:
                return False
            raise
        work.fetched += 1
        if operation is None:
            self._ledger.mark_not_found(operation_id)
        else:
            self._ledger.absorb(operation, self._clock.now())
        return True


@dataclass(frozen=True, slots=True)
class Resumption:
    """A ledger and progress as a former process left them."""

    ledger: Ledger
    progress: Progress
    counts: Counts
    """As they were saved."""


@dataclass(slots=True)
class _Work:
    """What one poll has done so far."""

    as_of: float
    """Unix time at which it began: what came into being later, it may not have seen."""
    started: float
    """The same instant, monotonic."""
    pages: int = 0
    listed: int = 0
    fetched: int = 0
    skipped: int = 0
    failed_in_a_row: int = 0
    """Fetches, each after its retries."""
