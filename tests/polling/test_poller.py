"""One account's polls, on a real socket against the simulator."""

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import pytest

from exporter.errors import (
    Malformed,
    StateError,
    Throttled,
    Truncated,
    TwilioError,
    Unauthorized,
    Unavailable,
)
from exporter.events import ListingProgressed, PollFinished, PollScheduled, PollStarted, RowsUnreadable
from exporter.ledger.saved import Changes, Progress
from exporter.ledger.snapshot import Snapshot
from exporter.operation import STATS, Operation, Stats
from exporter.simulator import faults
from exporter.simulator.faults import HOSTILE_IDS, Fault
from exporter.simulator.ids import new_id
from exporter.simulator.readings import Order, Readings
from exporter.simulator.reply import Reply
from exporter.simulator.world import World
from exporter.storage.sqlite import Storage
from exporter.twilio.decision import check_clocks
from exporter.twilio.protocol import Page
from tests.support.clock import SATURDAY, ManualClock
from tests.support.rig import ACCOUNT, Rig, poller_of, rigged
from tests.support.twilio import PlainTwilio

DAY = 86400.0


def operation(
    number: int, status: str = "completed", *, age: float = 600.0, updated_after: float = 0.0, **stats: int
) -> Operation:
    created_at = SATURDAY - age
    return Operation(
        new_id(number, created_at), status, created_at, created_at + updated_after, Stats(**stats)
    )


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with rigged(World.empty(), ManualClock()) as rig:
        yield rig


async def test_small_account_costs_one_list_request_and_a_fetch_for_each_non_final(rig: Rig) -> None:
    """On every poll, the first and the later ones."""
    rig.simulator.world.put(*(operation(n, failed=1) for n in range(30)))
    rig.simulator.world.put(*(operation(n, "processing") for n in range(30, 33)))
    rig.simulator.world.put(operation(40, "scheduled", age=6 * DAY), operation(41, "canceled"))
    for _ in range(3):
        await rig.poll()
        assert rig.requests() == {"list": 1, "fetch": 4}
        rig.clock.advance(60)
    assert rig.last_poll.fetched_operations == 4


async def test_snapshot_holds_what_the_fetches_found(rig: Rig) -> None:
    """A fetch comes after the listing, and is newer."""
    before = operation(1, "processing", queued=5)
    after = replace_stats(before, "completed", delivered=5)
    rig.simulator.world.put(before)
    rig.simulator.faults.add(in_between(rig, after), call="list")
    snapshot = await rig.poll()
    assert snapshot.window["completed"].operations == 1
    assert rig.published == [snapshot]


async def test_non_final_operations_outside_the_listing_are_fetched_first() -> None:
    """Then those whose last fetch is longest ago; operations left over are counted as skipped."""
    async with rigged(
        World.empty(), ManualClock(), requests_per_second=1, interval=10.0, page_size=5, concurrency=1
    ) as rig:
        older = {operation(n, "scheduled", age=DAY + n).id: n for n in range(3)}
        rig.simulator.world.put(*(operation(n, "scheduled", age=DAY + n) for n in range(3)))
        rig.simulator.world.put(*(operation(n, "processing", age=600 + n) for n in range(10, 30)))
        rig.simulator.world.put(*(operation(n, age=5 * DAY) for n in range(50, 60)))
        await rig.poll()
        first = fetched(rig)
        assert 0 < len(first) < 23
        assert rig.last_poll.skipped_fetches == 23 - len(first)
        rig.clock.advance(10)
        rig.simulator.journal.clear()
        await rig.poll()
        second = fetched(rig)
        assert set(second[:3]) == older.keys(), "this listing's slice was another one"
        assert set(second[3:]).isdisjoint(first), "what was fetched a poll ago waits for the others"


async def test_fetching_ends_when_four_fifths_of_the_interval_are_gone() -> None:
    """The others keep the values from the listing, and are counted."""
    async with rigged(World.empty(), ManualClock(), requests_per_second=1, interval=60.0) as rig:
        rig.simulator.world.put(*(operation(n, "processing", queued=1) for n in range(100)))
        snapshot = await rig.poll()
        assert 45 <= rig.last_poll.fetched_operations <= 49
        assert rig.last_poll.skipped_fetches == 100 - rig.last_poll.fetched_operations
        assert rig.clock.monotonic() <= 60.0 * 0.8 + 2
        assert snapshot.window["processing"].operations == 100


