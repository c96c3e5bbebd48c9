"""Renders the status page: values in, text out. The home of jinja2.

Must not know HTTP or Prometheus. Rule: every value is escaped, whatever its source, and no account's state is
shown by colour alone. A query parameter is compared with the known values and never shown.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: TID251 - home of jinja2

from exporter.config.parsers import duration_text
from exporter.observers.activity import Role, Standing
from exporter.observers.finding import Mail
from exporter.observers.shares import percent
from exporter.observers.status import AccountStatus, RateLimitStatus
from exporter.observers.verdicts import Verdict
from exporter.web import accounts_table
from exporter.web.account_view import COLORS, COLUMNS, MEANINGS, STATES, AccountView, condition

_EXPLAIN: Final = "twilio-email-exporter explain"


def status_page(
    accounts: Iterable[AccountStatus],
    verdicts: Mapping[str, Verdict],
    *,
    version: str,
    telemetry_path: str,
    now: float,
    lookback: float,
    rate_limits: Mapping[str, RateLimitStatus] = MappingProxyType({}),
    query: Mapping[str, str] = MappingProxyType({}),
    standing: Standing | None = None,
) -> str:
    """HTML; `now` is Unix time, `lookback` the length of the window in seconds.

    `standing`: the role of this process, if it is one of several. While it stands by, it knows nothing of the
    accounts.

    The query parameter `sort` is one of `accounts_table.COLUMNS`, `account` the name of an account. Other
    parameters and values are ignored.
    """
    views = [
        AccountView(
            status,
            verdicts[status.account],
            condition(status),
            rate_limits.get(status.account),
            lookback,
        )
        for status in (() if standing and standing.role is Role.STANDBY else accounts)
    ]
    sort = query.get("sort", "")
    sort = sort if sort in accounts_table.COLUMNS else accounts_table.WORST_FIRST
    views = accounts_table.sorted_by(sort, views)
    shown = [view for view in views if view.name == query.get("account")] or views
    return _TEMPLATES.get_template("status.html").render(
        headline=(_INACTIVE.get(standing.role) if standing else None)
        or _headline(shown, now, named=len(views) > 1),
        color=_color(shown) if standing is None or standing.role is Role.ACTIVE else "wait",
        standing=standing,
        version=version,
        telemetry_path=telemetry_path,
        now=now,
        views=views,
        view=shown[0] if len(shown) == 1 else None,
        not_polled=[view.name for view in views if view.condition],
        columns=accounts_table.COLUMNS,
        sort=sort,
        table=accounts_table,
        states=STATES,
        meanings=MEANINGS,
        window_columns=COLUMNS,
        explain=_EXPLAIN,
    )


_INACTIVE: Final[Mapping[Role, str]] = {
    Role.STANDBY: "Standing by: another exporter is active",
    Role.CUT_OFF: "Nothing is polled: no connection to the database",
}


def _headline(views: Sequence[AccountView], now: float, *, named: bool) -> str:
    """The verdict in a few words: of the account, or of the worst of several."""
    if not views:
        return "No accounts"
    mail = _worst_mail(views)
    if len(views) == 1:
        return (f"{views[0].name}: " if named else "") + _of_one(views[0], now)
    number = sum(view.verdict.mail is mail for view in views)
    if mail is Mail.FINE:
        return f"Mail of all {len(views)} accounts is fine"
    return f"Mail of {number} of {len(views)} accounts is {mail}"


def _of_one(view: AccountView, now: float) -> str:
    sentence = _capitalized(str(view.verdict.findings[0]))
    if view.status.is_failing and view.verdict.mail is not Mail.UNKNOWN and view.status.snapshot:
        return f"{sentence}, as of {_distance(view.status.snapshot.as_of, now)}"
    return sentence


def _color(views: Sequence[AccountView]) -> str:
    if not views:
        return ""
    color = COLORS[_worst_mail(views)]
    return "wait" if color == "good" and any(view.condition for view in views) else color


def _worst_mail(views: Sequence[AccountView]) -> Mail:
    return min(views, key=accounts_table.by_verdict).verdict.mail


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def style_sheet() -> str:
    """CSS; served as a separate file, because the Content-Security-Policy forbids inline styles."""
    return _TEMPLATES.get_template("status.css").render()


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
    loader=PackageLoader("exporter.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters.update(
    utc=_utc, iso=_iso, distance=_distance, duration=duration_text, percent=percent, capitalized=_capitalized
)
