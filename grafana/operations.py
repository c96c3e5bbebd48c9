"""The dashboard that is opened at night: is mail arriving, and if not, whose, which, since when?"""

from typing import Final

from grafana_foundation_sdk.builders.table import Panel as Table
from grafana_foundation_sdk.models import dashboard as models

from exporter.ledger.counters import OUTCOME_STATUSES
from exporter.operation import EMAIL_STATUSES, STATUSES
from grafana import panels
from grafana.board import board
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
from grafana.thresholds import (
    FAILED,
    OPERATIONS_DASHBOARD,
    STUCK_AFTER,
    UNDELIVERED,
    Spike,
    duration,
)

NO_EXPORTER: Final = "Nothing known: no exporter is scraped, or no poll has succeeded yet"
OLDEST: Final = (
    "(time() - min by (account) "
    '(twilio_email_window_oldest_created_timestamp_seconds{operation_status="processing"})) '
    'or 0 * sum by (account) (twilio_email_window_operations{operation_status="processing"})'
)
"""0 when none is in processing."""


def _in_last_hour(counter: str) -> str:
    return f"sum(increase({counter}[1h]))"


def _attempts(seconds: int) -> str:
    return f"sum by (account) (increase(twilio_email_attempts_total[{duration(seconds)}]))"


def _share(status: str, seconds: int, least: int = 1) -> str:
    """Of the attempts; no number with fewer of them."""
    window = duration(seconds)
    return (
        f'sum by (account) (increase(twilio_email_outcomes_total{{status="{status}"}}[{window}])) / '
        f"({_attempts(seconds)} >= {least})"
    )


def _threshold(spike: Spike) -> str:
    """Of the alert, by account; where it is not recorded, the least that it may be."""
    recorded = f"min by (account) (account:twilio_email_{spike.status}_per_attempt:threshold)"
    attempts = _attempts(spike.long)
    return f"{recorded} and {attempts} or 0 * {attempts} + {spike.floor:g}"


def _worst_share(spike: Spike) -> panels.Drawn:
    window = duration(spike.long)
    share = _share(spike.status, spike.long, spike.attempts)
    worst = f"topk(1, ({share}) / ({_threshold(spike)}))"
    return panels.stat_panel(
        f"{spike.status.title()}, last {window}",
        f"{spike.status.title()} emails over the attempts to send, in the last {window}. Of the account that "
        "is furthest above the threshold of its alert, or nearest to it, named below. Coloured above that "
        "threshold, which is the account's own: the graph below has it. Accounts with fewer than "
        f"{spike.attempts} attempts in that time are left out: a few mails prove nothing.",
        Query(f"{share} and {worst} <= 1", "{{account}}"),
        worse=(Query(f"{share} and {worst} > 1", "{{account}}"), COLOURS[spike.status]),
        unit="percentunit",
        empty=f"Under {spike.attempts} attempts in {window}, or no numbers",
        width=4,
    ).decimals(1)


def _share_graph(spike: Spike) -> panels.Drawn:
    return graph(
        f"{spike.status.title()}, share of attempts",
        f"{spike.status.title()} emails over the attempts to send, by account, in the two windows of "
        "the alert: both must be above the account's threshold, dashed in grey. That is "
        f"{spike.times_normal:g} times the account's own normal, at least {spike.floor:.0%} "
        f"and at most {spike.ceiling:.0%}; where the recording rules are not loaded, {spike.floor:.0%}. "
        f"At least {spike.emails} emails of {spike.attempts} attempts in {duration(spike.long)}, or it is "
        "noise.",
        *(
            Query(_share(spike.status, seconds), f"{{{{account}}}}, {duration(seconds)}")
            for seconds in (spike.short, spike.long)
        ),
        Query(_threshold(spike), "{{account}}, threshold"),
        unit="percentunit",
        empty=f"No attempts in {duration(spike.long)}, or no numbers",
        shades_of=COLOURS[spike.status],
        slower=f".*, {duration(spike.long)}",
        bound=".*, threshold",
    ).axis_soft_max(2 * spike.floor)


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
    """Beside the statuses in a matrix."""
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
            "Emails of the operations created within the last …",
            "What has become of the sends of the last 1, 6 and 24 hours. The hours overlap: never add up "
            "the rows. Whether the statuses exclude each other is not documented: put failed and "
            "undelivered over attempts or total.",
            Query(query),
            unit="locale",
            empty=NO_EXPORTER,
            height=6,
        ),
        "created_within",
        ("total", "attempts", *EMAIL_STATUSES),
        sort="total",  # the longer, the more: each holds the one before
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
            "The whole window, by status of the operation",
            "Operations created within the window (seven days, unless set otherwise), and what has become of "
            "their emails. These fall by themselves as operations grow older than the window.",
            Query(query),
            unit="locale",
            empty=NO_EXPORTER,
            height=8,
        ),
        "operation_status",
        ("operations", "recipients", "total", "attempts", *EMAIL_STATUSES),
        sort="operation_status\\status",
    )


