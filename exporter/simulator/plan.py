"""Chooses the fault of each request: scripted faults in order, then those of the scenario.

It must not know sockets or replies.
"""

import math
import random
from dataclasses import dataclass

from exporter.simulator import faults
from exporter.simulator.faults import Fault
from exporter.simulator.journal import Endpoint
from exporter.simulator.scenarios import Scenario


@dataclass(slots=True)
class _Planned:
    fault: Fault
    call: Endpoint | None
    operation_id: str | None
    times: int | None


class Faults:
    """Scripted faults. The first that matches a request is used; one without `times` stays until `clear`."""

    def __init__(self) -> None:
        self._planned: list[_Planned] = []

    def __len__(self) -> int:
        """Number of pending entries."""
        return len(self._planned)

    def add(
        self,
        fault: Fault,
        *,
        call: Endpoint | None = None,
        times: int | None = 1,
        operation_id: str | None = None,
    ) -> None:
        """`None` as `call` or `operation_id` matches every request."""
        self._planned.append(_Planned(fault, call, operation_id, times))

    def clear(self) -> None:
        self._planned.clear()

    def take(self, call: Endpoint, operation_id: str | None) -> Fault | None:
        for planned in self._planned:
            if planned.call in {None, call} and planned.operation_id in {None, operation_id}:
                if planned.times is not None:
                    planned.times -= 1
                if planned.times == 0:
                    self._planned.remove(planned)
                return planned.fault
        return None


def trouble(scenario: Scenario, elapsed: float, number: int) -> Fault | None:
    """The scenario's fault for request `number`, `elapsed` seconds after the start."""
    remaining = scenario.trouble_episode.remaining_seconds(elapsed) if scenario.trouble else 0.0
    if not remaining:
        return None
    if scenario.trouble == "rate-limited":
        return faults.status(429, retry_after=math.ceil(remaining))
    choices = (
        faults.status(503, retry_after=20),
        faults.status(503, body="html"),
        faults.status(500),
        faults.status(502, body="html"),
        faults.reset(),
    )
    return random.Random(f"outage:{number}").choice(choices)
