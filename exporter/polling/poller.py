"""One poll of one account: list, fetch, save, summarise, publish, report.

Uses protocols and callables only; must not contain HTTP, Prometheus, files or other accounts.

Rule 1: a failed poll publishes nothing, and the last values are kept.
Rule 2: the state is saved before the snapshot is published, so that a crash at any instant neither loses nor
repeats an email.
Rule 3: a cancellation passes through, at any `await`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import Protocol, TypeAlias

from exporter.clock import Clock
from exporter.config.alerts import Alerts
from exporter.config.settings import Poll
from exporter.errors import StateError, TwilioError
from exporter.events import Observer, PollFinished, PollStarted, StateSaved
from exporter.ledger.counters import Counts
from exporter.ledger.ledger import Ledger
from exporter.ledger.saved import Changes, Progress, Saved
from exporter.ledger.snapshot import RECENT_AGES, Snapshot, summarise
from exporter.polling.current_poll import CurrentPoll
from exporter.polling.fetcher import FetchApi, Fetcher
from exporter.polling.filtered import FilteredLister
from exporter.polling.offload import offload
from exporter.polling.reader import MAX_PAGES, ListApi, Reader
from exporter.polling.window import NEVER
from exporter.twilio.protocol import PAGE_SIZE


class Api(ListApi, FetchApi, Protocol):
    """The calls of Twilio's API that a poll makes."""


class Store(Protocol):
    """Where an account's state survives."""

    async def save(self, account: str, changes: Changes, progress: Progress) -> None:
        """Save everything or nothing. Raises `StateError`."""
        ...


Publish: TypeAlias = Callable[[str, Snapshot], None]


