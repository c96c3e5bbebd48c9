"""A month of ordinary mail: whatever happens to the exporter and to Twilio, no alert about mail fires."""

from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from exporter.simulator.scenarios import SCENARIOS, Episode, Trouble
from exporter.simulator.world import World
from tests.support.clock import SATURDAY, ManualClock
from tests.support.recording import Recording, scrape_for
from tests.support.whole import whole

INTERVAL: Final = 300.0
"""Of polls, scrapes and evaluations. The shortest range of an alert on mail still holds three of them."""
HOUR: Final = 3600.0
DAY: Final = 24 * HOUR
STEADY: Final = replace(SCENARIOS["steady"], operations_per_hour=6.0)

# How a process ends, and how long none runs afterwards. Together 30 days and a few hours.
LIVES: Final[tuple[tuple[Trouble | None, Episode, float, float, bool], ...]] = (
    # scenario's trouble, its episode, days, hours down, keeps its state
    (None, Episode(0, 0, DAY), 2.0, 0.05, True),
    ("outage", Episode(5 * HOUR, 0.5 * HOUR, 16 * HOUR), 4.0, 0.5, True),
    ("rate-limited", Episode(2 * HOUR, 600.0, 3 * HOUR), 4.0, 3.0, True),
    ("outage", Episode(3 * HOUR, 6 * HOUR, 40 * HOUR), 5.0, 0.05, False),
    (None, Episode(0, 0, DAY), 1.0, 26.0, True),
    ("rate-limited", Episode(HOUR, 2400.0, 5 * HOUR), 6.0, 0.05, True),
    ("outage", Episode(8 * HOUR, 2 * HOUR, 21 * HOUR), 7.0, 0.05, True),
)
MAIL_ALERTS: Final = frozenset(
    {
        "TwilioEmailFailedSpike",
        "TwilioEmailUndeliveredSpike",
        "TwilioEmailBounceRateHigh",
        "TwilioEmailDeliverySlow",
        "TwilioEmailBacklog",
        "TwilioEmailOperationStuck",
        "TwilioEmailTrafficStopped",
    }
)


@pytest.mark.long
@pytest.mark.needs("promtool")
async def test_month_of_steady_traffic_fires_no_mail_alert(tmp_path: Path) -> None:
    """Restarts with and without a state, downtimes, outages and throttling are told, and are not mail."""
    clock = ManualClock(settle_turns=40)
    recording = Recording(INTERVAL, clock.now() + INTERVAL / 2)
    world = World(STEADY, started=SATURDAY)
    state = tmp_path / "state.sqlite"
    for trouble, episode, days, hours_down, keeps_state in LIVES:
        world.scenario = replace(STEADY, trouble=trouble, trouble_episode=episode)
        world.started = clock.now()
        poll = {"lookback": "1d", "interval": INTERVAL}
        async with (
            whole([world], clock=clock, api={"requests_per_second": 100}, poll=poll, state=state) as exporter,
            exporter.running(),
        ):
            await scrape_for(days * DAY, exporter, recording)
        if not keeps_state:
            state.unlink()
        for _ in range(round(hours_down * HOUR / INTERVAL)):
            recording.add(None)
            clock.advance(INTERVAL)
    assert recording.elapsed > 30 * DAY
    fired = {name for name, _ in recording.firing(tmp_path, INTERVAL)}
    assert not fired & MAIL_ALERTS
    assert fired >= {"TwilioEmailPollFailing", "TwilioEmailDataStale", "TwilioEmailExporterAbsent"}
