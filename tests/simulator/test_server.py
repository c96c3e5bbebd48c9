"""The simulated API over its socket: strict where Twilio is lenient, and every reply held to the schema."""

import asyncio
import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import get_args

import aiohttp
import pytest

from exporter.operation import Operation, Stats
from exporter.simulator import faults
from exporter.simulator.ids import new_id
from exporter.simulator.journal import Journal, RequestRecord
from exporter.simulator.listing import Cursor, Filters, Tokens
from exporter.simulator.readings import Order, PageFilters, Readings
from exporter.simulator.scenarios import SCENARIOS
from exporter.simulator.server import ACCOUNT_SID, CREDENTIAL, Simulator
from exporter.simulator.world import World
from tests.simulator.ask import Ask, a_world, an_operation, asking, in_flight
from tests.simulator.schema import validate_error, validate_flat_error, validate_operation
from tests.support.clock import SATURDAY, ManualClock


def simulated(world: World | None = None) -> Simulator:
    return Simulator(a_world() if world is None else world, ManualClock())


# What a reply says


async def test_an_operation_in_twilios_words() -> None:
    """Statuses are capitals, times RFC 3339 with `Z`, fractions only where there are some."""
    world = World.empty()
    operation = an_operation(created_at=SATURDAY - 600.25, attempts=4)
    world.put(operation._replace(updated_at=SATURDAY))
    async with asking(simulated(world)) as ask:
        fetched = await ask.operation(operation.id)
        assert fetched["createdAt"] == "2026-03-06T23:49:59.750000Z"
        assert fetched["updatedAt"] == "2026-03-07T00:00:00Z"
        assert fetched["status"] == "COMPLETED"
        assert fetched["stats"]["attempts"] == 4
        assert (await ask.page())["operations"] == [fetched]


async def test_an_absent_stat_is_left_out() -> None:
    """A scripted `None` is no key at all."""
    world = World.empty()
    world.put(Operation(new_id(1), "processing", SATURDAY, SATURDAY, Stats(total=3)))
    async with asking(simulated(world)) as ask:
        assert (await ask.raw(f"/{new_id(1)}")).json["stats"] == {"total": 3}


async def test_generated_traffic_is_valid() -> None:
    """A page of every scenario holds to the schema, and each of its operations can be fetched."""
    for scenario in SCENARIOS.values():
        async with asking(simulated(World(scenario, started=SATURDAY))) as ask:
            page = await ask.page(pageSize="20")
            assert len(page["operations"]) == 20
            assert await ask.operation(page["operations"][0]["id"]) == page["operations"][0]


async def test_a_generated_listing_is_the_worlds() -> None:
    """All pages together give exactly what the world shows."""
    world = World(SCENARIOS["steady"], started=SATURDAY)
    window = {"startDate": "2026-03-06T12:00:00Z", "endDate": "2026-03-06T18:00:00Z"}
    async with asking(simulated(world)) as ask:
        listed = world.listed(SATURDAY - 12 * 3600, SATURDAY - 6 * 3600, None, SATURDAY)
        assert await ask.ids(**window, pageSize="70") == [operation.id for operation in listed]


async def test_headers_of_every_reply() -> None:
    """Replies bear the simulated date, skewed at will, and a request id of their own."""
    simulator = simulated()
    async with asking(simulator) as ask:
        first = await ask.raw()
        simulator.date_skew_seconds = -90
        second = await ask.raw("/nothing")
    assert parsedate_to_datetime(first.headers["Date"]) == datetime(2026, 3, 7, tzinfo=UTC)
    assert second.headers["Date"] == "Fri, 06 Mar 2026 23:58:30 GMT"
    assert first.headers["Twilio-Request-Id"] != second.headers["Twilio-Request-Id"]


async def test_the_front_page_says_what_it_is() -> None:
    """A browser that comes along learns what answers."""
    simulator = simulated()
    async with asking(simulator), aiohttp.ClientSession() as session:
        response = await session.get(simulator.base_url.removesuffix("v1"))
        assert "Simulated Twilio Email Operations API (quiet)" in await response.text()
    assert simulator.requests == ()


# Who may ask


