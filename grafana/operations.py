"""The dashboard of mail delivery: which account and which operations fail, and since when."""

from typing import Final

from grafana_foundation_sdk.builders.stat import Panel as Stat
from grafana_foundation_sdk.builders.table import Panel as Table
from grafana_foundation_sdk.models import dashboard as models

from exporter.ledger.counters import OUTCOME_STATUSES
from exporter.operation import EMAIL_STATUSES, STATUSES
from grafana import panels
from grafana.board import board
from grafana.lateness import arrived, lateness
from grafana.panels import (
    COLOURS,
    GOOD,
    PER_MINUTE,
    PLAIN,
    TROUBLE,
    Query,
    coloured,
    density,
    graph,
    numbers,
)
from grafana.thresholds import DAY, FAILED, OPERATIONS_DASHBOARD, UNDELIVERED, Spike, duration
from grafana.tuned import threshold
from grafana.why import why

NO_EXPORTER: Final = "No data: no exporter is scraped, or no poll has succeeded yet"
OLDEST: Final = (
    "time() - min by (account) (twilio_email_oldest_processing_timestamp_seconds) "
    'or 0 * sum by (account) (twilio_email_window_operations{operation_status="processing"})'
)
"""In seconds; 0 if no operation is in processing."""
BOUND: Final = "{{account}}, threshold"
"""Name of the line of an account's threshold."""


def _in_last_hour(counter: str) -> str:
    return f"sum(increase({counter}[1h]))"


def _attempts(seconds: int) -> str:
    return f"sum by (account) (increase(twilio_email_attempts_total[{duration(seconds)}]))"


def _share(status: str, seconds: int, least: int = 1) -> str:
    """Share of the attempts; no value with fewer than `least` of them."""
    window = duration(seconds)
    return (
        f'sum by (account) (increase(twilio_email_outcomes_total{{status="{status}"}}[{window}])) / '
        f"({_attempts(seconds)} >= {least})"
    )


def _threshold(spike: Spike) -> str:
    """The alert's threshold by account; its lower bound where the recording rules are not loaded."""
    recorded = f"min by (account) (account:twilio_email_{spike.name}_per_attempt:threshold)"
    return f"({recorded} or {threshold(f'{spike.name}_ratio')}) and {_attempts(spike.long)}"


def _highest_share(spike: Spike) -> panels.Drawn:
    window = duration(spike.long)
    share = _share(spike.name, spike.long, spike.attempts)
    return _closest_to_alert(
        f"{spike.name.title()}, last {window}",
        f"Share of sending attempts that ended {spike.name} in the last {window}, for the account that is "
        "highest relative to its alert threshold. Coloured above that threshold. Accounts with fewer than "
        f"{spike.attempts} attempts in this time are not included.",
        share,
        _threshold(spike),
        worse=COLOURS[spike.name],
        unit="percentunit",
        empty=f"Fewer than {spike.attempts} attempts in {window}, or no data",
    ).decimals(1)


def _closest_to_alert(
    title: str, description: str, value: str, limit: str, *, worse: str, unit: str, empty: str
) -> Stat:
    """The value of the account that is highest relative to its limit, in the colour `worse` above it."""
    relative = f"topk(1, ({value}) / ({limit}))"
    return panels.stat_panel(
        title,
        description,
        Query(f"({value}) and {relative} <= 1", "{{account}}"),
        worse=(Query(f"({value}) and {relative} > 1", "{{account}}"), worse),
        unit=unit,
        empty=empty,
        width=4,
    )


def _share_graph(spike: Spike) -> panels.Drawn:
    return graph(
        f"{spike.name.title()}, share of attempts",
        f"Share of sending attempts that ended {spike.name}, by account, over the two windows of the "
        "alert. The alert fires when both are above the account's threshold (dashed, grey): "
        f"{spike.times_normal:g} times the account's normal share, at least alerts.{spike.name}_ratio and "
        f"at most {spike.ceiling:.0%}; alerts.{spike.name}_ratio if the recording rules are not loaded. It "
        f"needs at least {spike.emails} emails of {spike.attempts} attempts in {duration(spike.long)}.",
        *(
            Query(_share(spike.name, seconds), f"{{{{account}}}}, {duration(seconds)}")
            for seconds in (spike.short, spike.long)
        ),
        Query(_threshold(spike), BOUND),
        unit="percentunit",
        empty=f"No attempts in {duration(spike.long)}, or no data",
        shades_of=COLOURS[spike.name],
        slower=f".*, {duration(spike.long)}",
        bound=".*, threshold",
    ).axis_soft_max(2 * spike.floor)


