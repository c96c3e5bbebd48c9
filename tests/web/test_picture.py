"""The picture of the mail by the hour."""

import re

from hypothesis import given
from hypothesis import strategies as st

from exporter.ledger.hourly import Hour
from exporter.web.picture import picture
from tests.support.clock import SATURDAY

WEEK = 7 * 86400.0


def hour(hours_ago: int, total: int, failed: int = 0, undelivered: int = 0) -> Hour:
    return Hour(SATURDAY - 3600 * hours_ago, 1, total, total, failed, undelivered)


def rectangles(path: str) -> list[tuple[int, float, float]]:
    """Place, bottom and height of each bar of a path."""
    return [
        (int(place), 100 - float(bottom), float(bottom) - float(top))
        for place, bottom, top in re.findall(r"M(\d+) ([\d.]+)V([\d.]+)h1V\2z", path)
    ]


def test_bars_have_the_height_of_the_numbers() -> None:
    """The highest hour fills the picture; undelivered emails are on top of the failed ones."""
    seen = picture([hour(2, 200), hour(1, 400, 100, 40)], SATURDAY + 60, WEEK)
    assert seen.width == 169
    assert rectangles(seen.total) == [(166, 0, 50), (167, 0, 100)]
    assert rectangles(seen.failed) == [(167, 0, 25)]
    assert rectangles(seen.undelivered) == [(167, 25, 10)]
    assert rectangles(seen.failed_share) == [(167, 0, 25)]
    assert rectangles(seen.undelivered_share) == [(167, 25, 10)]


def test_trouble_at_night_shows_in_the_shares() -> None:
    """An hour with little mail is a dot beside the hours of the day."""
    seen = picture([hour(20, 100_000), hour(3, 20, 15)], SATURDAY + 60, WEEK)
    assert rectangles(seen.failed) == []
    assert rectangles(seen.failed_share) == [(165, 0, 75)]


def test_description_has_the_numbers() -> None:
    """It says the same as the picture, for people who do not see it."""
    seen = picture([hour(30, 200), hour(1, 400, 100, 40), hour(0, 3, 3)], SATURDAY + 60, WEEK)
    assert seen.description == (
        "Emails by the hour in which their operation was created, from 2026-02-28 00:00 to 2026-03-07 01:00"
        " UTC: 603 in all, 103 failed, 40 undelivered; at most 400 in one hour."
        " Highest share: 35 % of 400 attempts failed or undelivered, created in the hour from"
        " 2026-03-06 23:00 UTC."
    )


def test_empty_account() -> None:
    """Nothing is drawn, and that is said."""
    seen = picture([], SATURDAY, WEEK)
    assert seen.total == seen.failed == seen.undelivered == seen.worst == ""
    assert "0 in all, 0 failed, 0 undelivered; at most 0 in one hour." in seen.description


def test_short_window_is_a_short_picture() -> None:
    """Hours that are not counted are not drawn as empty."""
    seen = picture([hour(2, 1)], SATURDAY + 60, 86400.0)
    assert seen.width == 25
    assert [(each.hour, each.day) for each in seen.midnights] == [(0, "Fri 6"), (24, "Sat 7")]


@given(
    st.dictionaries(st.integers(-3, 200), st.tuples(*[st.integers(0, 5000)] * 4), max_size=60),
    st.floats(0, 3599),
)
def test_nothing_is_drawn_outside(hours: dict[int, tuple[int, ...]], second: float) -> None:
    """Whatever the numbers: also where an hour has more failed emails than emails, or lies in the future."""
    some = [Hour(SATURDAY - 3600 * ago, 1, *numbers) for ago, numbers in hours.items()]
    seen = picture(some, SATURDAY + second, WEEK)
    for path in (seen.total, seen.failed, seen.undelivered, seen.failed_share, seen.undelivered_share):
        for place, bottom, height in rectangles(path):
            assert 0 <= place < seen.width
            assert 0 <= bottom <= 100
            assert 0 <= bottom + height <= 100.001
        assert path.count("M") == len(rectangles(path))
