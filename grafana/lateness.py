"""Panels that show whether mail arrives, how late it is, and how much of it waits."""

from typing import Final

from grafana import panels
from grafana.panels import PLAIN, Query, graph

QUANTILES: Final = {"half": 0.5, "95 %": 0.95, "99 %": 0.99}
UNDETERMINED: Final = "Not known yet which emails arrived: see the stats reading, or no data"


def _arrived(by: str) -> str:
    """The share of the emails that are expected to arrive, of the accounts for which it is known."""

    def of_a_day(metric: str, statuses: str = "") -> str:
        series = f'twilio_email_recent_{metric}{{created_within="24h"{statuses}}}'
        return f"sum{by} ({series} and on (account) twilio_email_window_arrived_emails)"

    unexpected = of_a_day("emails", ',status=~"scheduled|canceled"')
    return f"{of_a_day('arrived_emails')} / ({of_a_day('total_emails')} - {unexpected} > 0)"


def arrived() -> panels.Drawn:
    return panels.stat_panel(
        "Arrived, last day",
        "Share of the emails of the last 24 hours' operations that have reached their recipient. Scheduled "
        "and canceled emails are not expected to; the newest ones are still on their way. Grey while the "
        "account's operations do not show whether delivered includes opened emails.",
        Query(_arrived("")),
        unit="percentunit",
        empty=UNDETERMINED,
        colour=PLAIN,
        width=4,
    ).decimals(1)


def lateness(empty: str) -> list[panels.Drawn]:
    buckets = "sum by (le) (increase(twilio_email_delivery_delay_seconds_bucket[1h]))"
    return [
        graph(
            "Delivery delay",
            "Half, 95 % and 99 % of the last hour's deliveries took no longer than this since the sending of "
            "their operation began, over all selected accounts. The resolution is the poll interval.",
            *(Query(f"histogram_quantile({value}, {buckets})", name) for name, value in QUANTILES.items()),
            unit="s",
            empty="No delivery in the last hour, or no data",
        ),
        graph(
            "Waiting emails",
            "Emails without an outcome, of operations whose sending began at least this long ago, over all "
            "selected accounts. The ages overlap: older than 5m includes older than 15m.",
            Query("sum by (older_than) (twilio_email_waiting_emails)", "older than {{older_than}}"),
            unit="locale",
            empty=empty,
        ),
        graph(
            "Arrived, share of a day's emails",
            "Share of the emails of the last 24 hours' operations that have reached their recipient, without "
            "scheduled and canceled emails, by account. An account whose reading of the stats is not known "
            "has no line.",
            Query(_arrived(" by (account)"), "{{account}}"),
            unit="percentunit",
            empty=UNDETERMINED,
        ),
    ]
