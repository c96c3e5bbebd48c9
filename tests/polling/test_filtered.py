"""`poll.fetch`: what is refreshed with `fewest` and `none`, and with how many requests.

Pages have ten rows, so that few operations fill several.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.errors import Throttled, TwilioError, Unauthorized, Unavailable
from exporter.events import StatusFilterIgnored
from exporter.ledger.saved import Changes, Progress, Row, Saved
from exporter.operation import STATUSES, Operation, Stats
from exporter.polling.poller import Poller
from exporter.simulator import faults
from exporter.simulator.faults import Fault
from exporter.simulator.ids import new_id
from exporter.simulator.journal import RequestRecord
from exporter.simulator.readings import Order, Readings, StatusFilter
from exporter.simulator.reply import Reply
from exporter.simulator.world import World
from exporter.twilio.protocol import Page
from tests.support.clock import SATURDAY, ManualClock
from tests.support.rig import ACCOUNT, Rig, poller_of, rigged

PAGE = 10
HOUR = 3600.0
FILTERS = get_args(StatusFilter)


@pytest.fixture(autouse=True)
def _short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exporter.twilio.protocol.PAGE_SIZE", PAGE)


@asynccontextmanager
async def polled(
    *made: Operation, status_filter: StatusFilter = "before_cutting", fetch: str = "fewest"
) -> AsyncIterator[Rig]:
    """After the first poll, which lists everything."""
    world = World.empty(Readings(status_filter=status_filter))
    world.put(*made)
    async with rigged(world, ManualClock(), fetch=fetch, page_size=PAGE) as rig:
        await rig.poll()
        yield rig


async def next_poll(rig: Rig) -> None:
    rig.simulator.journal.clear()
    rig.clock.advance(60 - rig.clock.monotonic() % 60)
    await rig.poll()


def old(number: int, status: str = "scheduled", spacing: float = HOUR) -> Operation:
    """Created `spacing` seconds after the one before, from five days ago on. A poll lists a part of these."""
    created_at = SATURDAY - 120 * HOUR + spacing * number
    return Operation(new_id(f"{spacing}:{number}", created_at), status, created_at, created_at, Stats())


def changed(operation: Operation, status: str, at: float = SATURDAY + 30, **stats: int) -> Operation:
    return operation._replace(status=status, updated_at=at, stats=Stats(**stats))


SCHEDULED = [old(number) for number in range(90)]
"""Older than `poll.recent`."""


def filtered(rig: Rig) -> list[RequestRecord]:
    """Listings by status since the last poll began."""
    return [each for each in rig.simulator.requests if "status" in each.query]


def fetches(rig: Rig) -> int:
    return sum(each.call == "fetch" for each in rig.simulator.requests)


def spoil_filtered(rig: Rig, fault: Fault, times: int | None = 1) -> None:
    """The fault meets the listings by status of the next poll, if it lists as many pages as the last one."""
    plain = sum(each.call == "list" and "status" not in each.query for each in rig.simulator.requests)
    rig.simulator.faults.add(Fault("none", lambda reply: reply), call="list", times=plain)
    rig.simulator.faults.add(fault, call="list", times=times)


# -- requests ----------------------------------------------------------------------------------------------


async def test_scheduled_operations_are_listed_instead_of_fetched() -> None:
    """Ninety of them on nine pages; those that the poll's own listing has shown need no request."""
    async with polled(*SCHEDULED) as rig:
        await next_poll(rig)
        assert {each.query["status"] for each in filtered(rig)} == {"SCHEDULED"}
        assert len(filtered(rig)) <= 9
        assert fetches(rig) == 0
        assert min(rig.poller._ledger.unfinished().values()) >= SATURDAY + 60


async def test_nothing_is_asked_for_what_the_listing_has_shown() -> None:
    """An account that fits on a page costs one request."""
    async with polled(*SCHEDULED[:9]) as rig:
        await next_poll(rig)
        assert [each.call for each in rig.simulator.requests] == ["list"]


async def test_few_operations_and_unknown_statuses_are_fetched() -> None:
    """No listing can ask for a status that the reference does not have."""
    done = [old(number, "completed") for number in range(60)]
    unknown = [old(number, "unknown") for number in range(60, 70)]
    async with polled(*done, *unknown, old(70), old(71, "processing")) as rig:
        await next_poll(rig)
        assert (len(filtered(rig)), fetches(rig)) == (0, 12)


