"""The table of many accounts: its columns and how it is sorted. Pure.

Must not know HTML. The sort order is a query parameter of the page, so that no script is needed.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from exporter.observers.finding import Mail
from exporter.observers.shares import Share
from exporter.web.account_view import AccountView, Span

_MAIL: Final = list(Mail)

_Key: TypeAlias = Callable[[AccountView], tuple[float, ...]]


class Column(NamedTuple):
    """`ascending`: the order in which the rows with the lowest keys come first."""

    title: str
    key: _Key
    ascending: bool = False


class TotalOfAll(NamedTuple):
    """The sums over all accounts, of the last 24 hours."""

    total: int
    failed: Share
    undelivered: Share
    waiting: int
    overdue: int


def by_verdict(view: AccountView) -> tuple[float, ...]:
    return _MAIL.index(view.verdict.mail), not view.condition


def _of_day(number: Callable[[Span], float]) -> _Key:
    """Accounts without mail come last."""

    def key(view: AccountView) -> tuple[float, ...]:
        return (number(view.day),) if view.day and view.day.total else (-1.0,)

    return key


def failed(span: Span) -> Share:
    """Of the attempts, as in a verdict."""
    return Share(span.states["failed"].emails, span.attempts)


def undelivered(span: Span) -> Share:
    return Share(span.states["undelivered"].emails, span.attempts)


def waiting(view: AccountView) -> int:
    """Emails that have waited for five minutes or longer."""
    return view.status.snapshot.waiting["5m"] if view.status.snapshot else 0


def overdue(view: AccountView) -> int:
    return view.status.snapshot.overdue if view.status.snapshot else 0


def _arrived(view: AccountView) -> tuple[float, ...]:
    """The lowest share first; where it is not known, last."""
    day = view.day
    return (day.arrived.value,) if day and day.arrived and day.total else (2.0,)


COLUMNS: Final[Mapping[str, Column]] = {
    "account": Column("account", lambda _: (0.0,), ascending=True),
    "mail": Column("mail", by_verdict, ascending=True),
    "emails": Column("emails", _of_day(lambda day: day.total)),
    "arrived": Column("arrived", _arrived, ascending=True),
    "failed": Column("failed", _of_day(lambda day: failed(day).value)),
    "undelivered": Column("undelivered", _of_day(lambda day: undelivered(day).value)),
    "waiting": Column("waiting", lambda view: (waiting(view),)),
    "overdue": Column("overdue", lambda view: (overdue(view),)),
    "polled": Column("last poll", lambda view: (view.status.last_success_at or 0.0,), ascending=True),
}
"""By the value of the query parameter `sort`."""

WORST_FIRST: Final = "mail"


def sorted_by(name: str, views: Sequence[AccountView]) -> list[AccountView]:
    """Sorted by one of `COLUMNS`; equal ones worst first, then by name."""
    worst_first = sorted(views, key=lambda view: (by_verdict(view), view.name))
    if name == "account":
        return sorted(views, key=lambda view: view.name)
    column = COLUMNS[name]
    return sorted(worst_first, key=column.key, reverse=not column.ascending)


def total_of_all(views: Sequence[AccountView]) -> TotalOfAll:
    days = [view.day for view in views if view.day]
    attempts = sum(day.attempts for day in days)
    return TotalOfAll(
        sum(day.total for day in days),
        Share(sum(day.states["failed"].emails for day in days), attempts),
        Share(sum(day.states["undelivered"].emails for day in days), attempts),
        sum(map(waiting, views)),
        sum(map(overdue, views)),
    )
