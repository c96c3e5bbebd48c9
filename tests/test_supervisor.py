"""Background tasks: running, crashed and cancelled."""

import asyncio

from exporter.supervisor import Supervisor
from tests.support.whole import logging_to


async def wait_forever() -> None:
    await asyncio.Event().wait()


async def fail() -> None:
    raise ZeroDivisionError


async def test_nothing_is_dead_before_the_start_or_while_all_run() -> None:
    """The health probe works at any time."""
    tasks = Supervisor()
    assert tasks.dead() is None
    async with tasks.running({"one": wait_forever(), "another": wait_forever()}):
        await asyncio.sleep(0)
        assert tasks.dead() is None


async def test_crashed_task_is_named_and_logged() -> None:
    """The crash is logged with the name of the task, and the other tasks continue."""
    tasks = Supervisor()
    with logging_to("info", "logfmt") as log:
        async with tasks.running({"one": wait_forever(), "another": fail()}) as (one, _):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert tasks.dead() == "another has stopped unexpectedly"
            assert not one.done()
    (line,) = log.getvalue().splitlines()
    assert "level=critical" in line
    assert "in fail" in line
    assert "ZeroDivisionError" in line
    assert "task=another" in line


async def test_end_cancels_all_and_logs_nothing() -> None:
    """A cancelled task is not logged as a crash."""
    with logging_to("info", "logfmt") as log:
        async with Supervisor().running({"one": wait_forever()}) as tasks:
            await asyncio.sleep(0)
        assert tasks[0].cancelled()
    assert log.getvalue() == ""
