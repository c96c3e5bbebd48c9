"""Which dates a poll asks for."""

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.ledger.saved import ListedInterval, ListedIntervals
from exporter.polling.window import SETTLING_SECONDS, Listing, Range, listed

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
NOW = 1_772_841_600.0

WEEK = Listing(lookback=7 * DAY, recent=2 * HOUR, sweep_interval=15 * MINUTE, page_size=1000)


def poll(
    listing: Listing, now: float, listed_intervals: ListedIntervals, *, older: int, spacing: float = MINUTE
) -> tuple[tuple[Range, ...], ListedIntervals]:
    ranges = listing.ranges(now, listed_intervals, older_operations=older, spacing=spacing)
    return ranges, listed(listed_intervals, ranges, now, listing.start(now))


def test_first_poll_lists_the_whole_window() -> None:
    """Without anything known, all of it is due."""
    assert WEEK.ranges(NOW, (), older_operations=0, spacing=MINUTE) == (Range(NOW - 7 * DAY, NOW),)


@pytest.mark.parametrize("older", [0, 1, 1000])
def test_small_account_is_read_whole_on_every_poll(older: int) -> None:
    """An account that fits on one page costs one listing."""
    _, listed_intervals = poll(WEEK, NOW, (), older=0)
    ranges, _ = poll(WEEK, NOW + MINUTE, listed_intervals, older=older)
    assert ranges == (Range(NOW + MINUTE - 7 * DAY, NOW + MINUTE),)


def test_large_account_lists_the_recent_part_and_one_slice() -> None:
    """Two pages of older operations make two slices, a poll each."""
    _, listed_intervals = poll(WEEK, NOW, (), older=0)
    now = NOW + MINUTE
    ranges, listed_intervals = poll(WEEK, now, listed_intervals, older=2000)
    older = 7 * DAY - 2 * HOUR
    assert ranges == (Range(now - 2 * HOUR, now), Range(now - 7 * DAY, now - 7 * DAY + older / 2))
    ranges, listed_intervals = poll(WEEK, now + MINUTE, listed_intervals, older=2000)
    assert ranges[1].start == pytest.approx(now - 7 * DAY + older / 2)


def test_slices_are_no_more_than_polls_of_a_sweep() -> None:
    """A million operations make 13 slices of a 15-minute sweep, not a thousand."""
    _, listed_intervals = poll(WEEK, NOW, (), older=0)
    ranges, _ = poll(WEEK, NOW + MINUTE, listed_intervals, older=1_000_000)
    assert ranges[1].end - ranges[1].start == pytest.approx((7 * DAY - 2 * HOUR) / 13)


def test_recent_part_reaches_back_over_an_outage() -> None:
    """After five hours of failures the recent part begins where the last success ended."""
    _, listed_intervals = poll(WEEK, NOW, (), older=0)
    ranges, _ = poll(WEEK, NOW + 5 * HOUR, listed_intervals, older=5000)
    assert ranges[0] == Range(NOW - SETTLING_SECONDS, NOW + 5 * HOUR)
    assert len(ranges) == 2, "and the sweep goes on with one slice, not with everything at once"


def test_longer_lookback_lists_what_was_never_listed() -> None:
    """The part that a longer window adds is due at once."""
    day = Listing(lookback=DAY, recent=2 * HOUR, sweep_interval=15 * MINUTE, page_size=1000)
    _, listed_intervals = poll(day, NOW, (), older=0)
    now = NOW + MINUTE
    ranges, listed_intervals = poll(WEEK, now, listed_intervals, older=50_000)
    assert ranges[-1].start == now - 7 * DAY
    assert ranges[-1].end >= NOW - DAY
    assert listed_intervals[0].start == now - 7 * DAY


def test_clock_set_back_lists_the_window_again() -> None:
    """An interval that was listed in the future is ignored."""
    _, listed_intervals = poll(WEEK, NOW + 30 * DAY, (), older=0)
    ranges, listed_intervals = poll(WEEK, NOW, listed_intervals, older=5000)
    assert ranges == (Range(NOW - 7 * DAY, NOW),)
    assert listed_intervals == (ListedInterval(NOW - 7 * DAY, NOW - SETTLING_SECONDS, NOW),)


def test_interval_longer_than_the_sweep_lists_everything() -> None:
    """With no poll to spare there is one slice."""
    _, listed_intervals = poll(WEEK, NOW, (), older=0)
    ranges, _ = poll(WEEK, NOW + HOUR, listed_intervals, older=1_000_000, spacing=HOUR)
    assert ranges == (Range(NOW + HOUR - 7 * DAY, NOW + HOUR),)


listings = st.builds(
    Listing,
    lookback=st.floats(10 * MINUTE, 7 * DAY),
    recent=st.floats(MINUTE, 12 * HOUR),
    sweep_interval=st.floats(5 * MINUTE, HOUR),
    page_size=st.just(1000),
)


@settings(max_examples=150)
@given(
    listing=listings,
    interval=st.floats(5.0, 5 * MINUTE),
    older=st.lists(st.integers(0, 100_000), min_size=20, max_size=80),
)
def test_no_instant_stays_unlisted_for_longer_than_the_sweep_interval(
    listing: Listing, interval: float, older: list[int]
) -> None:
    """Whatever the account's size does in between; compared with instants tracked one by one."""
    seen = {NOW - listing.lookback + listing.lookback * i / 200: -math.inf for i in range(201)}
    listed_intervals: ListedIntervals = ()
    for number, count in enumerate(older):
        now = NOW + number * interval
        seen = {at: when for at, when in seen.items() if at >= listing.start(now)}
        if number:
            stale = [at for at, when in seen.items() if now - when > max(listing.sweep_interval, interval)]
            assert not stale
        ranges, listed_intervals = poll(listing, now, listed_intervals, older=count, spacing=interval)
        assert list(ranges) == sorted(ranges, reverse=True)
        assert all(listing.start(now) <= each.start < each.end <= now for each in ranges)
        assert len(ranges) <= 2, "one listing for the recent part, one for a slice"
        for each in ranges:
            seen |= {at: now for at in seen if each.start <= at <= each.end}
        seen[now] = now


@given(listing=listings, older=st.integers(0, 10**6), minutes=st.lists(st.integers(1, 600), max_size=8))
def test_listed_intervals_are_disjoint_and_few(listing: Listing, older: int, minutes: list[int]) -> None:
    """A handful of listed intervals inside the window describe the past."""
    now = NOW
    listed_intervals: ListedIntervals = ()
    for each in minutes:
        now += each * MINUTE
        _, listed_intervals = poll(listing, now, listed_intervals, older=older)
        assert all(one.end <= next_.start for one, next_ in itertools.pairwise(listed_intervals))
        assert all(listing.start(now) <= one.start < one.end <= now for one in listed_intervals)
