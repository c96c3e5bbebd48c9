"""The row "Requests to Twilio": what the polls ask, how long it takes, and what goes wrong."""

from exporter.errors import OUTCOMES, RETRY_REASONS
from exporter.events import CALLS
from grafana import panels
from grafana.chosen import EACH, NAME
from grafana.panels import NEUTRAL, NOT_SCRAPED, PER_MINUTE, TROUBLE, Query, Style, coloured, graph, rate


def _quantiles(histogram: str, by: str, name: str) -> tuple[Query, ...]:
    looks: tuple[tuple[float, str, Style], ...] = ((0.5, "median", "solid"), (0.95, "95 %", "dashed"))
    return tuple(
        Query(
            f"histogram_quantile({quantile}, sum by ({by}, le) (rate({histogram}_bucket[$__rate_interval])))",
            name,
            meaning,
            style,
        )
        for quantile, meaning, style in looks
    )


def requests() -> list[panels.Drawn]:
    answers = graph(
        "Replies other than 200",
        "What does Twilio refuse? Requests per minute with another HTTP status, or without a reply (blue).",
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
    durations = coloured(
        graph(
            "Request duration",
            "How fast does Twilio reply? Time from sending a request to the end of the reply, by call: "
            "median and 95th percentile (dashed).",
            *_quantiles("twilio_email_exporter_request_duration_seconds", "call", "{{call}}"),
            unit="s",
            empty="No requests, or not scraped",
            width=6,
        ),
        CALLS,
    )
    return [
        coloured(
            graph(
                "Polls, by outcome",
                "Why do polls fail? Polls per minute, by outcome. Purple: Twilio's reply was unusable; "
                "blue: there was no reply. Throttled: replies with 429; unavailable: 5xx, also where a 503 "
                "asked for a pause (Retry-After) longer than the poll. docs/runbook.md lists the causes.",
                rate("twilio_email_exporter_polls_total", "outcome"),
                unit=PER_MINUTE,
                empty=NOT_SCRAPED,
            ),
            OUTCOMES,
        ),
        graph(
            "Poll duration",
            "Do polls fit the interval? Median and 95th percentile (dashed), by account. Dotted, grey: the "
            "poll interval; a longer poll delays the next one.",
            *_quantiles("twilio_email_exporter_poll_duration_seconds", EACH, NAME),
            Query("max(twilio_email_exporter_poll_interval_seconds)", "interval", style="dotted"),
            unit="s",
            empty="No polls, or not scraped",
        ),
        graph(
            "Request rate and limit",
            "Is the exporter near its limit? Requests per second, by account. Dotted: the current limit of "
            "the rate limiter, halved by a reply with status 429 and raised by successful requests.",
            Query(
                f"sum by ({EACH}) (rate(twilio_email_exporter_requests_total[$__rate_interval]))",
                NAME,
                "rate",
            ),
            Query(f"max by ({EACH}) (twilio_email_exporter_request_rate_limit)", NAME, "limit", "dotted"),
            unit="reqps",
            empty=NOT_SCRAPED,
        ),
        graph(
            "Pauses",
            "When must the exporter wait? Time until the account's requests may be sent again, after Twilio "
            "asked for a pause (Retry-After).",
            Query(
                f"clamp_min(max by ({EACH}) (twilio_email_exporter_next_request_timestamp_seconds) - "
                "time(), 0)",
                NAME,
            ),
            unit="s",
            empty=NOT_SCRAPED,
            shades_of=TROUBLE,
        ),
        coloured(
            graph(
                "Requests, by call",
                "What is requested? Requests per minute. list reads a page of operations, fetch one "
                "unfinished operation; emails and errors belong to the breakdown of failed and undelivered "
                "emails.",
                rate("twilio_email_exporter_requests_total", "call"),
                unit=PER_MINUTE,
                empty=NOT_SCRAPED,
                width=6,
            ),
            CALLS,
        ),
        coloured(answers, ("timeout", "connection")),
        coloured(
            graph(
                "Retries and skipped fetches",
                "Which requests are repeated or left out? Retries per minute, by reason, and unfinished "
                "operations per minute that a poll had no time to fetch.",
                rate("twilio_email_exporter_retries_total", "reason"),
                Query(
                    "sum(rate(twilio_email_exporter_skipped_fetches_total[$__rate_interval])) * 60",
                    "skipped fetches",
                ),
                unit=PER_MINUTE,
                empty=NOT_SCRAPED,
                width=6,
            ),
            (*RETRY_REASONS, "skipped fetches"),
        ),
        durations,
    ]