@pytest.mark.parametrize(
    "header", [None, "", "Basic", "Basic !", "Bearer token", aiohttp.encode_basic_auth(ACCOUNT_SID, "wrong")]
)
async def test_a_wrong_credential(header: str | None) -> None:
    """Without the right credential both calls answer 401 in the older flat shape."""
    simulator = simulated()
    async with (
        simulator,
        aiohttp.ClientSession(headers={"Authorization": header} if header else {}) as session,
    ):
        ask = Ask(session, simulator.base_url)
        for answer in (await ask.raw(), await ask.raw("/" + new_id(1))):
            assert answer.status == 401
            assert "WWW-Authenticate" in answer.headers
            validate_flat_error(answer.json)
    assert [record.authorized for record in simulator.requests] == [bool(header)] * 2


async def test_rotating_the_credential() -> None:
    """After a rotation the old secret is refused and the new one let in."""
    simulator = simulated()
    async with asking(simulator) as ask:
        assert (await ask.raw()).status == 200
        simulator.rotate_credential("new")
        assert (await ask.raw()).status == 401
        fresh = aiohttp.encode_basic_auth(CREDENTIAL[0], "new")
        assert (await ask.raw(Authorization=fresh)).status == 200


# What may be asked


@pytest.mark.parametrize(
    ("query", "context"),
    [
        ({"start_date": "2026-03-01T00:00:00Z"}, "start_date"),
        ({"startDate": "2026-03-01"}, "startDate"),
        ({"startDate": "2026-03-01T00:00:00"}, "startDate"),
        ({"startDate": "2026-03-01 00:00:00Z"}, "startDate"),
        ({"endDate": "2026-02-30T00:00:00Z"}, "endDate"),
        ({"endDate": ""}, "endDate"),
        ({"endDate": "1772841600"}, "endDate"),
        ({"status": "completed"}, "status"),
        ({"status": "FAILED"}, "status"),
        ({"pageSize": "0"}, "pageSize"),
        ({"pageSize": "1001"}, "pageSize"),
        ({"pageSize": "-1"}, "pageSize"),
        ({"pageSize": "ten"}, "pageSize"),
        ({"pageSize": "٣"}, "pageSize"),
        ({"pageToken": "bm9uZSBvZiBvdXJz"}, "pageToken"),
        ({"pageToken": ""}, "pageToken"),
    ],
)
async def test_a_wrong_query(query: dict[str, str], context: str) -> None:
    """What the reference does not allow is refused with 400 and the name of the parameter."""
    async with asking(simulated()) as ask:
        assert await ask.refusal(**query) == (400, context)


async def test_a_parameter_given_twice() -> None:
    """A repeated parameter is refused."""
    async with asking(simulated()) as ask:
        answer = await ask.raw(params=[("pageSize", "5"), ("pageSize", "6")])
        validate_error(answer.json)
        assert answer.status == 400


@pytest.mark.parametrize(
    "instant",
    [
        "2026-03-07T00:00:00Z",
        "2026-03-07T01:00:00+01:00",
        "2026-03-07t00:00:00.000z",
        "2026-03-07T00:00:00.000000000Z",
    ],
)
async def test_date_times_of_every_form(instant: str) -> None:
    """Zones, fractions and small letters are RFC 3339, too."""
    world = World.empty()
    world.put(an_operation("in", SATURDAY), an_operation("out", SATURDAY - 1))
    async with asking(simulated(world)) as ask:
        assert await ask.ids(startDate=instant, endDate=instant) == [new_id("in", SATURDAY)]


@pytest.mark.parametrize(("inclusive", "expected"), [(True, [2, 1, 0]), (False, [1])])
async def test_bounds(inclusive: bool, expected: list[int]) -> None:
    """Both bounds are inside or outside, as the readings say."""
    world = World.empty(Readings(inclusive=inclusive))
    for number in range(3):
        world.put(an_operation(number, SATURDAY - 120 + 60 * number))
    query = {"startDate": "2026-03-06T23:58:00Z", "endDate": "2026-03-07T00:00:00Z"}
    async with asking(simulated(world)) as ask:
        assert await ask.ids(**query) == [new_id(n, SATURDAY - 120 + 60 * n) for n in expected]