class Poller:
    """Polls one account. The scheduler decides when."""

    def __init__(
        self,
        account: str,
        api: Api,
        clock: Clock,
        poll: Poll,
        emit: Observer,
        publish: Publish,
        store: Store | None = None,
        *,
        concurrency: int,
        top_failing: int,
        alerts: Alerts,
        page_size: int = PAGE_SIZE,
        max_pages: int = MAX_PAGES,
    ) -> None:
        """`top_failing`: how many operations a snapshot names at most."""
        self.account = account
        self._clock = clock
        self._lookback = poll.lookback
        self._fetch = poll.fetch
        self._emit = emit
        self._publish = publish
        self._store = store
        self._top_failing = top_failing
        self._alerts = alerts
        self._reader = Reader(account, api, clock, poll, emit, page_size=page_size, max_pages=max_pages)
        self._fetcher = Fetcher(api, clock, interval=poll.interval, concurrency=concurrency)
        self._filtered = FilteredLister(
            account, self._reader, clock, emit, interval=poll.interval, page_size=page_size
        )
        self._ledger = self._empty_ledger(clock.now())
        self._progress = Progress(last_success_at=NEVER, listed_intervals=())
        self._safe_counts = self._ledger.counts()
        self._is_unsaved = False

    def rebuild(self, saved: Saved) -> "Restored":
        """The argument of `resume`; slow for a large account, and safe in another thread.

        Raises `ValueError` for a row that cannot be read.
        """
        at = saved.progress.last_success_at
        ledger = Ledger(
            at,
            self._lookback,
            RECENT_AGES,
            coverage=saved.coverage,
            counts=saved.counts,
            late_after=self._alerts.late_after,
        )
        ledger.restore(saved.rows, at)
        return Restored(ledger, saved.progress, saved.counts)

    def resume(self, restored: "Restored") -> Snapshot:
        """Continue from the saved state; returns its snapshot, as of its last success."""
        self._ledger, self._progress = restored.ledger, restored.progress
        # Not `ledger.counts()`: with a shorter window operations have just expired, which is not saved yet.
        self._safe_counts = restored.counts
        at = self._progress.last_success_at
        return self._summarise(at, at)

    async def poll(self) -> Snapshot:
        """One poll, saved, published and reported. Raises the `TwilioError` that ended it."""
        current = CurrentPoll(as_of=self._clock.now(), started=self._clock.monotonic())
        self._is_unsaved = False
        self._begin(current.as_of)
        self._emit(PollStarted(self.account, current.as_of))
        try:
            await self._read_account(current)
        except TwilioError as error:
            self._finish(current, error)
            raise
        self._progress = replace(self._progress, last_success_at=current.as_of)
        self._is_unsaved = True
        await self.save()
        snapshot = await offload(
            self._ledger, partial(self._summarise, current.as_of, current.api_time(current.as_of))
        )
        self._publish(self.account, snapshot)
        self._finish(current, None)
        return snapshot

    async def save(self) -> None:
        """Save the changes. Counters are frozen until a save succeeds, because shown values must be saved."""
        if self._store is None:
            self._ledger.discard_changes()
            self._note_saved(self._ledger.counts())
        elif self._progress.last_success_at != NEVER:
            await self._save_to(self._store)

    async def _save_to(self, store: Store) -> None:
        taken: list[Changes] = []
        try:
            await offload(self._ledger, lambda: taken.append(self._ledger.take_changes()))
            await store.save(self.account, taken[0], self._progress)
        except BaseException as error:  # a cancellation, too: its thread continues, and may fail
            for changes in taken:
                self._ledger.restore_changes(changes)
            if not isinstance(error, StateError):
                raise
            self._emit(StateSaved(self.account, error, 0))
            return
        self._emit(StateSaved(self.account, None, len(taken[0].rows)))
        self._note_saved(taken[0].counts)

    def _note_saved(self, counts: Counts) -> None:
        self._is_unsaved = False
        self._safe_counts = counts

    async def close(self) -> None:
        """Save what the last poll could not. An incomplete poll saves nothing."""
        if self._is_unsaved:
            await self.save()

    def _begin(self, now: float) -> None:
        """Coverage begins with the first poll that lists anything: until then the clock may still be set.

        It begins by Twilio's clock if a reply has a `Date`. With a local clock an hour ahead, the emails of
        that hour would be lost; with one an hour behind, older emails would be counted.
        """
        has_listed = self._progress.listed_intervals or len(self._ledger)
        if self._progress.last_success_at == NEVER and not has_listed:
            self._ledger = self._empty_ledger(now)

    def _empty_ledger(self, now: float) -> Ledger:
        return Ledger(now, self._lookback, RECENT_AGES, coverage=inf, late_after=self._alerts.late_after)

    async def _read_account(self, current: CurrentPoll) -> None:
        before = self._progress.listed_intervals
        intervals = await self._reader.list_due(self._ledger, before, current)
        self._progress = replace(self._progress, listed_intervals=intervals)
        await self._refresh_unfinished(current)

    async def _refresh_unfinished(self, current: CurrentPoll) -> None:
        """Refresh what this poll has not listed, as `poll.fetch` says."""
        match self._fetch:
            case "all":
                await self._fetcher.fetch_unfinished(self._ledger, current, with_listed=True)
            case "fewest":
                await self._filtered.list_unfinished(self._ledger, current)
                await self._fetcher.fetch_unfinished(self._ledger, current, with_listed=False)
            case "none":
                pass

    def _summarise(self, now: float, api_now: float) -> Snapshot:
        return summarise(
            self._ledger,
            now,
            api_now=api_now,
            top_failing=self._top_failing,
            waiting_after=self._alerts.waiting_after,
            counts=self._safe_counts,
        )

    def _finish(self, current: CurrentPoll, error: TwilioError | None) -> None:
        self._emit(
            PollFinished(
                account=self.account,
                finished_at=self._clock.now(),
                duration_seconds=self._clock.monotonic() - current.started,
                error=error,
                listed_operations=current.listed,
                fetched_operations=current.fetched,
                skipped_fetches=current.skipped,
                failed_fetches=current.failed,
                fetch_error=current.fetch_error,
            )
        )


@dataclass(frozen=True, slots=True)
class Restored:
    """Ledger and progress as an earlier process saved them."""

    ledger: Ledger
    progress: Progress
    counts: Counts
    """As they were saved."""
