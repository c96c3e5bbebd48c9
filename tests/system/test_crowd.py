"""Many accounts in one process: what one suffers, the others do not notice."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from aiohttp.test_utils import TestClient, TestServer

from exporter.events import PollCrashed, PollFinished, PollStarted
from exporter.ledger.snapshot import Snapshot
from exporter.metrics.exposition import Exposition
from exporter.simulator import faults
from exporter.simulator.faults import Fault
from exporter.simulator.ids import new_id
from exporter.simulator.readings import Readings
from exporter.simulator.server import Simulator
from exporter.twilio.protocol import MAX_REPLY_BYTES
from exporter.web.auth import Authenticator
from exporter.web.service import MAINTENANCE_SECONDS, RENDERING_SECONDS
from tests.simulator.ask import a_world, an_operation
from tests.support.clock import SATURDAY
from tests.support.states import snapshot_of
from tests.support.whole import Whole, whole

INTERVAL = 60.0
MINUTES = 10


def always(fault: Fault) -> Callable[[Simulator], object]:
    return lambda simulator: simulator.faults.add(fault, times=None)


def flood(simulator: Simulator) -> None:
    """Far more to list and to fetch than there is time for."""
    for number in range(3000):
        operation = an_operation(number, SATURDAY - 600 - number)
        status = "processing" if number < 1000 else "completed"
        simulator.world.put(operation._replace(id=new_id(number, operation.created_at), status=status))


SICK: dict[str, Callable[[Simulator], object]] = {
    "refused": always(faults.status(401, body="flat")),
    "forbidden": always(faults.status(403, body="flat")),
    "throttled": always(faults.status(429)),
    "told to wait": always(faults.status(429, retry_after=20)),
    "told to wait long": always(faults.status(503, retry_after=1000)),
    "ill": always(faults.status(500)),
    "unavailable": always(faults.status(503)),
    "gateway": always(faults.status(502, body="html")),
    "reset": always(faults.reset()),
    "silent": always(faults.hang()),
    "slow": always(faults.slow(45)),
    "cut": always(faults.cut_json()),
    "huge reply": always(faults.oversized(MAX_REPLY_BYTES + 1)),
    "without end": always(faults.endless_tokens()),
    "flood": flood,
}
MILD = {"slow", "flood"}
"""Sick, but with luck a poll succeeds."""

STUMBLING = f"a{len(SICK)}"


def stumble(account: str, _: Snapshot) -> None:
    """A programming error in the middle of one account's every poll."""
    if account == STUMBLING:
        raise ZeroDivisionError("a secret, perhaps")


@asynccontextmanager
async def crowd() -> AsyncIterator[Whole]:
    """Twenty accounts after some minutes."""
    worlds = [a_world(3) for _ in range(20)]
    api = {"timeout": 0.4}
    async with whole(worlds, api=api, poll={"interval": INTERVAL}, on_publish=stumble) as made:
        for sicken, simulator in zip(SICK.values(), made.simulators.values(), strict=False):
            sicken(simulator)
        await made.run_for(MINUTES * 60 - 1)
        yield made


async def test_twenty_accounts() -> None:
    """Healthy accounts poll on time beside failing ones; an internal error ends a poll, not the scheduler."""
    async with crowd() as exporter:
        await healthy_ones_are_on_time(exporter)
        await the_mistake_is_told(exporter)


async def healthy_ones_are_on_time(exporter: Whole) -> None:
    accounts = list(exporter.simulators)
    for number, account in enumerate(accounts[len(SICK) + 1 :], start=len(SICK) + 1):
        starts = [each.started_at - SATURDAY for each in exporter.emitted(PollStarted, account)]
        assert len(starts) == MINUTES
        assert starts[0] == pytest.approx(INTERVAL * number / 20, abs=0.1)
        assert all(abs(later - earlier - INTERVAL) < 0.1 * INTERVAL for earlier, later in pairwise(starts))
        assert {each.outcome for each in exporter.emitted(PollFinished, account)} == {"success"}
    scrape = await exporter.scrape()
    up = {labels[0]: value for labels, value in scrape.values("twilio_email_up").items()}
    broken = {account for account, sickness in zip(accounts, SICK, strict=False) if sickness not in MILD}
    assert not any(up[account] for account in {*broken, STUMBLING})
    assert all(up[account] for account in accounts[len(SICK) + 1 :])
    assert exporter.hub.watchdog.reason() is None


async def the_mistake_is_told(exporter: Whole) -> None:
    """Each is logged with its place and counted, and the next poll comes."""
    account = STUMBLING
    crashed = exporter.emitted(PollCrashed, account)
    assert len(crashed) == MINUTES == len(exporter.emitted(PollStarted, account))
    value = (await exporter.scrape()).value("twilio_email_exporter_internal_errors_total", account=account)
    assert value == MINUTES
    lines = exporter.logged("internal error")
    assert len(lines) == MINUTES
    assert "in stumble" in lines[0]
    assert "ZeroDivisionError" in lines[0]
    assert not exporter.logged("a secret, perhaps\\n")


