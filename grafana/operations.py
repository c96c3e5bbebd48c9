"""The dashboard of mail delivery: which account and which operations fail, and since when."""

from collections.abc import Mapping
from typing import Final

from grafana_foundation_sdk.models import dashboard as models

from exporter.ledger.counters import OUTCOME_STATUSES
from exporter.operation import STATUSES
from grafana import panels
from grafana.board import board
from grafana.chosen import EACH, NAME
from grafana.happenings import firing_alerts
from grafana.lateness import arrived
from grafana.panels import (
    GOOD,
    NO_EXPORTER,
    PER_MINUTE,
    PLAIN,
    TROUBLE,
    Query,
    Style,
    coloured,
    density,
    graph,
)
from grafana.shares import closest_to_alert, highest_share, share_graph, slow_harm
from grafana.tables import recent, top_failing_operations, window
from grafana.thresholds import FAILED, OPERATIONS_DASHBOARD, UNDELIVERED
from grafana.tuned import threshold
from grafana.why import why

OLDEST: Final = (
    f"time() - min by ({EACH}) (twilio_email_oldest_processing_timestamp_seconds) "
    f'or 0 * sum by ({EACH}) (twilio_email_window_operations{{operation_status="processing"}})'
)
"""In seconds; 0 if no operation is in processing."""
SENT: Final[Mapping[str, Style]] = {"emails": "solid", "recipients": "dashed", "attempts": "solid"}
"""Recipients usually equal emails: the dashes show the line below."""


def _in_last_hour(counter: str) -> str:
    return f"sum(increase({counter}[1h]))"


def dashboard() -> models.Dashboard:
    return board(
        OPERATIONS_DASHBOARD,
        "Delivery of mail sent through Twilio's Email Operations, as of the exporter's last successful poll. "
        "Red is failed mail, orange is undelivered mail, yellow is a problem that need not affect mail.",
        [
            panels.stat_panel(
                "Emails, last hour",
                "Is anything sent? Emails created in the last hour (increases of stats.total).",
                Query(_in_last_hour("twilio_email_emails_total")),
                unit="locale",
                empty=NO_EXPORTER,
                colour=PLAIN,
                width=4,
            ).decimals(0),
            arrived(),
            highest_share(FAILED),
            highest_share(UNDELIVERED),
            closest_to_alert(
                "Oldest in processing",
                "Is an operation stuck? For how long the operation that has been PROCESSING longest has "
                "been so, for the account that is highest relative to alerts.stuck_after. Yellow above that.",
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
            firing_alerts(),
        ],
        {
            "Is mail arriving?": [
                share_graph(FAILED),
                share_graph(UNDELIVERED),
                coloured(
                    graph(
                        "Outcomes",
                        "What happens to the mail? Emails per minute that reached each status, over all "
                        "selected accounts.",
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
                        "How much is sent? Emails, recipients and attempts per minute, over all selected "
                        "accounts. More attempts than emails means that some emails are retried.",
                        *(
                            Query(
                                f"sum(rate(twilio_email_{what}_total[$__rate_interval])) * 60",
                                what,
                                style=style,
                            )
                            for what, style in SENT.items()
                        ),
                        unit=PER_MINUTE,
                        empty=NO_EXPORTER,
                    ),
                    ("emails", "recipients", "attempts"),
                ),
            ],
            "Why": why(),
            "Bounces, lateness and backlog": slow_harm(),
            "Failing operations and totals": [top_failing_operations(), recent(), window()],
            "Operations": [
                coloured(
                    graph(
                        "Unfinished operations",
                        "How much is still to be done? Operations in the window that are not final, by "
                        "status. Scheduled operations may wait for days.",
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
                        "Are operations created and finished? Operations created, completed and canceled "
                        "per minute, counted when a poll sees it.",
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
                    "Whose operations are stuck? For how long the operation that has been PROCESSING "
                    "longest has been so, by account; 0 if there is none. An operation above "
                    "alerts.stuck_after (dotted) is stuck.",
                    Query(OLDEST, NAME, "oldest"),
                    Query(threshold("stuck_after"), NAME, "threshold", "dotted"),
                    unit="s",
                    empty=NO_EXPORTER,
                ),
                density(
                    "Time to completion",
                    "How long do operations take? Time from createdAt to updatedAt of completed operations. "
                    "For scheduled operations it includes the time until sending.",
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
