"""Panels that show whether mail arrives, how late it is, and how much of it waits."""

from typing import Final

from exporter.ledger.snapshot import WAITING_AGES
from grafana import panels
from grafana.chosen import EACH, NAME
from grafana.panels import NO_EXPORTER, PLAIN, Query, coloured, graph

QUANTILES: Final = {"half": 0.5, "95 %": 0.95, "99 %": 0.99}
UNDETERMINED: Final = "Not known yet which emails arrived: see the stats reading, or no data"


def _arrived(by: str) -> str:
    """The share of the emails that are expected to arrive, of the accounts for which it is known."""

    def of_a_day(metric: str, statuses: str = "") -> str:
        series = f'twilio_email_recent_{metric}{{created_within="24h"{statuses}}}'
        return f"sum{by} ({series} and on ({EACH}) twilio_email_window_arrived_emails)"

    unexpected = of_a_day("emails", ',status=~"scheduled|canceled"')
    return f"{of_a_day('arrived_emails')} / ({of_a_day('total_emails')} - {unexpected} > 0)"


def arrived() -> panels.Drawn:
    return panels.stat_panel(
        "Arrived, last day",
        "How much of a day's mail has arrived? Share of the emails of the last 24 hours' operations that "
        "have reached their recipient. Scheduled and canceled emails are not expected to; the newest ones "
        "are still on their way. Grey while the account's operations do not show whether delivered includes "
        "opened emails.",
        Query(_arrived("")),
        unit="percentunit",
        empty=UNDETERMINED,
        colour=PLAIN,
        width=4,
    ).decimals(1)


def lateness() -> list[panels.Drawn]:
    buckets = "sum by (le) (increase(twilio_email_delivery_delay_seconds_bucket[1h]))"
    return [
        coloured(
            graph(
                "Delivery delay",
                "How long does delivery take? Half, 95 % and 99 % of the last hour's deliveries took no "
                "longer than this since the sending of their operation began, over all selected accounts. "
                "The resolution is the poll interval.",
                *(
                    Query(f"histogram_quantile({value}, {buckets})", name)
                    for name, value in QUANTILES.items()
                ),
                unit="s",
                empty="No delivery in the last hour, or no data",
            ),
            QUANTILES,
        ),
        coloured(
            graph(
                "Waiting emails",
                "How much mail waits, and how long? Emails without an outcome, of operations whose sending "
                "began at least this long ago, over all selected accounts. The ages overlap: older than 5m "
                "includes older than 15m.",
                *(
                    Query(f'sum(twilio_email_waiting_emails{{older_than="{age}"}})', f"older than {age}")
                    for age in WAITING_AGES
                ),
                unit="locale",
                empty=NO_EXPORTER,
            ),
            (f"older than {age}" for age in WAITING_AGES),
        ),
        graph(
            "Arrived, share of a day's emails",
            "Whose mail arrives? Share of the emails of the last 24 hours' operations that have reached "
            "their recipient, without scheduled and canceled emails, by account. An account whose reading "
            "of the stats is not known has no line.",
            Query(_arrived(f" by ({EACH})"), NAME),
            unit="percentunit",
            empty=UNDETERMINED,
        ).axis_soft_max(1),
    ]
