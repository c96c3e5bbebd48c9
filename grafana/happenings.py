"""What happened and what fires: the table of alerts, and the annotations on all graphs.

The rules of grafana/alerts.yaml must be evaluated in the data source that the dashboard reads.
"""

from typing import Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as models

from grafana.chosen import NAME, alerts, of_chosen, of_process
from grafana.panels import DATASOURCE, PLAIN, TROUBLE, Drawn, Query, numbers, unit_of

FIRING: Final = alerts("ALERTS", ', alertstate="firing"')
STEP_SECONDS: Final = 60
"""Resolution of the annotations over up to a week; Grafana makes longer steps over longer times."""
STARTED: Final = (
    of_process(f"(time() - process_start_time_seconds < {2 * STEP_SECONDS})")
    + " * on (cluster, namespace, job, instance) group_left (version) twilio_email_exporter_build_info"
)
"""The uptime of new processes: also of those in a new pod, whose series has no past that could change."""


def firing_alerts() -> Drawn:
    table = numbers(
        "Firing alerts",
        "Which alerts fire? Those of the selected accounts, critical ones first, and for how long their "
        "condition has been true. Alerts without an account concern all accounts. The runbook has a section "
        "for each.",
        Query(f"sort(time() - {alerts('ALERTS_FOR_STATE')} and ignoring (alertstate) {FIRING})"),
        unit="none",
        empty="No alert fires, or grafana/alerts.yaml is not loaded",
        height=5,
    )
    names = ("alertname", "severity", "account", "namespace", "cluster", "job", "instance", "Value")
    return (
        table.with_transformation(
            models.DataTransformerConfig(
                "organize",
                options={
                    "indexByName": {name: index for index, name in enumerate(names)},
                    "excludeByName": {"Time": True},
                    "renameByName": {"alertname": "alert", "Value": "active for"},
                },
            )
        )
        .with_transformation(
            models.DataTransformerConfig("sortBy", options={"fields": {}, "sort": [{"field": "severity"}]})
        )
        .override_by_name("active for", [unit_of("s")])
    )


def annotations() -> list[Builder[models.AnnotationQuery]]:
    return [
        _annotation("Alerts", FIRING, "{{alertname}}", NAME, TROUBLE).tag_keys("severity"),
        _annotation(
            "Starts and versions",
            of_chosen(STARTED),
            "Exporter {{version}} started",
            "{{job}} {{instance}}",
            PLAIN,
        ),
    ]


def _annotation(name: str, expression: str, title: str, text: str, colour: str) -> builders.AnnotationQuery:
    return (
        builders.AnnotationQuery()
        .name(name)
        .datasource(DATASOURCE)
        .enable(True)
        .expr(expression)
        .step(f"{STEP_SECONDS}s")
        .title_format(title)
        .text_format(text)
        .icon_color(colour)
    )
