"""`check`: whether the credential works, what polling will cost, and what to change."""

import io
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter import app
from exporter.clock import SystemClock
from exporter.config.settings import Api, Settings
from exporter.polling.check import clock_text, take_sample
from exporter.polling.estimate import HIGHEST_RATE, WAYS, Limits, Sample, Way, estimate, recommend
from exporter.polling.window import Listing
from exporter.simulator import faults
from exporter.simulator.readings import Readings, States
from exporter.simulator.scenarios import SCENARIOS
from exporter.simulator.server import CREDENTIAL, Simulator
from exporter.simulator.world import World
from tests.simulator.ask import an_operation
from tests.support.clock import ManualClock
from tests.support.rig import rigged

WEEK = 7 * 86400.0
LISTING = Listing(WEEK, 7200.0, 900.0, 1000)
LIMITS = Limits(60.0, 5.0, 2)
SMALL = Sample(WEEK, operations=900, scheduled=3, processing=1, request_seconds=0.2)


def test_small_account_costs_one_request_and_its_fetches() -> None:
    """Everything fits one page."""
    cost = estimate(SMALL, LISTING, LIMITS)
    assert (cost.list_requests, cost.fetch_requests, cost.first_poll_requests) == (1, 4, 5)
    assert cost.requests_per_minute == 5
    assert cost.fits


def test_sample_stands_for_the_window() -> None:
    """An hour of 6,000 operations is a week of a million: about 80 list requests a minute."""
    hour = Sample(3600.0, operations=5952, scheduled=0, processing=9, request_seconds=0.2)
    cost = estimate(hour, LISTING, LIMITS)
    assert cost.operations == pytest.approx(1e6, rel=0.001)
    assert cost.fetch_requests == 9
    assert 80 <= cost.list_requests <= 95
    assert cost.first_poll_requests == 1009


@given(
    operations=st.integers(0, 2_000_000),
    processing=st.integers(0, 5000),
    seconds=st.floats(0, 5),
    rate=st.floats(0.1, 100),
    concurrency=st.integers(1, 50),
)
def test_what_is_advised_would_do(
    operations: int, processing: int, seconds: float, rate: float, concurrency: int
) -> None:
    """The advised rate makes the poll fit; the advised interval is never shorter than the present one."""
    sample = Sample(WEEK, operations, 0, processing, seconds)
    limits = replace(LIMITS, requests_per_second=rate, concurrency=concurrency)
    cost = estimate(sample, LISTING, limits)
    if cost.fits:
        return
    assert cost.sufficient_interval > limits.interval
    if cost.sufficient_rate is not None:
        assert cost.sufficient_rate > rate
        enough = replace(limits, requests_per_second=cost.sufficient_rate)
        assert estimate(sample, LISTING, enough).fits


STEADY = Sample(86400.0, operations=714, scheduled=16, processing=1, request_seconds=0.2)


def test_each_way_has_its_cost() -> None:
    """A page of scheduled operations replaces 112 fetches, or five pages do if they are filtered last."""
    costs = {way: estimate(STEADY, LISTING, LIMITS, way) for way in WAYS}
    assert [cost.poll_requests for cost in costs.values()] == [115, 3, 2]
    assert [cost.poll_requests_at_most for cost in costs.values()] == [115, 7, 2]
    assert costs["fewest"].first_poll_requests == costs["none"].first_poll_requests == 5


def recommended(sample: Sample, limits: Limits = LIMITS) -> tuple[Way, str]:
    return recommend({way: estimate(sample, LISTING, limits, way) for way in WAYS})


def test_recommendation_is_the_freshest_way_that_fits() -> None:
    """`fewest` where it saves requests, `all` where it saves none, `none` where only the listing fits."""
    assert recommended(STEADY) == ("fewest", "as fresh as all, with 112.0 fewer requests per minute")
    assert recommended(replace(SMALL, scheduled=0, processing=0))[0] == "all"
    assert recommended(STEADY, replace(LIMITS, requests_per_second=0.05))[0] == "none"
    assert recommended(STEADY, replace(LIMITS, requests_per_second=0.01))[0] == "fewest", "none of them fits"


@given(
    operations=st.integers(0, 2_000_000),
    scheduled=st.integers(0, 5000),
    processing=st.integers(0, 5000),
    rate=st.floats(0.1, 100),
)
def test_fewest_is_never_more(operations: int, scheduled: int, processing: int, rate: float) -> None:
    """Than `all`, nor less than `none`; and what is recommended fits if any way does."""
    sample = Sample(WEEK, operations, scheduled, processing, 0.1)
    limits = replace(LIMITS, requests_per_second=rate)
    costs = {way: estimate(sample, LISTING, limits, way) for way in WAYS}
    every, fewest, none = (costs[way].poll_requests for way in WAYS)
    assert none <= fewest <= every
    best = costs[recommend(costs).way]
    assert best.fits or not any(cost.fits for cost in costs.values())


