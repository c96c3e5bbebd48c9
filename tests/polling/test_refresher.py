"""The breakdown of whole accounts, refreshed from the simulator between polls."""

from collections import Counter
from collections.abc import Sequence

import pytest

from exporter.breakdown import Breakdown
from exporter.events import BreakdownFinished, OperationErrorsUnsupported, PollFinished
from exporter.simulator import faults
from exporter.simulator.faults import Fault
from exporter.simulator.world import World
from tests.simulator.ask import an_operation
from tests.support.clock import SATURDAY
from tests.support.whole import Scrape, Whole, whole
from tests.twilio.test_client import NO_RETRY, RETRIED

BY = ("recipient_domain", "sender_domain", "tag:campaign")
ALL = {"by": BY, "lookback": 7 * 86400, "top": 100}


def a_world(operations: int = 3) -> World:
    """An operation an hour, each with five failed and two undelivered emails."""
    world = World.empty()
    for number in range(operations):
        world.put(an_operation(number, SATURDAY - 3600 * number - 1, failed=5, undelivered=2))
    return world


def shown(breakdown: Breakdown | None, dimension: str) -> Counter[tuple[str, str]]:
    """Emails by value and status, without zeros."""
    assert breakdown is not None
    return +Counter(
        {
            (row.value, status): getattr(row.bad, status)
            for row in breakdown.dimensions[dimension]
            for status in ("failed", "undelivered")
        }
    )


def breakdown_series(scrape: Scrape) -> str:
    names = ("domain_emails", "tag_emails", "operation_errors", "breakdown_complete")
    lines = [line for line in scrape.text.splitlines() if not line.startswith("#")]
    return "\n".join(line for line in lines if any(name in line for name in names))


def finished(exporter: Whole) -> list[BreakdownFinished]:
    return exporter.emitted(BreakdownFinished)


TIMESTAMP = "twilio_email_exporter_breakdown_last_success_timestamp_seconds"


async def test_refreshes_follow_their_schedule() -> None:
    """The first follows the first successful poll and brings the series; the next come each interval."""
    async with whole([a_world()], breakdown={**ALL, "interval": 300}) as exporter:
        exporter.simulator.faults.add(faults.status(500), call="list", times=2)
        before = await exporter.scrape()
        assert before.value(TIMESTAMP) == 0
        assert not breakdown_series(before)
        await exporter.run_for(1000)
        starts = [each.finished_at - each.duration_seconds for each in finished(exporter)]
        assert starts == pytest.approx([SATURDAY + 120 + 300 * n for n in range(3)], abs=2)
        scrape = await exporter.scrape()
        assert scrape.value(TIMESTAMP) == pytest.approx(starts[-1])
        assert scrape.value("twilio_email_exporter_breakdown_complete") == 1
        emails = scrape.values("twilio_email_recipient_domain_emails", status="failed")
        assert sum(emails.values()) == 15
        assert exporter.simulator.requests_by_call["emails"] == 6
        assert scrape.value("twilio_email_exporter_requests_total", call="emails", code="200") == 6


async def test_without_dimensions_nothing_is_different() -> None:
    """No refresher, no series and not one request, although the calls' counters are there at zero."""
    async with whole([a_world()], breakdown={"errors": True}) as exporter:
        await exporter.run_for(1000)
        assert not exporter.polling.refreshers
        scrape = await exporter.scrape()
        assert "breakdown" not in "".join(
            line
            for line in scrape.text.splitlines()
            if not line.startswith("# HELP twilio_email_exporter_in")
        )
        assert not breakdown_series(scrape)
        requests = exporter.simulator.requests_by_call
        assert {"emails", "errors"}.isdisjoint(requests)
        assert scrape.value("twilio_email_exporter_requests_total", call="emails", code="200") == 0


