"""The status page and the table of `once`, for people: values in, text out.

Must not know of HTTP or Prometheus; every value from outside is escaped.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from html import escape
from typing import Final

from exporter.operation import EMAIL_STATUSES, STAT_INDEX
from exporter.snapshot import Snapshot
from exporter.status import AccountStatus
from exporter.sums import Sums

_COLUMNS: Final = ("total", *EMAIL_STATUSES)

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>twilio-email-exporter</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }}
body {{ margin: 1.5rem auto; max-width: 72rem; padding: 0 1rem; }}
.scroll {{ overflow-x: auto; }}
table {{ border-collapse: collapse; }}
th, td {{ padding: .25rem .75rem; text-align: right; border-bottom: 1px solid #8885; }}
th:first-child {{ text-align: left; }}
</style>
</head>
<body>
<header><h1>twilio-email-exporter</h1>
<p>Version {version}. <a href="{metrics}">Metrics</a></p></header>
<main>
{accounts}
</main>
</body>
</html>
"""


def status_page(accounts: Iterable[AccountStatus], *, version: str, telemetry_path: str) -> str:
    """HTML."""
    return _PAGE.format(
        version=escape(version),
        metrics=escape(telemetry_path),
        accounts="\n".join(map(_account, accounts)),
    )


def table(snapshots: Mapping[str, Snapshot]) -> str:
    """Plain text: a row for each account and operation status that occurs, a column for each stat."""
    head = ("account", "status", "operations", *_COLUMNS)
    rows = [
        (account, status, str(sums.operations), *_numbers(sums))
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


def _account(status: AccountStatus) -> str:
    return f"""<section>
<h2>{escape(status.account)}</h2>
<p>{escape(_condition(status))}</p>
{_sums(status.snapshot) if status.snapshot else ""}
</section>"""


def _condition(status: AccountStatus) -> str:
    last = f"Last successful poll: {_time(status.last_success_at)}. Next poll: {_time(status.next_poll_at)}."
    if status.error is not None:
        return f"Failing since {_time(status.failing_since)} ({status.error.outcome}): {status.error}. {last}"
    if status.crashed is not None:
        return f"The last poll met an internal error ({status.crashed}); the log has more. {last}"
    if status.last_success_at is None and status.polling_since is None:
        return f"First poll: {_time(status.next_poll_at)}."
    if status.last_success_at is None:
        return f"First poll under way: {status.listed_operations} operations listed."
    return last


def _sums(snapshot: Snapshot) -> str:
    head = "".join(f'<th scope="col">{column}</th>' for column in ("status", "operations", *_COLUMNS))
    rows = "\n".join(
        f'<tr><th scope="row">{escape(status)}</th><td>{sums.operations}</td>'
        + "".join(f"<td>{number}</td>" for number in _numbers(sums))
        + "</tr>"
        for status, sums in snapshot.window.items()
    )
    table_ = f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table>"
    return f'<div class="scroll">{table_}</div>'


def _numbers(sums: Sums) -> list[str]:
    return [str(sums.stats[STAT_INDEX[stat]]) for stat in _COLUMNS]


def _time(at: float | None) -> str:
    if at is None:
        return "none yet"
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