async def test_an_unknown_operation() -> None:
    """A well-formed id that is not there answers 404, anything else 400."""
    async with asking(simulated()) as ask:
        assert await ask.refusal("/" + new_id("nobody")) == (404, "operationId")
        assert await ask.refusal("/nonsense") == (400, "operationId")


# Pages


def seeds(world: World) -> list[str]:
    """Ids newest first."""
    return [operation.id for operation in world.visible(SATURDAY)]


async def test_pages_default_to_fifty() -> None:
    """Without pageSize a page holds 50."""
    async with asking(simulated(a_world(120))) as ask:
        assert [len(rows) async for rows in ask.pages()] == [50, 50, 20]


async def test_a_full_last_page_is_the_last() -> None:
    """When the rows fill the last page exactly, its `next` is null."""
    async with asking(simulated(a_world(100))) as ask:
        assert [len(rows) async for rows in ask.pages()] == [50, 50]


@pytest.mark.parametrize("order", ["newest", "oldest", "shuffled"])
async def test_orders(order: Order) -> None:
    """Each order gives every operation once, over hours and pages, and the same way each time."""
    world = a_world(100, first_at=SATURDAY - 5 * 3600, step_seconds=180, readings=Readings(order=order))
    async with asking(simulated(world)) as ask:
        ids = await ask.ids(pageSize="7")
        newest_first = seeds(world)
        assert sorted(ids) == sorted(newest_first)
        assert (ids == newest_first, ids == newest_first[::-1]) == (order == "newest", order == "oldest")
        assert await ask.ids(pageSize="7") == ids


@pytest.mark.parametrize("reading", get_args(PageFilters))
async def test_a_token_without_the_filters_of_its_listing(reading: PageFilters) -> None:
    """It is refused, brings the filters, or leads to a page without them."""
    world = a_world(6, readings=Readings(page_filters=reading))
    newest_first = seeds(world)
    window = {"startDate": "2026-03-06T22:01:00Z", "endDate": "2026-03-06T22:04:00Z"}
    async with asking(simulated(world)) as ask:
        page = await ask.page(**window, pageSize="1")
        assert [row["id"] for row in page["operations"]] == newest_first[1:2]
        token = page["pagination"]["next"]
        repeated = [row["id"] for row in (await ask.page(**window, pageToken=token))["operations"]]
        assert repeated == newest_first[2:5]
        if reading == "required":
            assert await ask.refusal(pageToken=token) == (400, "pageToken")
            return
        following = [row["id"] for row in (await ask.page(pageToken=token))["operations"]]
        assert following == newest_first[2 : 5 if reading == "carried" else 6]


@pytest.mark.parametrize("order", get_args(Order))
async def test_a_token_with_other_filters(order: Order) -> None:
    """Where pages are filtered by the request, filters may exclude the hour that the token refers to."""
    readings = Readings(page_filters="forgotten", order=order)
    world = a_world(20, first_at=SATURDAY - 20 * 3600, step_seconds=3600, readings=readings)
    async with asking(simulated(world)) as ask:
        token = (await ask.page(pageSize="9"))["pagination"]["next"]
        ids = await ask.ids(pageToken=token, startDate="2026-03-06T20:00:00Z")
        assert set(ids) <= set(seeds(world)[:5])


async def test_new_operations_are_listed_late() -> None:
    """In that reading a new operation can be fetched at once, and is listed after a delay."""
    clock = ManualClock()
    world = a_world(1, first_at=SATURDAY, readings=Readings(listed_after_seconds=40))
    (operation_id,) = seeds(world)
    async with asking(Simulator(world, clock)) as ask:
        await ask.operation(operation_id)
        clock.advance(39)
        assert await ask.ids() == []
        clock.advance(1)
        assert await ask.ids() == [operation_id]


async def test_empty_pages_with_next() -> None:
    """Each n-th page may be empty while more follow."""
    world = a_world(5, readings=Readings(empty_page_every=2))
    async with asking(simulated(world)) as ask:
        assert [len(rows) async for rows in ask.pages(pageSize="2")] == [2, 0, 2, 0, 1]
        assert await ask.ids(pageSize="2") == seeds(world)