@pytest.mark.parametrize("requests_per_second", [0.2, 1.0, 5.0])
@pytest.mark.parametrize("concurrency", [1, 2])
async def test_polls_are_not_delayed(requests_per_second: float, concurrency: int) -> None:
    """Under a tight rate limiter each request of a poll leaves when it would leave without a breakdown."""
    at: list[Sequence[tuple[str, float]]] = []
    for breakdown in ({}, {**ALL, "interval": 60, "errors": True, "max_requests": 500}):
        world = a_world()
        world.put(
            *(an_operation(n, SATURDAY - n, queued=3)._replace(status="processing") for n in range(20, 30))
        )
        async with whole(
            [world],
            breakdown=breakdown,
            api={"requests_per_second": requests_per_second, "concurrency": concurrency},
        ) as exporter:
            await exporter.run_for(400)
            requests = exporter.simulator.requests
            polls = [(each.call, round(each.at, 3)) for each in requests if each.call in {"list", "fetch"}]
            at.append(polls)
            if breakdown:
                assert any(each.call == "emails" for each in requests)
    assert at[0] == at[1]


@pytest.mark.parametrize("fault", [faults.hang(), faults.slow(61.0)])
@pytest.mark.parametrize("concurrency", [1, 2])
async def test_reply_that_does_not_come_delays_no_poll(fault: Fault, concurrency: int) -> None:
    """A request that is in flight when the next poll is due is cancelled; the refresh fails in the end."""
    async with whole(
        [a_world()], breakdown={**ALL, "interval": 3600}, api={"concurrency": concurrency, "timeout": 3600}
    ) as exporter:
        exporter.simulator.faults.add(fault, call="emails", times=None)
        await exporter.run_for(400)
        starts = [each.at for each in exporter.simulator.requests if each.call == "list"]
        assert starts == [SATURDAY + 60 * n for n in range(7)]
        (refresh,) = finished(exporter)
        assert refresh.error is not None
        assert refresh.error.outcome == "unreachable"
        assert refresh.requests == 3
        scrape = await exporter.scrape()
        assert scrape.value("twilio_email_exporter_requests_total", call="emails", code="timeout") == 3
        assert scrape.value("twilio_email_up") == 1


async def test_cut_refresh_says_so() -> None:
    """Both statuses are cut alike, and the numbers are marked as lower bounds."""
    world = World.empty()
    world.put(an_operation(0, SATURDAY - 60, failed=3000, undelivered=3000))
    async with whole([world], breakdown={**ALL, "max_requests": 4}) as exporter:
        assert await exporter.poll()
        breakdown = await exporter.refresh()
        assert breakdown is not None
        assert breakdown.emails == (2000, 2000)
        assert (await exporter.scrape()).value("twilio_email_exporter_breakdown_complete") == 0
        assert exporter.simulator.requests_by_call["emails"] == 4


