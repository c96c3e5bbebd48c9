"""The calls for single emails and errors over the socket: strict, held to the schema, and cheap."""

from collections import Counter
from typing import Any

import pytest

from exporter.operation import Stats
from exporter.simulator import faults
from exporter.simulator.emails import emails_between
from exporter.simulator.ids import email_id, new_id
from exporter.simulator.readings import Order, PageFilters, Readings
from exporter.simulator.reply import rfc3339
from exporter.simulator.scenarios import SCENARIOS
from exporter.simulator.server import Simulator
from exporter.simulator.world import World
from tests.simulator.ask import a_world, an_operation, asking
from tests.simulator.schema import validate_email, validate_error_page
from tests.support.clock import SATURDAY, ManualClock


def simulated(world: World) -> Simulator:
    return Simulator(world, ManualClock())


def steady(**readings: Any) -> World:
    return World(SCENARIOS["steady"], started=SATURDAY, readings=Readings(**readings))


def bad_world(**readings: Any) -> World:
    """Three operations, an hour apart, each with five failed and two undelivered emails."""
    world = World.empty(Readings(**readings))
    for number in range(3):
        world.put(an_operation(number, SATURDAY - 3600 * (number + 1), failed=5, undelivered=2))
    return world


async def test_an_email_in_twilios_words() -> None:
    """An email names its sender, recipients, tags and operation, and can be fetched by its id."""
    world = steady()
    async with asking(simulated(world)) as ask:
        email = (await ask.email_page(pageSize="1", tags="campaign:loyalty;"))["emails"][0]
        fetched = (await ask.raw(f"/Emails/{email['id']}")).json
        validate_email(fetched)
        assert fetched == email
        operation = await ask.operation(email["related"][0]["id"])
        assert operation["createdAt"] == email["createdAt"]
        assert email["tags"]["campaign"] == "loyalty"


@pytest.mark.parametrize("order", ["newest", "oldest", "shuffled"])
async def test_a_listing_is_the_worlds(order: Order) -> None:
    """All pages together give exactly the emails of the world, each once, in every order."""
    world = steady(order=order)
    start = SATURDAY - 3 * 3600
    true = {email.id: email.status.upper() for email in emails_between(world, start, SATURDAY, SATURDAY)}
    async with asking(simulated(world)) as ask:
        rows = await ask.emails(startDate=rfc3339(start), pageSize="333")
        assert len(rows) == len(true)
        assert {row["id"]: row["status"] for row in rows} == true


async def test_filters() -> None:
    """Status, tags, dates and operation filter before a page is cut, so that pages are full."""
    world = bad_world()
    async with asking(simulated(world)) as ask:
        assert [len(rows) async for rows in ask.email_pages(status="FAILED", pageSize="4")] == [4, 4, 4, 3]
        assert len(await ask.emails(status="UNDELIVERED", endDate=rfc3339(SATURDAY - 5400))) == 4
        wanted = new_id(1, SATURDAY - 7200)
        rows = await ask.emails(status="FAILED", operationId=wanted, pageSize="2")
        assert [row["related"][0]["id"] for row in rows] == [wanted] * 5
        assert await ask.emails(operationId=new_id("nobody")) == []
        assert await ask.emails(tags="campaign:nothing") == []


async def test_generated_emails_agree_with_the_operations() -> None:
    """The emails of a listing add up to the stats of the operations that were created in its time."""
    world = steady()
    start = rfc3339(SATURDAY - 4 * 3600)
    async with asking(simulated(world)) as ask:
        rows = await ask.emails(startDate=start, pageSize="1000")
        operations = [row async for rows in ask.pages(startDate=start) for row in rows]
        seen = Counter(row["status"].lower() for row in rows)
        stats: Counter[str] = Counter()
        for operation in operations:
            stats.update({name: operation["stats"][name] for name in seen})
        assert seen == stats


@pytest.mark.parametrize(
    ("query", "context"),
    [
        ({"operation_id": new_id(1)}, "operation_id"),
        ({"operationId": "nonsense"}, "operationId"),
        ({"operationId": ""}, "operationId"),
        ({"status": "failed"}, "status"),
        ({"status": "COMPLETED"}, "status"),
        ({"tags": ""}, "tags"),
        ({"tags": "campaign"}, "tags"),
        ({"tags": ":spring;"}, "tags"),
        ({"tags": "campaign:spring;;"}, "tags"),
        ({"startDate": "2026-03-01"}, "startDate"),
        ({"endDate": "yesterday"}, "endDate"),
        ({"pageSize": "1001"}, "pageSize"),
        ({"pageToken": "bm9uZSBvZiBvdXJz"}, "pageToken"),
        ({"to": "somebody"}, "to"),
    ],
)
async def test_a_wrong_query(query: dict[str, str], context: str) -> None:
    """What the reference does not allow is refused with 400 and the name of the parameter."""
    async with asking(simulated(a_world())) as ask:
        assert await ask.refusal("/Emails", **query) == (400, context)