def _slow_harm() -> list[panels.Drawn]:
    late = "sum by (account) (increase(twilio_email_late_deliveries_total[1h]))"
    delivered = 'sum by (account) (increase(twilio_email_outcomes_total{status="delivered"}[1h]))'
    overdue = "sum by (account) (twilio_email_overdue_emails)"
    created = 'sum by (account) (twilio_email_recent_total_emails{created_within="24h"})'
    return [
        _against_threshold(
            "Undelivered, share of a day's attempts",
            "Bounce rate: share of the sending attempts of the last day that ended undelivered, by account.",
            _share("undelivered", DAY),
            "bounce_ratio",
            colour=COLOURS["undelivered"],
        ),
        _against_threshold(
            "Late deliveries, last hour",
            "Share of the deliveries of the last hour that took longer than alerts.late_after, by account.",
            f"{late} / ({delivered} > 0)",
            "late_ratio",
        ),
        _against_threshold(
            "Backlog",
            "Emails that have waited longer than alerts.waiting_after, per email of the operations created "
            "in the last 24 hours, by account.",
            f"{overdue} / ({created} > 0)",
            "waiting_ratio",
        ),
        *lateness(NO_EXPORTER),
    ]


def _against_threshold(
    title: str, description: str, share: str, setting: str, *, colour: str = PLAIN
) -> panels.Drawn:
    return graph(
        title,
        f"{description} Dashed, grey: alerts.{setting}.",
        Query(share, "{{account}}"),
        Query(threshold(setting), BOUND),
        unit="percentunit",
        empty=NO_EXPORTER,
        shades_of=colour,
        bound=".*, threshold",
    )


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


def _recent() -> panels.Drawn:
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
            "Emails of the operations created in the last 1, 6 and 24 hours. The rows overlap: do not add "
            "them up. Twilio does not document whether the statuses exclude each other: compare failed and "
            "undelivered with attempts or total.",
            Query(query),
            unit="locale",
            empty=NO_EXPORTER,
            height=6,
        ),
        "created_within",
        ("total", "attempts", *EMAIL_STATUSES),
        sort="total",  # shortest first: each range contains the one before
    )


def _window() -> panels.Drawn:
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
            "Operations created within the window (poll.lookback, 7 days by default) and their emails. The "
            "values fall when operations leave the window.",
            Query(query),
            unit="locale",
            empty=NO_EXPORTER,
            height=8,
        ),
        "operation_status",
        ("operations", "recipients", "total", "attempts", *EMAIL_STATUSES),
        sort="operation_status\\status",
    )


def _top_failing_operations() -> panels.Drawn:
    of = 'sum by (account, operation_id, operation_status) (twilio_email_top_operation_emails{status=~"%s"})'
    columns = {
        "not delivered": "failed|undelivered",
        **{status: status for status in ("failed", "undelivered", "delivered", "opened")},
        "queued + sent": "queued|sent",
    }
    table = numbers(
        "Top failing operations",
        "Operations in the window with the most failed and undelivered emails (column not delivered), up to "
        "metrics.top_operations per account. Use the id to look up the operation at Twilio.",
        *(Query(of % statuses) for statuses in columns.values()),
        unit="locale",
        empty="No failed or undelivered email in the window, or no data",
        height=9,
    )
    values = {
        f"Value #{reference}": name for reference, name in zip(panels.REFERENCES, columns, strict=False)
    }
    return (
        table.with_transformation(models.DataTransformerConfig("merge", options={}))
        .with_transformation(
            models.DataTransformerConfig(
                "organize",
                options={
                    "indexByName": {},
                    "excludeByName": {"Time": True},
                    "renameByName": {"operation_id": "operation", "operation_status": "status", **values},
                },
            )
        )
        .with_transformation(
            models.DataTransformerConfig(
                "sortBy", options={"fields": {}, "sort": [{"field": "not delivered", "desc": True}]}
            )
        )
        .override_by_name("operation", [models.DynamicConfigValue("custom.width", 380)])
    )