def fresh(count: int = 1, status: str = "completed") -> World:
    """Operations of the last minutes by the real clock, which a command has."""
    world = World.empty()
    now = SystemClock().now()
    for number in range(count):
        operation = an_operation(number, now - 600 - number)
        world.put(operation._replace(status=status))
    return world


def test_advice_stays_within_bounds() -> None:
    """No rate is advised that the settings would refuse; and a listing that cannot keep up is seen."""
    crowded = estimate(replace(SMALL, processing=10_000, request_seconds=0.0), LISTING, LIMITS)
    assert crowded.sufficient_rate is None
    assert not crowded.overruns
    with pytest.raises(ValueError, match="less than or equal to 100"):
        Api(requests_per_second=HIGHEST_RATE + 1)
    assert estimate(
        replace(SMALL, operations=2_000_000), LISTING, replace(LIMITS, requests_per_second=1)
    ).overruns


async def check(settings: Mapping[str, Any]) -> tuple[int, str]:
    out = io.StringIO()
    code = await app.check(Settings.model_validate(settings), out=out)
    return code, out.getvalue()


def account(name: str, secret: str = CREDENTIAL[1]) -> dict[str, str]:
    return {"name": name, "account_sid": CREDENTIAL[0], "auth_token": secret}


async def test_good_account() -> None:
    """One request, exit code 0, and the numbers."""
    async with Simulator(fresh(7), SystemClock()) as simulator:
        code, said = await check({"api": {"base_url": simulator.base_url}, "accounts": [account("shop")]})
    assert code == 0
    assert said.splitlines()[0] == "account shop: the credential works"
    assert "1 per poll (1 to list, 0 to fetch), 1.0 per minute" in said
    assert "it fits" in said
    assert "poll.fetch: all: 1 per poll, 1.0 per minute, fits; in use" in said
    assert "recommended: poll.fetch=all: " in said
    assert said.splitlines()[-1] == "accounts checked: 1, requests made: 1"


@pytest.mark.parametrize("states", ["exclusive", "cumulative"])
async def test_reading_is_shown_with_its_evidence(states: States) -> None:
    """As the operations of the sample support it."""
    world = World(SCENARIOS["steady"], started=0.0, readings=Readings(states))
    async with Simulator(world, SystemClock()) as simulator:
        _, said = await check({"api": {"base_url": simulator.base_url}, "accounts": [account("shop")]})
    shown = re.search(
        r"the reading is (\w+): (\d+) operations against cumulative states, (\d+) against", said
    )
    assert shown is not None
    against_cumulative, against_exclusive = int(shown[2]), int(shown[3])
    assert shown[1] == states
    assert (against_cumulative >= 10) == (states == "exclusive")
    assert (against_exclusive >= 10) == (states == "cumulative")


async def test_each_account_has_its_own_verdict() -> None:
    """One that is refused makes the exit code 1 and hides none of the others; no secret is printed."""
    async with Simulator(fresh(), SystemClock()) as simulator:
        accounts = [account("good"), account("bad", "not-the-right-one")]
        code, said = await check({"api": {"base_url": simulator.base_url}, "accounts": accounts})
    assert code == 1
    assert "account good: the credential works" in said
    assert "account bad: the credential does not work: Twilio answered 401" in said
    assert "not-the-right-one" not in said


@pytest.mark.parametrize("secret", [CREDENTIAL[1], "not-the-right-one"])
async def test_key_and_base_url_are_shown(secret: str) -> None:
    """Of an API key its SID, whatever comes of it; the secret never."""
    key = "SK" + "0123456789abcdef" * 2
    async with Simulator(fresh(), SystemClock(), credential=(key, CREDENTIAL[1])) as simulator:
        by_key = {"name": "shop", "api_key": key, "api_key_secret": secret}
        _, said = await check({"api": {"base_url": simulator.base_url}, "accounts": [by_key]})
        assert said.splitlines()[1] == f"  credential: {key} at {simulator.base_url}"
    assert secret not in said


@pytest.mark.parametrize(
    ("skews", "text"),
    [
        ([], "not compared, because no reply has a date"),
        ([1.4, 0.6], "within 2 s of Twilio's"),
        ([-1.2], "within 2 s of Twilio's"),
        ([5.2, 4.1], "4 s ahead of Twilio's"),
        ([-4000.0], "4,000 s behind Twilio's; synchronise it"),
        ([86500.0, -0.0], "within 2 s of Twilio's"),
    ],
)
def test_clock_skew_is_the_smallest_one_measured(skews: list[float], text: str) -> None:
    """A slow reply makes it look larger."""
    assert clock_text(skews) == f"local clock: {text}"


