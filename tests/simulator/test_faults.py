"""Every fault, seen by a bare client over the socket."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import jsonschema
import pytest

from exporter.operation import ID_PATTERN
from exporter.simulator import faults
from exporter.simulator.faults import HOSTILE_IDS, Fault
from exporter.simulator.ids import new_id
from exporter.simulator.scenarios import SCENARIOS
from exporter.simulator.server import Simulator
from exporter.simulator.world import World
from tests.simulator.ask import Answer, BrokenError, a_world, an_operation, asking, in_flight
from tests.simulator.schema import validate_error, validate_flat_error, validate_operation, validate_page
from tests.support.clock import SATURDAY, ManualClock

WEEK_SECONDS = 7 * 86_400


async def answer_to(fault: Fault, path: str = "", world: World | None = None) -> Answer:
    simulator = Simulator(world or a_world(3), ManualClock())
    simulator.faults.add(fault)
    async with asking(simulator) as ask:
        answer = await ask.raw(path)
        assert (await ask.raw(path)).status in {200, 404}
    assert [record.fault for record in simulator.requests] == [fault.name, None]
    assert simulator.requests[0].status == answer.status
    return answer


@pytest.mark.parametrize("path", ["", "/" + new_id(0, SATURDAY - 7200)])
@pytest.mark.parametrize("code", [400, 401, 403, 404, 429, 500, 502, 503])
async def test_a_status(code: int, path: str) -> None:
    """Each status of the table comes with an error in the API's shape, once."""
    answer = await answer_to(faults.status(code), path)
    assert answer.status == code
    validate_error(answer.json)
    assert "Retry-After" not in answer.headers


async def test_bodies_of_errors() -> None:
    """An error may come in the older flat shape, as a gateway's page, or with nothing."""
    validate_flat_error((await answer_to(faults.status(403, body="flat"))).json)
    page = await answer_to(faults.status(502, body="html"))
    assert page.headers["Content-Type"] == "text/html"
    assert page.body.startswith(b"<html>")
    assert (await answer_to(faults.status(503, body="empty"))).body == b""
    assert (await answer_to(faults.status(200, body="html"))).body.startswith(b"<html>")


@pytest.mark.parametrize(("given", "sent"), [(30, "30"), (0.5, "0.5"), ("soon", "soon")])
async def test_retry_after(given: float | str, sent: str) -> None:
    """Retry-After is seconds or whatever else a server might write."""
    assert (await answer_to(faults.status(429, retry_after=given))).headers["Retry-After"] == sent


async def test_retry_after_as_a_date() -> None:
    """Retry-After may be a date, counted from the reply's own."""
    answer = await answer_to(faults.status(503, retry_after=90, as_date=True))
    assert parsedate_to_datetime(answer.headers["Retry-After"]) == datetime(2026, 3, 7, 0, 1, 30, tzinfo=UTC)


async def test_a_redirect() -> None:
    """The client is sent elsewhere."""
    answer = await answer_to(faults.redirect("http://127.0.0.1:1/elsewhere"))
    assert (answer.status, answer.headers["Location"]) == (302, "http://127.0.0.1:1/elsewhere")


