"""The calls for emails and errors over a socket: the error table row by row, retries within a budget."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from exporter.email import EmailPage, ErrorPage
from exporter.errors import Malformed, TwilioError, Unauthorized, Unavailable, Unreachable
from exporter.events import RequestFinished, RequestsPaused
from exporter.simulator import faults
from exporter.simulator.faults import Fault
from exporter.simulator.journal import Endpoint
from exporter.simulator.world import World
from exporter.twilio.client import MAX_ATTEMPTS, RequestBudget
from tests.simulator.ask import an_operation
from tests.support.clock import SATURDAY, ManualClock
from tests.support.rig import Rig, rigged
from tests.twilio.test_client import NO_RETRY, RETRIED

OPERATION = an_operation(0, SATURDAY - 600, failed=5, undelivered=2)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    world = World.empty()
    world.put(OPERATION)
    async with rigged(world, ManualClock()) as rig:
        yield rig


async def emails(rig: Rig, budget: RequestBudget) -> EmailPage:
    now = rig.clock.now()
    return await rig.client.list_emails_page(
        "failed", now - 86400, now, None, budget=budget, give_up_at=rig.clock.monotonic() + 60
    )


async def errors(rig: Rig, budget: RequestBudget) -> ErrorPage | None:
    return await rig.client.list_errors_page(
        OPERATION.id, None, budget=budget, give_up_at=rig.clock.monotonic() + 60
    )


Ask = Callable[[Rig, RequestBudget], Awaitable[object]]
CALLS: dict[Endpoint, Ask] = {"emails": emails, "errors": errors}
each_call = pytest.mark.parametrize(("call", "ask"), CALLS.items(), ids=CALLS.keys())


async def test_emails_and_errors_of_an_operation(rig: Rig) -> None:
    """Each call takes one request of the budget, and is counted under its own name."""
    budget = RequestBudget(7)
    page = await emails(rig, budget)
    assert [(email.status, email.operation_id) for email in page.emails] == [("failed", OPERATION.id)] * 5
    found = await errors(rig, budget)
    assert found is not None
    assert len(found.codes) == 5
    assert budget.left == 5
    assert [(each.call, each.code) for each in rig.emitted(RequestFinished)] == [
        ("emails", "200"),
        ("errors", "200"),
    ]


async def test_no_such_call_is_no_error_for_errors_only(rig: Rig) -> None:
    """A 404 to the errors of an operation is an answer; to the emails it names what to check."""
    rig.simulator.faults.add(faults.status(404), times=None)
    assert await errors(rig, RequestBudget(5)) is None
    with pytest.raises(Malformed, match=r"check api\.base_url"):
        await emails(rig, RequestBudget(5))


@each_call
@pytest.mark.parametrize(("fault", "kind", "code"), NO_RETRY, ids=lambda each: getattr(each, "name", None))
async def test_what_a_retry_would_not_help(
    rig: Rig, call: Endpoint, ask: Ask, fault: Fault, kind: type[TwilioError], code: str
) -> None:
    """One request and one typed error, which leaves the rate of the account as it is."""
    if call == "errors" and code == "404":
        return
    rig.simulator.faults.add(fault, call=call, times=None)
    rate = rig.rate_limiter.requests_per_second
    with pytest.raises(kind) as caught:
        await ask(rig, RequestBudget(20))
    assert type(caught.value) is kind
    assert [(each.call, each.code) for each in rig.emitted(RequestFinished)] == [(call, code)]
    assert rig.rate_limiter.requests_per_second == rate
    assert rig.clock.monotonic() == 0


@each_call
@pytest.mark.parametrize(
    ("fault", "kind", "code", "reason"), RETRIED, ids=lambda each: getattr(each, "name", None)
)
async def test_what_may_pass_is_retried_within_the_budget(
    rig: Rig, call: Endpoint, ask: Ask, fault: Fault, kind: type[TwilioError], code: str, reason: str
) -> None:
    """Each retry takes one request of the budget; without one left the last error is raised."""
    rig.simulator.faults.add(fault, call=call, times=None)
    for requests, left in ((3, 0), (20, 20 - MAX_ATTEMPTS)):
        rig.requests()
        budget = RequestBudget(requests)
        with pytest.raises(kind):
            await ask(rig, budget)
        assert budget.left == left
        assert rig.requests()[call] == requests - left
    assert {each.code for each in rig.emitted(RequestFinished)} == {code}


@each_call
async def test_nothing_is_sent_without_a_budget(rig: Rig, call: Endpoint, ask: Ask) -> None:
    """Not even where a request was cancelled and is sent again."""
    with pytest.raises(Unreachable, match="number of requests allowed"):
        await ask(rig, RequestBudget(0))
    assert not rig.simulator.requests


@each_call
async def test_time_out(call: Endpoint, ask: Ask) -> None:
    """A reply that does not come takes `api.timeout`, and counts."""
    async with rigged(World.empty(), ManualClock(), timeout=0.05) as rig:
        rig.simulator.faults.add(faults.hang(), times=None)
        budget = RequestBudget(2)
        with pytest.raises(TwilioError, match=r"api\.timeout"):
            await ask(rig, budget)
        assert budget.left == 0
        assert [each.code for each in rig.emitted(RequestFinished)] == ["timeout"] * 2


@each_call
async def test_retry_after_pauses_the_polls_too(rig: Rig, call: Endpoint, ask: Ask) -> None:
    """A pause that one of these calls meets holds all requests of the account."""
    rig.simulator.faults.add(faults.status(429, retry_after=9), call=call)
    await ask(rig, RequestBudget(5))
    assert 9 <= rig.clock.monotonic() < 10
    rig.simulator.faults.add(faults.status(503, retry_after=90), call=call)
    with pytest.raises(Unavailable, match="90 s"):
        await ask(rig, RequestBudget(5))
    with pytest.raises(Unavailable, match="the pause that Twilio asked for"):
        await rig.client.fetch_operation(OPERATION.id, give_up_at=rig.clock.monotonic() + 60)
    assert rig.requests()["fetch"] == 0
    assert rig.emitted(RequestsPaused)


@each_call
async def test_refused_credential_is_read_again(rig: Rig, call: Endpoint, ask: Ask) -> None:
    """Without another secret the call fails, and a later poll is not kept from trying."""
    rig.simulator.faults.add(faults.status(403, body="flat"), call=call)
    with pytest.raises(Unauthorized):
        await ask(rig, RequestBudget(5))
    assert await rig.client.fetch_operation(OPERATION.id, give_up_at=60) == OPERATION


async def test_cancelled_request_counts_as_sent(rig: Rig) -> None:
    """A request that is cancelled while its reply is awaited is in `requests_total`, and leaves its slot."""
    rig.simulator.faults.add(faults.hang(), call="emails")
    budget = RequestBudget(5)
    asking = asyncio.ensure_future(emails(rig, budget))
    while not rig.simulator.requests:
        await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert budget.left == 4
    assert [(each.call, each.code) for each in rig.emitted(RequestFinished)] == [("emails", "timeout")]
    assert (await emails(rig, budget)).emails