@pytest.mark.parametrize("reading", ["required", "carried", "forgotten"])
async def test_tokens_belong_to_one_call(reading: PageFilters) -> None:
    """The token of a listing of operations is invalid for emails, and the other way round."""
    async with asking(simulated(bad_world(page_filters=reading))) as ask:
        operations = (await ask.page(pageSize="1"))["pagination"]["next"]
        emails = (await ask.email_page(pageSize="1"))["pagination"]["next"]
        assert await ask.refusal("/Emails", pageToken=operations) == (400, "pageToken")
        assert await ask.refusal(pageToken=emails) == (400, "pageToken")


async def test_an_unknown_email() -> None:
    """A well-formed id that is not there answers 404, anything else 400."""
    async with asking(simulated(a_world())) as ask:
        assert await ask.refusal("/Emails/" + email_id(new_id("nobody"), 0)) == (404, "emailId")
        assert await ask.refusal("/Emails/nonsense") == (400, "emailId")


async def test_errors_of_an_operation() -> None:
    """The guessed form: one error for each failed email, in pages."""
    operation = new_id(0, SATURDAY - 3600)
    async with asking(simulated(bad_world())) as ask:
        page = (await ask.raw(f"/{operation}/Errors", {"pageSize": "3"})).json
        validate_error_page(page)
        token = page["pagination"]["next"]
        rest = (await ask.raw(f"/{operation}/Errors", {"pageSize": "3", "pageToken": token})).json
        assert Counter(row["code"] for row in page["errors"] + rest["errors"]) == {
            30007: 3,
            30003: 1,
            30008: 1,
        }
        assert rest["pagination"]["next"] is None
        assert await ask.refusal(f"/{new_id('nobody')}/Errors") == (404, "operationId")
        assert await ask.refusal(f"/{operation}/Errors", status="FAILED") == (400, "status")


async def test_a_twilio_without_errors() -> None:
    """In that reading the call for errors answers 404 while the others work."""
    simulator = simulated(bad_world(errors=False))
    async with asking(simulator) as ask:
        assert (await ask.raw(f"/{new_id(0, SATURDAY - 3600)}/Errors")).status == 404
        assert len(await ask.emails(status="FAILED")) == 15
    assert simulator.requests_by_call == {"list": 0, "fetch": 0, "errors": 1, "emails": 1}


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        (
            faults.addresses("x@a.example", ["y@b.example", "z@c.example"]),
            lambda page: len(page["emails"][0]["to"]) == 2,
        ),
        (faults.addresses("x@a.example", 7), lambda page: page["emails"][0]["to"] == [{"address": 7}]),
        (faults.tags({"campaign": 7}), lambda page: page["emails"][1]["tags"] == {"campaign": 7}),
        (faults.single_recipient(), lambda page: "address" in page["emails"][0]["to"]),
        (faults.wrapped_in_data(), lambda page: page["data"]["emails"]),
        (faults.without_operations(), lambda page: set(page) == {"pagination"}),
        (faults.duplicated_rows(), lambda page: len(page["emails"]) == 30),
        (faults.unknown_status(), lambda page: page["emails"][0]["status"] == "PAUSED"),
        (faults.repeated_token(), lambda page: page["pagination"]["next"] == page["pagination"]["self"]),
        (faults.endless_tokens(), lambda page: page["emails"] == [] and page["pagination"]["next"]),
        (faults.empty_page(), lambda page: page["emails"] == [] and page["pagination"]["next"]),
        (faults.hostile_id("x"), lambda page: page["emails"][0]["id"] == "x"),
    ],
)
async def test_faults_apply_to_emails(fault: faults.Fault, seen: Any) -> None:
    """Faults of shape change pages of emails as they change pages of operations."""
    simulator = simulated(bad_world())
    simulator.faults.add(fault, call="emails")
    async with asking(simulator) as ask:
        answer = await ask.raw("/Emails", {"status": "FAILED"})
        assert answer.status == 200
        assert seen(answer.json)


async def test_a_row_that_changes_between_pages() -> None:
    """Emails that fail, and operations that are created between pages, neither repeat nor displace others."""
    clock = ManualClock()
    world = World(SCENARIOS["sender-refused"], started=SATURDAY)
    clock.advance(300)
    async with asking(Simulator(world, clock)) as ask:
        ids: list[str] = []
        first = {row["id"] for row in await ask.emails(status="FAILED", pageSize="1000")}
        async for rows in ask.email_pages(status="FAILED", pageSize="50"):
            ids += [row["id"] for row in rows]
            clock.advance(20)
        assert len(set(ids)) == len(ids)
        assert first <= set(ids)


async def test_a_page_of_a_large_operation_is_small() -> None:
    """A page of a billion emails is read without creating the others."""
    world = World.empty()
    world.put(an_operation()._replace(stats=Stats(delivered=10**9)))
    async with asking(simulated(world)) as ask:
        page = await ask.email_page(pageSize="1000")
        assert len(page["emails"]) == 1000
        again = await ask.email_page(pageSize="1000", pageToken=page["pagination"]["next"])
        assert not {row["id"] for row in page["emails"]} & {row["id"] for row in again["emails"]}
