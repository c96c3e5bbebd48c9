"""A watch: its cost, its end, and failures on the way."""

import re
from pathlib import Path

import pytest

from exporter.observation.watching import MAX_ROUNDS, SHORTEST_ROUND_SECONDS, Plan
from exporter.simulator import faults
from exporter.simulator.readings import Readings
from exporter.simulator.scenarios import SCENARIOS
from exporter.simulator.server import Simulator
from exporter.simulator.world import World
from tests.observation.watched import SECONDS, Terminal, a_busy_world, watched
from tests.simulator.ask import a_world
from tests.support.clock import SATURDAY


@pytest.mark.parametrize("name", ["steady", "busy", "campaigns", "slow-providers"])
async def test_requests_are_as_few_as_announced(name: str, tmp_path: Path) -> None:
    """It says first how many requests it will send, and sends hardly more."""
    found = await watched(World(SCENARIOS[name], started=SATURDAY), tmp_path)
    announced = re.match(r"watching for 600 s with about (\d+) requests, at most (\d+)", found.out)
    assert announced
    assert abs(found.requests - int(announced[1])) <= 5
    assert sum(found.report["requests"].values()) <= int(announced[2])


@pytest.mark.parametrize("seconds", [60.0, 600.0, 86400.0])
def test_a_plan_is_polite(seconds: float) -> None:
    """A round takes half a minute or more, and a long watch has a bounded number of them."""
    plan = Plan(seconds)
    assert plan.round_seconds >= SHORTEST_ROUND_SECONDS
    assert plan.rounds <= MAX_ROUNDS + 1
    assert (plan.rounds - 1) * plan.round_seconds <= seconds
    assert plan.rounds < plan.expected_requests < plan.max_requests


async def test_the_number_of_requests_is_bounded(tmp_path: Path) -> None:
    """Pages without end use up the requests, and no more; what was learned before is shown."""
    found = await watched(
        a_busy_world(),
        tmp_path,
        prepare=lambda simulator: simulator.faults.add(faults.endless_tokens(), times=None),
    )
    assert found.requests <= Plan(SECONDS).max_requests
    assert found.report["failures"] == {"out of requests": 1}
    assert found.answer("states") is None
    assert found.report["seconds"] < SECONDS


@pytest.mark.parametrize("after", [10.0, 100.0, 599.0])
async def test_it_stops_with_what_it_has(after: float, tmp_path: Path) -> None:
    """Ctrl-C ends it at once with the answers of the time before, and exit code 0."""
    found = await watched(a_busy_world(), tmp_path, stop_after=after)
    assert found.code == 0
    assert found.report["interrupted"]
    assert found.report["seconds"] <= after
    assert found.answer("states") == "exclusive"
    assert "Is startDate inclusive?\n  inclusive" in found.out


async def test_progress_on_a_terminal(tmp_path: Path) -> None:
    """A terminal shows a line that is written over; a file shows none."""
    terminal = await watched(a_busy_world(), tmp_path, err=Terminal())
    assert "\r600 of 600 s: " in terminal.err
    assert terminal.err.count("\r") == 21
    assert terminal.err.endswith("\n")
    assert (await watched(a_busy_world(), tmp_path)).err == ""


async def test_failures_on_the_way(tmp_path: Path) -> None:
    """A listing that fails is counted, and the watch continues."""

    def prepare(simulator: Simulator) -> None:
        for fault in (faults.status(500), faults.cut_json()):
            simulator.faults.add(faults.slow(0.001), times=12)
            simulator.faults.add(fault)

    found = await watched(a_busy_world(), tmp_path, prepare=prepare)
    assert found.code == 0
    assert found.report["failures"] == {"malformed": 1, "unavailable": 1}
    assert found.report["seconds"] == SECONDS
    assert "failed: " in found.out
    assert found.answer("states") == "exclusive"


async def test_it_obeys_retry_after(tmp_path: Path) -> None:
    """A 429 in the middle pauses it, and it continues."""

    def prepare(simulator: Simulator) -> None:
        simulator.faults.add(faults.slow(0.001), times=15)
        simulator.faults.add(faults.status(429, retry_after=20))

    found = await watched(a_busy_world(), tmp_path, prepare=prepare)
    assert found.code == 0
    assert found.report["requests"]["429"] == 1
    assert found.report["failures"] == {}


@pytest.mark.parametrize("code", [401, 403, 500])
async def test_a_first_failure_ends_it(code: int, tmp_path: Path) -> None:
    """Without a first listing there is nothing to watch: exit code 1, and the reason."""
    found = await watched(
        a_busy_world(),
        tmp_path,
        prepare=lambda simulator: simulator.faults.add(faults.status(code), times=None),
    )
    assert found.code == 1
    assert f"Twilio answered {code}" in found.err
    assert found.requests == 1
    assert all(answer["answer"] is None for answer in found.report["answers"].values())


async def test_a_credential_that_is_refused_later_ends_it(tmp_path: Path) -> None:
    """The answers so far are printed and written, and the exit code is 1."""

    def prepare(simulator: Simulator) -> None:
        simulator.faults.add(faults.slow(0.001), times=25)
        simulator.faults.add(faults.status(401), times=None)

    found = await watched(a_busy_world(), tmp_path, prepare=prepare)
    assert found.code == 1
    assert 0 < found.report["seconds"] < SECONDS
    assert found.answer("states") == "exclusive"


@pytest.mark.parametrize("operations", [0, 1, 3, 9])
async def test_a_small_account(operations: int, tmp_path: Path) -> None:
    """Few operations answer few questions; each other one has its reason."""
    found = await watched(a_world(operations), tmp_path)
    assert found.code == 0
    unanswered = {key: each for key, each in found.report["answers"].items() if each["answer"] is None}
    assert {"states", "stats_after_completed", "listed_after"} <= unanswered.keys()
    assert all(each["note"] for each in unanswered.values())
    assert ("order" in unanswered) == (operations < 10)
    assert ("start_date" in unanswered) == (operations < 3)
    assert ("page_filters" in unanswered) == (operations < 6)


@pytest.mark.parametrize("ahead", [-600.0, 600.0])
async def test_a_wrong_clock_and_a_first_listing_that_fits(ahead: float, tmp_path: Path) -> None:
    """The first listing has the right age, too, although no reply has shown the difference before it."""
    world = a_world(12, first_at=SATURDAY - 90)
    found = await watched(world, tmp_path, seconds_ahead=ahead)
    assert (found.answer("listed_after") or "").startswith("at once")


@pytest.mark.parametrize("ahead", [-600.0, 600.0])
@pytest.mark.parametrize("delay", [0.0, 40.0])
async def test_a_wrong_clock_changes_nothing(ahead: float, delay: float, tmp_path: Path) -> None:
    """Ages are measured by the `Date` of replies, so that a machine whose clock is wrong finds the same."""
    found = await watched(a_busy_world(Readings(listed_after_seconds=delay)), tmp_path, seconds_ahead=ahead)
    assert found.code == 0
    *shortest, longest = map(float, re.findall(r"\d+\.\d", found.answer("listed_after") or ""))
    assert sum(shortest) <= delay < longest < delay + 40