async def test_dead_man_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """/-/healthy names a scheduler that hangs or has ended, with 503; a failing account has no effect."""
    async with whole([a_world(), a_world()], poll={"interval": INTERVAL}) as exporter:
        exporter.simulators["a1"].faults.add(faults.status(500), times=None)
        client = TestClient(TestServer(exporter.web_service.application))
        stuck = asyncio.Event()
        async with client, exporter.running() as tasks:
            exporter.web_service.health.loaded = True
            await exporter.clock.sleep(20 * INTERVAL)
            assert (await client.get("/-/healthy")).status == 200
            monkeypatch.setattr(exporter.schedulers["a0"], "_poll", stuck.wait)
            await exporter.clock.sleep(7 * INTERVAL)
            reply = await client.get("/-/healthy")
            assert reply.status == 503
            assert "account a0 has shown no activity" in await reply.text()
            stuck.set()
            await exporter.clock.sleep(2 * INTERVAL)
            assert (await client.get("/-/healthy")).status == 200
            tasks[1].cancel()
            await asyncio.wait([tasks[1]])
            reply = await client.get("/-/healthy")
            assert (reply.status, await reply.text()) == (503, "a1 has stopped unexpectedly\n")


async def test_long_first_listing_is_no_hang() -> None:
    """It takes many intervals, and every page is a sign of life."""
    api = {"requests_per_second": 0.02}
    world = a_world(10_000, readings=Readings(empty_page_every=2))
    async with whole([world], api=api, poll={"interval": 1.0}) as exporter:
        watching = asyncio.create_task(exporter.run_for(1000))
        while not watching.done():
            assert exporter.hub.watchdog.reason() is None
            await asyncio.sleep(0)
        assert len(exporter.simulator.requests) >= 15


async def test_watch_over_files_survives_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told with its traceback, and the next look comes."""
    looks = iter([True, ZeroDivisionError, False])

    def changed(_: Authenticator) -> bool:
        look = next(looks, False)
        if look is ZeroDivisionError:
            raise ZeroDivisionError
        return bool(look)

    monkeypatch.setattr(Authenticator, "changed", changed)
    async with whole([]) as exporter:
        watching = asyncio.create_task(exporter.web_service.maintain())
        await exporter.clock.sleep(5 * MAINTENANCE_SECONDS)
        assert not watching.done()
        watching.cancel()
    assert next(looks, None) is None
    assert len(exporter.logged("periodic maintenance of the web service failed")) == 1


class FailingOnce(Exposition):
    """Counts how often it renders ahead; the first time fails."""

    def __init__(self) -> None:
        super().__init__([])
        self.ahead = 0

    async def render_ahead(self) -> None:
        self.ahead += 1
        if self.ahead == 1:
            raise ZeroDivisionError


async def test_each_publish_is_rendered_ahead() -> None:
    """Those that come together are rendered together; a mistake is told, and the next one is rendered."""
    async with whole([a_world(), a_world()]) as exporter:
        exporter.web_service.exposition = exposition = FailingOnce()
        rendering = asyncio.create_task(exporter.web_service.render_ahead())
        for expected in (1, 2, 3):
            exporter.hub.publish("a0", snapshot_of([]))
            exporter.hub.publish("a1", snapshot_of([]))
            await exporter.clock.sleep(RENDERING_SECONDS)
            assert exposition.ahead == expected
        await exporter.clock.sleep(60 * RENDERING_SECONDS)
        assert exposition.ahead == 3
        rendering.cancel()
    assert len(exporter.logged("rendering the metrics failed")) == 1


async def test_shard_without_accounts_lives_and_says_so() -> None:
    """With more shards than accounts some have nothing to do, and are well."""
    async with whole([]) as exporter, exporter.running():
        assert exporter.web_service.health.dead() is None
        assert len(exporter.logged("no account is assigned to this shard")) == 1
        assert "twilio_email_exporter_build_info" in (await exporter.scrape()).text


async def test_scrapes_cost_twilio_nothing() -> None:
    """However many there are, in whatever format: only polls ask."""
    async with whole([a_world()]) as exporter:
        assert await exporter.poll()
        exporter.web_service.health.loaded = True
        asked = len(exporter.simulator.requests)
        async with TestClient(TestServer(exporter.web_service.application)) as client:
            for accept in ("text/plain", "application/openmetrics-text") * 10:
                reply = await client.get("/metrics", headers={"Accept": accept})
                assert reply.status == 200
                assert "twilio_email_window_emails{" in await reply.text()
        assert len(exporter.simulator.requests) == asked
