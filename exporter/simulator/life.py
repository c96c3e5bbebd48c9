"""The life of one operation: its state at any time, as Twilio would return it.

A life is a list of timed events. Status, `updatedAt` and the eleven stats are derived from it and never
stored, so that an hour of traffic is generated once and can be shown at any time. Each email is in exactly
one of the eight statuses; whether the stats show it so is a reading.

It must not know randomness, clocks, JSON or other operations.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from exporter.operation import FINAL_STATUSES, STATS, Operation, Stats
from exporter.simulator.readings import DEFAULT, Readings, States, UpdatedAt

TOTAL: Final = STATS.index("total")
RECIPIENTS: Final = STATS.index("recipients")
ATTEMPTS: Final = STATS.index("attempts")
SCHEDULED: Final = STATS.index("scheduled")
QUEUED: Final = STATS.index("queued")
SENT: Final = STATS.index("sent")
DELIVERED: Final = STATS.index("delivered")
OPENED: Final = STATS.index("opened")
UNDELIVERED: Final = STATS.index("undelivered")
FAILED: Final = STATS.index("failed")
CANCELED: Final = STATS.index("canceled")


class Event(NamedTuple):
    """Some emails change from one status to another; the operation's status may change as well."""

    at: float
    source: int
    """Index into `STATS`, as is `target`."""
    target: int
    emails: int
    attempts: int = 0
    status: str | None = None
    """The operation's new status; `None`: unchanged."""


@dataclass(frozen=True, slots=True)
class Life:
    """Starts SCHEDULED with every email `scheduled`. Events are in order of time."""

    id: str
    created_at: float
    emails: int
    events: tuple[Event, ...]


KEPT: Final[dict[States, frozenset[int]]] = {
    "exclusive": frozenset(),
    "cumulative": frozenset({SENT, DELIVERED}),
}
"""The stats that still contain an email after it has left that status."""


def operation_at(life: Life, now: float, readings: Readings = DEFAULT) -> Operation:
    """The operation as a reply shows it at `now`."""
    kept = KEPT[readings.states]
    status, updated_at = "scheduled", life.created_at
    counts = [0] * len(STATS)
    counts[TOTAL] = counts[RECIPIENTS] = counts[SCHEDULED] = life.emails
    for at, source, target, emails, attempts, new_status in life.events:
        if at > now:
            break
        if source not in kept:
            counts[source] -= emails
        counts[target] += emails
        counts[ATTEMPTS] += attempts
        if _moves(readings.updated_at, status, new_status):
            updated_at = at
        status = new_status or status
    return Operation(life.id, status, life.created_at, updated_at, Stats(*counts))


def _moves(updated_at: UpdatedAt, status: str, new_status: str | None) -> bool:
    """Whether `updatedAt` moves with an event."""
    match updated_at:
        case "always":
            return True
        case "until_final":
            return status not in FINAL_STATUSES
        case "with_status":
            return new_status is not None
