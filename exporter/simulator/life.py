"""The life of one operation: its state at any time, as Twilio would return it.

A life is a list of timed events. Status, `updatedAt` and the eleven stats are derived from it and never
stored, so that an hour of traffic is generated once and can be shown at any time. The eight email statuses
are exclusive: each email is in exactly one of them, so `delivered` falls when one is opened.

It must not know randomness, clocks, JSON or other operations.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from exporter.operation import FINAL_STATUSES, STATS, Operation, Stats

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


def operation_at(life: Life, now: float, *, updated_moves_after_final: bool = True) -> Operation:
    """The operation as of `now`.

    Twilio does not document whether `updatedAt` changes with bounces and opens after COMPLETED:
    `updated_moves_after_final` selects it.
    """
    status, updated_at = "scheduled", life.created_at
    counts = [0] * len(STATS)
    counts[TOTAL] = counts[RECIPIENTS] = counts[SCHEDULED] = life.emails
    for at, source, target, emails, attempts, new_status in life.events:
        if at > now:
            break
        counts[source] -= emails
        counts[target] += emails
        counts[ATTEMPTS] += attempts
        if updated_moves_after_final or status not in FINAL_STATUSES:
            updated_at = at
        status = new_status or status
    return Operation(life.id, status, life.created_at, updated_at, Stats(*counts))
