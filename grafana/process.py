"""The rows about the exporter's state and process, and about data that should not be."""

from exporter.ledger.counters import OUTCOME_STATUSES
from grafana import panels
from grafana.chosen import EACH, NAME, of_process
from grafana.panels import GOOD, NEUTRAL, NOT_SCRAPED, PER_MINUTE, Query, coloured, graph, rate, states


def process() -> list[panels.Drawn]:
    def by_instance(title: str, description: str, expression: str, unit: str) -> panels.Drawn:
        return graph(
            title,
            description,
            Query(f"sum by (instance) ({of_process(expression)})", "{{instance}}"),
            unit=unit,
            empty=NOT_SCRAPED,
            width=6,
        )

    return [
        graph(
            "Tracked operations",
            "How much does the exporter track? Operations included in the sums of the window, by account. "
            "Memory grows with their number.",
            Query(f"max by ({EACH}) (twilio_email_exporter_tracked_operations)", NAME),
            unit="locale",
            empty=NOT_SCRAPED,
        ),
        coloured(
            graph(
                "State file writes",
                "Is the state saved? Writes per minute, by outcome. Counters are frozen until a write "
                "succeeds.",
                Query(
                    "sum by (outcome) ("
                    + of_process("rate(twilio_email_exporter_state_writes_total[$__rate_interval])")
                    + ") * 60",
                    "{{outcome}}",
                ),
                unit=PER_MINUTE,
                empty=NOT_SCRAPED,
            ),
            ("success", "failure"),
        ),
        by_instance(
            "State file size",
            "Does the state grow? Size of the state as of the last write, by exporter; 0 without a state.",
            "twilio_email_exporter_state_bytes",
            "bytes",
        ),
        by_instance(
            "Memory",
            "How much memory is used? Resident memory, by exporter.",
            "process_resident_memory_bytes",
            "bytes",
        ),
        by_instance(
            "CPU",
            "How much CPU is used? CPU cores used, by exporter.",
            "rate(process_cpu_seconds_total[$__rate_interval])",
            "percentunit",
        ),
        by_instance(
            "Open files",
            "Do open files add up? Open files and connections, by exporter.",
            "process_open_fds",
            "locale",
        ),
        states(
            "Active exporter",
            "Who polls? Of several exporters with one database one is active and the others stand by; an "
            "exporter with a state file is always active.",
            Query(f"max by (instance) ({of_process('twilio_email_exporter_active')})", "{{instance}}"),
            words={"0": ("stands by", NEUTRAL), "1": ("active", GOOD)},
            empty=NOT_SCRAPED,
            width=24,
        ),
    ]


def quality() -> list[panels.Drawn]:
    return [
        coloured(
            graph(
                "Unexpected data and internal errors",
                "Does the data make sense? Over the last hour: operations that left the window unfinished, "
                "operations with an unknown status, and polls that ended with a bug in the exporter (see its "
                "log). All should be 0.",
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
            ),
            ("left unfinished", "unknown status", "internal errors"),
        ),
        coloured(
            graph(
                "Stats that decreased",
                "Do stats decrease? Stats per minute that were lower than in the previous reply, by status. "
                "Delivered decreases when mail is opened, if Twilio's statuses exclude each other; failed "
                "and undelivered should not decrease.",
                rate("twilio_email_exporter_regressions_total", "status"),
                unit=PER_MINUTE,
                empty=NOT_SCRAPED,
            ),
            OUTCOME_STATUSES,
        ),
        graph(
            "Stats changed after the final status",
            "Do finished operations still change? Replies per minute that changed the stats of a completed "
            "or canceled operation. Bounces and opens arrive for hours.",
            rate("twilio_email_exporter_changed_after_final_total", EACH, NAME),
            unit=PER_MINUTE,
            empty=NOT_SCRAPED,
        ),
        graph(
            "Clock skew",
            "Are the clocks right? The exporter's clock minus Twilio's, by account. Twilio's time is in "
            "whole seconds.",
            Query(f"max by ({EACH}) (twilio_email_exporter_clock_skew_seconds)", NAME),
            unit="s",
            empty=NOT_SCRAPED,
        ),
    ]
