"""The values of one account as the status page shows them. Pure.

Must not know HTML or other accounts. Shares of the states of emails are of `total`; those in a verdict are of
the attempts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from exporter.breakdown import OTHER, TAG_PREFIX, Bad, Breakdown, Row
from exporter.ledger.snapshot import Snapshot
from exporter.ledger.totals import Totals
from exporter.observers.finding import Mail
from exporter.observers.shares import Share
from exporter.observers.status import AccountStatus, RateLimitStatus
from exporter.observers.verdicts import Verdict
from exporter.operation import EMAIL_STATUSES, Operation
from exporter.web.picture import Picture, picture

BARS_SHOWN: Final = 6
"""Of each dimension of the breakdown."""

COLUMNS: Final = ("total", *EMAIL_STATUSES)

STATES: Final = {
    "arrived": ("delivered", "opened"),
    "on their way": ("scheduled", "queued", "sent"),
    "not arrived": ("undelivered", "failed", "canceled"),
}
"""All states of an email, by what they mean for the reader."""

MEANINGS: Final = {
    "exclusive": "Each email is counted in its latest state only: opened emails are not among the delivered.",
    "cumulative": "An email is counted in each state that it has reached: all others are among the sent.",
    "undetermined": "It is not known yet whether an email is counted in its latest state only.",
    "contradictory": "Some operations count an email in its latest state only, others in each one.",
}
"""By the reading of the stats."""

_SPANS: Final = {"1h": "last hour", "24h": "24 hours"}

COLORS: Final = {
    Mail.FAILING: "bad",
    Mail.BOUNCING: "bad",
    Mail.LATE: "wait",
    Mail.UNKNOWN: "wait",
    Mail.FINE: "good",
}


class Span(NamedTuple):
    """The mail of the operations created within some time."""

    total: int
    attempts: int
    states: dict[str, Share]
    arrived: Share | None
    """`None`: the reading of the stats is not known."""


class Bar(NamedTuple):
    """A value of the breakdown; widths are percent of the failed and undelivered emails."""

    value: str
    bad: Bad
    failed_width: float
    undelivered_width: float

    @property
    def share(self) -> float:
        return self.failed_width + self.undelivered_width


class Worst(NamedTuple):
    """An operation with failed or undelivered emails."""

    operation: Operation
    share: Share
    """Failed and undelivered emails of all."""


@dataclass(frozen=True)
class AccountView:
    """Values of one account for the templates."""

    status: AccountStatus
    verdict: Verdict
    condition: str
    """What is wrong with polling, or empty."""
    rate_limit: RateLimitStatus | None
    lookback: float

    @property
    def name(self) -> str:
        return self.status.account

    @property
    def color(self) -> str:
        """Class of the verdict; the words say the same."""
        return COLORS[self.verdict.mail]

    @cached_property
    def spans(self) -> dict[str, Span]:
        """By name, the shortest first."""
        if (snapshot := self.status.snapshot) is None:
            return {}
        recent = {
            name: _span(snapshot.recent[age], snapshot.recent_arrived.get(age))
            for age, name in _SPANS.items()
            if age in snapshot.recent
        }
        return {**recent, "window": _span(_sum(snapshot), snapshot.arrived)}

    @property
    def day(self) -> Span | None:
        """The last 24 hours, or the whole window if that is shorter."""
        return self.spans.get("24 hours") or self.spans.get("window")

    @cached_property
    def picture(self) -> Picture | None:
        snapshot = self.status.snapshot
        return picture(snapshot.hours, snapshot.as_of, self.lookback) if snapshot else None

    @cached_property
    def worst(self) -> list[Worst]:
        snapshot = self.status.snapshot
        return [_worst(each) for each in snapshot.top_failing_of_day] if snapshot else []

    @property
    def window(self) -> list[tuple[str, int, list[int]]]:
        """Operation status, operations, and emails by column."""
        if self.status.snapshot is None:
            return []
        totals = self.status.snapshot.window.items()
        return [(name, sums.operations, [sums.stat(stat) for stat in COLUMNS]) for name, sums in totals]

    @property
    def longest_bar(self) -> float:
        """All bars have the same scale, so that what stands out does so across dimensions."""
        return max(bar.share for bars in self.bars.values() for bar in bars)

    @cached_property
    def bars(self) -> dict[str, list[Bar]]:
        """Failed and undelivered emails by dimension and value; empty without a breakdown."""
        return _bars(self.status.breakdown) if self.status.breakdown else {}


def condition(status: AccountStatus) -> str:
    """What is wrong with polling and saving; empty if nothing is."""
    if status.error is not None:
        return f"Polls fail ({status.error.outcome}): {status.error}"
    if status.crashed is not None:
        return f"Internal error in the last poll: {status.crashed}; see the log"
    if status.state_error is not None:
        return f"State cannot be saved, counters are frozen: {status.state_error}"
    return ""


def _sum(snapshot: Snapshot) -> Totals:
    some = snapshot.window.values()
    columns = zip(*(totals.stats for totals in some), strict=True)
    return Totals(sum(totals.operations for totals in some), tuple(sum(column) for column in columns))


def _span(totals: Totals, arrived: int | None) -> Span:
    total = totals.stat("total")
    return Span(
        total,
        totals.stat("attempts"),
        {state: Share(totals.stat(state), total) for states in STATES.values() for state in states},
        None if arrived is None else Share(arrived, total),
    )


def _worst(operation: Operation) -> Worst:
    stats = operation.stats
    return Worst(operation, Share((stats.failed or 0) + (stats.undelivered or 0), stats.total or 0))


def _bars(breakdown: Breakdown) -> dict[str, list[Bar]]:
    total = breakdown.emails.total
    return {
        dimension.replace("_", " ").replace(TAG_PREFIX, "tag "): [
            Bar(value, bad, *(100 * emails / total for emails in bad)) for value, bad in _shown(rows)
        ]
        for dimension, rows in breakdown.dimensions.items()
        if total
    }


def _shown(rows: Sequence[Row]) -> list[Row]:
    """The first values; all others, and those that are `other` already, add up in the last row."""
    first, rest = rows[:BARS_SHOWN], rows[BARS_SHOWN:]
    if not rest:
        return [row for row in first if row.bad.total]
    other = Bad(*map(sum, zip(*(row.bad for row in rest), strict=True)))
    return [*first, Row(OTHER, other)] if other.total else list(first)
