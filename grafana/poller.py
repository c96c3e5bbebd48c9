"""The dashboard of the exporter itself: is the data fresh, and if not, why?"""

from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.common import BigValueTextMode

from grafana import panels
from grafana.board import board
from grafana.chosen import EACH, NAME, of_process
from grafana.happenings import firing_alerts
from grafana.panels import AGE, GOOD, NOT_SCRAPED, PLAIN, TROUBLE, Query, graph, stat_panel, states
from grafana.process import process, quality
from grafana.requests import requests
from grafana.thresholds import (
    EXPORTER_DASHBOARD,
    STALE_AFTER,
    STALE_INTERVALS,
    THROTTLED_EVENTS,
    THROTTLED_WINDOW,
    duration,
)


def _top() -> list[panels.Drawn]:
    window = duration(THROTTLED_WINDOW)
    throttled = " + ".join(
        f"sum by ({EACH}) (increase({series}[{window}]))"
        for series in (
            'twilio_email_exporter_requests_total{code="429"}',
            'twilio_email_exporter_polls_total{outcome="throttled"}',
        )
    )
    return [
        stat_panel(
            "Failing accounts",
            "Do the polls succeed? Accounts whose last poll failed. Their metrics keep the values of the "
            "last successful poll.",
            Query(f"sum(1 - max by ({EACH}) (twilio_email_up))"),
            unit="none",
            empty=NOT_SCRAPED,
            limit=(1, TROUBLE),
            width=3,
        ),
        panels.age_panel("Data age", empty=NOT_SCRAPED, width=3),
        stat_panel(
            f"Throttled, {window}",
            "Does Twilio throttle the exporter? Replies with status 429 and polls ended by throttling in "
            f"the last {window}; the account with the most is shown. Yellow from {THROTTLED_EVENTS}, the "
            "threshold of the alert.",
            Query(f"topk(1, {throttled} > 0) or max({throttled}) == 0", NAME),
            unit="none",
            empty=NOT_SCRAPED,
            limit=(THROTTLED_EVENTS, TROUBLE),
            width=3,
        ).decimals(0),
        stat_panel(
            "Paused for",
            "Must the exporter wait? Time until requests may be sent again, after Twilio asked for a pause; "
            "the longest of all accounts.",
            Query("max(clamp_min(twilio_email_exporter_next_request_timestamp_seconds - time(), 0))"),
            unit="s",
            empty=NOT_SCRAPED,
            limit=(1, TROUBLE),
            width=3,
        ).decimals(0),
        stat_panel(
            "Last reload",
            "Were the files read? Whether credentials and web.config_file could be read when they were last "
            "read.",
            Query(f"min({of_process('twilio_email_exporter_config_last_reload_successful')})"),
            unit="none",
            empty=NOT_SCRAPED,
            width=3,
        ).mappings([panels.value_words({"0": ("unreadable", TROUBLE), "1": ("read", GOOD)})]),
        stat_panel(
            "Since reload",
            "When were the files read? Time since credentials and web.config_file were last read "
            "successfully; the longest of all exporters.",
            Query(
                "time() - min("
                + of_process("twilio_email_exporter_config_last_reload_success_timestamp_seconds")
                + ")"
            ),
            unit="s",
            empty=NOT_SCRAPED,
            colour=PLAIN,
            width=3,
        ),
        stat_panel(
            "Uptime",
            "Has an exporter restarted? Time since the most recent start of an exporter.",
            Query(f"time() - max({of_process('process_start_time_seconds')})"),
            unit="s",
            empty=NOT_SCRAPED,
            colour=PLAIN,
            width=3,
        ),
        stat_panel(
            "Version",
            "Which versions run? Versions of the exporters that are running.",
            Query(f"count by (version) ({of_process('twilio_email_exporter_build_info')})", "{{version}}"),
            unit="none",
            empty=NOT_SCRAPED,
            colour=PLAIN,
            width=3,
        ).text_mode(BigValueTextMode.NAME),
        firing_alerts(),
    ]


def _freshness() -> list[panels.Drawn]:
    return [
        graph(
            "Data age by account",
            "Whose data is old, and since when? Time since the start of the last successful poll; accounts "
            f"without one are not shown. Data is stale above the dotted line: {duration(STALE_AFTER)} or "
            f"{STALE_INTERVALS} poll intervals, whichever is longer.",
            Query(f"({AGE}) < 1e9", NAME),
            Query(
                f"clamp_min({STALE_INTERVALS} * max(twilio_email_exporter_poll_interval_seconds), "
                f"{STALE_AFTER})",
                "stale",
                style="dotted",
            ),
            unit="s",
            empty=NOT_SCRAPED,
        ),
        states(
            "Poll success",
            "Whose polls fail? Whether the polls of each account succeeded. A single failed poll is "
            "visible; so is the time before the first poll. A gap means that the exporter was not scraped.",
            Query(f"max by ({EACH}) (min_over_time(twilio_email_up[$__rate_interval]))", NAME),
            words={"0": ("failed", TROUBLE), "1": ("succeeded", GOOD)},
            empty=NOT_SCRAPED,
        ),
    ]


def dashboard() -> models.Dashboard:
    return board(
        EXPORTER_DASHBOARD,
        "Polls, requests, state and process of the exporter. Yellow marks problems; red and orange are "
        "reserved for mail.",
        _top(),
        {
            "Freshness": _freshness(),
            "Requests to Twilio": requests(),
            "State and process": process(),
            "Data quality": quality(),
        },
    )
