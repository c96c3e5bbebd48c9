"""What the simulator was asked, in the order of arrival, and how much of it at once.

Must not know: HTTP servers, worlds. Holds a bounded number of records: a demo runs for weeks.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias

Endpoint: TypeAlias = Literal["list", "fetch"]

HELD_RECORDS: Final = 20_000


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request to the API."""

    at: float
    """When it came, in the clock's Unix seconds."""
    call: Endpoint
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    operation_id: str | None = None
    in_flight: int = 1
    """Requests at that instant, itself among them."""
    user_agent: str | None = None
    authorized: bool = False
    """Whether there was an Authorization header, right or wrong."""
    fault: str | None = None
    """The name of the fault that spoilt the reply."""
    status: int | None = None
    """`None`: no answer yet, or none at all (reset, hang, client left)."""


class Journal:
    """Records by number of arrival."""

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
        """Returns the number to leave with."""
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
        """Forgets the past; what is in flight stays so."""
        self._records.clear()
        self.by_call.clear()
        self.max_in_flight = self.in_flight