@pytest.mark.parametrize(("code", "kind"), [(429, Throttled), (503, Unavailable)])
async def test_pause_that_outlasts_the_poll_skips_the_rest_of_the_fetches(
    rig: Rig, code: int, kind: type[TwilioError]
) -> None:
    """They are counted; the next poll, during the pause, ends for the same reason without a request."""
    rig.simulator.world.put(*(operation(n, "processing") for n in range(5)))
    rig.simulator.faults.add(faults.status(code, retry_after=600), call="fetch")
    await rig.poll()
    assert rig.last_poll.skipped_fetches >= 4
    rig.requests()
    rig.clock.advance(60)
    assert type(await rig.fail()) is kind
    assert rig.requests() == {"list": 0, "fetch": 0}


LISTING_FAULTS = [
    (faults.status(500), Unavailable),
    (faults.status(403, body="flat"), Unauthorized),
    (faults.without_operations(), Malformed),
    (faults.status(200, body="html"), Malformed),
    (faults.repeated_token(), Truncated),
    (faults.endless_tokens(), Truncated),
]


@pytest.mark.parametrize(("fault", "kind"), LISTING_FAULTS)
async def test_listing_that_breaks_off_publishes_nothing(fault: Fault, kind: type[Exception]) -> None:
    """The last values are kept, and the next good poll publishes again."""
    async with rigged(World.empty(), ManualClock(), max_pages=20) as rig:
        rig.simulator.world.put(*(operation(n, failed=1) for n in range(3)))
        await rig.poll()
        rig.simulator.faults.add(fault, call="list", times=None)
        rig.clock.advance(60)
        error = await rig.fail()
        assert isinstance(error, kind)
        assert rig.last_poll.error is error
        rig.simulator.faults.clear()
        rig.clock.advance(60)
        assert (await rig.poll()).tracked_operations == 3
        assert len(rig.published) == 2


ODD_ROWS = [
    faults.wrong_type(("operations", 0, "stats", "failed"), "1"),
    faults.wrong_type(("operations", 0, "updatedAt"), None),
    *(faults.hostile_id(each) for each in HOSTILE_IDS),
]


@pytest.mark.parametrize("fault", ODD_ROWS)
async def test_odd_row_leaves_the_others_and_its_own_last_numbers(fault: Fault) -> None:
    """It is left out, reported, and changes no sum."""
    async with rigged(World.empty(), ManualClock()) as rig:
        rig.simulator.world.put(*(operation(n, failed=1) for n in range(3)))
        before = await rig.poll()
        rig.simulator.faults.add(fault, call="list", times=None)
        rig.clock.advance(60)
        assert (await rig.poll()).window == before.window
        (unreadable,) = rig.emitted(RowsUnreadable)
        assert unreadable.paths[0].startswith("$.operations[0].")
        assert rig.published[-1].counts["unknown", "row"] == 1


async def test_fault_on_a_later_page_publishes_nothing(rig: Rig) -> None:
    """All or nothing, also when most of it was read."""
    rig.simulator.world.put(*(operation(n) for n in range(2500)))
    for fault in (faults.status(200, body="errors"), faults.status(500)):
        rig.simulator.faults.add(fault, call="list")
    assert isinstance(await rig.fail(), Malformed)


@pytest.mark.parametrize("order", ["newest", "oldest", "shuffled"])
@pytest.mark.parametrize("inclusive", [True, False])
async def test_listing_is_whole_under_every_reading_of_the_api(order: Order, inclusive: bool) -> None:
    """Any order, bounds inside or outside, and pages that are empty although there are more."""
    world = World.empty(Readings(order=order, inclusive=inclusive, empty_page_every=2))
    async with rigged(world, ManualClock(), page_size=1000) as rig:
        rig.simulator.world.put(*(operation(n, age=7 * DAY * n / 2600) for n in range(2600)))
        snapshot = await rig.poll()
        assert snapshot.tracked_operations == 2600
        assert snapshot.as_of == SATURDAY