FAULTS = [
    *(fault for fault, *_ in NO_RETRY),
    *(fault for fault, *_ in RETRIED),
    faults.repeated_token(),
    faults.endless_tokens(),
    faults.status(429, retry_after=7200),
    faults.status(503, retry_after=7200),
    faults.tags([1]),
    faults.tags({"campaign": 7}),
    faults.addresses("a@b", 7),
    faults.wrong_type(("emails", 0, "updatedAt"), 7),
    faults.wrong_type(("emails",), {}),
    faults.wrong_type(("pagination",), 7),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_failed_refresh_keeps_the_last_numbers_and_leaves_polls_alone(fault: Fault) -> None:
    """The numbers stay with their timestamp, polls succeed, and the log has one line at each edge."""
    async with whole([a_world()], breakdown=ALL) as exporter:
        assert await exporter.poll()
        before = await exporter.refresh()
        series = breakdown_series(await exporter.scrape())
        exporter.simulator.world.put(an_operation(9, SATURDAY - 60, failed=50))
        exporter.simulator.faults.add(fault, call="emails", times=None)
        for _ in range(2):
            exporter.clock.advance(8000)
            assert await exporter.poll()
            assert await exporter.refresh() is before
        assert finished(exporter)[-1].error is not None
        scrape = await exporter.scrape()
        assert breakdown_series(scrape) == series
        assert scrape.value(TIMESTAMP) == SATURDAY
        assert scrape.value("twilio_email_exporter_polls_total", outcome="success") == 3
        assert len(exporter.logged("breakdown failed; the last numbers are kept")) == 1
        exporter.simulator.faults.clear()
        exporter.clock.advance(8000)
        assert await exporter.poll()
        assert shown(await exporter.refresh(), "sender_domain").total() == 21 + 50
        assert len(exporter.logged("breakdown recovered")) == 1
        assert [each.outcome for each in exporter.emitted(PollFinished)] == ["success"] * 4


async def test_repeated_rows_count_once() -> None:
    """By id, whatever pages say; tolerated forms give the same numbers."""
    async with whole([a_world()], breakdown=ALL) as exporter:
        assert await exporter.poll()
        usual = shown(await exporter.refresh(), "recipient_domain")
        for fault in (faults.duplicated_rows(), faults.wrapped_in_data(), faults.single_recipient()):
            exporter.simulator.faults.add(fault, call="emails", times=None)
            assert shown(await exporter.refresh(), "recipient_domain") == usual
            assert finished(exporter)[-1].error is None
            exporter.simulator.faults.clear()


async def test_retry_after_pauses_the_polls() -> None:
    """Politeness comes first: a pause that a breakdown met holds the next poll, too."""
    async with whole([a_world()], breakdown=ALL) as exporter:
        assert await exporter.poll()
        exporter.simulator.faults.add(faults.status(429, retry_after=500), call="emails")
        await exporter.refresh()
        exporter.clock.advance(60)
        assert not await exporter.poll()
        assert exporter.emitted(PollFinished)[-1].outcome == "throttled"
        exporter.clock.advance(500)
        assert await exporter.poll()


async def test_accounts_are_isolated() -> None:
    """One account whose emails cannot be read changes nothing for another."""
    async with whole([a_world(), a_world(1)], breakdown={**ALL, "interval": 120}) as exporter:
        exporter.simulators["a0"].faults.add(faults.status(403, body="flat"), call="emails", times=None)
        await exporter.run_for(700)
        outcomes = {
            name: [each.error for each in finished(exporter) if each.account == name] for name in ("a0", "a1")
        }
        assert all(outcomes["a0"])
        assert not any(outcomes["a1"])
        assert len(outcomes["a1"]) >= 5
        scrape = await exporter.scrape()
        assert scrape.value(TIMESTAMP, account="a0") == 0
        assert not scrape.values("twilio_email_sender_domain_emails", account="a0")
        assert sum(scrape.values("twilio_email_sender_domain_emails", account="a1").values()) == 7
        assert set(scrape.values("twilio_email_up").values()) == {1}


async def test_errors_of_the_worst_operations() -> None:
    """They are counted by code, and count towards the requests of the refresh."""
    async with whole([a_world()], breakdown={**ALL, "errors": True, "max_requests": 4}) as exporter:
        assert await exporter.poll()
        await exporter.refresh()
        scrape = await exporter.scrape()
        assert sum(scrape.values("twilio_email_operation_errors").values()) == 10, "two of three operations"
        assert scrape.value("twilio_email_exporter_breakdown_complete") == 0
        requests = exporter.simulator.requests_by_call
        assert (requests["emails"], requests["errors"]) == (2, 2)


@pytest.mark.parametrize("fault", [faults.status(404), faults.status(400), faults.status(200, body="html")])
async def test_errors_that_twilio_does_not_give_are_switched_off(fault: Fault) -> None:
    """One log line; the rest of the breakdown is complete, and they are not requested again."""
    async with whole([a_world()], breakdown={**ALL, "errors": True}) as exporter:
        exporter.simulator.faults.add(fault, call="errors", times=None)
        assert await exporter.poll()
        for _ in range(3):
            assert await exporter.refresh() is not None
        assert exporter.simulator.requests_by_call["errors"] == 1
        assert len(exporter.emitted(OperationErrorsUnsupported)) == 1
        assert len(exporter.logged("errors of operations are not available")) == 1
        assert not any(each.error or each.errors_error for each in finished(exporter))
        scrape = await exporter.scrape()
        assert not scrape.values("twilio_email_operation_errors")
        assert scrape.value("twilio_email_exporter_breakdown_complete") == 1


async def test_errors_that_fail_for_now_are_left_out() -> None:
    """Older errors are not shown under a newer timestamp; the rest is published, and the edges are logged."""
    async with whole([a_world()], breakdown={**ALL, "errors": True}) as exporter:
        assert await exporter.poll()
        assert await exporter.refresh() is not None
        exporter.simulator.faults.add(faults.status(500), call="errors", times=2)
        for _ in range(2):
            exporter.clock.advance(1)
            breakdown = await exporter.refresh()
            assert breakdown is not None
            assert breakdown.errors is None
            assert breakdown.as_of == pytest.approx(exporter.clock.now(), abs=1)
        assert not (await exporter.scrape()).values("twilio_email_operation_errors")
        assert len(exporter.logged("reading the errors of operations failed")) == 1
        assert (await exporter.refresh()) is not None
        assert (await exporter.scrape()).values("twilio_email_operation_errors")
        assert len(exporter.logged("reading the errors of operations recovered")) == 1


async def test_mistake_of_ours_does_not_end_the_refresher(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is counted and logged without its text; polls and the next refresh go on."""
    async with whole([a_world()], breakdown={**ALL, "interval": 120}) as exporter:
        publish = exporter.hub.statuses.publish_breakdown
        failures = iter([ValueError("jane.doe@example.com")])

        def stumble(account: str, breakdown: Breakdown) -> None:
            for error in failures:
                raise error
            publish(account, breakdown)

        monkeypatch.setattr(exporter.hub.statuses, "publish_breakdown", stumble)
        await exporter.run_for(200)
        assert len(finished(exporter)) == 1
        assert len(exporter.logged("internal error; the breakdown continues")) == 1
        assert "jane.doe" not in exporter.log.getvalue()
        scrape = await exporter.scrape()
        assert scrape.value("twilio_email_exporter_internal_errors_total") == 1
        assert scrape.value("twilio_email_up") == 1


async def test_hanging_scheduler_is_noticed_although_the_breakdown_goes_on() -> None:
    """The events of refreshes are no sign of life of the polls."""
    async with whole([a_world()], breakdown=ALL) as exporter:
        assert await exporter.poll()
        exporter.clock.advance(3000)
        exporter.polling.refreshers[0]._precedence._free_until = exporter.clock.monotonic() + 60
        assert await exporter.refresh() is not None
        assert exporter.hub.watchdog.reason() is not None


@pytest.mark.parametrize(("lookback", "most"), [(86400, 2), (7 * 86400, 10)])
async def test_cost_of_a_million_emails_a_week(lookback: float, most: int) -> None:
    """With 1 % bad mail a refresh takes far fewer than 20 requests."""
    world = World.empty()
    for number in range(1000):
        age = 7 * 86400 * (number + 0.5) / 1000
        world.put(an_operation(number, SATURDAY - age, delivered=990, failed=5, undelivered=5))
    async with whole([world], breakdown={**ALL, "lookback": lookback}) as exporter:
        assert await exporter.poll()
        breakdown = await exporter.refresh()
        assert breakdown is not None
        assert breakdown.complete
        assert breakdown.emails.total == pytest.approx(10_000 * lookback / (7 * 86400), rel=0.01)
        assert exporter.simulator.requests_by_call["emails"] == most
