"""The clock of the tests: when sleeping tasks wake, without waiting."""

import asyncio
import threading

import pytest

from tests.support.clock import ManualClock


@pytest.mark.parametrize("settle_turns", [0, 20])
async def test_sleepers_wake_in_order_at_their_own_time(settle_turns: int) -> None:
    """Each task wakes at its own deadline, also if it starts to sleep while others do."""
    clock = ManualClock(settle_turns=settle_turns)
    woke: list[tuple[float, str]] = []

    async def sleeper(name: str, *naps: float) -> None:
        for nap in naps:
            await clock.sleep(nap)
            woke.append((clock.monotonic(), name))

    await asyncio.gather(sleeper("a", 2, 2), sleeper("b", 1, 2.5), sleeper("c", 9))
    assert woke == [(1, "b"), (2, "a"), (3.5, "b"), (4, "a"), (9, "c")]


async def test_cancelled_sleeper_does_not_stop_the_clock() -> None:
    """After a cancellation the next sleeper moves the clock."""
    clock = ManualClock(settle_turns=3)
    first, second = (asyncio.create_task(clock.sleep(seconds)) for seconds in (5, 7))
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert clock.monotonic() == 7


async def test_work_between_two_sleepers_is_not_overtaken() -> None:
    """Work that takes fewer iterations than `settle_turns` ends before time moves on."""
    clock = ManualClock(settle_turns=20)

    async def work() -> float:
        for _ in range(15):
            await asyncio.sleep(0)
        return clock.monotonic()

    ended, _ = await asyncio.gather(work(), clock.sleep(60))
    assert ended == 0
    assert clock.monotonic() == 60


async def test_work_of_another_thread_is_not_overtaken() -> None:
    """Simulated time waits for a thread, also if another task sleeps meanwhile."""
    clock = ManualClock(settle_turns=3)
    may_end = threading.Event()

    async def work() -> float:
        with clock.held():
            await asyncio.to_thread(may_end.wait)
        return clock.monotonic()

    async def let_it_end() -> None:
        for _ in range(100):
            await asyncio.sleep(0)
        may_end.set()

    ended, *_ = await asyncio.gather(work(), clock.sleep(60), let_it_end())
    assert ended == 0
    assert clock.monotonic() == 60
