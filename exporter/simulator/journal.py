"""Records the requests to the simulator in order of arrival, and how many were in flight at once.

The number of records is bounded, because a demo may run for weeks. It must not know HTTP servers or worlds.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias

Endpoint: TypeAlias = Literal["list", "fetch", "errors", "emails", "email"]

HELD_RECORDS: Final = 20_000


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request to the API."""

    at: float
    """Time of arrival, in Unix seconds of the clock."""
    call: Endpoint
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    operation_id: str | None = None
    in_flight: int = 1
    """Requests in flight at arrival, including this one."""
    user_agent: str | None = None
    authorized: bool = False
    """Whether there was an Authorization header, right or wrong."""
    fault: str | None = None
    """The name of the fault that changed the reply."""
    status: int | None = None
    """`None`: no reply yet, or none at all (reset, hang, closed by the client)."""


class Journal:
    """Keeps the records by their number."""

    def __init__(self, held: int = HELD_RECORDS) -> None:
        self.by_call: Counter[str] = Counter()
        self.in_flight = 0
        self.max_in_flight = 0
        self.arrived = 0
        self._held = held
        self._records: dict[int, RequestRecord] = {}

    @property
    def records(self) -> tuple[RequestRecord, ...]:
        return tuple(self._records.values())

    def arrive(self, record: RequestRecord) -> int:
        """Returns the record's number, for `leave`."""
        self.arrived += 1
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        self.by_call[record.call] += 1
        self._records[self.arrived] = replace(record, in_flight=self.in_flight)
        if len(self._records) > self._held:
            del self._records[next(iter(self._records))]
        return self.arrived

    def leave(self, number: int, status: int | None) -> None:
        self.in_flight -= 1
        if number in self._records:
            self._records[number] = replace(self._records[number], status=status)

    def clear(self) -> None:
        """Forgets all records; requests in flight are still counted."""
        self._records.clear()
        self.by_call.clear()
        self.max_in_flight = self.in_flight
