"""Renders the status page and the table of `once`: values in, text out. The home of jinja2.

Must not know HTTP or Prometheus. Rule: every value is escaped, whatever its source, and no account's state is
shown by colour alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: TID251 - home of jinja2

from exporter.breakdown import OTHER, TAG_PREFIX, Bad, Breakdown, Row
from exporter.config.parsers import duration_text
from exporter.ledger.snapshot import Snapshot
from exporter.ledger.totals import Totals
from exporter.observers.status import AccountStatus, RateLimitStatus
from exporter.operation import EMAIL_STATUSES, Operation

TOP_FAILING_SHOWN: Final = 10
BARS_SHOWN: Final = 6
"""Of each dimension of the breakdown."""

_COLUMNS: Final = ("total", *EMAIL_STATUSES)
_MAIL: Final = ("delivered", "undelivered", "failed", "total")
_TOP_FAILING: Final = ("failed", "undelivered", "delivered", "total")
_KINDS: Final = ("bad", "wait", "good")
"""Conditions of an account, in the order of the page: those that need attention first."""

_EXPLAIN: Final = "twilio-email-exporter explain"
_SPANS: Final = {"1h": "hour", "24h": "day"}


class _Bar(NamedTuple):
    """A value of the breakdown; widths are percent of the failed and undelivered emails."""

    value: str
    bad: Bad
    failed_width: float
    undelivered_width: float

    @property
    def share(self) -> float:
        return self.failed_width + self.undelivered_width


@dataclass(frozen=True, slots=True)
class _View:
    """Values of one account for the template."""

    status: AccountStatus
    kind: str
    """One of `_KINDS`."""
    condition: str
    rate_limit: RateLimitStatus | None
    mail: dict[str, dict[str, int]]
    """Number of emails by span and stat."""
    top_failing: list[tuple[Operation, list[int | None]]]
    window: list[tuple[str, int, list[int]]]
    bars: dict[str, list[_Bar]]
    """Failed and undelivered emails by dimension and value; empty without a breakdown."""


def status_page(
    accounts: Iterable[AccountStatus],
    *,
    version: str,
    telemetry_path: str,
    now: float,
    rate_limits: Mapping[str, RateLimitStatus] | None = None,
) -> str:
    """HTML; `now` is Unix time."""
    views = [_view(status, (rate_limits or {}).get(status.account)) for status in accounts]
    views.sort(key=lambda view: _KINDS.index(view.kind))
    failing = [view.status.account for view in views if view.kind == "bad"]
    title = "twilio-email-exporter"
    return _TEMPLATES.get_template("status.html").render(
        title=f"({len(failing)} failing) {title}" if failing else title,
        version=version,
        telemetry_path=telemetry_path,
        now=now,
        views=views,
        failing=failing,
        total=_total(views),
        mail_columns=_MAIL,
        top_failing_columns=_TOP_FAILING,
        window_columns=_COLUMNS,
        explain=_EXPLAIN,
    )


def style_sheet() -> str:
    """CSS; served as a separate file, because the Content-Security-Policy forbids inline styles."""
    return _TEMPLATES.get_template("status.css").render()


def table(snapshots: Mapping[str, Snapshot]) -> str:
    """Plain text: one row for each account and operation status in use, one column for each stat."""
    head = ("account", "status", "operations", *_COLUMNS)
    rows = [
        (account, status, str(sums.operations), *map(str, _numbers(sums, _COLUMNS)))
        for account, snapshot in snapshots.items()
        for status, sums in snapshot.window.items()
        if sums.operations
    ]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *rows)
    )


def _view(status: AccountStatus, rate_limit: RateLimitStatus | None) -> _View:
    kind, condition = _condition(status)
    snapshot = status.snapshot
    if snapshot is None:
        return _View(status, kind, condition, rate_limit, {}, [], [], {})
    return _View(
        status,
        kind,
        condition,
        rate_limit,
        mail={
            span: dict(zip(_MAIL, _numbers(snapshot.recent[age], _MAIL), strict=True))
            for age, span in _SPANS.items()
            if age in snapshot.recent
        },
        top_failing=[
            (each, [getattr(each.stats, stat) for stat in _TOP_FAILING])
            for each in snapshot.top_failing[:TOP_FAILING_SHOWN]
        ],
        window=[(name, sums.operations, _numbers(sums, _COLUMNS)) for name, sums in snapshot.window.items()],
        bars=_bars(status.breakdown) if status.breakdown else {},
    )


def _bars(breakdown: Breakdown) -> dict[str, list[_Bar]]:
    total = breakdown.emails.total
    return {
        dimension.replace("_", " ").replace(TAG_PREFIX, "tag "): [
            _Bar(value, bad, *(100 * emails / total for emails in bad)) for value, bad in _shown(rows)
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


def _total(views: Iterable[_View]) -> dict[str, dict[str, int]]:
    """The sums over all accounts."""
    total: dict[str, dict[str, int]] = {}
    for view in views:
        for span, numbers in view.mail.items():
            sums = total.setdefault(span, dict.fromkeys(_MAIL, 0))
            for stat, number in numbers.items():
                sums[stat] += number
    return total


def _condition(status: AccountStatus) -> tuple[str, str]:
    if status.error is not None:
        return "bad", f"Failing ({status.error.outcome}): {status.error}"
    if status.crashed is not None:
        return "bad", f"Internal error in the last poll: {status.crashed}; see the log"
    if status.state_error is not None:
        return "bad", f"State cannot be saved, counters are frozen: {status.state_error}"
    if status.has_succeeded:
        return "good", "Polling successfully"
    listed = f"{status.listed_operations:,} operations on {status.listed_pages:,} pages so far"
    return (
        "wait",
        f"First poll in progress: {listed}" if status.polling_since else "Waiting for the first poll",
    )


def _numbers(sums: Totals, stats: Iterable[str]) -> list[int]:
    return [sums.stat(stat) for stat in stats]


def _utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _distance(at: float, now: float) -> str:
    """Time between `at` and `now`, in the largest unit that fits."""
    seconds = round(abs(at - now))
    if seconds == 0:
        return "now"
    size, unit = next(
        (size, unit) for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")) if seconds >= size
    )
    amount = f"{seconds // size} {unit}"
    return f"in {amount}" if at > now else f"{amount} ago"


_TEMPLATES: Final = Environment(
    loader=PackageLoader("exporter.web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)
_TEMPLATES.filters.update(utc=_utc, iso=_iso, distance=_distance, duration=duration_text)