def dashboard() -> models.Dashboard:
    return board(
        OPERATIONS_DASHBOARD,
        "Delivery of mail sent through Twilio's Email Operations, as of the exporter's last successful poll. "
        "Red is failed mail, orange is undelivered mail, yellow is a problem that need not affect mail.",
        [
            panels.stat_panel(
                "Emails, last hour",
                "Emails created in the last hour (increases of stats.total).",
                Query(_in_last_hour("twilio_email_emails_total")),
                unit="locale",
                empty=NO_EXPORTER,
                colour=PLAIN,
                width=4,
            ).decimals(0),
            arrived(),
            _highest_share(FAILED),
            _highest_share(UNDELIVERED),
            _closest_to_alert(
                "Oldest in processing",
                "For how long the operation that has been PROCESSING longest has been so, for the account "
                "that is highest relative to alerts.stuck_after. Yellow above that.",
                OLDEST,
                threshold("stuck_after"),
                worse=TROUBLE,
                unit="s",
                empty=NO_EXPORTER,
            ).mappings([panels.value_words({"0": ("none", GOOD)})]),
            panels.age_panel(
                "Data age",
                "All values of that account on this dashboard are that old. The exporter dashboard has the "
                "cause.",
                empty=NO_EXPORTER,
                width=4,
            ),
        ],
        {
            "Is mail arriving?": [
                _share_graph(FAILED),
                _share_graph(UNDELIVERED),
                coloured(
                    graph(
                        "Outcomes",
                        "Emails per minute that reached each status, over all selected accounts.",
                        Query(
                            "sum by (status) (rate(twilio_email_outcomes_total[$__rate_interval])) * 60",
                            "{{status}}",
                        ),
                        unit=PER_MINUTE,
                        empty=NO_EXPORTER,
                    ),
                    OUTCOME_STATUSES,
                ),
                coloured(
                    graph(
                        "Emails, recipients and attempts",
                        "Emails, recipients and attempts per minute, over all selected accounts. More "
                        "attempts than emails means that some emails are retried.",
                        *(
                            Query(f"sum(rate(twilio_email_{what}_total[$__rate_interval])) * 60", what)
                            for what in ("emails", "recipients", "attempts")
                        ),
                        unit=PER_MINUTE,
                        empty=NO_EXPORTER,
                        slower="recipients",
                    ),
                    ("emails", "recipients", "attempts"),
                ),
            ],
            "Why": why(),
            "Bounces, lateness and backlog": _slow_harm(),
            "Failing operations and totals": [_top_failing_operations(), _recent(), _window()],
            "Operations": [
                coloured(
                    graph(
                        "Unfinished operations",
                        "Operations in the window that are not final, by status. Scheduled operations may "
                        "wait for days.",
                        Query(
                            "sum by (operation_status) (twilio_email_window_operations"
                            '{operation_status!~"completed|canceled"})',
                            "{{operation_status}}",
                        ),
                        unit="locale",
                        empty=NO_EXPORTER,
                    ),
                    (status for status in STATUSES if status not in {"completed", "canceled"}),
                ),
                coloured(
                    graph(
                        "Created and finished",
                        "Operations created, completed and canceled per minute, counted when a poll sees it.",
                        Query("sum(rate(twilio_email_operations_total[$__rate_interval])) * 60", "created"),
                        Query(
                            "sum by (operation_status) "
                            "(rate(twilio_email_operations_finished_total[$__rate_interval])) * 60",
                            "{{operation_status}}",
                        ),
                        unit=PER_MINUTE,
                        empty=NO_EXPORTER,
                    ),
                    ("created", "completed", "canceled"),
                ),
                graph(
                    "Oldest in processing",
                    "For how long the operation that has been PROCESSING longest has been so, by account; 0 "
                    "if there is none. An operation above alerts.stuck_after (dashed, grey) is stuck.",
                    Query(OLDEST, "{{account}}"),
                    Query(threshold("stuck_after"), BOUND),
                    unit="s",
                    empty=NO_EXPORTER,
                    bound=".*, threshold",
                ),
                density(
                    "Time to completion",
                    "Time from createdAt to updatedAt of completed operations. For scheduled operations it "
                    "includes the time until sending.",
                    Query(
                        "sum by (le) "
                        "(increase(twilio_email_operation_duration_seconds_bucket[$__rate_interval]))",
                        "{{le}}",
                    ),
                    unit="s",
                    empty=NO_EXPORTER,
                ),
            ],
        },
    )
