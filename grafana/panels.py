"""Builders that all panels share: the variables in queries, colours, units, texts of empty panels.

This module must not know what a panel shows. Rules:

1. Each panel has a title, a description, a unit and a text for the case that there is no data.
2. A word has the same colour on every panel. Red and orange are reserved for failed and undelivered mail;
   problems of the exporter are yellow.
3. Queries sum over instances: one exporter polls an account, but its `instance` changes when it is moved.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from exporter.metrics.families import FAMILIES
from grafana.thresholds import STALE_AFTER, duration

Drawn: TypeAlias = Builder[models.Panel]
Styled = TypeVar(
    "Styled", stat.Panel, timeseries.Panel, table.Panel, heatmap.Panel, statetimeline.Panel, bargauge.Panel
)  # they share methods, but no base class

DATASOURCE: Final = common_models.DataSourceRef(type_val="prometheus", uid="${datasource}")

GOOD: Final = "green"
TROUBLE: Final = "yellow"
PLAIN: Final = "blue"
NEUTRAL: Final = "text"
"""For limits and unknown values: green means known to be good."""
COLOURS: Final = {
    "failed": "red",
    "undelivered": "orange",
    "delivered": GOOD,
    "opened": "super-light-green",
    "sent": "light-blue",
    "queued": "semi-dark-blue",
    "scheduled": "super-light-purple",
    "canceled": "purple",
    "processing": PLAIN,
    "completed": "dark-green",
    "created": PLAIN,
    "emails": PLAIN,
    "recipients": "light-purple",
    "attempts": "semi-dark-purple",
    "list": "purple",
    "fetch": "light-blue",
    "errors": "semi-dark-purple",
    "unknown": TROUBLE,
    "success": GOOD,
    "failure": TROUBLE,
    "throttled": TROUBLE,
    "unauthorized": "super-light-yellow",
    "unavailable": "purple",
    "malformed": "dark-purple",
    "truncated": "super-light-purple",
    "unreachable": "blue",
    "timeout": "light-blue",
    "connection": "dark-blue",
    "skipped fetches": NEUTRAL,
}
"""By the name of the series. Of failed polls, unusable replies are purple, missing replies blue."""

REFERENCES: Final = "ABCDEFGH"
"""Reference ids of a panel's queries, in order."""

PER_MINUTE: Final = "suffix:/min"

AGE: Final = "time() - min by (account) (twilio_email_exporter_last_success_timestamp_seconds)"
"""Age of the data in seconds, by account; decades before the first success."""

SMOOTHED: Final = "1m"
"""Shortest step of a graph, the default poll interval: with less, rates would show each poll as a spike."""

_SELECTOR: Final = re.compile(r"\b((?:account:)?(?:twilio_email|process)_[\w:]+)(?:\{([^}]*)\})?")
_WITH_ACCOUNT: Final = {family.name: "account" in family.labels for family in FAMILIES}


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression without the dashboard's variables, and the name of its series or column."""

    expression: str
    name: str = ""


def of_chosen(expression: str) -> str:
    """Adds the dashboard's variables to every selector."""

    def narrowed(found: re.Match[str]) -> str:
        name, own = found.groups()
        wanted = [f'{label}=~"${label}"' for label in ("cluster", "namespace", "job")]
        is_recorded = name.startswith("account:")  # of no instance
        if not is_recorded:
            wanted.append('instance=~"$instance"')
        if is_recorded or (not name.startswith("process_") and _WITH_ACCOUNT[_family(name)]):
            wanted.append('account=~"$account"')
        return f"{name}{{{', '.join([*wanted, *([own] if own else [])])}}}"

    return _SELECTOR.sub(narrowed, expression)


def of_process(expression: str) -> str:
    """Limits an expression without account to the exporters that poll a selected account."""
    return f"({expression} and on (cluster, namespace, job, instance) twilio_email_up)"


def _family(series: str) -> str:
    return series if series in _WITH_ACCOUNT else re.sub(r"_(bucket|sum|count)$", "", series)


