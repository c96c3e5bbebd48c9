"""Scripted incidents, with the delay that docs/alerts.md promises."""

import re
from pathlib import Path

import pytest

from tests.support.incidents import ACCOUNT, INCIDENTS, Incident, delays, recorded
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
