"""Loops that turn, and one that has died."""

import asyncio

from exporter.supervisor import Supervisor
from tests.support.whole import logging_to


async def turn() -> None:
    await asyncio.Event().wait()


async def stumble() -> None:
    raise ZeroDivisionError


async def test_nothing_is_dead_before_the_start_nor_while_all_turn() -> None:
    """The probe may be asked at any time."""
    tasks = Supervisor()
    assert tasks.dead() is None
    async with tasks.running({"one": turn(), "another": turn()}):
        await asyncio.sleep(0)
        assert tasks.dead() is None


async def test_loop_that_raises_is_named_and_told() -> None:
    """The others go on."""
    tasks = Supervisor()
    with logging_to("info", "logfmt") as log:
        async with tasks.running({"one": turn(), "another": stumble()}) as (one, _):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert tasks.dead() == "another has stopped unexpectedly"
            assert not one.done()
    (line,) = log.getvalue().splitlines()
    assert "level=critical" in line
    assert "in stumble" in line
    assert "ZeroDivisionError" in line


async def test_end_cancels_all_and_says_nothing() -> None:
    """A loop that is told to stop has not died a death to tell of."""
    with logging_to("info", "logfmt") as log:
        async with Supervisor().running({"one": turn()}) as tasks:
            await asyncio.sleep(0)
        assert tasks[0].cancelled()
    assert log.getvalue() == ""