def stat_panel(
    title: str,
    description: str,
    query: Query,
    *,
    unit: str,
    empty: str,
    colour: str = GOOD,
    limit: tuple[float, str] | None = None,
    worse: tuple[Query, str] | None = None,
    width: int,
) -> stat.Panel:
    """One value on a background that changes colour at the limit; below it the query's name, if it has one.

    `worse` is shown, in its colour, where the query has no result.
    """
    panel = (
        stat.Panel()
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
        .graph_mode(common_models.BigValueGraphMode.NONE)
        .color_mode(common_models.BigValueColorMode.BACKGROUND)
        .text_mode(
            common_models.BigValueTextMode.VALUE_AND_NAME
            if query.name
            else common_models.BigValueTextMode.VALUE
        )
        .wide_layout(False)
        .thresholds(_steps(NEUTRAL, (0, colour), limit))
    )
    _described(panel, title, description, unit, empty, (4, width)).with_target(_target(query, instant=True))
    if worse:
        other, its_colour = worse
        panel.with_target(_target(other, 1, instant=True))
        panel.override_by_query(REFERENCES[1], [fixed(its_colour)])
    return panel


def age_panel(title: str, more: str = "", *, empty: str, width: int) -> stat.Panel:
    """The age of the oldest data; `more` is added to the description."""
    description = (
        "Time since the start of the last successful poll; the account with the oldest data is shown. "
        f"Yellow from {duration(STALE_AFTER)}. {more}"
    ).rstrip()
    query = Query(f"topk(1, {AGE})", "{{account}}")
    limit = (STALE_AFTER, TROUBLE)
    panel = stat_panel(title, description, query, unit="s", empty=empty, limit=limit, width=width)
    return panel.mappings([NEVER])


def graph(
    title: str,
    description: str,
    *queries: Query,
    unit: str,
    empty: str,
    shades_of: str = PLAIN,
    slower: str = "",
    bound: str = "",
    limit: tuple[float, str] | None = None,
    width: int = 12,
) -> timeseries.Panel:
    """Lines in shades of one colour.

    With one line per account the shades are hard to tell apart, so the legend is a table of names and values,
    highest first. `slower` and `bound` are regular expressions of names whose lines are dashed; those of
    `bound` are also grey.
    """
    many = any(label in each.name for each in queries for label in ("{{account}}", "{{instance}}"))
    style = (
        common_models.GraphThresholdsStyleMode.DASHED if limit else common_models.GraphThresholdsStyleMode.OFF
    )
    legend = common.VizLegendOptions().show_legend(True).placement(common_models.LegendPlacement.BOTTOM)
    if many:
        legend.display_mode(common_models.LegendDisplayMode.TABLE).calcs(["lastNotNull", "max"])
        legend.sort_by("Last *").sort_desc(True)
    else:
        legend.display_mode(common_models.LegendDisplayMode.LIST).calcs([])
    panel = (
        timeseries.Panel()
        .interval(SMOOTHED)
        .axis_soft_min(0)  # a slow clock gives values below 0
        .line_width(2)
        .fill_opacity(0 if many else 8)
        .show_points(common_models.VisibilityMode.AUTO)
        .legend(legend)
        .tooltip(
            common.VizTooltipOptions()
            .mode(common_models.TooltipDisplayMode.MULTI)
            .sort(common_models.SortOrder.DESCENDING)
        )
        .color_scheme(builders.FieldColor().mode(models.FieldColorModeId.SHADES).fixed_color(shades_of))
        .thresholds(_steps("transparent", limit))
        .thresholds_style(common.GraphThresholdsStyleConfig().mode(style))
    )
    for names, own in ((slower, []), (bound, [fixed(NEUTRAL)])):
        if names:
            line = models.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [10, 10]})
            panel.override_by_regexp(names, [line, models.DynamicConfigValue("custom.fillOpacity", 0), *own])
    panel.targets([_target(each, place) for place, each in enumerate(queries)])
    return _described(panel, title, description, unit, empty, (8, width))


def coloured(panel: timeseries.Panel, words: Iterable[str]) -> timeseries.Panel:
    """Gives the series of these names the colour of the word."""
    for word in words:
        panel.override_by_name(word, [fixed(COLOURS[word])])
    return panel


def states(
    title: str,
    description: str,
    query: Query,
    *,
    words: Mapping[str, tuple[str, str]],
    empty: str,
    width: int,
) -> statetimeline.Panel:
    """A band for each series, with the word and the colour of its value."""
    panel = (
        statetimeline.Panel()
        .interval(SMOOTHED)
        .mappings([value_words(words)])
        .show_value(common_models.VisibilityMode.NEVER)
        .row_height(0.8)
    )
    return _described(panel, title, description, "none", empty, (8, width)).targets([_target(query)])


