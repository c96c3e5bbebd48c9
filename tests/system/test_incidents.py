"""Scripted incidents, from the simulated Twilio to the alert, with the delay that docs/alerts.md promises."""

import math
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pytest

from exporter.operation import Operation, Stats
from exporter.simulator.ids import new_id
from exporter.simulator.scenarios import SCENARIOS, Episode, Scenario
from exporter.simulator.world import World
from tests.support.clock import SATURDAY, ManualClock
from tests.support.program import ROOT
from tests.support.recording import Recording, scrape_for
from tests.support.whole import Whole, whole

HOUR: Final = 3600.0
CALM: Final = 2 * HOUR
"""Before each incident."""
STEADY: Final = SCENARIOS["steady"]
FOR_LONG: Final = Episode(after_seconds=0.0, for_seconds=30 * HOUR, every_seconds=300 * HOUR)
ACCOUNT: Final = "a0"


async def refuse(exporter: Whole) -> None:
    exporter.simulator.credential = (exporter.simulator.credential[0], "another secret")


async def refuse_writes(exporter: Whole) -> None:
    assert exporter.storage is not None
    storage = exporter.storage
    await storage._run(lambda: storage._opened().execute("PRAGMA query_only = 1").fetchone())


async def get_stuck(exporter: Whole) -> None:
    now = exporter.clock.now()
    exporter.simulator.world.put(Operation(new_id("stuck", now), "processing", now, now, Stats(total=10)))


async def nothing(exporter: Whole) -> None:
    """The scenario is trouble enough."""


@dataclass(frozen=True)
class Incident:
    what: str
    """As docs/alerts.md has it."""
    scenario: Scenario = STEADY
    begins: float = 0.0
    """Seconds after the calm; those of the scenario's episode."""
    strike: Callable[[Whole], Awaitable[None]] = nothing
    lasts: float = HOUR
    answers: bool = True
    alerts: tuple[str, ...] = ()


INCIDENTS: Final = (
    Incident(
        "the scenario `failure-spike`: 600 operations an hour, 80 % of their emails fail",
        SCENARIOS["failure-spike"],
        begins=120.0,
        lasts=0.5 * HOUR,
        alerts=("TwilioEmailFailedSpike",),
    ),
    Incident(
        "80 % of the usual mail fails",
        replace(
            STEADY,
            spike=FOR_LONG,
            spike_operations_per_hour=0.0,
            spike_mix=SCENARIOS["failure-spike"].spike_mix,
        ),
        alerts=("TwilioEmailFailedSpike",),
    ),
    Incident(
        "the scenario `undelivered-spike`: 600 operations an hour, 70 % of their emails bounce",
        SCENARIOS["undelivered-spike"],
        begins=120.0,
        lasts=0.5 * HOUR,
        alerts=("TwilioEmailUndeliveredSpike",),
    ),
    Incident(
        "70 % of the usual mail bounces",
        replace(
            STEADY,
            spike=FOR_LONG,
            spike_operations_per_hour=0.0,
            spike_mix=SCENARIOS["undelivered-spike"].spike_mix,
        ),
        lasts=2 * HOUR,
        alerts=("TwilioEmailUndeliveredSpike",),
    ),
    Incident(
        "an operation never leaves PROCESSING",
        strike=get_stuck,
        lasts=3 * HOUR,
        alerts=("TwilioEmailOperationStuck",),
    ),
    Incident(
        "Twilio answers 503, 500 and resets (the scenario `outage`, without its end)",
        replace(SCENARIOS["outage"], trouble_episode=FOR_LONG),
        alerts=("TwilioEmailPollFailing", "TwilioEmailDataStale"),
    ),
    Incident(
        "the scenario `rate-limited`: 429 for 20 seconds, every 2 minutes",
        SCENARIOS["rate-limited"],
        begins=60.0,
        alerts=("TwilioEmailThrottled",),
    ),
    Incident(
        "the credential is revoked",
        strike=refuse,
        alerts=("TwilioEmailUnauthorized", "TwilioEmailDataStale"),
    ),
    Incident(
        "the state file cannot be written",
        strike=refuse_writes,
        alerts=("TwilioEmailStateNotSaved",),
    ),
    Incident(
        "the exporter does not answer",
        answers=False,
        alerts=("TwilioEmailExporterAbsent",),
    ),
)


@pytest.mark.long
@pytest.mark.needs("promtool")
@pytest.mark.parametrize("incident", INCIDENTS, ids=lambda incident: re.sub(r"\W+", "-", incident.what))
async def test_incident_is_caught(incident: Incident, tmp_path: Path) -> None:
    """The right alerts fire for the right account, no other, and as soon as docs/alerts.md says."""
    clock = ManualClock(SATURDAY - CALM, settle_turns=40)
    recording = Recording(60.0, clock.now() + 30.0)
    world = World(incident.scenario, started=SATURDAY)
    state = tmp_path / "state.sqlite"
    started = clock.now()
    async with (
        whole([world], clock=clock, poll={"lookback": "6h"}, state=state) as exporter,
        exporter.running(),
    ):
        await scrape_for(CALM, exporter, recording, started)
        await incident.strike(exporter)
        if incident.answers:
            await scrape_for(incident.lasts, exporter, recording, started)
    for _ in range(0 if incident.answers else int(incident.lasts / recording.step)):
        recording.add(None)
    fired = recording.firing(tmp_path)
    begins = SATURDAY + incident.begins
    delays = {name: math.ceil((at - begins) / 60) for (name, _), at in fired.items()}
    assert set(delays) == set(incident.alerts)
    assert {account for _, account in fired} <= {ACCOUNT, ""}
    page = (ROOT / "docs" / "alerts.md").read_text()
    for name, minutes in delays.items():
        assert f"| {incident.what} | `{name}` | {minutes} min |" in page
