"""The result of a poll as one frozen value, made from the ledger. Pure.

Must not know Prometheus; `metrics.families` defines the names of metrics and labels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from exporter.ledger.counters import Counts
from exporter.ledger.hourly import Hour
from exporter.ledger.ledger import Ledger
from exporter.ledger.reading import Evidence, arrived_emails
from exporter.ledger.totals import Totals
from exporter.operation import Operation

RECENT_AGES: Final = {"15m": 900.0, "1h": 3600.0, "6h": 21600.0, "24h": 86400.0}
"""The parts of the window that have totals of their own, by their label value."""

WAITING_AGES: Final = {"5m": 300.0, "15m": 900.0, "1h": 3600.0, "6h": 21600.0, "24h": 86400.0}
"""The ages for which waiting emails are counted, by their label value."""

LONG_OVERDUE_SECONDS: Final = 12 * 3600.0

TOP_OF_DAY: Final = 10
"""Operations of the last 24 hours that a snapshot names at most."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The stats of one account's operations as of one instant."""

    as_of: float
    """Unix time of the poll."""
    window: Mapping[str, Totals]
    """By operation status, every status present."""
    recent: Mapping[str, Totals]
    """By age, those of `RECENT_AGES` that fit the window."""
    oldest_created_at: Mapping[str, float]
    """Of the oldest non-final operation, by status; a status without one is missing."""
    top_failing: tuple[Operation, ...]
    """Operations with failed or undelivered emails; those with the most come first."""
    top_failing_of_day: tuple[Operation, ...]
    """The same, of the operations created in the last 24 hours; at most `TOP_OF_DAY`."""
    hours: tuple[Hour, ...]
    """Emails by the hour in which their operation was created, the oldest first; without empty ones."""
    waiting: Mapping[str, int]
    """Waiting emails by the age of their operation's sending, one of `WAITING_AGES`; the ages overlap."""
    overdue: int
    """Waiting emails of operations whose sending began longer ago than `alerts.waiting_after`."""
    long_overdue: int
    """Those of them that were overdue `LONG_OVERDUE_SECONDS` ago: some emails never get an outcome."""
    oldest_processing_at: float | None
    """When the operation began to be sent that has been processing longest; `None`: there is none."""
    evidence: Evidence
    """Which reading of the stats the operations support."""
    arrived: int | None
    """Emails that reached their recipient; `None`: the reading is not known."""
    recent_arrived: Mapping[str, int]
    """The same by age, as in `recent`; empty if the reading is not known."""
    tracked_operations: int
    counts: Counts
    """The counters as they were last saved."""


def summarise(
    ledger: Ledger,
    now: float,
    *,
    api_now: float | None = None,
    top_failing: int,
    waiting_after: float,
    counts: Counts,
) -> Snapshot:
    """`api_now` is `now` by Twilio's clock, if that is not the same. Waiting times are in its time."""
    api_now = now if api_now is None else api_now
    window, recent, evidence = ledger.window_totals(), ledger.recent_totals(), ledger.evidence()
    any_opened = any(totals.stat("opened") for totals in window.values())

    def arrived(*some: Totals) -> int | None:
        delivered, opened = (sum(totals.stat(stat) for totals in some) for stat in ("delivered", "opened"))
        return arrived_emails(evidence.reading, delivered=delivered, opened=opened, any_opened=any_opened)

    ages = (*WAITING_AGES.values(), waiting_after, waiting_after + LONG_OVERDUE_SECONDS)
    *waiting, overdue, long_overdue = ledger.waiting_since(api_now - age for age in ages)
    oldest = ledger.oldest_unfinished()
    by_age = {age: arrived(totals) for age, totals in recent.items()}
    return Snapshot(
        as_of=now,
        window=window,
        recent=recent,
        oldest_created_at=oldest.created,
        top_failing=tuple(ledger.top_failing(top_failing)),
        top_failing_of_day=tuple(ledger.top_failing_of_day(TOP_OF_DAY)),
        hours=ledger.hours(),
        waiting=dict(zip(WAITING_AGES, waiting, strict=True)),
        overdue=overdue,
        long_overdue=long_overdue,
        oldest_processing_at=oldest.processing_since,
        evidence=evidence,
        arrived=arrived(*window.values()),
        recent_arrived={age: emails for age, emails in by_age.items() if emails is not None},
        tracked_operations=len(ledger),
        counts=counts,
    )