def _worst_operations() -> panels.Drawn:
    of = 'sum by (account, operation_id, operation_status) (twilio_email_top_operation_emails{status=~"%s"})'
    columns = {
        "not arrived": "failed|undelivered",
        **{status: status for status in ("failed", "undelivered", "delivered", "opened")},
        "queued + sent": "queued|sent",
    }
    table = numbers(
        "Worst operations",
        "Operations in the window with the most failed and undelivered emails (not arrived); as many of "
        "each account as metrics.top_operations says. The id finds the operation at Twilio.",
        *(Query(of % statuses) for statuses in columns.values()),
        unit="locale",
        empty="No failed or undelivered email in the window, or no numbers",
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
                "sortBy", options={"fields": {}, "sort": [{"field": "not arrived", "desc": True}]}
            )
        )
        .override_by_name("operation", [models.DynamicConfigValue("custom.width", 380)])
    )


def dashboard() -> models.Dashboard:
    return board(
        OPERATIONS_DASHBOARD,
        "Is mail arriving? What Twilio's Email Operations say, as of the exporter's last successful poll. "
        "Red is failed mail, orange is undelivered mail, yellow is what needs a look although no mail need "
        "be lost.",
        [
            panels.stat_panel(
                "Emails, last hour",
                "Emails that Twilio was asked to send in the last hour: increases of stats.total.",
                Query(_in_last_hour("twilio_email_emails_total")),
                unit="locale",
                empty=NO_EXPORTER,
                colour=PLAIN,
                width=4,
            ).decimals(0),
            panels.stat_panel(
                "Delivered, last hour",
                "Emails seen to be delivered in the last hour, whenever they were sent. One that is "
                "delivered and opened between two polls may show as opened only.",
                Query(_in_last_hour('twilio_email_outcomes_total{status="delivered"}')),
                unit="locale",
                empty=NO_EXPORTER,
                width=4,
            ).decimals(0),
            _worst_share(FAILED),
            _worst_share(UNDELIVERED),
            panels.stat_panel(
                "Oldest in processing",
                "How long ago the oldest operation in processing was created. Of the account that fares "
                f"worst, named below. Coloured from {duration(STUCK_AFTER)} on; one that was scheduled ahead "
                "is as old when its processing begins.",
                Query(f"topk(1, {OLDEST})", "{{account}}"),
                unit="s",
                empty=NO_EXPORTER,
                limit=(STUCK_AFTER, TROUBLE),
                width=4,
            ).mappings([panels.value_words({"0": ("none", GOOD)})]),
            panels.age_panel(
                "Age of the numbers",
                "All numbers of that account on this page are as old. When it is yellow, the dashboard of "
                "the exporter says why.",
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
                        "Emails seen to reach each state, a minute, of all chosen accounts together.",
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
                        "What Twilio is asked to send",
                        "Emails, recipients and attempts, a minute, of all chosen accounts together. More "
                        "attempts than emails: some are sent again.",
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
            "Which sends": [_worst_operations(), _recent(), _window()],
            "Operations": [
                coloured(
                    graph(
                        "Unfinished operations",
                        "Operations in the window that are not final, by status. Scheduled ones may wait "
                        "for days.",
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
                        "Operations first seen, completed and canceled, a minute.",
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
                    "How long ago the oldest operation in processing was created, by account; 0 when there "
                    f"is none. Stuck if it stays above the dashed line for {duration(STUCK_AFTER)}.",
                    Query(OLDEST, "{{account}}"),
                    unit="s",
                    empty=NO_EXPORTER,
                    limit=(STUCK_AFTER, TROUBLE),
                ),
                density(
                    "Time to completion",
                    "createdAt to updatedAt of the operations seen to be completed. Those that were "
                    "scheduled ahead took as long as they were scheduled.",
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
