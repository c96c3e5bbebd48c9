"""Many accounts in one process: what one suffers, the others do not notice."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from exporter.report import PollCrashed, PollFinished, PollStarted
from exporter.simulator import Fault, Simulator, faults, new_id
from exporter.snapshot import Snapshot
from exporter.wire import MAX_REPLY_BYTES
from tests.clock import SATURDAY
from tests.simulator.ask import a_world, an_operation
from tests.whole import Whole, whole

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
    api = {"timeout": 0.2}
    async with whole(worlds, api=api, poll={"interval": INTERVAL}, on_publish=stumble) as made:
        for sicken, simulator in zip(SICK.values(), made.simulators.values(), strict=False):
            sicken(simulator)
        await made.run_for(MINUTES * 60 - 1)
        yield made


async def test_twenty_accounts() -> None:
    """Healthy accounts poll on time among sick ones, and a mistake of ours ends a poll but no loop."""
    async with crowd() as exporter:
        await healthy_ones_are_on_time(exporter)
        await the_mistake_is_told(exporter)


async def healthy_ones_are_on_time(exporter: Whole) -> None:
    accounts = list(exporter.simulators)
    for number, account in enumerate(accounts[len(SICK) + 1 :], start=len(SICK) + 1):
        starts = [each.started_at - SATURDAY for each in exporter.reported(PollStarted, account)]
        assert len(starts) == MINUTES
        assert starts[0] == pytest.approx(INTERVAL * number / 20, abs=0.1)
        assert all(abs(later - earlier - INTERVAL) < 0.1 * INTERVAL for earlier, later in pairwise(starts))
        assert {each.outcome for each in exporter.reported(PollFinished, account)} == {"success"}
    scrape = await exporter.scrape()
    up = {labels[0]: value for labels, value in scrape.values("twilio_email_up").items()}
    broken = {account for account, sickness in zip(accounts, SICK, strict=False) if sickness not in MILD}
    assert not any(up[account] for account in {*broken, STUMBLING})
    assert all(up[account] for account in accounts[len(SICK) + 1 :])
    assert exporter.parts.vigil.reason() is None


async def the_mistake_is_told(exporter: Whole) -> None:
    """Each is logged with its place and counted, and the next poll comes."""
    account = STUMBLING
    crashed = exporter.reported(PollCrashed, account)
    assert len(crashed) == MINUTES == len(exporter.reported(PollStarted, account))
    value = (await exporter.scrape()).value("twilio_email_exporter_internal_errors_total", account=account)
    assert value == MINUTES
    lines = exporter.logged("internal error")
    assert len(lines) == MINUTES
    assert "in stumble" in lines[0]
    assert "ZeroDivisionError" in lines[0]
    assert not exporter.logged("a secret, perhaps\\n")
