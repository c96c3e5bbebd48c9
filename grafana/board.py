"""Assembles a dashboard from panels: variables, links, positions and ids of the panels.

This module must not know what a panel shows.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models

from grafana.happenings import annotations
from grafana.panels import DATASOURCE, Drawn
from grafana.thresholds import EXPORTER_DASHBOARD, OPERATIONS_DASHBOARD

RUNBOOK: Final = "docs/runbook.md"
"""Relative, as in the alerts: the address of the files depends on the installation."""
TAGS: Final = ["twilio-email", "generated"]
TITLES: Final = {
    OPERATIONS_DASHBOARD: "Twilio Email — operations",
    EXPORTER_DASHBOARD: "Twilio Email — exporter",
}


def board(
    uid: str, description: str, top: Sequence[Drawn], rows: Mapping[str, Sequence[Drawn]]
) -> models.Dashboard:
    """The panels of `top` come first, then each titled row; panels are placed from left to right."""
    builder = (
        builders.Dashboard(TITLES[uid])
        .uid(uid)
        .description(description)
        .tags(TAGS)
        .editable()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .time("now-6h", "now")
        .refresh("1m")
        .timezone("browser")
        .annotations(annotations())
        .variables(
            [
                builders.DatasourceVariable("datasource").label("Data source").type("prometheus"),
                *_choices("cluster", "namespace", "job", "instance", "account"),
            ]
        )
    )
    for other, title in TITLES.items():
        if other != uid:
            builder.link(_link(title, f"/d/{other}").keep_time(True).include_vars(True))
    builder.link(_link("Runbook", RUNBOOK).target_blank(True))
    for panel in top:
        builder.with_panel(panel)
    for title, panels in rows.items():
        builder.with_row(builders.Row(title))
        for panel in panels:
            builder.with_panel(panel)
    made = builder.build()
    for number, each in enumerate(made.panels or [], start=1):
        each.id_val = number
    return made


def _link(title: str, url: str) -> builders.DashboardLink:
    link = builders.DashboardLink(title).type(models.DashboardLinkType.LINK).url(url)
    return link.placement("")  # the SDK's default puts the link into a menu


def _choices(*labels: str) -> Iterator[builders.QueryVariable]:
    """A variable for each label; the choice of one narrows the following ones."""
    for number, label in enumerate(labels):
        chosen = ", ".join(f'{each}=~"${each}"' for each in labels[:number])
        yield _choice(label, f"label_values(twilio_email_up{{{chosen}}}, {label})")


def _choice(name: str, query: str) -> builders.QueryVariable:
    return (
        builders.QueryVariable(name)
        .label(name.capitalize())
        .datasource(DATASOURCE)
        .query(query)
        .definition(query)
        .multi(True)
        .include_all(True)
        .all_value(".*")  # also matches a label that an installation does not have
        .current(models.VariableOption(selected=True, text="All", value="$__all"))
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
    )
