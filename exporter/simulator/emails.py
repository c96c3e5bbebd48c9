"""The single emails of an operation at any time, derived from its life, so that they agree with its stats.

Emails have numbers from 0. An event moves those that have been in its source for longest; what an email will
become decides about its recipient, so that an email keeps its address. A scripted operation has the emails
that its stats name. Nothing is stored, and only emails that are asked for are created.

It must not know JSON, HTTP, pages or clocks.
"""

from bisect import bisect_right
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import Final, NamedTuple

from exporter.operation import EMAIL_STATUSES, STATS, Operation
from exporter.simulator.addresses import Addresses
from exporter.simulator.ids import email_id, email_place
from exporter.simulator.life import FAILED, SCHEDULED, UNDELIVERED, Life
from exporter.simulator.traffic import HOUR_SECONDS
from exporter.simulator.world import RETENTION_SECONDS, Row, World

_BAD: Final = (STATS[FAILED], STATS[UNDELIVERED])


class Email(NamedTuple):
    """One email. Times are Unix seconds, the status is in lower case."""

    id: str
    number: int
    operation_id: str
    sender: str
    recipient: str
    tags: Mapping[str, str] | None
    status: str
    created_at: float
    updated_at: float


class Span(NamedTuple):
    """The emails with the numbers `first` to `stop - 1`, in their status since `at`."""

    first: int
    stop: int
    at: float


def spans(row: Row, now: float) -> dict[str, list[Span]]:
    """The numbers of the emails in each status, rising."""
    found = _scripted(row) if isinstance(row, Operation) else _lived(row, now)
    return {status: sorted(found.get(status, ())) for status in EMAIL_STATUSES}


def _lived(life: Life, now: float) -> dict[str, Sequence[Span]]:
    places: dict[int, deque[Span]] = defaultdict(deque)
    places[SCHEDULED].append(Span(0, life.emails, life.created_at))
    for at, source, target, emails, *_ in life.events:
        if at > now:
            break
        left = emails
        while left:
            first, stop, since = places[source].popleft()
            end = min(stop, first + left)
            places[target].append(Span(first, end, at))
            if end < stop:
                places[source].appendleft(Span(end, stop, since))
            left -= end - first
    return {STATS[place]: spans for place, spans in places.items()}


def _scripted(operation: Operation) -> dict[str, Sequence[Span]]:
    found: dict[str, Sequence[Span]] = {}
    first = 0
    for status in EMAIL_STATUSES:
        stop = first + (getattr(operation.stats, status) or 0)
        found[status] = [Span(first, stop, operation.updated_at)]
        first = stop
    return found


def emails_of(
    world: World, row: Row, now: float, status: str | None = None, *, after: int = -1
) -> Iterator[Email]:
    """The emails of an operation in this status, or all, with numbers above `after`, rising."""
    if isinstance(row, Life) and not _may_have(row, now, status):
        return
    addresses = addresses_of(world, row)
    sender, tags = addresses.sender, addresses.tags
    bad = _bad_numbers(row)
    wanted = EMAIL_STATUSES if status is None else (status,)
    here = spans(row, now)
    for (first, stop, at), now_in in sorted((span, each) for each in wanted for span in here[each]):
        for number in range(max(first, after + 1), stop):
            recipient = addresses.recipient(number, is_bad=_is_in(number, bad))
            yield Email(
                email_id(row.id, number), number, row.id, sender, recipient, tags, now_in, row.created_at, at
            )


def _bad_numbers(row: Row) -> tuple[list[int], list[int]]:
    """First and last numbers of the emails that fail or come back sooner or later, rising."""
    last = spans(row, inf)
    bad = sorted(span for status in _BAD for span in last[status])
    return [span.first for span in bad], [span.stop - 1 for span in bad]


def _is_in(number: int, bad: tuple[list[int], list[int]]) -> bool:
    firsts, lasts = bad
    place = bisect_right(firsts, number)
    return place > 0 and number <= lasts[place - 1]


def _may_have(life: Life, now: float, status: str | None) -> bool:
    """Avoids the work for the many operations without any email in the status."""
    if status in {None, STATS[SCHEDULED]}:
        return True
    target = STATS.index(status or "")
    return any(event.target == target and event.at <= now for event in life.events)


def addresses_of(world: World, row: Row) -> Addresses:
    spike = world.scenario.spike
    spiking = spike is not None and spike.remaining_seconds(row.created_at - world.started) > 0
    return Addresses(row.id, world.scenario.culprit if spiking else None)


def find_email(world: World, wanted: str, now: float) -> Email | None:
    place = email_place(wanted)
    row = world.row(place[0], now) if place else None
    if row is None or place is None:
        return None
    return next((email for email in emails_of(world, row, now, after=place[1] - 1)), None)


def emails_between(
    world: World, start: float, end: float, now: float, status: str | None = None
) -> Iterator[Email]:
    """The true emails created within these bounds, oldest hour first; both bounds are included."""
    first, last = max(start, now - RETENTION_SECONDS), min(end, now)
    for hour in range(int(first // HOUR_SECONDS), int(last // HOUR_SECONDS) + 1):
        for row in world.rows(hour):
            if first <= row.created_at <= last:
                yield from emails_of(world, row, now, status)