async def test_the_status_is_filtered_after_reading() -> None:
    """Pages are short or empty where other statuses were read."""
    world = a_world(6)
    for operation in world.visible(SATURDAY)[:3]:
        world.put(operation._replace(status="processing"))
    async with asking(simulated(world)) as ask:
        assert [len(rows) async for rows in ask.pages(pageSize="2", status="COMPLETED")] == [0, 1, 2]
        assert await ask.ids(status="PROCESSING") == seeds(world)[:3]


async def test_tokens_are_opaque_base64() -> None:
    """Tokens need URL-encoding, and hold the account SID as Twilio's do."""
    async with asking(simulated(a_world(3))) as ask:
        page = await ask.page(pageSize="1")
        for token in page["pagination"].values():
            assert {"+", "/", "="} <= set(token)
            assert base64.b64decode(token, validate=True).startswith(ACCOUNT_SID.encode())
        following = await ask.page(pageSize="1", pageToken=page["pagination"]["next"])
        assert following["pagination"]["self"] == page["pagination"]["next"]
        again = await ask.page(pageSize="1", pageToken=page["pagination"]["self"])
        assert again["operations"] == page["operations"]


@pytest.mark.parametrize(
    "changed",
    [{}, {"startDate": "2026-03-01T00:00:01Z"}, {"startDate": "2026-03-01T00:00:00Z", "status": "COMPLETED"}],
)
async def test_filters_are_repeated_with_the_token(changed: Mapping[str, str]) -> None:
    """A token is good only with the filters of the listing that made it."""
    asked = {"startDate": "2026-03-01T00:00:00Z", "pageSize": "1"}
    async with asking(simulated(a_world(3))) as ask:
        token = (await ask.page(**asked))["pagination"]["next"]
        assert await ask.refusal(**changed, pageSize="1", pageToken=token) == (400, "pageToken")
        assert len((await ask.page(**asked, pageToken=token))["operations"]) == 1


async def test_tokens_of_another_account_and_old_ones() -> None:
    """Foreign and expired tokens are refused."""
    clock = ManualClock()
    here = Simulator(a_world(3), clock, token_lifetime_seconds=60)
    async with asking(here) as ask, asking(simulated(a_world(3))) as elsewhere:
        token = (await ask.page(pageSize="1"))["pagination"]["next"]
        assert await elsewhere.refusal(pageToken=token) == (400, "pageToken")
        clock.advance(59)
        await ask.page(pageToken=token)
        clock.advance(1)
        assert await ask.refusal(pageToken=token) == (400, "pageToken")


def test_old_tokens_are_forgotten() -> None:
    """Only so many tokens are held, the first issued are the first forgotten; expired ones are not held."""
    tokens = Tokens(ACCOUNT_SID, 60, held=2)
    cursor = Cursor(Filters(), listed_at=0)
    issued = [tokens.issue(cursor, 0) for _ in range(3)]
    assert [tokens.redeem(token, 0) for token in issued] == [None, cursor, cursor]
    assert tokens.redeem(tokens.issue(cursor, 60), 60) == cursor
    assert len(tokens) == 1


@pytest.mark.parametrize("order", ["newest", "oldest", "shuffled"])
async def test_a_long_listing_stays_whole_while_time_passes(order: Order) -> None:
    """Operations that come and age out between pages neither repeat nor displace the others."""
    clock = ManualClock()
    readings = Readings(order=order)
    world = a_world(20, first_at=SATURDAY - 7 * 86_400, step_seconds=30_000, readings=readings)
    before = sorted(seeds(world))
    ids: list[str] = []
    async with asking(Simulator(world, clock)) as ask:
        async for rows in ask.pages(pageSize="3"):
            ids += [row["id"] for row in rows]
            clock.advance(900)
            world.put(an_operation(clock.now(), clock.now() - 1))
        assert sorted(ids) == before
        assert len(await ask.ids()) > 0


async def test_a_row_removed_between_pages() -> None:
    """Removing the row that a token stands on loses no other."""
    world = a_world(5)
    ids = seeds(world)
    async with asking(simulated(world)) as ask:
        page = await ask.page(pageSize="2")
        world.remove(ids[1])
        rest = await ask.page(pageToken=page["pagination"]["next"])
        assert [row["id"] for row in rest["operations"]] == ids[2:]


# How much at once


