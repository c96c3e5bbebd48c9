"""The dashboard of the exporter itself: are the numbers fresh, and if not, whose fault is it?"""

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

NOT_SCRAPED: Final = "Nothing known: no exporter is scraped"


def _rate(counter: str, by: str) -> Query:
    """A minute, by a label; named by it."""
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
            "Accounts whose last poll failed. Their numbers are those of their last successful poll.",
            Query("sum(1 - min by (account) (twilio_email_up))"),
            unit="none",
            empty=NOT_SCRAPED,
            limit=(1, TROUBLE),
            width=3,
        ),
        panels.age_panel("Data age", empty=NOT_SCRAPED, width=3),
        stat_panel(
            f"Throttled, {window}",
            f"Answers of 429, and polls that gave way to a pause Twilio asked for, in the last {window}; of "
            f"the account that fares worst, named below. Yellow from {THROTTLED_EVENTS} on, where the alert "
            "begins.",
            Query(f"topk(1, {throttled})", "{{account}}"),
            unit="none",
            empty=NOT_SCRAPED,
            limit=(THROTTLED_EVENTS, TROUBLE),
            width=3,
        ).decimals(0),
        stat_panel(
            "Held for",
            "For how long no request may leave, because Twilio asked so; of the account that is held "
            "longest.",
            Query("max(clamp_min(twilio_email_exporter_next_request_timestamp_seconds - time(), 0))"),
            unit="s",
            empty=NOT_SCRAPED,
            limit=(1, TROUBLE),
            width=3,
        ).decimals(0),
        stat_panel(
            "Reload",
            "Whether the files that may change while the exporter runs could be read when they were last "
            "read.",
            Query(f"min({of_process('twilio_email_exporter_config_last_reload_successful')})"),
            unit="none",
            empty=NOT_SCRAPED,
            width=3,
        ).mappings([panels.value_words({"0": ("unreadable", TROUBLE), "1": ("read", GOOD)})]),
        stat_panel(
            "Reloaded",
            "How long ago these files were last read without a problem; of the exporter where it is longest "
            "ago.",
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
            "Running for",
            "Time since the youngest of the exporters was started.",
            Query(f"time() - max({of_process('process_start_time_seconds')})"),
            unit="s",
            empty=NOT_SCRAPED,
            colour=PLAIN,
            width=3,
        ),
        stat_panel(
            "Version",
            "Version of the exporter; several when there are several.",
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
            "Age of the numbers",
            "Time since the last successful poll, by account; accounts without one are left out. The dashed "
            f"line is where data is stale: {duration(STALE_AFTER)}, and {STALE_INTERVALS} poll "
            "intervals.",
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
            "Polls succeed",
            "Whether the polls of each account succeeded; a single failed one shows, and that there was "
            "none yet. A gap: the exporter was not scraped.",
            Query("min by (account) (min_over_time(twilio_email_up[$__rate_interval]))", "{{account}}"),
            words={"0": ("failed", TROUBLE), "1": ("succeeded", GOOD)},
            empty=NOT_SCRAPED,
            width=8,
        ),
        coloured(
            graph(
                "Polls, by outcome",
                "Polls a minute, by how they ended. Purple: Twilio answered, but nothing of use; blue: no "
                "answer came. Throttled: a 429, or Twilio asked (Retry-After) to be left alone for longer "
                "than the poll, as it may in an outage. The table of errors in docs/architecture.md has the "
                "rest.",
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
        "Answers other than 200",
        "Requests a minute that had another HTTP status, or in blue: no answer.",
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
        "Duration of requests",
        "From sending to the whole answer, by call: half of them were faster, and (dashed) 95 % of them.",
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
            "Requests, and what is allowed",
            "Requests a second, by account. Dashed: the rate that the exporter allows itself, halved by "
            "each 429 and raised again by successes.",
            Query(
                "sum by (account) (rate(twilio_email_exporter_requests_total[$__rate_interval]))",
                "{{account}}",
            ),
            Query("max by (account) (twilio_email_exporter_request_rate_limit)", "{{account}}, allowed"),
            unit="reqps",
            empty=NOT_SCRAPED,
            bound=".*, allowed",
            width=6,
        ),
        coloured(
            graph(
                "Requests, by call",
                "Requests a minute: list reads pages of operations, fetch reads one that is unfinished.",
                _rate("twilio_email_exporter_requests_total", "call"),
                unit=PER_MINUTE,
                empty=NOT_SCRAPED,
                width=6,
            ),
            CALLS,
        ),
        coloured(answers, ("timeout", "connection")),
        graph(
            "Held",
            "For how long no request of the account may leave, because Twilio asked so (Retry-After).",
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
            "Duration of polls",
            "By account: half of them were faster, and (dashed) 95 % of them. Grey: the interval; a poll "
            "that takes longer makes the next one late.",
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
                "Repeated requests, skipped fetches",
                "Requests sent again within a poll, by reason, and unfinished operations that a poll did "
                "not fetch for want of time, so that their numbers are those of the listing; a minute.",
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
            "Operations in memory",
            "Operations in the sums, by account. Memory grows with them.",
            Query("sum by (account) (twilio_email_exporter_tracked_operations)", "{{account}}"),
            unit="locale",
            empty=NOT_SCRAPED,
            width=8,
        ),
        by_instance(
            "Size of the state",
            "The state file, by exporter; 0 without one.",
            "twilio_email_exporter_state_bytes",
            "bytes",
        ),
        coloured(
            graph(
                "Writes of the state",
                "Writes a minute, by how they ended. While they fail the counters wait.",
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
            "Processor",
            "Cores in use, by exporter.",
            "rate(process_cpu_seconds_total[$__rate_interval])",
            "percentunit",
        ),
        by_instance("Open files", "Files and connections, by exporter.", "process_open_fds", "locale"),
    ]


def _quality() -> list[panels.Drawn]:
    return [
        graph(
            "Operations that did not go by the book",
            "In the hour before: operations that left the window unfinished, that came with a status "
            "unknown to this version, and polls that a mistake in the exporter ended (the log has more). "
            "All should be 0.",
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
                "Stats that fell",
                "Stats of an operation that were lower than in the reply before, a minute, by status. "
                "Delivered falls when mail is opened, if Twilio's statuses exclude each other; failed and "
                "undelivered should not.",
                _rate("twilio_email_exporter_regressions_total", "status"),
                unit=PER_MINUTE,
                empty=NOT_SCRAPED,
                width=6,
            ),
            OUTCOME_STATUSES,
        ),
        graph(
            "Stats that changed after the end",
            "Replies a minute that changed the stats of an operation that was completed or canceled "
            "already: bounces and opens come for hours.",
            _rate("twilio_email_exporter_changed_after_final_total", "account"),
            unit=PER_MINUTE,
            empty=NOT_SCRAPED,
            width=6,
        ),
        graph(
            "Clock skew",
            "The exporter's clock less that of Twilio, by account; up to a second is Twilio's rounding.",
            Query("max by (account) (twilio_email_exporter_clock_skew_seconds)", "{{account}}"),
            unit="s",
            empty=NOT_SCRAPED,
            width=6,
        ),
    ]


def dashboard() -> models.Dashboard:
    return board(
        EXPORTER_DASHBOARD,
        "Are the numbers fresh, and if not, why? Polls, requests, state and process of the exporter. Yellow "
        "is trouble; red and orange are kept for mail.",
        _top(),
        {
            "Freshness": _freshness(),
            "What is asked of Twilio": _requests(),
            "State and process": _process(),
            "Quality of the data": _quality(),
        },
    )
