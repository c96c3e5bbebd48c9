"""The simulated account: its operations at any instant.

Two kinds together. Generated ones follow a scenario; an hour of them is drawn when someone looks at it
and dropped again when too many are held, so that a week of half a million costs nothing to start.
Scripted ones are exact records that a test puts, replaces and removes; they win over generated ones.

Must not know: HTTP, pages, clocks (`now` is an argument). Times are Unix seconds.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final, TypeAlias

from exporter.operation import Operation
from exporter.simulator.ids import created_ms
from exporter.simulator.life import Life, operation_at
from exporter.simulator.scenarios import QUIET, Scenario
from exporter.simulator.traffic import HOUR_SECONDS, draw_hour

RETENTION_SECONDS: Final = 7 * 24 * 3600
"""https://www.twilio.com/docs/email: records are kept for seven days after creation."""

Row: TypeAlias = Life | Operation


class World:
    """`started` is the instant that a scenario's episodes count from."""

    def __init__(
        self, scenario: Scenario, *, started: float, seed: int = 1, held_operations: int = 20_000
    ) -> None:
        self.scenario = scenario
        self.started = started
        self._seed = seed
        self._held_operations = held_operations
        self._held = 0
        self._hours: OrderedDict[int, dict[str, Life]] = OrderedDict()
        self._scripted: dict[str, Operation] = {}
        self._scripted_hours: dict[int, dict[str, Operation]] = {}
        self._removed: set[str] = set()

    @classmethod
    def empty(cls) -> "World":
        """Nothing but what a test puts."""
        return cls(QUIET, started=0.0)

    def put(self, *operations: Operation) -> None:
        """Insert, or replace by id; also brings back a removed one."""
        for operation in operations:
            if before := self._scripted.get(operation.id):
                del self._scripted_hours[_hour(before.created_at)][before.id]
            self._scripted[operation.id] = operation
            self._scripted_hours.setdefault(_hour(operation.created_at), {})[operation.id] = operation
            self._removed.discard(operation.id)

    def remove(self, operation_id: str) -> None:
        """Gone from lists and fetches, scripted or generated."""
        self._removed.add(operation_id)

    def restore(self, operation_id: str) -> None:
        """As it was before `remove`."""
        self._removed.discard(operation_id)

    def find(self, operation_id: str, now: float) -> Operation | None:
        row = self._row(operation_id)
        if row is None or not now - RETENTION_SECONDS <= row.created_at <= now:
            return None
        return self.state(row, now)

    def visible(self, now: float) -> list[Operation]:
        """What a full listing gives, newest first. Draws the whole week: not for `busy`."""
        return self.listed(None, None, None, now)

    def listed(
        self, start: float | None, end: float | None, status: str | None, now: float
    ) -> list[Operation]:
        """What a listing gives over all its pages, newest first; both bounds are inside."""
        oldest, newest = now - RETENTION_SECONDS, now
        first = oldest if start is None else max(start, oldest)
        last = newest if end is None else min(end, newest)
        found = [
            self.state(row, now)
            for hour in range(_hour(first), _hour(last) + 1)
            for row in self.rows(hour)
            if first <= row.created_at <= last
        ]
        found.sort(key=lambda operation: (-operation.created_at, operation.id))
        return [operation for operation in found if status is None or operation.status == status]

    def rows(self, hour: int) -> list[Row]:
        """Everything ever created in an hour (since 1970), even what is still to come."""
        rows: list[Row] = [life for life in self._lives(hour).values() if life.id not in self._scripted]
        rows += self._scripted_hours.get(hour, {}).values()
        return [row for row in rows if row.id not in self._removed] if self._removed else rows

    def state(self, row: Row, now: float) -> Operation:
        if isinstance(row, Operation):
            return row
        return operation_at(row, now, updated_moves_after_final=self.scenario.updated_moves_after_final)

    def _row(self, operation_id: str) -> Row | None:
        if operation_id in self._removed:
            return None
        if operation := self._scripted.get(operation_id):
            return operation
        milliseconds = created_ms(operation_id)
        return None if milliseconds is None else self._lives(_hour(milliseconds / 1000)).get(operation_id)

    def _lives(self, hour: int) -> Mapping[str, Life]:
        if not self.scenario.operations_per_hour and not self.scenario.spike:
            return {}
        if hour in self._hours:
            self._hours.move_to_end(hour)
            return self._hours[hour]
        lives = self._hours[hour] = draw_hour(self.scenario, self._seed, hour, self.started)
        self._held += len(lives)
        while self._held > self._held_operations and len(self._hours) > 1:
            self._held -= len(self._hours.popitem(last=False)[1])
        return lives


def _hour(at: float) -> int:
    return int(at // HOUR_SECONDS)