async def test_rows_that_were_not_asked_for_are_dropped(rig: Rig) -> None:
    """Twilio ignores a parameter that it does not know; duplicates count once."""
    ancient, future = operation(1, age=30 * DAY, failed=1), operation(2, age=-30 * DAY, failed=1)
    rig.simulator.world.put(operation(3, failed=1))
    rig.simulator.faults.add(faults.extra_rows(ancient, future), call="list")
    assert (await rig.poll()).tracked_operations == 1
    rig.simulator.faults.add(faults.duplicated_rows(), call="list")
    snapshot = await rig.poll()
    assert snapshot.tracked_operations == 1
    assert dict(zip(STATS, snapshot.window["completed"].stats, strict=True))["failed"] == 1


async def test_unknown_status_is_counted_under_its_own_name(rig: Rig) -> None:
    """Once when it is first seen, and fetched like everything that is not known to be final."""
    rig.simulator.world.put(operation(1, failed=2))
    rig.simulator.faults.add(faults.unknown_status(), times=None)
    snapshot = await rig.poll()
    assert snapshot.window["unknown"].operations == 1
    assert snapshot.counts["unknown", "status"] == 1
    assert (await rig.poll()).counts["unknown", "status"] == 1
    assert rig.requests() == {"list": 2, "fetch": 2}


async def test_large_account_lists_the_recent_part_and_slices() -> None:
    """After the first poll, no poll reads it all; within the sweep interval everything is read."""
    async with rigged(World.empty(), ManualClock(), page_size=20) as rig:
        world = rig.simulator.world
        world.put(*(operation(n, age=10 + 7 * DAY * n / 200, delivered=1) for n in range(200)))
        await rig.poll()
        assert rig.last_poll.listed_operations == 200
        aged = [replace_stats(each, "completed", undelivered=1) for each in world.visible(rig.clock.now())]
        world.put(*aged)
        for _ in range(15):
            rig.clock.advance(60)
            await rig.poll()
            assert rig.last_poll.listed_operations < 100
        sums = dict(zip(STATS, rig.published[-1].window["completed"].stats, strict=True))
        assert sums["undelivered"] == len(aged)
        assert sums["delivered"] == 0


async def test_listing_reaches_back_over_failed_polls() -> None:
    """What was created during an outage longer than `poll.recent` is not missed."""
    async with rigged(World.empty(), ManualClock(), page_size=5) as rig:
        rig.simulator.world.put(*(operation(n, age=3 * DAY + n) for n in range(40)))
        await rig.poll()
        rig.simulator.faults.add(faults.status(500), call="list", times=None)
        for _ in range(5):
            rig.clock.advance(3600)
            await rig.fail()
        created = rig.clock.now() - 4 * 3600
        missed = Operation(new_id("missed", created), "completed", created, created, Stats(failed=9))
        rig.simulator.world.put(missed)
        rig.simulator.faults.clear()
        assert missed in (await rig.poll()).top_failing


async def test_coverage_begins_with_the_first_listing_that_is_whole(rig: Rig) -> None:
    """A machine that starts before its clock is set must not count a week of mail as new."""
    rig.simulator.world.put(operation(1, failed=500))
    rig.simulator.faults.add(faults.status(500), call="list")
    rig.clock.advance(-10 * 365 * DAY)
    await rig.fail()
    rig.clock.advance(10 * 365 * DAY)
    snapshot = await rig.poll()
    assert snapshot.window["completed"].operations == 1
    assert snapshot.counts["stat", "failed"] == snapshot.counts["operations", ""] == 0


