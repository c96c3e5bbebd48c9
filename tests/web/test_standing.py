"""What the status page says about the role of its process."""

import pytest

from exporter.observers.activity import Role, Standing
from exporter.web.status_page import status_page
from tests.support.clock import SATURDAY
from tests.support.states import WEEK, State, one_account


def page(state: State, standing: Standing | None) -> str:
    return status_page(
        state.statuses.accounts.values(),
        state.verdicts.current(SATURDAY + 100),
        version="1.2.3",
        telemetry_path="/metrics",
        now=SATURDAY + 100,
        lookback=WEEK,
        standing=standing,
    )


@pytest.mark.parametrize(
    ("standing", "told"),
    [
        (Standing(Role.ACTIVE, SATURDAY), "This exporter is the active one since <time"),
        (Standing(Role.STANDBY, SATURDAY, "<pod>/1"), "&lt;pod&gt;/1 is active since <time"),
        (Standing(Role.CUT_OFF, SATURDAY, problem="a < b"), "2026-03-07 00:00:00 UTC</time>: a &lt; b."),
    ],
)
def test_page_tells_who_is_active_and_since_when(standing: Standing, told: str) -> None:
    """And why nobody is, as far as this process knows."""
    text = page(one_account(), standing)
    assert told in text
    assert "2026-03-07 00:00:00 UTC" in text
    assert ("Top failing" in text) == (standing.role is not Role.STANDBY)


def test_standby_is_not_told_as_a_trouble() -> None:
    """Its headline is not red."""
    text = page(one_account(), Standing(Role.STANDBY, SATURDAY, "pod/1"))
    assert '<h1 class="wait">Standing by: another exporter is active</h1>' in text
    assert "shop" not in text


def test_with_a_state_file_there_is_nothing_to_tell() -> None:
    """The page is as it was."""
    assert "active" not in page(one_account(), None)
