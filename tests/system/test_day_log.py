"""The log of a simulated day at level `info`: short, and it names every trouble of the day."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from exporter.errors import StateError
from exporter.operation import Operation, Stats
from exporter.simulator import faults
from exporter.simulator.faults import Fault
from exporter.simulator.reply import Reply, operation_json
from exporter.simulator.scenarios import Episode, Mix, Scenario
from exporter.simulator.world import World
from tests.support.clock import SATURDAY
from tests.support.operations import IDS
from tests.support.whole import Whole, whole

HOUR: Final = 3600.0
NEVER: Final = 1e9
STEADY: Final = Scenario(
    "steady", "", operations_per_hour=5.0, diurnal_swing=0.0, most_emails=60, mix=Mix(late_share=0.01)
)
SHOP: Final = replace(
    STEADY,
    spike=Episode(2 * HOUR, HOUR, NEVER),
    spike_mix=Mix(failed_share=0.8, scheduled_share=0.0),
    spike_operations_per_hour=40.0,
)
NEWSLETTER: Final = replace(
    STEADY,
    spike=Episode(5 * HOUR, HOUR, NEVER),
    spike_mix=Mix(undelivered_share=0.7, bounce_within_seconds=40.0, scheduled_share=0.0),
    spike_operations_per_hour=40.0,
    trouble="rate-limited",
    trouble_episode=Episode(12 * HOUR, 30 * 60.0, NEVER),
)
STUCK: Final = Operation(
    IDS[0], "processing", SATURDAY + 13 * HOUR, SATURDAY + 13 * HOUR, Stats(total=9, attempts=9, sent=9)
)
FETCH_OF_STUCK: Final = Fault("stuck", lambda reply: Reply(reply.at).with_json(operation_json(STUCK)))


async def test_log_of_a_day(tmp_path: Path) -> None:
    """Mail that fails, bounces and is late; polls that fail, are throttled and refused; a full disk."""
    worlds = [World(SHOP, started=SATURDAY), World(NEWSLETTER, started=SATURDAY)]
    async with whole(worlds, poll={"interval": 300.0}, state=tmp_path / "state.sqlite") as exporter:
        async with exporter.running():
            await day(exporter)
        lines = exporter.log.getvalue().splitlines()
    assert len(lines) < 20, "\n".join(lines)
    said = [(account(line), message(line)) for line in lines]
    for trouble in (
        ("a0", r"mail is failing: \d+ % of attempts in the last \S+( minutes)?"),
        ("a1", r"mail is bouncing: \d+ % of attempts undelivered in the last .*"),
        ("a1", r"mail is late: an operation has been processing for (2h|12\dm)"),
        ("a0", r"poll failed; the last values are kept"),
        ("a0", r"mail is unknown: the numbers are more than 25 minutes old"),
        ("a0", r"poll recovered"),
        ("a1", r"throttled"),
        ("a1", r"no longer throttled"),
        ("a0", r"state cannot be saved; counters frozen until a save succeeds"),
        ("a0", r"state is saved again"),
        ("a0", r"mail has recovered"),
    ):
        assert any(name == trouble[0] and re.fullmatch(trouble[1], text) for name, text in said), (
            trouble,
            said,
        )
    assert sum("outcome=unauthorized" in line for line in lines) == 1


async def day(exporter: Whole) -> None:
    sleep, simulators = exporter.clock.sleep, exporter.simulators
    await sleep(8 * HOUR)
    simulators["a0"].faults.add(faults.status(500), times=None)
    await sleep(0.7 * HOUR)
    simulators["a0"].faults.clear()
    await sleep(4.3 * HOUR)
    simulators["a1"].faults.add(faults.extra_rows(STUCK), call="list", times=None)
    simulators["a1"].faults.add(FETCH_OF_STUCK, call="fetch", operation_id=STUCK.id, times=None)
    await sleep(3 * HOUR)
    simulators["a1"].faults.clear()
    simulators["a0"].rotate_credential("another")
    await sleep(HOUR)
    simulators["a0"].rotate_credential("secret-0")
    await sleep(2 * HOUR)
    with full_disk(exporter.storage, "a0"):
        await sleep(HOUR)
    await sleep(4 * HOUR)


@contextmanager
def full_disk(storage: Any, account: str) -> Iterator[None]:
    """Saves of one account fail."""
    save = storage.save

    async def fail(name: str, *rest: Any) -> None:
        if name == account:
            raise StateError("database or disk is full")
        await save(name, *rest)

    storage.save = fail
    try:
        yield
    finally:
        storage.save = save


def account(line: str) -> str:
    found = re.search(r" account=(\S+)", line)
    return found.group(1) if found else ""


def message(line: str) -> str:
    found = re.search(r' msg="([^"]*)"| msg=(\S+)', line)
    assert found, line
    return found.group(1) or found.group(2)
