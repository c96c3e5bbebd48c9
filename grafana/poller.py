"""The dashboard of the exporter itself: is the data fresh, and if not, why?"""

from typing import Final

from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.common import BigValueTextMode

from exporter.errors import OUTCOMES, RETRY_REASONS
from exporter.events import CALLS
from exporter.ledger.counters import OUTCOME_STATUSES
from grafana import panels
from grafana.board import board
from grafana.panels import (
    AGE,
    GOOD,
    NEUTRAL,
    PER_MINUTE,
    PLAIN,
    TROUBLE,
    Query,
    coloured,
    graph,
    of_process,
    stat_panel,
    states,
)
from grafana.thresholds import (
    EXPORTER_DASHBOARD,
    STALE_AFTER,
    STALE_INTERVALS,
    THROTTLED_EVENTS,
    THROTTLED_WINDOW,
    duration,
)

NOT_SCRAPED: Final = "No data: no exporter is scraped"


def _rate(counter: str, by: str) -> Query:
    """The rate per minute for each value of a label, which is the name of the series."""
    return Query(f"sum by ({by}) (rate({counter}[$__rate_interval])) * 60", f"{{{{{by}}}}}")


def _quantiles(histogram: str, by: str) -> tuple[Query, ...]:
    return tuple(
        Query(
            f"histogram_quantile({quantile}, sum by ({by}, le) (rate({histogram}_bucket[$__rate_interval])))",
            f"{{{{{by}}}}}, {name}",
        )
        for quantile, name in ((0.5, "median"), (0.95, "95 %"))
    )


def _top() -> list[panels.Drawn]:
    window = duration(THROTTLED_WINDOW)
    throttled = " + ".join(
        f"sum by (account) (increase({series}[{window}]))"
        for series in (
            'twilio_email_exporter_requests_total{code="429"}',
            'twilio_email_exporter_polls_total{outcome="throttled"}',
        )
    )
    return [
        stat_panel(
            "Failing accounts",
            "Accounts whose last poll failed. Their metrics keep the values of the last successful poll.",
            Query("sum(1 - min by (account) (twilio_email_up))"),
            unit="none",
            empty=NOT_SCRAPED,
            limit=(1, TROUBLE),
            width=3,
        ),
        panels.age_panel("Data age", empty=NOT_SCRAPED, width=3),
        stat_panel(
            f"Throttled, {window}",
            f"Replies with status 429 and polls ended by throttling in the last {window}; the account with "
            f"the most is shown. Yellow from {THROTTLED_EVENTS}, the threshold of the alert.",
            Query(f"topk(1, {throttled})", "{{account}}"),
            unit="none",
            empty=NOT_SCRAPED,
            limit=(THROTTLED_EVENTS, TROUBLE),
            width=3,
        ).decimals(0),
        stat_panel(
            "Paused for",
            "Time until requests may be sent again, after Twilio asked for a pause; the longest of all "
            "accounts.",
            Query("max(clamp_min(twilio_email_exporter_next_request_timestamp_seconds - time(), 0))"),
            unit="s",
            empty=NOT_SCRAPED,
            limit=(1, TROUBLE),
            width=3,
        ).decimals(0),
        stat_panel(
            "Last reload",
            "Whether credentials and web.config_file could be read when they were last read.",
            Query(f"min({of_process('twilio_email_exporter_config_last_reload_successful')})"),
            unit="none",
            empty=NOT_SCRAPED,
            width=3,
        ).mappings([panels.value_words({"0": ("unreadable", TROUBLE), "1": ("read", GOOD)})]),
        stat_panel(
            "Time since reload",
            "Time since credentials and web.config_file were last read successfully; the longest of all "
            "exporters.",
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
            "Time since the most recent start of an exporter.",
            Query(f"time() - max({of_process('process_start_time_seconds')})"),
            unit="s",
            empty=NOT_SCRAPED,
            colour=PLAIN,
            width=3,
        ),
        stat_panel(
            "Version",
            "Versions of the exporters that are running.",
            Query(f"count by (version) ({of_process('twilio_email_exporter_build_info')})", "{{version}}"),
            unit="none",
            empty=NOT_SCRAPED,
            colour=PLAIN,
            width=3,
        ).text_mode(BigValueTextMode.NAME),
    ]


