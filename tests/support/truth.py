"""Computes what the gauges must show from the simulator's operations, without the ledger."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from exporter.ledger.counters import ZERO, Counts
from exporter.ledger.hourly import Hour
from exporter.ledger.reading import Evidence
from exporter.ledger.snapshot import LONG_OVERDUE_SECONDS, RECENT_AGES, TOP_OF_DAY, WAITING_AGES, Snapshot
from exporter.ledger.totals import Totals
from exporter.operation import EMAIL_STATUSES, STATS, STATUSES, Operation
from exporter.simulator.emails import Email, emails_between
from exporter.simulator.world import World

DAY: Final = 86400.0


def total(operations: Iterable[Operation]) -> Totals:
    some = list(operations)
    return Totals(
        len(some), tuple(sum(each.stats[index] or 0 for each in some) for index in range(len(STATS)))
    )


def by_status(operations: Iterable[Operation]) -> dict[str, Totals]:
    some = list(operations)
    return {status: total(each for each in some if each.status == status) for status in STATUSES}


def badness(operation: Operation) -> int:
    stats = dict(zip(STATS, operation.stats, strict=True))
    return (stats["failed"] or 0) + (stats["undelivered"] or 0)


def top_failing(operations: Iterable[Operation], count: int) -> tuple[Operation, ...]:
    bad = [each for each in operations if badness(each)]
    return tuple(sorted(bad, key=lambda each: (-badness(each), -each.created_at, each.id))[:count])


def oldest(operations: Iterable[Operation]) -> dict[str, float]:
    found: dict[str, float] = {}
    for each in operations:
        if not each.is_final:
            found[each.status] = min(each.created_at, found.get(each.status, each.created_at))
    return found


SETTLED = ("delivered", "opened", "undelivered", "failed", "canceled")


def waiting(operation: Operation) -> int:
    """Emails without an outcome, where states exclude each other or accumulate."""
    stats = {stat: value or 0 for stat, value in operation.stats._asdict().items()}
    if operation.status == "scheduled" or operation.stats.total is None:
        return 0
    rest = stats["total"] - stats["scheduled"] - sum(stats[status] for status in SETTLED)
    return max(0, min(stats["queued"] + stats["sent"], rest))


def waiting_since(operations: Iterable[Operation], instant: float, began: Mapping[str, float]) -> int:
    return sum(waiting(each) for each in operations if began.get(each.id, each.created_at) <= instant)


def evidence(operations: Iterable[Operation]) -> Evidence:
    against_cumulative = against_exclusive = 0
    for each in operations:
        stats = each.stats._asdict()
        delivered, opened, sent = stats["delivered"], stats["opened"], stats["sent"]
        if delivered is not None and ((opened or 0) > delivered or (sent is not None and delivered > sent)):
            against_cumulative += 1
        states = sum(stats[status] or 0 for status in EMAIL_STATUSES)
        against_exclusive += stats["total"] is not None and states > stats["total"]
    return Evidence(against_cumulative, against_exclusive)


def hours(operations: Iterable[Operation]) -> Iterator[Hour]:
    by_hour: dict[float, list[Operation]] = {}
    for each in operations:
        by_hour.setdefault(each.created_at - each.created_at % 3600, []).append(each)
    for start, some in sorted(by_hour.items()):
        stats = total(some)
        yield Hour(start, len(some), *map(stats.stat, ("total", "attempts", "failed", "undelivered")))


def arrived(operations: Iterable[Operation], reading: str) -> int:
    """Emails that reached their recipient under a reading that is known."""
    totals = total(operations)
    return totals.stat("delivered") + (totals.stat("opened") if reading == "exclusive" else 0)


def snapshot_of(
    operations: list[Operation],
    now: float,
    *,
    lookback: float,
    count: int,
    counts: Counts = ZERO,
    began: Mapping[str, float] = MappingProxyType({}),
) -> Snapshot:
    """The snapshot of a poll that saw exactly these.

    `began`: when the sending of an operation began, where that was not when it was created.
    """
    inside = [each for each in operations if each.created_at >= now - lookback]
    reading = evidence(inside).reading
    is_known = reading in {"exclusive", "cumulative"} or not any(each.stats.opened for each in inside)
    processing = [began.get(each.id, each.created_at) for each in inside if each.status == "processing"]
    recent = {
        name: [each for each in inside if each.created_at >= now - age] for name, age in RECENT_AGES.items()
    }
    return Snapshot(
        as_of=now,
        window=by_status(inside),
        recent={name: total(some) for name, some in recent.items()},
        oldest_created_at=oldest(inside),
        top_failing=top_failing(inside, count),
        top_failing_of_day=top_failing([each for each in inside if each.created_at >= now - DAY], TOP_OF_DAY),
        hours=tuple(hours(inside)),
        waiting={name: waiting_since(inside, now - age, began) for name, age in WAITING_AGES.items()},
        overdue=waiting_since(inside, now - 3600.0, began),
        long_overdue=waiting_since(inside, now - 3600.0 - LONG_OVERDUE_SECONDS, began),
        oldest_processing_at=min(processing, default=None),
        evidence=evidence(inside),
        arrived=arrived(inside, reading) if is_known else None,
        recent_arrived={name: arrived(some, reading) for name, some in recent.items() if is_known},
        tracked_operations=len(inside),
        counts=counts,
    )


def true_counts(
    world: World, dimension: str, start: float, end: float, now: float
) -> Counter[tuple[str, str]]:
    """Failed and undelivered emails created within these bounds, by value of the dimension and status."""
    return Counter(
        (value_of(email, dimension), email.status)
        for status in ("failed", "undelivered")
        for email in emails_between(world, start, end, now, status)
    )


def value_of(email: Email, dimension: str) -> str:
    kind, _, key = dimension.partition(":")
    if kind == "tag":
        return (email.tags or {}).get(key, "none")
    address = email.recipient if kind == "recipient_domain" else email.sender
    return address.rpartition("@")[2]
