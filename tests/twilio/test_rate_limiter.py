"""When requests may leave, and at which rate."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from exporter.twilio.rate_limiter import FLOOR_PER_SECOND, STEPS, RateLimiter


def turn(rate_limiter: RateLimiter, now: float) -> float:
    """When a request may leave; again and again, as the client does, for a sum of floats may fall short."""
    while (wait := rate_limiter.delay(now)) > 0:
        now += wait
    return now


def departures(rate_limiter: RateLimiter, arrivals: list[float]) -> list[float]:
    """When each of some requests leaves, if they come one after the other."""
    now, left = 0.0, []
    for gap in arrivals:
        now = turn(rate_limiter, now + gap)
        rate_limiter.acquire(now)
        left.append(now)
    return left


@given(
    rate=st.floats(0.1, 100),
    arrivals=st.lists(st.floats(0, 10), min_size=1, max_size=60),
)
def test_no_second_sees_more_than_the_ceiling(rate: float, arrivals: list[float]) -> None:
    """Requests are spaced evenly, also after a quiet time: no burst."""
    left = departures(RateLimiter(rate), arrivals)
    assert all(later - earlier >= 1 / rate - 1e-6 for earlier, later in itertools.pairwise(left))


@given(holds=st.lists(st.floats(0, 100), min_size=1, max_size=5), arrivals=st.lists(st.floats(0, 1)))
def test_nothing_leaves_inside_a_hold(holds: list[float], arrivals: list[float]) -> None:
    """The longest hold counts, in whichever order they were asked for."""
    rate_limiter = RateLimiter(5)
    for until in holds:
        rate_limiter.pause(until)
    assert all(at >= max(holds) for at in departures(rate_limiter, arrivals))
    assert rate_limiter.paused_for(0.0) == max(holds)


def test_what_waited_for_a_hold_leaves_one_after_the_other() -> None:
    """The end of a hold is no starting gun."""
    rate_limiter = RateLimiter(5)
    rate_limiter.pause(30)
    assert departures(rate_limiter, [0.0] * 4) == pytest.approx([30, 30.2, 30.4, 30.6])


def test_a_burst_of_refusals_halves_once() -> None:
    """Requests under way together met the same moment; those sent afterwards tell of another."""
    rate_limiter = RateLimiter(8)
    for answered_at in (1.0, 1.1, 1.2):
        rate_limiter.throttled(0.9, answered_at)
    assert rate_limiter.requests_per_second == 4
    rate_limiter.throttled(1.3, 1.4)
    assert rate_limiter.requests_per_second == 2


def test_a_success_from_before_the_cut_does_not_raise() -> None:
    """It tells of the rate that was refused."""
    rate_limiter = RateLimiter(8)
    rate_limiter.throttled(0.9, 1.0)
    rate_limiter.succeeded(0.8)
    assert rate_limiter.requests_per_second == 4
    rate_limiter.succeeded(1.1)
    assert rate_limiter.requests_per_second == 4 + 8 / STEPS


@given(ceiling=st.floats(0.01, 100), refusals=st.integers(0, 40))
def test_the_ceiling_is_reached_again(ceiling: float, refusals: int) -> None:
    """However deep the fall, so many successes end it, and no more rate than the ceiling comes of more."""
    rate_limiter = RateLimiter(ceiling)
    for at in range(refusals):
        rate_limiter.throttled(at, at)
    assert rate_limiter.requests_per_second >= min(ceiling, FLOOR_PER_SECOND)
    for _ in range(STEPS + 1):
        rate_limiter.succeeded(refusals)
    assert rate_limiter.requests_per_second == ceiling


class RateLimiterMachine(RuleBasedStateMachine):
    """Whatever Twilio answers, in any order: bounds and holds stand."""

    @initialize(ceiling=st.floats(0.05, 100))
    def begin(self, ceiling: float) -> None:
        self.ceiling, self.now, self.held_until = ceiling, 0.0, 0.0
        self.rate_limiter = RateLimiter(ceiling)
        self.under_way: list[float] = []
        self.last_left = -1e9

    @rule(gap=st.floats(0, 30))
    def send(self, gap: float) -> None:
        """A request leaves as soon as it may."""
        self.now = turn(self.rate_limiter, self.now + gap)
        assert self.now >= self.held_until
        assert self.now - self.last_left >= 1 / self.ceiling - 1e-6
        self.rate_limiter.acquire(self.now)
        self.under_way.append(self.now)
        self.last_left = self.now

    @rule(seconds=st.floats(0, 60))
    def be_refused(self, seconds: float) -> None:
        """All that is under way gets 429."""
        before = self.rate_limiter.requests_per_second
        self.now += 0.001
        for left_at in self.under_way:
            self.rate_limiter.throttled(left_at, self.now)
            self.rate_limiter.pause(self.now + seconds)
            self.held_until = max(self.held_until, self.now + seconds)
        self.under_way.clear()
        assert self.rate_limiter.requests_per_second >= before / 2

    @rule()
    def be_accepted(self) -> None:
        """All that is under way is answered."""
        before = self.rate_limiter.requests_per_second
        for left_at in self.under_way:
            self.rate_limiter.succeeded(left_at)
        self.under_way.clear()
        assert self.rate_limiter.requests_per_second >= before

    @invariant()
    def rate_is_between_floor_and_ceiling(self) -> None:
        if hasattr(self, "rate_limiter"):
            assert (
                min(self.ceiling, FLOOR_PER_SECOND) <= self.rate_limiter.requests_per_second <= self.ceiling
            )


TestRateLimiterMachine = RateLimiterMachine.TestCase


def test_rate_is_what_was_asked_for() -> None:
    """The metric shows requests per second."""
    assert RateLimiter(4).requests_per_second == 4
