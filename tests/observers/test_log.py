"""What the log shows of a whole exporter's polls."""

from pathlib import Path

from exporter.simulator import faults
from tests.simulator.ask import a_world, an_operation
from tests.support.clock import SATURDAY, ManualClock
from tests.support.whole import whole


async def test_first_success_shows_the_operations_that_the_gauges_show() -> None:
    """Listed rows that were dropped are not among them."""
    async with whole([a_world(3)]) as exporter:
        ancient = an_operation("ancient", SATURDAY - 30 * 86400)
        exporter.simulator.faults.add(faults.extra_rows(ancient), call="list")
        assert await exporter.poll()
        (logged,) = exporter.logged("first poll succeeded")
        assert "listed_operations=4 tracked_operations=3" in logged
        assert (await exporter.scrape()).value("twilio_email_exporter_tracked_operations") == 3


async def test_first_success_after_a_restart_does_not_look_like_a_loss(tmp_path: Path) -> None:
    """The first poll lists the recent part; the operations restored from the state are still there."""
    clock, state = ManualClock(settle_turns=40), tmp_path / "state.sqlite"
    world = a_world(3000, first_at=SATURDAY - 6 * 86400, step_seconds=170.0)
    for _ in range(2):
        async with whole([world], clock=clock, state=state) as exporter:
            assert await exporter.poll()
            clock.advance(60)
    assert "tracked_operations=3000" in exporter.logged("state restored")[0]
    (logged,) = exporter.logged("first poll succeeded")
    assert "tracked_operations=3000" in logged
    assert "listed_operations=3000" not in logged