async def test_campaign_that_is_sent_at_once_is_listed_under_its_next_status() -> None:
    """The listing by SCHEDULED does not show it any more, and the one by PROCESSING does."""
    async with polled(*SCHEDULED) as rig:
        rig.simulator.world.put(*(changed(each, "processing", sent=1) for each in SCHEDULED))
        await next_poll(rig)
        assert [each.query["status"] for each in filtered(rig)][:2] == ["SCHEDULED", "PROCESSING"]
        assert fetches(rig) == 0
        assert rig.published[-1].window["processing"].operations == 90


@pytest.mark.parametrize(("step", "is_listed"), [(1, True), (8, False)])
async def test_pages_cut_before_they_are_filtered_are_listed_where_that_saves_requests(
    step: int, is_listed: bool
) -> None:
    """Among 360 others ninety scheduled ones are listed; a dozen are fetched after a page showed the cost."""
    done = [old(number, "completed", 890) for number in range(360)]
    async with polled(*SCHEDULED[::step], *done, status_filter="after_cutting") as rig:
        await next_poll(rig)
        assert 1 <= len(filtered(rig)) <= (46 if is_listed else 1)
        await next_poll(rig)
        assert (len(filtered(rig)) > 0, fetches(rig) > 0) == (is_listed, not is_listed)


async def test_ignored_filter_ends_listings_by_status() -> None:
    """After one page, and it is said once; everything is fetched from then on."""
    done = [old(number, "completed", 450) for number in range(800)]
    async with polled(*SCHEDULED, *done, status_filter="ignored") as rig:
        pages = 0
        for _ in range(5):
            await next_poll(rig)
            pages += len(filtered(rig))
            assert fetches(rig) >= 70
            assert rig.last_poll.skipped_fetches == 0
        assert pages == 1
        assert len(rig.emitted(StatusFilterIgnored)) == 1


# -- truth -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status_filter", FILTERS)
async def test_operation_that_left_its_status_is_refreshed_at_once(status_filter: StatusFilter) -> None:
    """A listing by its former status does not show it, so that it is fetched in the same poll."""
    async with polled(*SCHEDULED, status_filter=status_filter) as rig:
        rig.simulator.world.put(changed(SCHEDULED[60], "completed", delivered=3))
        rig.simulator.world.put(changed(SCHEDULED[61], "canceled", canceled=2))
        rig.simulator.world.remove(SCHEDULED[62].id)
        await next_poll(rig)
        snapshot = rig.published[-1]
        assert snapshot.window["completed"].stat("delivered") == 3
        assert snapshot.window["canceled"].stat("canceled") == 2
        assert snapshot.tracked_operations == 89


async def test_operation_that_moves_while_pages_are_read_counts_once() -> None:
    """Whether it is shown by both statuses or by none: the newest reply stays."""
    processing = [old(number, "processing", 3500) for number in range(12)]
    async with polled(*SCHEDULED, *processing) as rig:
        await next_poll(rig)
        at = rig.clock.now()

        def change(reply: Reply) -> Reply:
            rig.simulator.world.put(*(changed(each, "processing", at, sent=4) for each in SCHEDULED))
            return reply

        spoil_filtered(rig, Fault("moves", change))
        await next_poll(rig)
        assert rig.published[-1].tracked_operations == 102
        assert rig.published[-1].window["scheduled"].operations <= 10, "those that were listed before"
        await next_poll(rig)
        assert rig.published[-1].window["processing"].operations == 102
        assert rig.published[-1].window["processing"].stat("sent") == 4 * 90


@pytest.mark.parametrize(
    "fault",
    [faults.duplicated_rows(), faults.extra_rows(old(500)._replace(created_at=SATURDAY - 30 * 24 * HOUR))],
    ids=lambda fault: fault.name,
)
async def test_repeated_and_foreign_rows_do_no_harm(fault: Fault) -> None:
    """The same id twice on a page, and a row from outside of the range."""
    async with polled(*SCHEDULED) as rig:
        await next_poll(rig)
        spoil_filtered(rig, fault)
        await next_poll(rig)
        assert rig.published[-1].window["scheduled"].operations == 90


