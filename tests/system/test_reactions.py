"""Every row of the error table, from the simulated Twilio's wire to the metrics text and the log."""

from dataclasses import dataclass

import pytest

from exporter.observers.incident import QUIET_SECONDS
from exporter.simulator import faults
from exporter.simulator.faults import Fault
from exporter.simulator.world import World
from exporter.twilio.client import MAX_ATTEMPTS
from exporter.twilio.protocol import MAX_REPLY_BYTES
from tests.simulator.ask import an_operation
from tests.support.clock import SATURDAY
from tests.support.whole import Whole, whole


@dataclass(frozen=True)
class Row:
    """What Twilio does to every list request of a poll, and what must come of it."""

    fault: Fault
    outcome: str
    code: str
    requests: int = 1
    retries: str | None = None
    """Their reason."""


def _row(code: int, outcome: str, requests: int = 1, retries: str | None = None, **how: object) -> Row:
    return Row(faults.status(code, **how), outcome, str(code), requests, retries)  # type: ignore[arg-type]


def _malformed(fault: Fault) -> Row:
    return Row(fault, "malformed", "200")


def _unreachable(fault: Fault, code: str) -> Row:
    return Row(fault, "unreachable", code, MAX_ATTEMPTS, code)


ROWS = [
    _row(400, "malformed"),
    _row(401, "unauthorized", body="flat"),
    _row(403, "unauthorized", body="flat"),
    _row(404, "malformed"),
    _row(429, "throttled", MAX_ATTEMPTS, "throttled"),
    _row(429, "throttled", MAX_ATTEMPTS, "throttled", retry_after=3),
    _row(429, "throttled", MAX_ATTEMPTS, "throttled", retry_after=3, as_date=True),
    _row(429, "throttled", retry_after=300),
    _row(500, "unavailable"),
    _row(500, "unavailable", body="html"),
    _row(502, "unavailable", MAX_ATTEMPTS, "unavailable", body="html"),
    _row(503, "unavailable", MAX_ATTEMPTS, "unavailable"),
    _row(503, "unavailable", MAX_ATTEMPTS, "unavailable", retry_after=3),
    _row(503, "unavailable", retry_after=300, as_date=True),
    _row(504, "unavailable", MAX_ATTEMPTS, "unavailable", body="empty"),
    _row(302, "malformed"),
    _unreachable(faults.reset(), "connection"),
    _unreachable(faults.cut(), "connection"),
    _unreachable(faults.hang(), "timeout"),
    _malformed(faults.cut_json()),
    _malformed(faults.misspelt_json()),
    _malformed(faults.without_operations()),
    _malformed(faults.status(200, body="html")),
    _malformed(faults.oversized(MAX_REPLY_BYTES + 1)),
    Row(faults.repeated_token(), "truncated", "200", 2),
]


def a_world() -> World:
    world = World.empty()
    world.put(an_operation(failed=2))
    return world


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.fault.name}-{row.outcome}-{row.requests}")
async def test_reaction(row: Row) -> None:
    """The poll ends as the table says, the last good numbers stay, and recovery is told once."""
    async with whole([a_world()], api={"timeout": 0.5}) as exporter:
        assert await exporter.poll()
        before = await exporter.scrape()
        exporter.clock.advance(60)
        exporter.simulator.journal.clear()
        exporter.simulator.faults.add(row.fault, call="list", times=None)

        assert not await exporter.poll()
        broken = await exporter.scrape()
        assert len(exporter.simulator.requests) == row.requests
        assert broken.polled() == before.polled() != ""
        assert broken.value("twilio_email_up") == 0
        assert broken.value("twilio_email_exporter_polls_total", outcome=row.outcome) == 1
        codes = broken.values("twilio_email_exporter_requests_total", call="list", code=row.code)
        assert sum(codes.values()) == row.requests + (row.code == "200")
        retries = broken.values("twilio_email_exporter_retries_total")
        assert sum(retries.values()) == (row.requests - 1 if row.retries else 0)
        if row.retries:
            assert broken.value("twilio_email_exporter_retries_total", reason=row.retries) == sum(
                retries.values()
            )
        assert len(exporter.logged("poll failed")) == 1
        await _recovers(exporter, before.polled())


async def _recovers(exporter: Whole, good: str) -> None:
    """With Twilio well again, after any hold, and told once."""
    exporter.simulator.faults.clear()
    exporter.clock.advance(301)
    assert await exporter.poll()
    assert await exporter.poll()
    exporter.clock.advance(10)
    again = await exporter.scrape()
    assert again.polled() == good
    assert again.value("twilio_email_up") == 1
    assert again.value("twilio_email_exporter_next_request_timestamp_seconds") == 0
    assert len(exporter.logged("poll recovered")) == 1


@pytest.mark.parametrize(("code", "reason"), [(429, "throttled"), (503, "unavailable")])
async def test_hold_beyond_the_poll_shows_and_is_obeyed(code: int, reason: str) -> None:
    """The metrics say until when, no poll sends anything before, and the log tells both ends of it."""
    async with whole([a_world()]) as exporter:
        exporter.simulator.faults.add(faults.status(code, retry_after=190))
        assert not await exporter.poll()
        held_until = exporter.clock.now() + 190
        shown = (await exporter.scrape()).value("twilio_email_exporter_next_request_timestamp_seconds")
        assert held_until <= shown <= held_until + 1
        for _ in range(2):
            exporter.clock.advance(60)
            assert not await exporter.poll()
        assert len(exporter.simulator.requests) == 1
        outcomes = (await exporter.scrape()).value("twilio_email_exporter_polls_total", outcome=reason)
        assert outcomes == 3
        exporter.clock.advance(71)
        assert (await exporter.scrape()).value("twilio_email_exporter_next_request_timestamp_seconds") == 0
        assert await exporter.poll()
        (begins,) = exporter.logged("until=2026-03-07T00:03:10.000Z")
        assert f"msg={reason} " in begins or f'msg="{reason}; Twilio asked for a pause"' in begins
        exporter.clock.advance(QUIET_SECONDS)
        assert await exporter.poll()
        assert len(exporter.logged(f'msg="no longer {reason}"')) == 1


async def test_rate_falls_by_half_and_climbs_back() -> None:
    """As the metric shows it: half after a burst of 429, the ceiling after enough successes."""
    async with whole([a_world()], api={"requests_per_second": 8}) as exporter:

        async def limit() -> float:
            return (await exporter.scrape()).value("twilio_email_exporter_request_rate_limit")

        assert await limit() == 8
        exporter.simulator.faults.add(faults.status(429, retry_after=1))
        assert await exporter.poll()
        assert await limit() == 4 + 8 / 20
        for _ in range(9):
            assert await exporter.poll()
        assert await limit() == 8


@pytest.mark.parametrize("code", [401, 403])
async def test_refused_credential_is_tried_ever_more_rarely(code: int) -> None:
    """The interval doubles to a quarter of an hour at the most, and is itself again at the first success."""
    async with whole([a_world()]) as exporter:
        refused = faults.status(code, body="flat")
        exporter.simulator.faults.add(refused, times=None)
        await exporter.run_for(3600)
        asked = [round((each.at - SATURDAY) / 60) for each in exporter.simulator.requests]
        assert asked == [0, 2, 6, 14, 29, 44, 59]
        exporter.simulator.faults.clear()
        exporter.simulator.journal.clear()
        await exporter.run_for(179)
        assert len(exporter.simulator.requests) == 3