@pytest.mark.parametrize(("fault", "status"), [(faults.reset(), None), (faults.cut(), 200)])
async def test_a_broken_connection(
    fault: Fault, status: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    """A reset breaks the connection before the reply, a cut in the middle of its body."""
    simulator = Simulator(a_world(3), ManualClock())
    simulator.faults.add(fault, times=2)
    async with asking(simulator) as ask:
        for path in ("", "/" + new_id(0, SATURDAY - 7200)):
            with pytest.raises(BrokenError if status is None else aiohttp.ClientPayloadError):
                await ask.raw(path)
        await ask.page()
    assert [record.status for record in simulator.requests] == [status, status, 200]
    assert not caplog.records


async def test_a_hang_ends_with_the_client() -> None:
    """A request that gets no answer stays in flight until the client leaves."""
    simulator = Simulator(a_world(3), ManualClock())
    simulator.faults.add(faults.hang())
    async with asking(simulator) as ask:
        asked = asyncio.create_task(ask.raw())
        await in_flight(simulator, 1)
        asked.cancel()
        await in_flight(simulator, 0)
        assert simulator.requests[0].status is None
        await ask.page()


async def test_a_slow_reply_takes_simulated_time() -> None:
    """A slow reply is right, and late by the clock."""
    clock = ManualClock()
    simulator = Simulator(a_world(3), clock)
    simulator.faults.add(faults.slow(25))
    async with asking(simulator) as ask:
        assert len((await ask.page())["operations"]) == 3
    assert clock.now() == SATURDAY + 25


async def test_json_cut_but_well_framed() -> None:
    """Half of the JSON arrives as if it were the whole."""
    answer = await answer_to(faults.cut_json())
    with pytest.raises(ValueError):
        json.loads(answer.body)
    assert int(answer.headers["Content-Length"]) == len(answer.body) > 100


async def test_misspelt_json() -> None:
    """The body is nearly JSON."""
    with pytest.raises(ValueError):
        json.loads((await answer_to(faults.misspelt_json())).body)


async def test_an_oversized_body() -> None:
    """The right page comes with as many blanks as were asked for."""
    answer = await answer_to(faults.oversized(3_000_000))
    assert len(answer.body) == 3_000_000
    validate_page(answer.json)


def rows(answer: Answer) -> list[dict[str, Any]]:
    operations: list[dict[str, Any]] = answer.json["operations"]
    return operations


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        (faults.without_operations(), lambda page: "operations" not in page),
        (faults.wrong_type(("operations",), {}), lambda page: page["operations"] == {}),
        (faults.wrong_type(("operations", 0, "stats", "total"), "3"), lambda page: total(page, 0) == "3"),
        (faults.wrong_type(("pagination", "next"), 5), lambda page: page["pagination"]["next"] == 5),
        (faults.wrong_type((), [1]), lambda page: page == [1]),
        (
            faults.missing_stat("attempts"),
            lambda page: all("attempts" not in r["stats"] for r in page["operations"]),
        ),
        (faults.unknown_status(), lambda page: {r["status"] for r in page["operations"]} == {"PAUSED"}),
        (faults.unknown_fields(), lambda page: page["operations"][2]["stats"]["clicked"] == 7),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else "",
)
async def test_json_of_a_wrong_shape(fault: Fault, seen: Callable[[Any], bool]) -> None:
    """The JSON breaks the schema at the place that the fault names."""
    answer = await answer_to(fault)
    assert answer.status == 200
    assert seen(answer.json)
    with pytest.raises(jsonschema.ValidationError):
        validate_page(answer.json)


def total(page: dict[str, Any], row: int) -> object:
    return page["operations"][row]["stats"]["total"]


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        (faults.unknown_status("LOST"), lambda row: row["status"] == "LOST"),
        (faults.missing_stat("total"), lambda row: "total" not in row["stats"]),
        (faults.unknown_fields(), lambda row: "audience" in row),
        (faults.hostile_id("x"), lambda row: row["id"] == "x"),
        (faults.wrong_type(("createdAt",), None), lambda row: row["createdAt"] is None),
    ],
)
async def test_a_fetch_of_a_wrong_shape(fault: Fault, seen: Callable[[Any], bool]) -> None:
    """A single operation is spoilt as the rows of a page are."""
    answer = await answer_to(fault, "/" + new_id(0, SATURDAY - 7200))
    assert seen(answer.json)
    with pytest.raises(jsonschema.ValidationError):
        validate_operation(answer.json)