@pytest.mark.parametrize("seconds_ahead", [0.0, 3600.0, -3600.0])
async def test_coverage_begins_by_the_clock_of_twilio(seconds_ahead: float) -> None:
    """A clock an hour ahead loses no mail of the first hour, and one an hour behind counts none of before."""
    async with rigged(World.empty(), ManualClock(), seconds_ahead=seconds_ahead) as rig:
        rig.simulator.world.put(*(operation(n, failed=100, age=60.0 * n) for n in range(1, 90)))
        rig.simulator.world.put(*(operation(100 + n, failed=1, age=-60.0 * n) for n in range(1, 50)))
        for _ in range(120):
            snapshot = await rig.poll()
            rig.clock.advance(60)
        assert snapshot.counts["operations", ""] == 49
        assert snapshot.counts["stat", "failed"] == 49


async def test_operation_past_retention_cannot_kill_an_account(rig: Rig) -> None:
    """Whatever an expired id answers; and it is counted as expired without a final status."""
    rig.simulator.world.put(operation(1, "scheduled", age=7 * DAY - 90))
    assert (await rig.poll()).tracked_operations == 1
    rig.clock.advance(60)
    rig.simulator.faults.add(faults.status(410), call="fetch", times=None)
    assert (await rig.poll()).tracked_operations == 1, "the values from the listing are kept"
    rig.clock.advance(60)
    rig.requests()
    snapshot = await rig.poll()
    assert snapshot.tracked_operations == 0
    assert rig.requests()["fetch"] == 0
    assert snapshot.counts["expired_unfinished", ""] == 1