lifecycles = st.lists(
    st.one_of(
        st.tuples(st.just("change"), st.integers(0, 39), st.sampled_from(STATUSES), st.integers(0, 9)),
        st.tuples(st.sampled_from(["remove", "restore", "fail"]), st.integers(0, 39), st.none(), st.none()),
        st.tuples(st.just("poll"), st.sampled_from([60, 60, 60, 600, 7200]), st.none(), st.none()),
        st.tuples(st.sampled_from(["outage", "restart"]), st.none(), st.none(), st.none()),
    ),
    min_size=5,
    max_size=60,
)
answers = st.builds(Readings, status_filter=st.sampled_from(FILTERS), order=st.sampled_from(get_args(Order)))


@settings(max_examples=40)
@given(answers, lifecycles)
def test_fewest_is_as_fresh_as_all(readings: Readings, steps: list[tuple[Any, ...]]) -> None:
    """Under any interleaving of changes, polls, outages, restarts and failed listings by status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("exporter.twilio.protocol.PAGE_SIZE", 3)
        asyncio.run(compare(readings, [*steps, ("poll", 60, None, None)]))


async def compare(readings: Readings, steps: list[tuple[Any, ...]]) -> None:
    world, clock = World.empty(readings), ManualClock()
    some = [old(3 * number, STATUSES[number % 5]) for number in range(40)]
    world.put(*some)
    async with rigged(world, clock, requests_per_second=1e9) as rig:
        every, fewest = Exporter(rig, "all"), Exporter(rig, "fewest")
        for step, number, status, value in steps:
            match step:
                case "change":
                    world.put(changed(some[number], status, clock.now(), delivered=value))
                case "remove":
                    world.remove(some[number].id)
                case "restore":
                    world.restore(some[number].id)
                case "fail":
                    fewest.fails_after_pages = number
                case "outage":
                    rig.simulator.faults.add(faults.status(500), call="list", times=2)
                case "restart":
                    every.restart()
                    fewest.restart()
                case "poll":
                    clock.advance(number)
                    await check_freshness(every, fewest, clock.now())
                    rig.simulator.faults.clear()


async def check_freshness(every: "Exporter", fewest: "Exporter", now: float) -> None:
    """Both know the same of what `all` knew as unfinished before the poll or knows so after it.

    Listings by status may show `fewest` more: a final operation that is unfinished again.
    """
    unfinished = set(every.unfinished())
    succeeded = await every.poll()
    assert await fewest.poll() == succeeded
    unfinished |= every.unfinished().keys()
    for operation_id in unfinished:
        assert fewest.known().get(operation_id) == every.known().get(operation_id)
    assert fewest.unfinished().keys() >= every.unfinished().keys()
    if succeeded:
        assert min(fewest.unfinished().values(), default=now) >= now


class Exporter:
    """A poller that can be restarted with what it saved, and whose listings by status fail on request."""

    def __init__(self, rig: Rig, fetch: str) -> None:
        self._rig = rig
        self._fetch = fetch
        self._rows: dict[str, Row] = {}
        self._saved: tuple[Changes, Progress] | None = None
        self.fails_after_pages = 1000
        self._poller = self._started()

    def _started(self) -> Poller:
        return poller_of(ACCOUNT, self, self._rig.clock, store=self, fetch=self._fetch, page_size=3)

    async def list_page(self, *asked: Any, status: str | None = None, **limits: Any) -> Page:
        if status is not None:
            self.fails_after_pages -= 1
            if self.fails_after_pages < 0:
                self.fails_after_pages = 1000
                raise Unavailable("on request")
        return await self._rig.client.list_page(*asked, status=status, **limits)

    async def fetch_operation(self, operation_id: str, *, give_up_at: float) -> Operation | None:
        return await self._rig.client.fetch_operation(operation_id, give_up_at=give_up_at)

    async def save(self, _account: str, changes: Changes, progress: Progress) -> None:
        self._rows.update({row.id: row for row in changes.rows})
        for operation_id in changes.forgotten:
            self._rows.pop(operation_id, None)
        self._saved = changes, progress

    def restart(self) -> None:
        self._poller = self._started()
        if self._saved is not None:
            changes, progress = self._saved
            saved = Saved(progress, changes.coverage, changes.counts, list(self._rows.values()))
            self._poller.resume(self._poller.rebuild(saved))

    def unfinished(self) -> dict[str, float]:
        return self._poller._ledger.unfinished()

    def known(self) -> dict[str, Operation]:
        return {each.id: each for each in self._poller._ledger}

    async def poll(self) -> bool:
        """Whether it succeeded."""
        try:
            await self._poller.poll()
        except TwilioError:
            return False
        return True


# -- failures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "times"),
    [
        (faults.status(500), 1),
        (faults.status(400), 1),
        (faults.status(502, body="html"), 5),
        (faults.reset(), 5),
        (faults.cut_json(), 1),
        (faults.misspelt_json(), 1),
        (faults.without_operations(), 1),
        (faults.repeated_token(), 2),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else "",
)
async def test_failed_listing_by_status_is_one_failed_fetch(fault: Fault, times: int) -> None:
    """The poll succeeds and fetches the rest; the next one only fetches, and the one after it lists again."""
    async with polled(*SCHEDULED) as rig:
        await next_poll(rig)
        spoil_filtered(rig, fault, times)
        await next_poll(rig)
        started = rig.clock.now() // 60 * 60
        assert (rig.last_poll.outcome, rig.last_poll.failed_fetches) == ("success", 1)
        assert rig.last_poll.fetch_error is not None
        assert rig.last_poll.skipped_fetches == 0
        assert min(rig.poller._ledger.unfinished().values()) >= started
        await next_poll(rig)
        assert (len(filtered(rig)), fetches(rig) >= 60) == (0, True)
        await next_poll(rig)
        assert (len(filtered(rig)) > 0, fetches(rig)) == (True, 0)


async def test_endless_listing_by_status_ends() -> None:
    """After a dozen empty pages, each with a new token; the rest is fetched."""
    async with polled(*SCHEDULED) as rig:
        await next_poll(rig)
        spoil_filtered(rig, faults.endless_tokens(), None)
        await next_poll(rig)
        assert len(filtered(rig)) <= 12
        assert (rig.last_poll.outcome, rig.last_poll.skipped_fetches) == ("success", 0)
        assert fetches(rig) >= 70


async def test_short_pause_is_waited_for() -> None:
    """429 to a listing by status holds the account, and the listing goes on after it."""
    async with polled(*SCHEDULED) as rig:
        await next_poll(rig)
        spoil_filtered(rig, faults.status(429, retry_after=10))
        await next_poll(rig)
        times = [each.at for each in rig.simulator.requests]
        assert max(later - earlier for earlier, later in pairwise(times)) >= 10
        assert (rig.last_poll.failed_fetches, rig.last_poll.skipped_fetches, fetches(rig)) == (0, 0, 0)


async def test_long_pause_skips_the_rest_of_the_poll() -> None:
    """No request leaves during the pause, neither a page nor a fetch; the listing's numbers are published."""
    async with polled(*SCHEDULED) as rig:
        await next_poll(rig)
        spoil_filtered(rig, faults.status(429, retry_after=150))
        await next_poll(rig)
        assert rig.simulator.requests[-1].status == 429
        assert (rig.last_poll.outcome, rig.last_poll.failed_fetches) == ("success", 0)
        assert rig.last_poll.skipped_fetches >= 70
        rig.clock.advance(60)
        assert isinstance(await rig.fail(), Throttled)
        await next_poll(rig)
        assert rig.last_poll.skipped_fetches == 0


