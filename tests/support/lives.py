"""The true instants in the lives of simulated operations, which no reply shows: sending, delivery, arrival.

Pure, over `Life` and its events, so that it is the same in every reading. Times are Unix seconds.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from exporter.simulator.life import DELIVERED, QUEUED, SENT, Life
from exporter.simulator.traffic import HOUR_SECONDS
from exporter.simulator.world import World

_WAITING = (QUEUED, SENT)


class Delivery(NamedTuple):
    """Emails of one operation that arrived at the same instant."""

    at: float
    emails: int


def lives(world: World, first: float, last: float) -> Iterator[Life]:
    """The generated operations created from `first` to `last`, without scripted ones."""
    for hour in range(int(first // HOUR_SECONDS), int(last // HOUR_SECONDS) + 1):
        for row in world.rows(hour):
            if isinstance(row, Life) and first <= row.created_at <= last:
                yield row


def is_scheduled_ahead(life: Life) -> bool:
    """Whether a poller may see it SCHEDULED; others are for at most 5 seconds after their creation."""
    return not life.events or life.events[0].at > life.created_at + 5


def sending_began_at(life: Life) -> float | None:
    """When it became PROCESSING; `None` if it never does, as when it is canceled."""
    return next((event.at for event in life.events if event.status == "processing"), None)


def deliveries(life: Life) -> Sequence[Delivery]:
    """Each email once, when it was delivered; an opened one was delivered before."""
    return [Delivery(event.at, event.emails) for event in life.events if event.target == DELIVERED]


def arrived(life: Life, now: float) -> int:
    """Emails that have reached their recipient, opened or not."""
    return sum(delivery.emails for delivery in deliveries(life) if delivery.at <= now)


def waiting(life: Life, now: float) -> int:
    """Emails handed to Twilio and not yet settled: queued or sent, in exclusive states."""
    entered = sum(event.emails for event in life.events if event.at <= now and event.target in _WAITING)
    left = sum(event.emails for event in life.events if event.at <= now and event.source in _WAITING)
    return entered - left
