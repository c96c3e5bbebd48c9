"""Runs `observe` against a simulated account, on a clock that tests move."""

import asyncio
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from exporter.config.accounts import Account
from exporter.config.settings import Api, Settings
from exporter.observation.service import observe
from exporter.simulator.readings import DEFAULT, Readings
from exporter.simulator.scenarios import SCENARIOS
from exporter.simulator.server import CREDENTIAL, Simulator
from exporter.simulator.world import World
from tests.support.clock import SATURDAY, ManualClock, SkewedClock

SECONDS: Final = 600.0


@dataclass(frozen=True)
class Watched:
    code: int
    out: str
    err: str
    report: dict[str, Any]
    requests: int

    def answer(self, key: str) -> str | None:
        found: str | None = self.report["answers"][key]["answer"]
        return found


def a_busy_world(readings: Readings = DEFAULT) -> World:
    """Two new operations a minute: ten minutes answer every question."""
    scenario = replace(SCENARIOS["steady"], operations_per_hour=120.0, diurnal_swing=0.0)
    return World(scenario, started=SATURDAY, readings=readings)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


async def watched(
    world: World,
    folder: Path,
    *,
    seconds: float = SECONDS,
    prepare: Callable[[Simulator], None] = lambda _: None,
    stop_after: float | None = None,
    err: io.StringIO | None = None,
    credential: tuple[str, str] = CREDENTIAL,
    seconds_ahead: float = 0.0,
) -> Watched:
    """`prepare` may script faults. `stop_after`: seconds until Ctrl-C. `seconds_ahead`: of the own clock."""
    clock, stop = ManualClock(settle_turns=40), asyncio.Event()
    own_clock = SkewedClock(clock, seconds_ahead)
    simulator = Simulator(world, clock)
    prepare(simulator)
    output, out, err = folder / "report.json", io.StringIO(), err or io.StringIO()
    sid, secret = credential
    account = Account.model_validate({"name": "tests", "account_sid": sid, "auth_token": secret})
    async with simulator:
        settings = Settings(api=Api(base_url=simulator.base_url), accounts=(account,))
        stopping = asyncio.create_task(_stop(stop, clock, stop_after)) if stop_after is not None else None
        code = await observe(
            settings, account, seconds, clock=own_clock, stop=stop, out=out, err=err, output=output
        )
        if stopping is not None:
            await stopping
    report = json.loads(output.read_text(encoding="utf-8"))
    return Watched(code, out.getvalue(), err.getvalue(), report, len(simulator.requests))


async def _stop(stop: asyncio.Event, clock: ManualClock, seconds: float) -> None:
    await clock.sleep(seconds)
    stop.set()