async def test_refused_credential_fails_the_poll() -> None:
    """As a refused fetch does."""
    async with polled(*SCHEDULED) as rig:
        await next_poll(rig)
        spoil_filtered(rig, faults.status(401, body="flat"))
        rig.clock.advance(60)
        assert isinstance(await rig.fail(), Unauthorized)


async def test_listing_that_time_ends_alternates_with_fetches() -> None:
    """Operations on its last pages would otherwise not be refreshed before the sweep."""
    async with polled(*SCHEDULED) as rig:
        rig.simulator.latency_seconds = 8.0
        seen = []
        for _ in range(4):
            await next_poll(rig)
            seen.append((len(filtered(rig)) > 0, fetches(rig) > 0))
            assert rig.last_poll.skipped_fetches > 0
        assert seen == [(True, False), (False, True)] * 2


# -- none --------------------------------------------------------------------------------------------------


async def test_none_makes_no_request_beyond_the_listing() -> None:
    """Changes of older operations are seen within the sweep interval; nothing counts as skipped."""
    async with polled(*SCHEDULED, fetch="none") as rig:
        rig.simulator.world.put(*(changed(each, "completed", delivered=1) for each in SCHEDULED))
        for _ in range(15):
            await next_poll(rig)
            assert {each.call for each in rig.simulator.requests} == {"list"}
            assert filtered(rig) == []
            assert rig.last_poll.skipped_fetches == 0
        assert rig.published[-1].window["completed"].stat("delivered") == 90
