"""From a spike to its cause: the breakdown and `explain` against the simulator's truth."""

import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from exporter.breakdown import OTHER, Breakdown
from exporter.simulator.scenarios import SCENARIOS, Mix, Scenario
from exporter.simulator.world import World
from tests.monitoring.test_dashboards import as_filled_in_by_grafana, expressions, panel_of
from tests.support.clock import SATURDAY
from tests.support.program import tool
from tests.support.questions import explained
from tests.support.truth import true_counts
from tests.support.whole import Scrape, Whole, whole

DAY: Final = 86_400.0
BY: Final = ("recipient_domain", "sender_domain", "tag:campaign")
AFTER_THE_SPIKE: Final = 780.0

each_culprit = pytest.mark.parametrize(
    ("name", "status", "dimension", "culprit"),
    [
        ("recipient-domain-bounces", "undelivered", "recipient_domain", "yahoo.com"),
        ("sender-refused", "failed", "sender_domain", "offers.shop.example"),
        ("campaign-bad-addresses", "undelivered", "tag:campaign", "win-back"),
    ],
)


@asynccontextmanager
async def refreshing(
    world: World, *, poll: Mapping[str, Any] | None = None, **breakdown: Any
) -> AsyncIterator[Whole]:
    """An exporter without a rate limit, so that the world stands still during a refresh."""
    async with whole([world], breakdown={"by": BY, **breakdown}, poll=poll) as exporter:
        (rate_limiter,) = exporter.polling._rate_limiters.values()
        rate_limiter._rate = rate_limiter._ceiling = 1e9
        yield exporter


def world_of(name: str, **changes: Any) -> World:
    return World(replace(SCENARIOS[name], **changes), started=SATURDAY)


@each_culprit
async def test_explain_names_the_culprit(name: str, status: str, dimension: str, culprit: str) -> None:
    """Without a setting, for the last hour and for the top failing operation; the counts are true."""
    world = world_of(name)
    async with whole([world]) as exporter:
        exporter.clock.advance(AFTER_THE_SPIKE)
        await exporter.poll()
        (answer,) = await explained(exporter)
        assert answer.breakdown
        now = exporter.clock.now()
        for each in (*BY, "tag:category"):
            assert_true(answer.breakdown, each, true_counts(world, each, now - 3600, now, now))
        first, second, *_ = answer.breakdown.dimensions[dimension]
        assert first.value == culprit
        assert getattr(first.bad, status) > 3 * getattr(second.bad, status)
        (worst, *_) = snapshot_of(exporter).top_failing
        (answer,) = await explained(exporter, operation_id=worst.id, lookback=7 * DAY)
        assert answer.breakdown
        assert answer.breakdown.emails == (worst.stats.failed, worst.stats.undelivered)


def snapshot_of(exporter: Whole) -> Any:
    (status,) = exporter.hub.statuses.accounts.values()
    return status.snapshot


def assert_true(breakdown: Breakdown, dimension: str, truth: Counter[tuple[str, str]]) -> None:
    """The values with the most emails, by the rule of the contract, and the sum of all others."""
    *shown, other = breakdown.dimensions[dimension]
    totals = Counter[str]()
    for (value, _), emails in truth.items():
        totals[value] += emails
    ranked = sorted(totals, key=lambda value: (-totals[value], value))
    assert [row.value for row in shown] == ranked[: len(shown)]
    assert other.value == OTHER
    for place, status in enumerate(("failed", "undelivered")):
        for row in shown:
            assert row.bad[place] == truth[row.value, status]
        rest = sum(truth[value, status] for value in ranked[len(shown) :])
        assert other.bad[place] == rest
        assert breakdown.emails[place] == sum(truth[value, status] for value in ranked)


