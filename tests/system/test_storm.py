"""Ten minutes of 429, seen by the one who is asked: holds, requests in flight and a second, recovery."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from exporter.events import PollFinished
from exporter.simulator import faults
from exporter.simulator.faults import Fault
from exporter.simulator.ids import new_id
from exporter.simulator.journal import RequestRecord
from exporter.simulator.reply import Reply
from exporter.simulator.world import World
from tests.simulator.ask import an_operation
from tests.support.clock import SATURDAY
from tests.support.whole import Whole, whole

BEGINS = SATURDAY + 122.0
"""In the middle of a poll, with several requests under way."""
ENDS = BEGINS + 600.0
CEILING = 5.0
CONCURRENCY = 3
LATENCY = 0.5
"""Seconds; so long that several requests are under way when the first 429 comes."""


def a_world() -> World:
    """So much unfinished mail that a poll takes 41 requests."""
    world = World.empty()
    for number in range(40):
        finished = an_operation(number, SATURDAY - 600 - number)
        world.put(finished._replace(id=new_id(number, SATURDAY - 600), status="processing"))
    return world


def storm(retry_after: float | None) -> Fault:
    """429 while it lasts; without a hint, for some seconds at a time, or until its end."""

    def change(reply: Reply) -> Reply:
        if not BEGINS <= reply.at < ENDS:
            return reply
        seconds = ENDS - reply.at + 1 if retry_after == 0 else retry_after
        return faults.status(429, retry_after=None if seconds is None else int(seconds)).change(reply)

    return Fault("storm", change)


def holds(requests: Sequence[RequestRecord], retry_after: float | None) -> list[tuple[float, float]]:
    """From each answer that asked for a pause to the end of that pause."""
    answered = [request.at + LATENCY for request in requests if request.status == 429]
    if retry_after is None:
        return []
    return [(at, at + (int(ENDS - at + 1) if retry_after == 0 else retry_after)) for at in answered]


def busiest_second(requests: Sequence[RequestRecord]) -> int:
    times = [request.at for request in requests]
    return max(sum(at <= other < at + 1 - 1e-6 for other in times) for at in times)


@pytest.mark.parametrize("retry_after", [None, 5.0, 90.0, 0.0])
async def test_storm(retry_after: float | None) -> None:
    """However Twilio words its refusal, it is left in peace, and found again without a stampede."""
    api = {"requests_per_second": CEILING, "concurrency": CONCURRENCY}
    async with whole([a_world()], api=api, latency_seconds=LATENCY) as exporter:
        exporter.simulator.faults.add(storm(retry_after), times=None)
        await exporter.run_for(1500)
        requests = exporter.simulator.requests
        for begun, over in holds(requests, retry_after):
            assert not [each.at for each in requests if begun < each.at < over]
        assert exporter.simulator.max_in_flight == CONCURRENCY
        assert busiest_second(requests) <= CEILING
        _is_patient(requests, retry_after)
        await _has_recovered(exporter)


def _is_patient(requests: Sequence[RequestRecord], retry_after: float | None) -> None:
    """Far fewer requests during the storm than without it."""
    during = sum(BEGINS <= each.at < ENDS for each in requests)
    assert during <= {None: 70, 5.0: 70, 90.0: 10, 0.0: 0}[retry_after]


async def _has_recovered(exporter: Whole) -> None:
    after = [each for each in exporter.simulator.requests if each.at >= ENDS]
    first = after[0].at
    # The start is slower than what is allowed in the end, and no two leave together.
    assert sum(each.at < first + 1 for each in after) < CEILING
    assert all(later.at > earlier.at for earlier, later in pairwise(after))
    assert {each.status for each in after[3:]} == {200}
    polls = [poll for poll in exporter.emitted(PollFinished) if poll.finished_at >= ENDS + 120]
    assert {poll.outcome for poll in polls} == {"success"}
    assert polls[-1].fetched_operations == 40
    scrape = await exporter.scrape()
    assert scrape.value("twilio_email_exporter_request_rate_limit") == CEILING
    assert scrape.value("twilio_email_up") == 1
    assert len(exporter.logged("msg=throttled ")) == len(exporter.logged('"no longer throttled"')) == 1


def test_the_measure_itself() -> None:
    """Five in a second are counted as five, whatever the second begins with."""
    records = [RequestRecord(SATURDAY + n / 5, "list", "/") for n in range(10)]
    assert busiest_second(records) == 5
    assert busiest_second([*records, replace(records[0], at=SATURDAY + 0.5)]) == 6