async def test_error_code_and_clock_skew_are_shown() -> None:
    """Also when Twilio refuses the credential: a wrong clock has other symptoms, which look like it."""
    async with Simulator(fresh(), ManualClock(SystemClock().now() - 300.0)) as simulator:
        settings = {"api": {"base_url": simulator.base_url}, "accounts": [account("bad", "wrong")]}
        code, said = await check(settings)
    assert code == 1
    assert "does not work: Twilio answered 401 (error 20003): " in said
    assert re.search(r"^local clock: 3\d\d s ahead of Twilio's; synchronise it$", said, re.MULTILINE)


async def test_wrong_base_url_is_suspected() -> None:
    """Where there is no listing."""
    async with Simulator(fresh(), SystemClock()) as simulator:
        url = simulator.base_url.replace("/v1", "/v2")
        code, said = await check({"api": {"base_url": url}, "accounts": [account("shop")]})
    assert code == 1
    assert "Twilio answered 404: no such API at this URL; check api.base_url (malformed)" in said


async def test_other_shards_accounts_are_not_asked() -> None:
    """As with `run`."""
    async with Simulator(fresh(), SystemClock()) as simulator:
        settings = {"api": {"base_url": simulator.base_url}, "accounts": [account("a"), account("b")]}
        said = [await check({**settings, "shard": f"{index}/2"}) for index in range(2)]
    assert sum(text.count("works") for _, text in said) == 2


async def test_outage_is_not_blamed_on_the_credential() -> None:
    """It could not be tested."""
    async with Simulator(fresh(), SystemClock()) as simulator:
        simulator.faults.add(faults.status(500))
        code, said = await check({"api": {"base_url": simulator.base_url}, "accounts": [account("a")]})
    assert code == 1
    assert "the credential could not be tested: Twilio answered 500 (unavailable)" in said


async def test_poll_that_does_not_fit_says_what_to_change() -> None:
    """Exit code 1, with an interval and a rate that would do."""
    async with Simulator(fresh(300, "processing"), SystemClock()) as simulator:
        api = {"base_url": simulator.base_url, "requests_per_second": 2}
        code, said = await check({"api": api, "accounts": [account("a")]})
    assert code == 1
    assert "it does not fit, some operations would be fetched in later polls" in said
    assert "set poll.interval to 189s or more, or api.requests_per_second to 7 or more" in said


@pytest.mark.parametrize("name", ["steady", "busy"])
async def test_sample_is_near_the_truth(name: str) -> None:
    """For little and for much traffic, with at most four requests to find out."""
    clock = ManualClock()
    world = World(SCENARIOS[name], started=clock.now())
    async with rigged(world, clock) as rig:
        sample = await take_sample(rig.client, clock, WEEK, 10.0)
        assert sample.complete
        assert sample.span_seconds < WEEK
        assert sum(rig.requests().values()) <= 4
        truth = SCENARIOS[name].operations_per_hour * 24 * 7
        assert estimate(sample, LISTING, LIMITS).operations == pytest.approx(truth, rel=0.2)


@pytest.mark.parametrize("way", WAYS)
async def test_forecast_is_what_a_poll_then_costs(way: Way) -> None:
    """The second poll, when the first has told how much there is."""
    clock = ManualClock()
    readings = Readings(status_filter="before_cutting")
    world = World(SCENARIOS["steady"], started=clock.now(), readings=readings)
    async with rigged(world, clock, fetch=way) as rig:
        cost = estimate(await take_sample(rig.client, clock, WEEK, 10.0), LISTING, LIMITS, way)
        await rig.poll()
        rig.requests()
        clock.advance(60)
        await rig.poll()
        made = rig.requests()
    assert abs(made["list"] - cost.list_requests - cost.filtered_requests) <= 1
    assert cost.fetch_requests / 3 <= made["fetch"] <= cost.fetch_requests, "rather too many than too few"


async def test_more_than_a_page_in_every_span_is_said_to_be_at_least() -> None:
    """What could not be counted is not claimed."""
    async with Simulator(fresh(2), SystemClock()) as simulator:
        simulator.faults.add(faults.empty_page(), times=None)
        _, said = await check({"api": {"base_url": simulator.base_url}, "accounts": [account("a")]})
    assert "at least 0 in the window" in said
    assert "requests made: 4" in said
