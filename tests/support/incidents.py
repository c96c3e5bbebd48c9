"""Scripted incidents: from the simulated Twilio through the whole exporter to the alerts, with delays."""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

from exporter.operation import Operation, Stats
from exporter.simulator.ids import new_id
from exporter.simulator.scenarios import SCENARIOS, Episode, Scenario
from exporter.simulator.world import World
from tests.support.clock import SATURDAY, ManualClock
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
class Evidence:
    """What must be true of the mail created since the incident began before anybody can know of it."""

    status: str
    emails: int
    share: float = 0.3
    """Of the attempts."""


TEN_FAILED: Final = Evidence("failed", 10)
TWENTY_UNDELIVERED: Final = Evidence("undelivered", 20)


@dataclass(frozen=True)
class Incident:
    what: str
    """As docs/alerts.md has it."""
    scenario: Scenario = STEADY
    hour: float = 0.0
    """Of the day; at night an account has 12 operations an hour, by day 48."""
    evidence: Evidence | None = None
    begins: float = 0.0
    """Seconds after the calm; those of the scenario's episode."""
    strike: Callable[[Whole], Awaitable[None]] = nothing
    lasts: float = HOUR
    poll_interval: float = 60.0
    answers: bool = True
    alerts: tuple[str, ...] = ()


def usual(name: str, operations_per_hour: float = 30.0) -> Scenario:
    """The mix of a scenario's spike, in the usual mail."""
    mix = SCENARIOS[name].spike_mix
    return replace(
        STEADY,
        operations_per_hour=operations_per_hour,
        spike=FOR_LONG,
        spike_operations_per_hour=0.0,
        spike_mix=mix,
    )


INCIDENTS: Final = (
    Incident(
        "the scenario `failure-spike`: 600 operations an hour, 80 % of their emails fail",
        SCENARIOS["failure-spike"],
        begins=120.0,
        lasts=0.5 * HOUR,
        evidence=TEN_FAILED,
        alerts=("TwilioEmailFailedSpike",),
    ),
    Incident(
        "80 % of the usual mail fails, by day (48 operations an hour)",
        usual("failure-spike"),
        hour=13.0,
        lasts=0.5 * HOUR,
        evidence=TEN_FAILED,
        alerts=("TwilioEmailFailedSpike",),
    ),
    Incident(
        "80 % of the usual mail fails, at night (12 operations an hour)",
        usual("failure-spike"),
        evidence=TEN_FAILED,
        alerts=("TwilioEmailFailedSpike",),
    ),
    Incident(
        "80 % of the mail of a small account fails (2 operations an hour)",
        usual("failure-spike", operations_per_hour=5.0),
        evidence=TEN_FAILED,
        lasts=3 * HOUR,
        alerts=("TwilioEmailFailedSpike",),
    ),
    Incident(
        "the scenario `undelivered-spike`: 600 operations an hour, 70 % of their emails bounce",
        SCENARIOS["undelivered-spike"],
        begins=120.0,
        lasts=0.5 * HOUR,
        evidence=TWENTY_UNDELIVERED,
        alerts=("TwilioEmailUndeliveredSpike",),
    ),
    Incident(
        "70 % of the usual mail bounces, by day (48 operations an hour)",
        usual("undelivered-spike"),
        hour=13.0,
        lasts=0.5 * HOUR,
        evidence=TWENTY_UNDELIVERED,
        alerts=("TwilioEmailUndeliveredSpike",),
    ),
    Incident(
        "70 % of the usual mail bounces, at night (12 operations an hour)",
        usual("undelivered-spike"),
        evidence=TWENTY_UNDELIVERED,
        alerts=("TwilioEmailUndeliveredSpike",),
    ),
    Incident(
        "70 % of the mail of a small account bounces (2 operations an hour)",
        usual("undelivered-spike", operations_per_hour=5.0),
        evidence=TWENTY_UNDELIVERED,
        lasts=3 * HOUR,
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


class Delay(NamedTuple):
    """An alert that fired; minutes, rounded up."""

    what: str
    alert: str
    account: str
    minutes: int
    after_evidence: int | None

    def row(self) -> str:
        """As docs/alerts.md has it."""
        evidence = "" if self.after_evidence is None else f"{self.after_evidence} min"
        return f"| {self.what} | `{self.alert}` | {self.minutes} min | {evidence} |"


async def recorded(incident: Incident, folder: Path) -> tuple[Recording, World]:
    """The scrapes of the whole exporter through a calm and the incident."""
    begins = SATURDAY + incident.hour * HOUR
    clock = ManualClock(begins - CALM, settle_turns=40)
    recording = Recording(60.0, clock.now() + 30.0)
    world = World(incident.scenario, started=begins)
    poll = {"lookback": "6h", "interval": incident.poll_interval}
    async with (
        whole([world], clock=clock, poll=poll, state=folder / "state.sqlite") as exporter,
        exporter.running(),
    ):
        await scrape_for(CALM, exporter, recording)
        await incident.strike(exporter)
        if incident.answers:
            await scrape_for(incident.lasts, exporter, recording)
    for _ in range(0 if incident.answers else int(incident.lasts / recording.step)):
        recording.add(None)
    return recording, world


def delays(
    incident: Incident, recording: Recording, world: World, folder: Path, promtool: str
) -> list[Delay]:
    begins = SATURDAY + incident.hour * HOUR + incident.begins
    known = None if incident.evidence is None else _known_at(incident.evidence, world, begins)
    return [
        Delay(
            incident.what,
            alert,
            account,
            math.ceil((at - begins) / 60),
            None if known is None else math.ceil((at - known) / 60),
        )
        for (alert, account), at in recording.firing(folder, promtool=promtool).items()
    ]


def _known_at(evidence: Evidence, world: World, begins: float) -> float:
    for seconds in range(0, int(3 * HOUR), 10):
        found = world.listed(begins, None, None, begins + seconds)
        emails = sum(getattr(each.stats, evidence.status) or 0 for each in found)
        attempts = sum(each.stats.attempts or 0 for each in found)
        if emails >= evidence.emails and emails >= evidence.share * attempts:
            return begins + seconds
    raise AssertionError("there is no evidence")
