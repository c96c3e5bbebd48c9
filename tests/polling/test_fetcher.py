"""Which operations are fetched, and what a failed fetch changes."""

from collections import Counter
from collections.abc import AsyncIterator

import pytest

from exporter.errors import Malformed, Unauthorized
from exporter.operation import STATS, Operation, Stats
from exporter.simulator import faults
from exporter.simulator.faults import Fault
from exporter.simulator.ids import new_id
from exporter.simulator.readings import Order, Readings
from exporter.simulator.world import World
from tests.support.clock import SATURDAY, ManualClock
from tests.support.rig import Rig, poller_of, rigged
from tests.support.twilio import PlainTwilio


def unfinished(number: int, age: float = 600.0, **stats: int) -> Operation:
    created_at = SATURDAY - age - number
    return Operation(new_id(number, created_at), "processing", created_at, created_at, Stats(**stats))


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with rigged(World.empty(), ManualClock()) as rig:
        yield rig


def fetches(rig: Rig) -> Counter[str | None]:
    return Counter(each.operation_id for each in rig.simulator.requests if each.call == "fetch")


@pytest.mark.parametrize("order", ["newest", "oldest", "shuffled"])
async def test_no_operation_is_left_out(order: Order) -> None:
    """With 120 unfinished operations and time for 40 fetches a poll, each is fetched every third poll."""
    world = World.empty(Readings(order=order))
    async with rigged(world, ManualClock(), requests_per_second=1, interval=50.0) as rig:
        rig.simulator.world.put(*map(unfinished, range(120)))
        for _ in range(30):
            await rig.poll()
            rig.clock.advance(50 - rig.clock.monotonic() % 50)
        counted = fetches(rig)
        assert len(counted) == 120
        assert set(counted.values()) <= {9, 10, 11}


async def test_operations_whose_fetch_always_fails_do_not_keep_others_from_theirs() -> None:
    """An attempt counts as a fetch: those that failed go to the end, too."""
    twilio, clock = PlainTwilio(), ManualClock()
    for made in map(unfinished, range(40)):
        twilio.operations[made.id] = made
    bad, fetched = set(list(twilio.operations)[:20]), Counter[str]()

    async def fetch_operation(operation_id: str, *, give_up_at: float) -> Operation | None:
        if operation_id in bad:
            raise Malformed("an odd reply")
        fetched[operation_id] += 1
        return twilio.operations[operation_id]

    twilio.fetch_operation = fetch_operation  # type: ignore[method-assign]
    poller = poller_of("a", twilio, clock, concurrency=1)
    for _ in range(20):
        await poller.poll()
        clock.advance(60)
    assert len(fetched) == 20


@pytest.mark.parametrize(
    "fault",
    [
        faults.status(500),
        faults.status(502, body="html"),
        faults.reset(),
        faults.status(429),
        faults.status(200, body="html"),
        faults.cut_json(),
        faults.redirect("https://example.com"),
        faults.status(400),
        faults.status(404),
    ],
    ids=lambda fault: fault.name,
)
async def test_failed_fetch_leaves_the_numbers_of_the_listing(rig: Rig, fault: Fault) -> None:
    """The poll succeeds, the failure is counted, and the other operations are fetched."""
    first, second = unfinished(1, queued=3), unfinished(2, queued=4)
    rig.simulator.world.put(first, second)
    rig.simulator.faults.add(fault, call="fetch", operation_id=first.id, times=None)
    snapshot = await rig.poll()
    assert snapshot.window["processing"].operations == 2
    assert dict(zip(STATS, snapshot.window["processing"].stats, strict=True))["queued"] == 7
    assert (rig.last_poll.outcome, rig.last_poll.failed_fetches) == ("success", 1)
    assert rig.last_poll.fetch_error is not None
    assert rig.last_poll.fetched_operations == 1


@pytest.mark.parametrize(
    "fault", [faults.status(500), faults.cut_json(), faults.status(404)], ids=lambda fault: fault.name
)
async def test_failing_twilio_is_left_alone_after_a_few_failures(rig: Rig, fault: Fault) -> None:
    """Hundreds of fetches that fail help no one; those not tried are counted as skipped."""
    rig.simulator.world.put(*map(unfinished, range(50)))
    rig.simulator.faults.add(fault, call="fetch", times=None)
    snapshot = await rig.poll()
    assert rig.requests()["fetch"] <= 6
    assert rig.last_poll.skipped_fetches >= 44
    assert snapshot.window["processing"].operations == 50


async def test_refused_credential_ends_the_poll(rig: Rig) -> None:
    """Every other fetch would be refused, too."""
    rig.simulator.world.put(*map(unfinished, range(50)))
    rig.simulator.faults.add(faults.status(401, body="flat"), call="fetch", times=None)
    assert isinstance(await rig.fail(), Unauthorized)
    assert rig.requests()["fetch"] <= 2


async def test_operation_that_is_no_longer_listed_and_not_found_leaves_the_totals() -> None:
    """And returns when it is listed again."""
    twilio, clock = PlainTwilio(), ManualClock()
    made = unfinished(1)
    twilio.operations[made.id] = made
    poller = poller_of("a", twilio, clock)
    assert (await poller.poll()).tracked_operations == 1
    twilio.hidden.add(made.id)
    assert (await poller.poll()).tracked_operations == 0
    twilio.hidden.clear()
    assert (await poller.poll()).tracked_operations == 1