async def test_large_ledger_is_worked_on_beside_the_loop(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same result; and a cancellation waits until the thread has finished."""
    rig.simulator.world.put(*(operation(n, failed=1) for n in range(3)))
    monkeypatch.setattr("exporter.polling.offload.LARGE_LEDGER", 1)
    assert (await rig.poll()).tracked_operations == 3
    begun, ended = threading.Event(), threading.Event()

    def advance(*_: float) -> None:
        begun.set()
        ended.wait(10)

    monkeypatch.setattr(rig.poller._ledger, "advance", advance)
    polling = asyncio.create_task(rig.poll())
    await asyncio.to_thread(begun.wait, 10)
    polling.cancel()
    await asyncio.wait([polling], timeout=0.05)
    assert not polling.done()
    ended.set()
    await asyncio.wait([polling])
    assert polling.cancelled()


async def test_progress_is_reported_page_by_page(rig: Rig) -> None:
    """A person who watches the first listing of a large account sees it move."""
    rig.simulator.world.put(*(operation(n) for n in range(2500)))
    await rig.poll()
    progress = rig.emitted(ListingProgressed)
    assert [each.pages for each in progress] == [1, 2, 3]
    assert progress[-1].operations == 2500
    assert progress[0].elapsed_seconds <= progress[-1].elapsed_seconds <= rig.last_poll.duration_seconds
    assert rig.emitted(PollStarted)[0].account == ACCOUNT


async def test_polls_start_at_every_interval() -> None:
    """From start to start; after one that overran at the next interval, and a failed one changes nothing."""
    async with rigged(World.empty(), ManualClock(), interval=60.0) as rig:
        rig.simulator.faults.add(faults.status(500), call="list")
        polling = asyncio.create_task(rig.scheduler.run())
        while len(rig.emitted(PollStarted)) < 4:
            await asyncio.sleep(0)
        rig.simulator.latency_seconds = 70.0
        while len(rig.emitted(PollStarted)) < 6:
            await asyncio.sleep(0)
        polling.cancel()
        await asyncio.wait([polling])
        assert polling.cancelled(), "cancellation passes through"
        starts = [round(each.started_at - SATURDAY) for each in rig.emitted(PollStarted)]
        assert starts[:4] == [0, 60, 120, 180]
        assert all(start % 60 == 0 for start in starts)
        assert [each.outcome for each in rig.emitted(PollFinished)][:2] == ["unavailable", "success"]
        planned = [round(each.next_poll_at - SATURDAY) for each in rig.emitted(PollScheduled)]
        assert planned[:4] == starts[:4], "every poll was announced"


def replace_stats(operation: Operation, status: str, **stats: int) -> Operation:
    """The same operation a minute later."""
    return operation._replace(
        status=status,
        updated_at=operation.updated_at + 60,
        stats=Stats(**{**dict.fromkeys(STATS, 0), **stats}),
    )


def in_between(rig: Rig, after: Operation) -> Fault:
    """Lets the world change between a listing and the fetches."""

    def change(reply: Reply) -> Reply:
        rig.simulator.world.put(after)
        return reply

    return replace(faults.cut(), name="in between", change=change)


def fetched(rig: Rig) -> list[str | None]:
    return [request.operation_id for request in rig.simulator.requests if request.call == "fetch"]


class SlowTwilio(PlainTwilio):
    """Pages of ten, each after a while."""

    def __init__(self, clock: ManualClock, seconds_a_page: float) -> None:
        super().__init__()
        self.clock = clock
        self.seconds_a_page = seconds_a_page
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
        await self.clock.sleep(self.seconds_a_page)
        self.pages += 1
        inside = [each for each in self.operations.values() if start <= each.created_at <= end]
        first = int(page_token or 0)
        return Page(inside[first : first + 10], str(first + 10) if first + 10 < len(inside) else None)


class CountingStore:
    """Counts what is written, and refuses it when told to."""

    def __init__(self) -> None:
        self.saves = 0
        self.rows = 0
        self.is_full = False

    async def save(self, account: str, changes: Changes, progress: Progress) -> None:
        if self.is_full:
            raise StateError("database or disk is full")
        self.saves += 1
        self.rows += len(changes.rows)


async def test_slow_twilio_is_not_asked_for_more() -> None:
    """A poll that took long lists no more the next time: it would be slower still, and so for ever."""
    clock = ManualClock()
    twilio = SlowTwilio(clock, 10.0)
    for number in range(1000):
        made = operation(number, age=6.9 * DAY * (number + 1) / 1000)
        twilio.operations[made.id] = made
    poller = poller_of("a", twilio, clock, page_size=10)
    await poller.poll()
    assert twilio.pages == 100
    for _ in range(5):
        twilio.pages = 0
        await poller.poll()
        assert twilio.pages < 15  # a slice of thirteen, and the recent part


async def test_numbers_are_as_of_the_start_of_the_listing() -> None:
    """What came into being since is not in it: a machine that was suspended shows old numbers, not none."""
    clock = ManualClock()
    twilio = SlowTwilio(clock, 30 * 3600.0)
    twilio.operations["x"] = operation(1, age=600.0)
    snapshot = await poller_of("a", twilio, clock).poll()
    assert snapshot.as_of == SATURDAY
    assert snapshot.recent["1h"].operations == 1


async def test_clock_that_was_ahead_for_a_while_leaves_no_hole() -> None:
    """The part that left the window too early is listed again at once."""
    clock, twilio = ManualClock(), PlainTwilio()
    for number in range(100):
        made = operation(number, age=6.9 * DAY * (number + 1) / 100)
        twilio.operations[made.id] = made
    poller = poller_of("a", twilio, clock)
    assert (await poller.poll()).tracked_operations == 100
    clock.advance(20 * 3600.0)
    assert (await poller.poll()).tracked_operations < 100
    clock.advance(-20 * 3600.0 + 60.0)
    assert (await poller.poll()).tracked_operations == 100


class WildClock(ManualClock):
    """`ahead` seconds of the truth, until it is set."""

    ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead


class TruthfulTwilio(PlainTwilio):
    """While it answers the clock is set; its `Date` is compared with that clock, as in the client."""

    def __init__(self, clock: WildClock) -> None:
        super().__init__()
        self.clock = clock

    async def list_page(
        self,
        start: float,
        end: float,
        page_token: str | None,
        *,
        give_up_at: float,
        status: str | None = None,
    ) -> Page:
        self.clock.ahead = 0.0
        date = formatdate(SATURDAY + self.clock.monotonic(), usegmt=True)
        assert check_clocks({"Date": date}, self.clock.now()) is None
        return await super().list_page(start, end, page_token, give_up_at=give_up_at)


@pytest.mark.parametrize("ahead", [400 * DAY, -400 * DAY])
@pytest.mark.parametrize("is_first", [True, False])
async def test_clock_that_is_set_during_a_poll_ends_it(ahead: float, is_first: bool) -> None:
    """The poll began with a wrong clock: by its window, operations would be forgotten permanently."""
    clock = WildClock()
    twilio = TruthfulTwilio(clock)
    for number in range(50):
        made = operation(number, age=6.9 * DAY * (number + 1) / 50, failed=1)
        twilio.operations[made.id] = made
    poller = poller_of("a", twilio, clock)
    if not is_first:
        await poller.poll()
        clock.advance(60)
    clock.ahead = ahead
    with pytest.raises(Malformed, match="the local clock was set by"):
        await poller.poll()
    clock.advance(60)
    late = twilio.operations.popitem()[1]
    twilio.operations[late.id] = replace_stats(late, "completed", failed=3)
    snapshot = await poller.poll()
    assert snapshot.tracked_operations == 50
    assert snapshot.counts["stat", "failed"] == (0 if is_first else 2)


async def test_counters_of_a_short_window_do_not_fall() -> None:
    """Even when it is empty, and too short for any part of it to count as listed."""
    clock, twilio = ManualClock(), PlainTwilio()
    poller = poller_of("a", twilio, clock, lookback=60.0, recent=60.0)
    await poller.poll()
    now = clock.now() + 30.0
    twilio.operations["x"] = Operation("x", "completed", now, now, Stats(failed=5))
    failed = []
    for _ in range(6):
        clock.advance(30)
        failed.append((await poller.poll()).counts["stat", "failed"])
    assert failed == [5] * 6


async def test_stop_saves_only_what_is_not_yet_saved() -> None:
    """A hundred accounts that write everything once more on a slow disk would not stop in time."""
    store = CountingStore()
    poller = poller_of("a", PlainTwilio(), ManualClock(), store=store)
    await poller.poll()
    await poller.close()
    assert store.saves == 1
    store.is_full = True
    await poller.poll()
    store.is_full = False
    await poller.close()
    assert store.saves == 2


async def test_stop_while_changes_are_taken_loses_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are taken in a thread that cannot be cancelled; what it took is saved by `close`."""
    monkeypatch.setattr("exporter.polling.offload.LARGE_LEDGER", 1)
    twilio, store = PlainTwilio(), CountingStore()
    for made in (operation(1), operation(2)):
        twilio.operations[made.id] = made
    poller = poller_of("a", twilio, ManualClock(), store=store)
    begun, ended = threading.Event(), threading.Event()
    take_changes = poller._ledger.take_changes

    def take_slowly() -> Changes:
        begun.set()
        ended.wait(10)
        return take_changes()

    monkeypatch.setattr(poller._ledger, "take_changes", take_slowly)
    monkeypatch.setattr(poller, "_begin", lambda _: None)
    polling = asyncio.create_task(poller.poll())
    await asyncio.to_thread(begun.wait, 10)
    polling.cancel()
    ended.set()
    await asyncio.wait([polling])
    assert polling.cancelled()
    await poller.close()
    assert (store.saves, store.rows) == (1, 2)


async def test_longer_lookback_counts_nothing_twice(tmp_path: Path) -> None:
    """What has aged out and shows up again behind a longer window is a baseline: it was counted once."""
    clock, twilio = ManualClock(), PlainTwilio()

    async def poll_with(lookback: float) -> Snapshot:
        storage = Storage(tmp_path / "state", keep=["a"], window=7 * DAY)
        await storage.open()
        poller = poller_of("a", twilio, clock, store=storage, lookback=lookback)
        if (restored := await storage.load("a", poller.rebuild)) is not None:
            poller.resume(restored)
        snapshot = await poller.poll()
        await storage.close()
        return snapshot

    await poll_with(3600.0)  # coverage begins
    clock.advance(60)
    now = clock.now()
    twilio.operations["x"] = Operation("x", "completed", now, now, Stats(failed=7))
    clock.advance(60)
    assert (await poll_with(3600.0)).counts["stat", "failed"] == 7
    clock.advance(2 * 3600)
    assert (await poll_with(3600.0)).tracked_operations == 0
    clock.advance(60)
    again = await poll_with(DAY)
    assert again.tracked_operations == 1
    assert again.counts["stat", "failed"] == 7
    assert again.counts["operations", ""] == 1