def density(title: str, description: str, query: Query, *, unit: str, empty: str) -> heatmap.Panel:
    """A heatmap of durations; the query returns the buckets of a histogram."""
    panel = (
        heatmap.Panel()
        .interval(SMOOTHED)
        .calculate(False)
        .color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Greens").steps(64))
        .y_axis(heatmap.YAxisConfig().unit(unit).axis_placement(common_models.AxisPlacement.LEFT))
        .cell_gap(1)
        .tooltip(
            heatmap.HeatmapTooltip().mode(common_models.TooltipDisplayMode.SINGLE).show_color_scale(True)
        )
        .show_legend()
    )
    target = _target(query).format(PromQueryFormat.HEATMAP)
    return _described(panel, title, description, unit, empty, (8, 12)).targets([target])


def bars(
    title: str, description: str, query: Query, *, colour: str, empty: str, height: int = 8
) -> bargauge.Panel:
    """A bar for each series of the query, in the query's order."""
    panel = (
        bargauge.Panel()
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
        .orientation(common_models.VizOrientation.HORIZONTAL)
        .display_mode(common_models.BarGaugeDisplayMode.BASIC)
        .value_mode(common_models.BarGaugeValueMode.TEXT)
        .name_placement(common_models.BarGaugeNamePlacement.LEFT)
        .show_unfilled(False)
        .text(common.VizTextDisplayOptions().title_size(12).value_size(14))
        .min(0)
        .color_scheme(builders.FieldColor().mode(models.FieldColorModeId.FIXED).fixed_color(colour))
    )
    return _described(panel, title, description, "locale", empty, (height, 8)).with_target(
        _target(query, instant=True)
    )


def numbers(title: str, description: str, *queries: Query, unit: str, empty: str, height: int) -> table.Panel:
    """A table of current values; the caller adds the transformations."""
    panel = table.Panel().show_header(True).min_width(60)
    panel.targets(
        [
            _target(each, place, instant=True).format(PromQueryFormat.TABLE)
            for place, each in enumerate(queries)
        ]
    )
    for word in ("failed", "undelivered"):
        panel.override_by_name(
            word,
            [fixed(COLOURS[word]), models.DynamicConfigValue("custom.cellOptions", {"type": "color-text"})],
        )
    return _described(panel, title, description, unit, empty, (height, 24))


NEVER: Final = models.RangeMap(
    models.DashboardRangeMapOptions(
        from_val=1e9, to=1e12, result=models.ValueMappingResult(text="never", color=TROUBLE)
    )
)
"""The age of a timestamp 0: no success yet."""


def value_words(words: Mapping[str, tuple[str, str]]) -> models.ValueMap:
    """Shows a word in a colour instead of the value."""
    return models.ValueMap(
        {
            value: models.ValueMappingResult(text=word, color=colour, index=index)
            for index, (value, (word, colour)) in enumerate(words.items())
        }
    )


def _described(
    panel: Styled, title: str, description: str, unit: str, empty: str, size: tuple[int, int]
) -> Styled:
    height, width = size
    return (
        panel.title(title)
        .description(description)
        .unit(unit)
        .no_value(empty)
        .datasource(DATASOURCE)
        .height(height)
        .span(width)
    )


def _target(query: Query, place: int = 0, *, instant: bool = False) -> prometheus.Dataquery:
    target = (
        prometheus.Dataquery()
        .ref_id(REFERENCES[place])
        .datasource(DATASOURCE)
        .expr(of_chosen(query.expression))
        .legend_format(query.name)
    )
    return target.instant() if instant else target.range()


def shades(colour: str) -> models.DynamicConfigValue:
    """Shades of one colour for several series."""
    return models.DynamicConfigValue("color", {"mode": "shades", "fixedColor": colour})


def fixed(colour: str) -> models.DynamicConfigValue:
    return models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})


def _steps(without_number: str, *limits: tuple[float, str] | None) -> builders.ThresholdsConfig:
    steps = [models.Threshold(value=None, color=without_number)]
    steps += [models.Threshold(*limit) for limit in limits if limit]
    return builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)
