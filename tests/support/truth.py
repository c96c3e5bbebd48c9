"""Computes what the gauges must show from the simulator's operations, without the ledger."""

from collections import Counter
from collections.abc import Iterable

from exporter.ledger.counters import ZERO, Counts
from exporter.ledger.snapshot import RECENT_AGES, Snapshot
from exporter.ledger.totals import Totals
from exporter.operation import STATS, STATUSES, Operation
from exporter.simulator.emails import Email, emails_between
from exporter.simulator.world import World


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


def snapshot_of(
    operations: list[Operation], now: float, *, lookback: float, count: int, counts: Counts = ZERO
) -> Snapshot:
    """The snapshot of a poll that saw exactly these."""
    inside = [each for each in operations if each.created_at >= now - lookback]
    return Snapshot(
        as_of=now,
        window=by_status(inside),
        recent={
            name: total(each for each in inside if each.created_at >= now - age)
            for name, age in RECENT_AGES.items()
        },
        oldest_created_at=oldest(inside),
        top_failing=top_failing(inside, count),
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
