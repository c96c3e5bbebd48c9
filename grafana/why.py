"""The row "Why": what the failed and undelivered emails have in common."""

from typing import Final

from grafana import panels
from grafana.chosen import EACH, NAME
from grafana.panels import COLOURS, PLAIN, TROUBLE, Query, bars

SHOWN: Final = 8
"""Bars of a panel."""

_AGE: Final = f"time() - max by ({EACH}) (twilio_email_exporter_breakdown_last_success_timestamp_seconds)"


def why() -> list[panels.Drawn]:
    return [
        *(
            _top(status, title, metric, labels, setting)
            for status in ("failed", "undelivered")
            for title, metric, labels, setting in (
                ("recipient domain", "recipient_domain", ("recipient_domain",), "recipient_domain"),
                ("sender domain", "sender_domain", ("sender_domain",), "sender_domain"),
                ("tag", "tag", ("tag", "value"), "tag:KEY"),
            )
        ),
        _age(),
        _complete(),
        _errors(),
    ]


def _top(status: str, title: str, metric: str, labels: tuple[str, ...], setting: str) -> panels.Drawn:
    which = f'{labels[-1]}!="other", status="{status}"'
    emails = f"sum by ({', '.join(labels)}) (twilio_email_{metric}_emails{{{which}}})"
    return bars(
        f"{status.title()}, by {title}",
        f"Do the {status} emails have a {title} in common? The values with the most {status} emails, of "
        "those created within breakdown.lookback (1 day by default). One bar that is much longer than the "
        "others, and than usual, is the cause. Values that are not shown singly are left out. Needs "
        f"{setting} in breakdown.by.",
        Query(f"sort_desc(topk({SHOWN}, {emails} > 0))", ": ".join(f"{{{{{label}}}}}" for label in labels)),
        colour=COLOURS[status],
        empty=f"No {status} email; or add {setting} to breakdown.by",
    )


def _errors() -> panels.Drawn:
    errors = "sum by (code) (twilio_email_operation_errors)"
    return bars(
        "Errors, by code",
        "Which errors does Twilio report? Errors of the top failing operations, by Twilio's error code. "
        "Needs breakdown.errors; Twilio does not document the call, and may not have it.",
        Query(f"sort_desc(topk({SHOWN}, {errors} > 0))", "{{code}}"),
        colour=PLAIN,
        empty="No errors; or set breakdown.errors=true",
        height=4,
    )


def _age() -> panels.Drawn:
    return panels.stat_panel(
        "Age of the breakdown",
        "How old is the breakdown? Time since the start of the last successful refresh; the account with "
        "the oldest one is shown. The breakdown is refreshed each breakdown.interval, 5 minutes by default.",
        Query(f"topk(1, {_AGE})", NAME),
        unit="s",
        empty="No breakdown: set breakdown.by",
        limit=(1800, TROUBLE),
        width=8,
    ).mappings([panels.NEVER])


def _complete() -> panels.Drawn:
    return panels.stat_panel(
        "Completeness of the breakdown",
        "Does the breakdown include all emails? Lower bounds: breakdown.max_requests ended the last refresh "
        "of an account before all emails were listed. Use a larger breakdown.max_requests or a shorter "
        "breakdown.lookback.",
        Query("min(twilio_email_exporter_breakdown_complete)"),
        unit="none",
        empty="No breakdown: set breakdown.by",
        width=8,
    ).mappings([panels.value_words({"1": ("complete", panels.GOOD), "0": ("lower bounds", TROUBLE)})])
