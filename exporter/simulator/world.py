"""The simulated account: its operations at any time.

There are two kinds. Generated operations follow a scenario; an hour of them is generated when it is read,
and dropped when too many are held, so that a week of half a million costs nothing at the start. Scripted
operations are exact records that a test adds, replaces and removes; they take precedence over generated
ones.

Lists and fetches show it as `readings` says. Scripted operations are shown as they are, so that their stats
and `updatedAt` do not depend on it.

It must not know HTTP, pages or clocks (`now` is an argument). Times are Unix seconds.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final, TypeAlias

from exporter.operation import Operation
from exporter.simulator.ids import created_ms
from exporter.simulator.life import Life, operation_at
from exporter.simulator.readings import DEFAULT, Readings
from exporter.simulator.scenarios import QUIET, Scenario
from exporter.simulator.traffic import HOUR_SECONDS, draw_hour

RETENTION_SECONDS: Final = 7 * 24 * 3600
"""https://www.twilio.com/docs/email: records are kept for seven days after creation."""

Row: TypeAlias = Life | Operation


class World:
    """`started` is the time from which a scenario's episodes count."""

    def __init__(
        self,
        scenario: Scenario,
        *,
        started: float,
        seed: int = 1,
        readings: Readings = DEFAULT,
        held_operations: int = 20_000,
    ) -> None:
        self.scenario = scenario
        self.readings = readings
        self.started = started
        self._seed = seed
        self._held_operations = held_operations
        self._held = 0
        self._hours: OrderedDict[int, dict[str, Life]] = OrderedDict()
        self._scripted: dict[str, Operation] = {}
        self._scripted_hours: dict[int, dict[str, Operation]] = {}
        self._removed: set[str] = set()

    @classmethod
    def empty(cls, readings: Readings = DEFAULT) -> "World":
        """A world with scripted operations only."""
        return cls(QUIET, started=0.0, readings=readings)

    def put(self, *operations: Operation) -> None:
        """Inserts or replaces by id; also restores a removed operation."""
        for operation in operations:
            if before := self._scripted.get(operation.id):
                del self._scripted_hours[_hour(before.created_at)][before.id]
            self._scripted[operation.id] = operation
            self._scripted_hours.setdefault(_hour(operation.created_at), {})[operation.id] = operation
            self._removed.discard(operation.id)

    def remove(self, operation_id: str) -> None:
        """Removes an operation from lists and fetches, scripted or generated."""
        self._removed.add(operation_id)

    def restore(self, operation_id: str) -> None:
        """Undoes `remove`."""
        self._removed.discard(operation_id)

    def find(self, operation_id: str, now: float) -> Operation | None:
        row = self.row(operation_id, now)
        return self.state(row, now) if row else None

    def row(self, operation_id: str, now: float) -> Row | None:
        """`None` if it does not exist, not yet or no longer."""
        row = self._row(operation_id)
        return row if row and now - RETENTION_SECONDS <= row.created_at <= now else None

    def visible(self, now: float) -> list[Operation]:
        """The operations of a full listing, newest first. Generates the whole week: not for `busy`."""
        return self.listed(None, None, None, now)

    def listed(
        self, start: float | None, end: float | None, status: str | None, now: float
    ) -> list[Operation]:
        """The operations of all pages of a listing, newest first; both bounds are included."""
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
        """All operations created in an hour (since 1970), including those in the future."""
        rows: list[Row] = [life for life in self._lives(hour).values() if life.id not in self._scripted]
        rows += self._scripted_hours.get(hour, {}).values()
        return [row for row in rows if row.id not in self._removed] if self._removed else rows

    def state(self, row: Row, now: float) -> Operation:
        if isinstance(row, Operation):
            return row
        return operation_at(row, now, self.readings)

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
