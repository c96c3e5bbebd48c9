"""When requests may leave."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from exporter.pace import Pace


def departures(pace: Pace, arrivals: list[float]) -> list[float]:
    """When each of some requests leaves, if they come one after the other."""
    now, left = 0.0, []
    for gap in arrivals:
        now += gap
        now += max(0.0, pace.wait(now))
        pace.take(now)
        left.append(now)
    return left


@given(
    rate=st.floats(0.1, 100),
    arrivals=st.lists(st.floats(0, 10), min_size=1, max_size=60),
)
def test_no_second_sees_more_than_the_ceiling(rate: float, arrivals: list[float]) -> None:
    """Requests are spaced evenly, also after a quiet time: no burst."""
    left = departures(Pace(rate), arrivals)
    assert all(later - earlier >= 1 / rate - 1e-6 for earlier, later in itertools.pairwise(left))


@given(holds=st.lists(st.floats(0, 100), min_size=1, max_size=5), arrivals=st.lists(st.floats(0, 1)))
def test_nothing_leaves_inside_a_hold(holds: list[float], arrivals: list[float]) -> None:
    """The longest hold counts, in whichever order they were asked for."""
    pace = Pace(5)
    for until in holds:
        pace.hold(until)
    assert all(at >= max(holds) for at in departures(pace, arrivals))
    assert pace.held_for(0.0) == max(holds)


def test_rate_is_what_was_asked_for() -> None:
    """The metric shows requests per second."""
    assert Pace(4).requests_per_second == 4