@pytest.mark.parametrize("overlap", [{"overlap_turns": 200}, {"overlap_turns": 200, "latency_seconds": 0.5}])
async def test_requests_overlap(overlap: dict[str, int]) -> None:
    """Requests sent together are in flight together, with and without time passing."""
    clock = ManualClock()
    simulator = Simulator(a_world(), clock, **overlap)  # type: ignore[arg-type]  # keywords of one type
    async with asking(simulator) as ask:
        await asyncio.gather(*(ask.raw() for _ in range(6)))
    assert simulator.max_in_flight == 6
    assert sorted(record.in_flight for record in simulator.requests) == [1, 2, 3, 4, 5, 6]
    assert (clock.now() > SATURDAY) == ("latency_seconds" in overlap)


async def test_too_many_at_once() -> None:
    """Requests beyond the limit get 429 with code 20429 and Retry-After; the others are served."""
    simulator = Simulator(a_world(), ManualClock(), max_concurrency=2, overlap_turns=200)
    async with asking(simulator) as ask:
        answers = await asyncio.gather(*(ask.raw() for _ in range(5)))
        assert sorted(answer.status for answer in answers) == [200, 200, 429, 429, 429]
        for answer in answers:
            if answer.status == 429:
                validate_error(answer.json)
                assert answer.json["errors"][0]["code"] == 20429
                assert answer.headers["Retry-After"] == "1"
        assert (await ask.raw()).status == 200


async def test_the_journal() -> None:
    """Each request is on record with what it asked, when, as whom, and what came of it."""
    simulator = simulated()
    clock = simulator._clock
    async with asking(simulator) as ask:
        await ask.raw(params={"pageSize": "5"}, **{"User-Agent": "someone/1"})
        assert isinstance(clock, ManualClock)
        clock.advance(5)
        await ask.raw("/" + new_id(9))
    first, second = simulator.requests
    assert first == RequestRecord(
        at=SATURDAY,
        call="list",
        path="/v1/Emails/Operations",
        query={"pageSize": "5"},
        user_agent="someone/1",
        authorized=True,
        status=200,
    )
    assert (second.at, second.call, second.operation_id, second.status) == (
        SATURDAY + 5,
        "fetch",
        new_id(9),
        404,
    )
    assert simulator.requests_by_call == {"list": 1, "fetch": 1}


def test_the_journal_is_bounded_and_can_be_cleared() -> None:
    """The oldest records go first; clearing forgets the past but not what is in flight."""
    journal = Journal(held=2)
    numbers = [journal.arrive(RequestRecord(float(at), "list", "/")) for at in range(3)]
    journal.leave(numbers[0], 200)
    assert [(record.at, record.in_flight) for record in journal.records] == [(1, 2), (2, 3)]
    journal.clear()
    assert (journal.records, journal.by_call.total(), journal.max_in_flight) == ((), 0, 2)
    journal.leave(numbers[2], 200)
    assert journal.in_flight == 1


# Start and stop


async def test_the_same_simulator_starts_again() -> None:
    """After a stop the port refuses; a second start serves under the same address."""
    simulator = simulated()
    async with asking(simulator):
        address = simulator.base_url
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(address)
    async with asking(simulator) as ask:
        assert simulator.base_url == address
        validate_operation((await ask.page())["operations"][0])


def test_the_address_of_ipv6() -> None:
    """An IPv6 address stands in brackets."""
    assert Simulator(World.empty(), ManualClock(), host="::1", port=8080).base_url == "http://[::1]:8080/v1"


async def test_leaving_without_entering() -> None:
    """A simulator that never started can be closed."""
    await simulated().__aexit__(None, None, None)


@pytest.mark.parametrize("fault", [faults.hang(), None])
async def test_stopping_does_not_wait_for_a_request(fault: faults.Fault | None) -> None:
    """A request that hangs when the simulator stops is broken off."""
    simulator = simulated()
    if fault:
        simulator.faults.add(fault)
    else:
        simulator.overlap_turns = 10**9
    async with aiohttp.ClientSession() as session:
        async with simulator:
            asked = asyncio.create_task(Ask(session, simulator.base_url).raw())
            await in_flight(simulator, 1)
        with pytest.raises(aiohttp.ClientConnectionError):
            await asked
    assert [record.status for record in simulator.requests] == [None]
    assert simulator.journal.in_flight == 0