def _freshness() -> list[panels.Drawn]:
    return [
        graph(
            "Data age by account",
            "Time since the start of the last successful poll; accounts without one are not shown. Data is "
            f"stale above the dashed line: {duration(STALE_AFTER)} or {STALE_INTERVALS} poll intervals, "
            "whichever is longer.",
            Query(f"({AGE}) < 1e9", "{{account}}"),
            Query(
                f"clamp_min({STALE_INTERVALS} * max(twilio_email_exporter_poll_interval_seconds), "
                f"{STALE_AFTER})",
                "stale",
            ),
            unit="s",
            empty=NOT_SCRAPED,
            bound="stale",
            width=8,
        ),
        states(
            "Poll success",
            "Whether the polls of each account succeeded. A single failed poll is visible; so is the time "
            "before the first poll. A gap means that the exporter was not scraped.",
            Query("min by (account) (min_over_time(twilio_email_up[$__rate_interval]))", "{{account}}"),
            words={"0": ("failed", TROUBLE), "1": ("succeeded", GOOD)},
            empty=NOT_SCRAPED,
            width=8,
        ),
        coloured(
            graph(
                "Polls, by outcome",
                "Polls per minute, by outcome. Purple: Twilio's reply was unusable; blue: there was no "
                "reply. "
                "Throttled: replies with 429; unavailable: 5xx, also where a 503 asked for a pause "
                "(Retry-After) longer than the poll. docs/runbook.md lists the causes.",
                _rate("twilio_email_exporter_polls_total", "outcome"),
                unit=PER_MINUTE,
                empty=NOT_SCRAPED,
                width=8,
            ),
            OUTCOMES,
        ),
    ]


def _requests() -> list[panels.Drawn]:
    answers = graph(
        "Replies other than 200",
        "Requests per minute with another HTTP status, or without a reply (blue).",
        Query(
            'sum by (code) (rate(twilio_email_exporter_requests_total{code!="200"}[$__rate_interval])) * 60',
            "{{code}}",
        ),
        unit=PER_MINUTE,
        empty=NOT_SCRAPED,
        shades_of=NEUTRAL,
        width=6,
    )
    for code, word in (("429", "throttled"), ("40[13]", "unauthorized"), ("5..", "unavailable")):
        answers.override_by_regexp(code, [panels.shades(panels.COLOURS[word])])
    durations = graph(
        "Request duration",
        "Time from sending a request to the end of the reply, by call: median and 95th percentile (dashed).",
        *_quantiles("twilio_email_exporter_request_duration_seconds", "call"),
        unit="s",
        empty="No requests, or not scraped",
        slower=".*, 95 %",
        width=8,
    )
    for call in CALLS:
        durations.override_by_regexp(f"{call}, .*", [panels.fixed(panels.COLOURS[call])])
    return [
        graph(
            "Request rate and limit",
            "Requests per second, by account. Dashed: the current limit of the rate limiter, halved by a "
            "reply with status 429 and raised by successful requests.",
            Query(
                "sum by (account) (rate(twilio_email_exporter_requests_total[$__rate_interval]))",
                "{{account}}",
            ),
            Query("max by (account) (twilio_email_exporter_request_rate_limit)", "{{account}}, limit"),
            unit="reqps",
            empty=NOT_SCRAPED,
            bound=".*, limit",
            width=6,
        ),
        coloured(
            graph(
                "Requests, by call",
                "Requests per minute. list reads a page of operations, fetch one unfinished operation; "
                "emails and errors belong to the breakdown of failed and undelivered emails.",
                _rate("twilio_email_exporter_requests_total", "call"),
                unit=PER_MINUTE,
                empty=NOT_SCRAPED,
                width=6,
            ),
            CALLS,
        ),
        coloured(answers, ("timeout", "connection")),
        graph(
            "Pauses",
            "Time until the account's requests may be sent again, after Twilio asked for a pause "
            "(Retry-After).",
            Query(
                "clamp_min(max by (account) (twilio_email_exporter_next_request_timestamp_seconds) - "
                "time(), 0)",
                "{{account}}",
            ),
            unit="s",
            empty=NOT_SCRAPED,
            shades_of=TROUBLE,
            width=6,
        ),
        durations,
        graph(
            "Poll duration",
            "Median and 95th percentile (dashed), by account. Grey: the poll interval; a longer poll delays "
            "the next one.",
            *_quantiles("twilio_email_exporter_poll_duration_seconds", "account"),
            Query("max(twilio_email_exporter_poll_interval_seconds)", "interval"),
            unit="s",
            empty="No polls, or not scraped",
            slower=".*, 95 %",
            bound="interval",
            width=8,
        ),
        coloured(
            graph(
                "Retries and skipped fetches",
                "Retries per minute, by reason, and unfinished operations per minute that a poll had no "
                "time to fetch.",
                _rate("twilio_email_exporter_retries_total", "reason"),
                Query(
                    "sum(rate(twilio_email_exporter_skipped_fetches_total[$__rate_interval])) * 60",
                    "skipped fetches",
                ),
                unit=PER_MINUTE,
                empty=NOT_SCRAPED,
                width=8,
            ),
            (*RETRY_REASONS, "skipped fetches"),
        ),
    ]


