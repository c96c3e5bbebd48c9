"""When accounts are polled, and how a scheduler that hangs is noticed."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.errors import Malformed, Refused, Truncated, TwilioError, Unauthorized, Unavailable
from exporter.events import Event, Observer, PollCrashed, PollScheduled
from exporter.observers.watchdog import SILENT_INTERVALS, Watchdog
from exporter.polling.scheduler import LONGEST_WAIT_SECONDS, Scheduler, first_poll_after
from tests.support.clock import SATURDAY, ManualClock


class Script:
    """A poll with scripted ends, the last of which repeats; notes when it began."""

    def __init__(self, clock: ManualClock, *ends: Exception | None) -> None:
        self.clock = clock
        self.ends = list(ends)
        self.began: list[float] = []
        self.renewed = False
        self.events: list[Event] = []
        self.listen: Observer = self.events.append

    async def poll(self) -> None:
        self.began.append(self.clock.monotonic())
        end = self.ends.pop(0) if len(self.ends) > 1 else self.ends[0]
        if end is not None:
            raise end

    async def has_renewed(self) -> bool:
        return self.renewed

    async def run(self, seconds: float, interval: float = 60.0) -> None:
        scheduler = Scheduler("a", self.poll, self.has_renewed, self.clock, self.listen, interval=interval)
        running = asyncio.create_task(scheduler.run())
        await self.clock.sleep(seconds)
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()


@given(accounts=st.integers(1, 200), interval=st.floats(1, 3600))
def test_first_polls_are_spread_over_the_interval(accounts: int, interval: float) -> None:
    """A single account starts at once; many start evenly, within one interval."""
    starts = [first_poll_after(index, accounts, interval) for index in range(accounts)]
    assert starts[0] == 0
    assert starts[-1] < interval
    assert all(later - earlier == pytest.approx(interval / accounts) for earlier, later in pairwise(starts))


RARE = [Unauthorized("no"), Malformed("?"), Refused("404"), Truncated("no end")]


@pytest.mark.parametrize("error", RARE, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(
    ("interval", "minutes"),
    [(60.0, [0, 2, 6, 14, 29, 44]), (300.0, [0, 10, 25, 40]), (1200.0, [0, 20, 40])],
)
async def test_failures_that_repeat_make_polls_rare(
    interval: float, minutes: list[int], error: TwilioError
) -> None:
    """Twice as long each time, at most 15 minutes, and never less than the interval."""
    script = Script(ManualClock(), error)
    await script.run(50 * 60, interval)
    assert [round(at / 60) for at in script.began] == minutes
    assert LONGEST_WAIT_SECONDS == 15 * 60


async def test_success_brings_the_interval_back() -> None:
    """And the next failure is the first one again."""
    script = Script(ManualClock(), Malformed("?"), Truncated("no end"), None, Malformed("?"), None)
    await script.run(11 * 60 - 1)
    assert [round(at / 60) for at in script.began] == [0, 2, 6, 7, 9, 10]


async def test_other_failures_keep_the_interval() -> None:
    """The next poll comes after one interval; but only a success says that the first failure is over."""
    script = Script(ManualClock(), Malformed("?"), Unavailable("ill"), Malformed("?"), None)
    await script.run(9 * 60 - 1)
    assert [round(at / 60) for at in script.began] == [0, 2, 3, 7, 8]


async def test_credential_in_use_is_left_alone_by_other_failures() -> None:
    """Only a refused one is read again between polls: a good one does not bring the next poll forward."""
    script = Script(ManualClock(), Malformed("?"))
    script.renewed = True
    await script.run(13 * 60)
    assert [round(at / 60) for at in script.began] == [0, 2, 6]


async def test_another_credential_is_tried_at_the_next_interval() -> None:
    """A corrected secret does not wait 15 minutes."""
    script = Script(ManualClock(settle_turns=5), *[Unauthorized("no")] * 4, None)

    async def renew() -> None:
        await script.clock.sleep(16 * 60 + 30)
        script.renewed = True

    await asyncio.gather(renew(), script.run(20 * 60 - 1))
    assert [round(at / 60) for at in script.began] == [0, 2, 6, 14, 17, 18, 19]


async def test_next_poll_is_announced_rightly_while_polls_are_rare() -> None:
    """The status page shows when the account is really polled again."""
    script = Script(ManualClock(), Unauthorized("no"))
    await script.run(13 * 60)
    announced = [
        round((each.next_poll_at - SATURDAY) / 60)
        for each in script.events
        if isinstance(each, PollScheduled)
    ]
    assert announced == [0, 2, 2, 6, 6, 6, 6, *[14] * 7]


async def test_internal_error_ends_only_the_poll() -> None:
    """The error is reported, and polling continues."""
    script = Script(ManualClock(), KeyError("oops"), None)
    await script.run(119)
    assert [type(each.error) for each in script.events if isinstance(each, PollCrashed)] == [KeyError]
    assert len(script.began) == 2


@pytest.mark.parametrize("end", [None, TwilioError("x"), Unauthorized("x"), KeyError("x")])
async def test_scheduler_shows_activity(end: Exception | None) -> None:
    """However its polls end, and however far apart they are."""
    script = Script(ManualClock(), end)
    watchdog = Watchdog(["a"], script.clock, interval=60, patience=0)
    script.listen = watchdog.observe
    await script.run(3600)
    assert watchdog.reason() is None


def test_silence_over_several_intervals_is_a_reason() -> None:
    """It names the account and the time; any event of that account ends it."""
    clock = ManualClock()
    watchdog = Watchdog(["a", "b"], clock, interval=60, patience=40)
    clock.advance(SILENT_INTERVALS * 60 + 40)
    assert watchdog.reason() is None
    watchdog.observe(PollScheduled("a", 0.0))
    clock.advance(1)
    assert watchdog.reason() == "the scheduler of account b has shown no activity for 341 s"
    watchdog.observe(PollScheduled("b", 0.0))
    assert watchdog.reason() is None
