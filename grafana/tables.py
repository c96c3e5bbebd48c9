"""Tables of the current numbers: the worst operations, and emails by status."""

from typing import Final

from grafana_foundation_sdk.builders.table import Panel as Table
from grafana_foundation_sdk.models import dashboard as models

from exporter.operation import EMAIL_STATUSES
from grafana import panels
from grafana.chosen import EACH
from grafana.panels import NO_EXPORTER, Query, numbers, unit_of

OPERATION: Final = f"{EACH}, operation_id, operation_status"
NOT_DELIVERED: Final = "failed|undelivered"
WIDTHS: Final = {
    "operation": 390,
    "status": 100,
    "not delivered": 115,
    "share": 65,
    "failed": 70,
    "opened": 80,
    "queued + sent": 120,
}
"""Of columns in pixels, so that all of them fit a screen with namespace and cluster."""


def _matrix(panel: Table, row: str, column_order: tuple[str, ...], sort: str) -> Table:
    """A row for each value of one label, a column for each status."""
    return (
        panel.with_transformation(
            models.DataTransformerConfig(
                "groupingToMatrix",
                options={
                    "rowField": row,
                    "columnField": "status",
                    "valueField": "Value",
                    "emptyValue": "zero",
                },
            )
        )
        .with_transformation(
            models.DataTransformerConfig("sortBy", options={"fields": {}, "sort": [{"field": sort}]})
        )
        .with_transformation(
            models.DataTransformerConfig(
                "organize",
                options={
                    "indexByName": {
                        name: index for index, name in enumerate((f"{row}\\status", *column_order))
                    },
                    "renameByName": {f"{row}\\status": row.removeprefix("operation_").replace("_", " ")},
                    "excludeByName": {},
                },
            )
        )
    )


def _as_status(word: str, expression: str) -> str:
    """Labels a sum so that it becomes a column beside the statuses of a matrix."""
    return f'label_replace({expression}, "status", "{word}", "", "")'


def recent() -> panels.Drawn:
    of = "sum by (created_within%s) (twilio_email_recent_%s)"
    query = " or ".join(
        (
            of % (", status", "emails"),
            _as_status("total", of % ("", "total_emails")),
            _as_status("attempts", of % ("", "attempts")),
        )
    )
    return _matrix(
        numbers(
            "Emails by age of the operation",
            "What became of the newest emails? Emails of the operations created in the last 15 minutes, 1, "
            "6 and 24 hours. The rows overlap: do not add them up. Twilio does not document whether the "
            "statuses exclude each other: compare failed and undelivered with attempts or total.",
            Query(query),
            unit="locale",
            empty=NO_EXPORTER,
            height=6,
        ),
        "created_within",
        ("total", "attempts", *EMAIL_STATUSES),
        sort="total",  # shortest first: each range contains the one before
    )


def window() -> panels.Drawn:
    of = "sum by (operation_status%s) (twilio_email_window_%s)"
    query = " or ".join(
        (
            of % (", status", "emails"),
            *(
                _as_status(word, of % ("", metric))
                for word, metric in (
                    ("operations", "operations"),
                    ("recipients", "recipients"),
                    ("total", "total_emails"),
                    ("attempts", "attempts"),
                )
            ),
        )
    )
    return _matrix(
        numbers(
            "Window, by operation status",
            "What became of all emails that Twilio still lists? Operations created within the window "
            "(poll.lookback, 7 days by default) and their emails. The values fall when operations leave the "
            "window.",
            Query(query),
            unit="locale",
            empty=NO_EXPORTER,
            height=8,
        ),
        "operation_status",
        ("operations", "recipients", "total", "attempts", *EMAIL_STATUSES),
        sort="operation_status\\status",
    )


def _worst(statuses: str) -> str:
    return f'sum by ({OPERATION}) (twilio_email_top_operation_emails{{status=~"{statuses}"}})'


def _share_of_settled() -> str:
    """Not delivered, of the emails with an outcome; no value while the reading of the stats is not known."""
    is_exclusive = f'max by ({EACH}) (twilio_email_exporter_stats_reading{{reading="exclusive"}})'
    opened = f"{_worst('opened')} * on ({EACH}) group_left () {is_exclusive}"
    settled = f"{_worst('failed|undelivered|delivered')} + {opened}"
    return f"{_worst(NOT_DELIVERED)} / ({settled} > 0) and on ({EACH}) twilio_email_window_arrived_emails"


def _listed_for() -> str:
    """Seconds, at most a day; an operation without a past has 0. The status is not part of its identity."""
    first = (
        "min_over_time(min by (cluster, namespace, job, account, operation_id) "
        "(timestamp(twilio_email_top_operation_emails))[1d:5m])"
    )
    now = f"0 * {_worst(NOT_DELIVERED)}"
    return f"{now} + on ({EACH}, operation_id) group_left () (time() - {first}) or {now}"


def top_failing_operations() -> panels.Drawn:
    columns = {
        "not delivered": _worst(NOT_DELIVERED),
        "share": _share_of_settled(),
        "listed for": _listed_for(),
        **{status: _worst(status) for status in ("failed", "undelivered", "delivered", "opened")},
        "queued + sent": _worst("queued|sent"),
    }
    table = numbers(
        "Top failing operations",
        "Which operations fail? Those in the window with the most failed and undelivered emails (column not "
        "delivered), up to metrics.top_operations per account. Share: of the emails with an outcome; empty "
        "while it is not known whether delivered includes opened emails. Listed for: time since the "
        "operation was first in this table, at most a day; the metrics do not have createdAt, the status "
        "page does. Use the id to look up the operation at Twilio.",
        *(Query(expression) for expression in columns.values()),
        unit="locale",
        empty="No failed or undelivered email in the window, or no data",
        height=9,
    )
    values = {f"Value #{reference}": name for reference, name in zip(panels.REFERENCES, columns, strict=True)}
    order = ("operation_id", "account", "namespace", "cluster", "operation_status", *values)
    (
        table.with_transformation(models.DataTransformerConfig("merge", options={}))
        .with_transformation(
            models.DataTransformerConfig(
                "organize",
                options={
                    "indexByName": {name: index for index, name in enumerate(order)},
                    "excludeByName": {"Time": True, "job": True},
                    "renameByName": {"operation_id": "operation", "operation_status": "status", **values},
                },
            )
        )
        .with_transformation(
            models.DataTransformerConfig(
                "sortBy", options={"fields": {}, "sort": [{"field": "not delivered", "desc": True}]}
            )
        )
        .override_by_name("share", [unit_of("percentunit"), models.DynamicConfigValue("decimals", 0)])
        .override_by_name("listed for", [unit_of("s"), models.DynamicConfigValue("decimals", 0)])
    )
    for column, pixels in WIDTHS.items():
        table.override_by_name(column, [models.DynamicConfigValue("custom.width", pixels)])
    return table