def _process() -> list[panels.Drawn]:
    def by_instance(title: str, description: str, expression: str, unit: str) -> panels.Drawn:
        return graph(
            title,
            description,
            Query(f"sum by (instance) ({of_process(expression)})", "{{instance}}"),
            unit=unit,
            empty=NOT_SCRAPED,
            width=8,
        )

    return [
        graph(
            "Tracked operations",
            "Operations included in the sums of the window, by account. Memory grows with their number.",
            Query("sum by (account) (twilio_email_exporter_tracked_operations)", "{{account}}"),
            unit="locale",
            empty=NOT_SCRAPED,
            width=8,
        ),
        by_instance(
            "State file size",
            "Size of the state file and its journal, by exporter; 0 without a state file.",
            "twilio_email_exporter_state_bytes",
            "bytes",
        ),
        coloured(
            graph(
                "State file writes",
                "Writes per minute, by outcome. Counters are frozen until a write succeeds.",
                Query(
                    "sum by (outcome) ("
                    + of_process("rate(twilio_email_exporter_state_writes_total[$__rate_interval])")
                    + ") * 60",
                    "{{outcome}}",
                ),
                unit=PER_MINUTE,
                empty=NOT_SCRAPED,
                width=8,
            ),
            ("success", "failure"),
        ),
        by_instance("Memory", "Resident memory, by exporter.", "process_resident_memory_bytes", "bytes"),
        by_instance(
            "CPU",
            "CPU cores used, by exporter.",
            "rate(process_cpu_seconds_total[$__rate_interval])",
            "percentunit",
        ),
        by_instance("Open files", "Open files and connections, by exporter.", "process_open_fds", "locale"),
    ]


def _quality() -> list[panels.Drawn]:
    return [
        graph(
            "Unexpected data and internal errors",
            "Over the last hour: operations that left the window unfinished, operations with an unknown "
            "status, and polls that ended with a bug in the exporter (see its log). All should be 0.",
            *(
                Query(f"sum(increase(twilio_email_exporter_{counter}_total[1h]))", name)
                for counter, name in (
                    ("expired_unfinished", "left unfinished"),
                    ("unknown_values", "unknown status"),
                    ("internal_errors", "internal errors"),
                )
            ),
            unit="locale",
            empty=NOT_SCRAPED,
            shades_of=TROUBLE,
            width=6,
        ),
        coloured(
            graph(
                "Stats that decreased",
                "Stats per minute that were lower than in the previous reply, by status. Delivered decreases "
                "when mail is opened, if Twilio's statuses exclude each other; failed and undelivered should "
                "not decrease.",
                _rate("twilio_email_exporter_regressions_total", "status"),
                unit=PER_MINUTE,
                empty=NOT_SCRAPED,
                width=6,
            ),
            OUTCOME_STATUSES,
        ),
        graph(
            "Stats changed after the final status",
            "Replies per minute that changed the stats of a completed or canceled operation. Bounces and "
            "opens arrive for hours.",
            _rate("twilio_email_exporter_changed_after_final_total", "account"),
            unit=PER_MINUTE,
            empty=NOT_SCRAPED,
            width=6,
        ),
        graph(
            "Clock skew",
            "The exporter's clock minus Twilio's, by account. Twilio's time is in whole seconds.",
            Query("max by (account) (twilio_email_exporter_clock_skew_seconds)", "{{account}}"),
            unit="s",
            empty=NOT_SCRAPED,
            width=6,
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
            "Requests to Twilio": _requests(),
            "State and process": _process(),
            "Data quality": _quality(),
        },
    )
