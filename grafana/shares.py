"""Panels that compare an account with the thresholds of the alerts: shares of its emails, times."""

from typing import Final

from grafana_foundation_sdk.builders.stat import Panel as Stat

from grafana import panels
from grafana.chosen import EACH, NAME
from grafana.lateness import lateness
from grafana.panels import COLOURS, NO_EXPORTER, Query, graph
from grafana.thresholds import DAY, Spike, duration
from grafana.tuned import threshold

DRAWN_FROM: Final = 10
"""Attempts in a window from which its share is drawn: one of two is no trouble, but would set the scale."""


def _attempts(seconds: int) -> str:
    return f"sum by ({EACH}) (increase(twilio_email_attempts_total[{duration(seconds)}]))"


def _share(status: str, seconds: int, least: int = 1) -> str:
    """Share of the attempts; no value with fewer than `least` of them."""
    window = duration(seconds)
    return (
        f'sum by ({EACH}) (increase(twilio_email_outcomes_total{{status="{status}"}}[{window}])) / '
        f"({_attempts(seconds)} >= {least})"
    )


def _threshold(spike: Spike) -> str:
    """The alert's threshold by account; its lower bound where the recording rules are not loaded."""
    recorded = f"min by ({EACH}) (account:twilio_email_{spike.name}_per_attempt:threshold)"
    return f"({recorded} or {threshold(f'{spike.name}_ratio')}) and {_attempts(spike.long)}"


def highest_share(spike: Spike) -> panels.Drawn:
    window = duration(spike.long)
    share = _share(spike.name, spike.long, spike.attempts)
    return closest_to_alert(
        f"{spike.name.title()}, last {window}",
        f"Is more mail {spike.name} than the alert allows? Share of sending attempts that ended "
        f"{spike.name} in the last {window}, for the account that is highest relative to its alert "
        f"threshold. Coloured above that threshold. Accounts with fewer than {spike.attempts} attempts in "
        "this time are not included.",
        share,
        _threshold(spike),
        worse=COLOURS[spike.name],
        unit="percentunit",
        empty=f"Fewer than {spike.attempts} attempts in {window}, or no data",
    ).decimals(1)


def closest_to_alert(
    title: str, description: str, value: str, limit: str, *, worse: str, unit: str, empty: str
) -> Stat:
    """The value of the account that is highest relative to its limit, in the colour `worse` above it."""
    relative = f"topk(1, ({value}) / ({limit}))"
    return panels.stat_panel(
        title,
        description,
        Query(f"({value}) and {relative} <= 1", NAME),
        worse=(Query(f"({value}) and {relative} > 1", NAME), worse),
        unit=unit,
        empty=empty,
        width=4,
    )


def share_graph(spike: Spike) -> panels.Drawn:
    return graph(
        f"{spike.name.title()}, share of attempts",
        f"Whose mail is {spike.name}, since when, and is it enough for an alert? Share of sending attempts "
        f"that ended {spike.name}, by account, over the two windows of the alert. The alert fires when both "
        f"are above the account's threshold (dotted): {spike.times_normal:g} times the account's normal "
        f"share, at least alerts.{spike.name}_ratio and at most {spike.ceiling:.0%}; "
        f"alerts.{spike.name}_ratio if the recording rules are not loaded. It needs at least {spike.emails} "
        f"emails of {spike.attempts} attempts in {duration(spike.long)}. A line has a gap where its window "
        f"has fewer than {DRAWN_FROM} attempts.",
        Query(_share(spike.name, spike.long, DRAWN_FROM), NAME, duration(spike.long)),
        Query(_share(spike.name, spike.short, DRAWN_FROM), NAME, duration(spike.short), "dashed"),
        Query(_threshold(spike), NAME, "threshold", "dotted"),
        unit="percentunit",
        empty=f"Fewer than {DRAWN_FROM} attempts in {duration(spike.long)}, or no data",
    ).axis_soft_max(2 * spike.floor)


def slow_harm() -> list[panels.Drawn]:
    late = f"sum by ({EACH}) (increase(twilio_email_late_deliveries_total[1h]))"
    delivered = f'sum by ({EACH}) (increase(twilio_email_outcomes_total{{status="delivered"}}[1h]))'
    overdue = f"sum by ({EACH}) (twilio_email_overdue_emails)"
    created = f'sum by ({EACH}) (twilio_email_recent_total_emails{{created_within="24h"}})'
    return [
        _against_threshold(
            "Undelivered, share of a day's attempts",
            "How high is the bounce rate? Share of the sending attempts of the last day that ended "
            "undelivered, by account.",
            _share("undelivered", DAY),
            "bounce_ratio",
        ),
        _against_threshold(
            "Late deliveries, last hour",
            "Whose mail arrives late? Share of the deliveries of the last hour that took longer than "
            "alerts.late_after, by account.",
            f"{late} / ({delivered} > 0)",
            "late_ratio",
        ),
        _against_threshold(
            "Backlog",
            "Whose mail waits at Twilio? Emails that have waited longer than alerts.waiting_after, per "
            "email of the operations created in the last 24 hours, by account.",
            f"{overdue} / ({created} > 0)",
            "waiting_ratio",
        ),
        *lateness(),
    ]


def _against_threshold(title: str, description: str, share: str, setting: str) -> panels.Drawn:
    return graph(
        title,
        f"{description} Dotted: alerts.{setting}.",
        Query(share, NAME, "share"),
        Query(threshold(setting), NAME, "threshold", "dotted"),
        unit="percentunit",
        empty=NO_EXPORTER,
    )
