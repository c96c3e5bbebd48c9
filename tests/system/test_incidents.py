"""Scripted incidents, with the delay that docs/alerts.md promises."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from tests.support.incidents import ACCOUNT, HOUR, INCIDENTS, Incident, delays, recorded
from tests.support.program import ROOT
from tests.support.promtool import VERSIONS, promtool


@pytest.mark.long
@pytest.mark.needs("promtool")
@pytest.mark.parametrize("incident", INCIDENTS, ids=lambda incident: re.sub(r"\W+", "-", incident.what))
async def test_incident_is_caught(incident: Incident, tmp_path: Path) -> None:
    """The right alerts fire for the right account, no other, and as soon as docs/alerts.md says.

    The page has the times of Prometheus 2. Ranges of Prometheus 3 hold one sample less, which shifts an alert
    by one evaluation at most.
    """
    recording, world = await recorded(incident, tmp_path)
    page = (ROOT / "docs" / "alerts.md").read_text()
    documented: dict[str, int] = {}
    for version in VERSIONS:
        found = delays(incident, recording, world, tmp_path, promtool(version))
        assert {each.alert for each in found} == set(incident.alerts)
        assert {each.account for each in found} <= {ACCOUNT, ""}
        if not documented:
            assert all(each.row() in page for each in found)
            documented = {each.alert: each.minutes for each in found}
        assert all(abs(each.minutes - documented[each.alert]) <= 1 for each in found)


QUARTER: Final = 900.0
SELDOM: Final = [
    replace(each, poll_interval=QUARTER, lasts=2.5 * HOUR)
    for each in INCIDENTS
    if re.search("by day|outage|revoked|cannot be written", each.what)
]


@pytest.mark.long
@pytest.mark.needs("promtool")
@pytest.mark.parametrize("incident", SELDOM, ids=lambda incident: re.sub(r"\W+", "-", incident.what))
async def test_incident_is_caught_with_a_poll_every_quarter_of_an_hour(
    incident: Incident, tmp_path: Path
) -> None:
    """The same alerts fire, a poll later at most; data is stale after five polls instead of 15 minutes."""
    recording, world = await recorded(incident, tmp_path)
    page = (ROOT / "docs" / "alerts.md").read_text()
    found = delays(incident, recording, world, tmp_path, promtool("2"))
    assert {each.alert for each in found} == set(incident.alerts)
    for each in found:
        (usual,) = re.findall(
            rf"^\| {re.escape(each.what)} \| `{each.alert}` \| (\d+) min", page, re.MULTILINE
        )
        later = 5 * QUARTER if each.alert == "TwilioEmailDataStale" else QUARTER
        assert each.minutes <= int(usual) + later / 60