@pytest.mark.parametrize("fault", [faults.unknown_status(), faults.wrong_type(("operations",), 1)])
async def test_an_error_is_not_spoilt_twice(fault: Fault) -> None:
    """Faults of a right reply's JSON leave an error as it is."""
    answer = await answer_to(fault, "/" + new_id("nobody"))
    assert answer.status == 404
    validate_error(answer.json)


@pytest.mark.parametrize("hostile", HOSTILE_IDS)
async def test_hostile_ids(hostile: str) -> None:
    """The first row bears an id that must not reach a URL or a label."""
    assert not ID_PATTERN.fullmatch(hostile)
    assert rows(await answer_to(faults.hostile_id(hostile)))[0]["id"] == hostile


async def test_rows_outside_the_dates() -> None:
    """Rows come that the listing should not hold."""
    stray = an_operation("stray", SATURDAY - 2 * WEEK_SECONDS)
    answer = await answer_to(faults.extra_rows(stray))
    validate_page(answer.json)
    assert [row["id"] for row in rows(answer)][3:] == [stray.id]


async def test_duplicated_rows() -> None:
    """Each row comes twice."""
    seen = rows(await answer_to(faults.duplicated_rows()))
    assert len(seen) == 6
    assert seen[:3] == seen[3:]


async def test_a_repeated_token() -> None:
    """The page's `next` leads to itself."""
    pagination = (await answer_to(faults.repeated_token())).json["pagination"]
    assert pagination["next"] == pagination["self"]


async def test_pages_that_never_end() -> None:
    """Every page has yet another token, until the faults are cleared."""
    simulator = Simulator(a_world(3), ManualClock())
    simulator.faults.add(faults.endless_tokens(), times=None)
    tokens: set[str] = set()
    async with asking(simulator) as ask:
        async for _ in ask.pages():
            tokens.update(record.query.get("pageToken", "") for record in simulator.requests)
            if len(tokens) == 20:
                break
        simulator.faults.clear()
        assert len(await ask.ids()) == 3


async def test_an_empty_page_with_next() -> None:
    """An empty page leads on to the rows, and none is lost."""
    simulator = Simulator(a_world(4), ManualClock())
    async with asking(simulator) as ask:
        simulator.faults.add(faults.empty_page(), times=2)
        assert [len(rows) async for rows in ask.pages(pageSize="3")] == [0, 0, 3, 1]


# Which fault meets which request


async def test_faults_are_taken_in_order() -> None:
    """Each request takes the first fault that fits its call and operation."""
    simulator = Simulator(a_world(3), ManualClock())
    first, second = (operation.id for operation in simulator.world.visible(SATURDAY)[:2])
    simulator.faults.add(faults.status(500), call="list")
    simulator.faults.add(faults.status(503), call="fetch", operation_id=second)
    simulator.faults.add(faults.status(429), times=2)
    assert len(simulator.faults) == 3
    async with asking(simulator) as ask:
        asked = ["/" + first, "", "/" + second, "/" + second, ""]
        assert [(await ask.raw(path)).status for path in asked] == [429, 500, 503, 429, 200]
    assert len(simulator.faults) == 0


@pytest.mark.parametrize(("name", "elapsed"), [("rate-limited", 65.0), ("outage", 130.0)])
async def test_a_scenarios_own_trouble(name: str, elapsed: float) -> None:
    """A scenario fails by itself during its episodes; a scripted fault goes first."""
    clock = ManualClock()
    simulator = Simulator(World(SCENARIOS[name], started=clock.now()), clock)
    async with asking(simulator) as ask:
        assert (await ask.raw()).status == 200
        clock.advance(elapsed)
        simulator.faults.add(faults.status(404))
        assert (await ask.raw()).status == 404
        for _ in range(10):
            try:
                assert (await ask.raw()).status >= 429
            except BrokenError:
                continue
        clock.advance(400)
        assert (await ask.raw()).status == 200
    troubled = [record.status for record in simulator.requests[2:-1]]
    assert set(troubled) <= {429, 500, 502, 503, None}