@pytest.mark.long
@each_culprit
async def test_counts_are_true_after_every_refresh_of_a_day(
    name: str, status: str, dimension: str, culprit: str
) -> None:
    """In each scenario, by every dimension; and from the first spike on the culprit leads."""
    world = world_of(name)
    async with refreshing(world, poll={"lookback": DAY}, max_requests=100) as exporter:
        for _ in range(24):
            exporter.clock.advance(3600 - exporter.clock.monotonic() % 3600)
            await exporter.poll()
            breakdown = await exporter.refresh()
            assert breakdown
            assert breakdown.complete
            assert breakdown.as_of == exporter.clock.now()
            for each in BY:
                truth = true_counts(world, each, breakdown.as_of - DAY, breakdown.as_of, breakdown.as_of)
                assert_true(breakdown, each, truth)
            first, *_ = breakdown.dimensions[dimension]
            assert first.value == culprit


@each_culprit
@pytest.mark.needs("promtool")
async def test_dashboard_names_the_culprit(
    tmp_path: Path, name: str, status: str, dimension: str, culprit: str
) -> None:
    """The first bar of its panel is the culprit, with the true number of emails."""
    world = world_of(name)
    async with refreshing(world) as exporter:
        exporter.clock.advance(AFTER_THE_SPIKE)
        await exporter.poll()
        await exporter.refresh()
        page = await exporter.scrape()
        now = exporter.clock.now()
        emails = true_counts(world, dimension, now - DAY, now, now)[culprit, status]
        title = f"{status.title()}, by {dimension.partition(':')[0].replace('_', ' ')}"
        labels = {"tag": "campaign", "value": culprit} if ":" in dimension else {dimension: culprit}
        ask(tmp_path, page, title, labels, emails)


def ask(tmp_path: Path, page: Scrape, title: str, labels: Mapping[str, str], emails: int) -> None:
    """The greatest sample of the panel's query has these labels and this value."""
    (expression,) = expressions(panel_of(title))
    series = [
        {
            "series": f'{line.rpartition("}")[0]}, job="mail", instance="a"}}',
            "values": line.rpartition(" ")[2],
        }
        for line in page.text.splitlines()
        if line.startswith(
            ("twilio_email_recipient_domain", "twilio_email_sender_domain", "twilio_email_tag")
        )
    ]
    shown = ", ".join(f'{label}="{value}"' for label, value in labels.items())
    test = {
        "input_series": series,
        "promql_expr_test": [
            {
                "expr": f"topk(1, {as_filled_in_by_grafana(expression)})",
                "eval_time": "0m",
                "exp_samples": [{"labels": f"{{{shown}}}", "value": emails}],
            }
        ],
    }
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump({"tests": [test]}))
    done = subprocess.run(
        [tool("promtool") or "", "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


MILLION_A_WEEK: Final[Scenario] = replace(
    SCENARIOS["steady"],
    operations_per_hour=113.0,
    mix=Mix(failed_share=0.005, undelivered_share=0.005, scheduled_share=0.0),
)


async def test_a_refresh_of_a_million_emails_a_week_is_cheap() -> None:
    """With 1 % of them bad a refresh takes at most 20 requests, and lists all."""
    world = World(MILLION_A_WEEK, started=SATURDAY)
    async with refreshing(world, poll={"lookback": DAY}) as exporter:
        await exporter.poll()
        emails = sum(totals.stat("total") for totals in snapshot_of(exporter).window.values())
        assert emails > 130_000
        breakdown = await exporter.refresh()
        assert breakdown
        assert breakdown.complete
        assert 0.007 < breakdown.emails.total / emails < 0.015
        assert exporter.simulator.requests_by_call["emails"] <= 20


async def requests_of_an_hour(*by: str) -> dict[str, int]:
    async with whole(
        [world_of("sender-refused", operations_per_hour=5.0)],
        api={"requests_per_second": 100.0},
        breakdown={"by": by},
    ) as exporter:
        await exporter.run_for(3600)
        return exporter.simulator.requests_by_call


async def test_no_request_more_without_a_breakdown() -> None:
    """Only polls make requests while `breakdown.by` is empty; a breakdown takes none away from them."""
    without, with_breakdown = await requests_of_an_hour(), await requests_of_an_hour(*BY)
    assert without.keys() == {"list", "fetch"}
    assert with_breakdown.pop("emails") >= 2 * 11
    assert with_breakdown == without
