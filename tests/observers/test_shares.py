"""Shares, and what is normal."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.ledger.counters import ZERO
from exporter.ledger.hourly import Hour
from exporter.observers.deliveries import DeliveryHistory
from exporter.observers.shares import Share, normal_share, percent
from tests.support.clock import SATURDAY
from tests.support.states import snapshot_of


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (1, "100 %"), (0.48, "48 %"), (0.051, "5.1 %"), (0.9971, "99.71 %"), (0.99999, "99.99 %"),
     (0.00001, "0.01 %"), (0.985, "98.5 %")],
)  # fmt: skip
def test_percent(share: float, text: str) -> None:
    """No share but none is 0 %, and none but all is 100 %."""
    assert percent(share) == text


@given(st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_percent_is_close(share: float) -> None:
    """The text is within one of its own last digits."""
    shown = float(percent(share).removesuffix(" %"))
    assert 0 < shown < 100
    assert abs(shown - 100 * share) <= 0.51


def test_share_without_attempts() -> None:
    """Emails can fail without an attempt; none of none is no share."""
    assert Share(3, 0).value == 1
    assert Share(0, 0).value == 0
    assert Share(9, 3).value == 1


def hour(number: int, failed: int, attempts: int = 100) -> Hour:
    return Hour(SATURDAY + 3600 * number, 1, attempts, attempts, failed, 0)


def test_normal_share_is_a_median_of_days() -> None:
    """An incident of a day does not move it, and gaps count as hours without mail."""
    week = [hour(number, 2) for number in range(0, 168, 2)]
    assert normal_share(week, "failed", min_attempts=50) == pytest.approx(0.02)
    incident = [*week[:-12], *(hour(number, 90) for number in range(144, 168, 2))]
    assert normal_share(incident, "failed", min_attempts=50) == pytest.approx(0.02)


def test_normal_share_needs_history() -> None:
    """It is 0 for an account with too few days, or with too little mail."""
    assert normal_share([], "failed", min_attempts=50) == 0
    assert normal_share([hour(number, 50) for number in range(28)], "failed", min_attempts=50) == 0
    assert normal_share([hour(number, 50) for number in range(29)], "failed", min_attempts=50) == 0.5
    assert normal_share([hour(number, 1, 2) for number in range(168)], "failed", min_attempts=50) == 0


def test_late_deliveries_of_the_last_hours() -> None:
    """They are the differences of the counters of successive polls."""
    history = DeliveryHistory(max_gap=3600.0 * 5)

    def poll(minutes: int, late: int, delivered: int) -> tuple[Share, Share, Share]:
        counts = {**ZERO, ("late", ""): late, ("stat", "delivered"): delivered}
        return tuple(history.note(replace(snapshot_of([]), as_of=SATURDAY + 60 * minutes, counts=counts)))  # type: ignore[return-value]

    assert poll(0, 5, 100) == (Share(0, 0), Share(0, 0), Share(5, 100))
    assert poll(30, 15, 150) == (Share(10, 50), Share(10, 50), Share(5, 100))
    assert poll(90, 15, 250) == (Share(0, 100), Share(10, 150), Share(5, 100))
    assert poll(390, 16, 350) == (Share(1, 100), Share(1, 200), Share(15, 150))
    assert poll(380, 16, 350) == (Share(0, 0), Share(0, 0), Share(16, 350)), "the clock was set back"
    assert poll(381, 18, 352) == (Share(2, 2), Share(2, 2), Share(16, 350))
    assert poll(682, 30, 380) == (Share(0, 0), Share(0, 0), Share(30, 380)), "there was no poll for long"
