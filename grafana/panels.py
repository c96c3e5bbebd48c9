"""Builders that all panels share: colours, styles of lines, units, texts of empty panels.

This module must not know what a panel shows. Rules:

1. Each panel has a title, a description, a unit and a text for the case that there is no data.
2. The description begins with the question that the panel answers.
3. A word has the same colour on every panel. Red and orange are reserved for failed and undelivered mail;
   problems of the exporter are yellow.
4. The lines of an account have one colour, which Grafana derives from its name and which says nothing else.
   Their style says what they are; the label of the axis explains the styles.
5. Queries sum over instances: one exporter polls an account, but its `instance` changes when it is moved.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, TypeVar

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

from grafana.chosen import EACH, NAME, of_chosen
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
    "left unfinished": "light-blue",
    "unknown status": "purple",
    "internal errors": TROUBLE,
    "half": PLAIN,
    "95 %": "purple",
    "99 %": "super-light-purple",
    "older than 5m": "super-light-blue",
    "older than 15m": "light-blue",
    "older than 1h": PLAIN,
    "older than 6h": "purple",
    "older than 24h": "dark-purple",
}
"""By the name of the series. Of failed polls, unusable replies are purple, missing replies blue."""

WIDE: Final = 12
"""Columns of a panel that has room for a legend beside the graph."""

REFERENCES: Final = "ABCDEFGH"
"""Reference ids of a panel's queries, in order."""

PER_MINUTE: Final = "suffix:/min"

AGE: Final = f"time() - max by ({EACH}) (twilio_email_exporter_last_success_timestamp_seconds)"
"""Age of the data in seconds, by account; decades before the first success."""

NO_EXPORTER: Final = "No data: no exporter is scraped, or no poll has succeeded yet"
NOT_SCRAPED: Final = "No data: no exporter is scraped"

SMOOTHED: Final = "1m"
"""Shortest step of a graph, the default poll interval: with less, rates would show each poll as a spike."""

Style: TypeAlias = Literal["solid", "dashed", "dotted"]
DASHES: Final[Mapping[Style, list[int]]] = {"solid": [], "dashed": [10, 10], "dotted": [2, 6]}
SAMPLES: Final[Mapping[Style, str]] = {"solid": "──", "dashed": "- -", "dotted": "···"}


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression without the dashboard's variables, and how its series or column is shown."""

    expression: str
    name: str = ""
    meaning: str = ""
    """What the line's style stands for, where the lines of an account share its name."""
    style: Style = "solid"

    @property
    def is_of_many(self) -> bool:
        """Whether it has a series for each account or exporter."""
        return "{{account}}" in self.name or "{{instance}}" in self.name


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
        "How old is what I see? Time since the start of the last successful poll; the account with the "
        f"oldest data is shown. Yellow from {duration(STALE_AFTER)}. {more}"
    ).rstrip()
    query = Query(f"topk(1, {AGE})", NAME)
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
    width: int = WIDE,
) -> timeseries.Panel:
    """Lines in shades of one colour, or in one colour for each account or exporter.

    The latter have a legend with values, highest first. Of lines that share a name, which have a `meaning`,
    those of the first query are in the legend: a row for each account.
    """
    many = any(each.is_of_many for each in queries)
    panel = (
        timeseries.Panel()
        .interval(SMOOTHED)
        .axis_soft_min(0)  # a slow clock gives values below 0
        .axis_label("   ".join(f"{SAMPLES[each.style]} {each.meaning}" for each in queries if each.meaning))
        .line_width(2)
        .fill_opacity(0 if many else 8)
        .show_points(common_models.VisibilityMode.AUTO)
        .legend(_legend(many=many, is_wide=width >= WIDE))
        .tooltip(
            common.VizTooltipOptions()
            .mode(common_models.TooltipDisplayMode.MULTI)
            .sort(common_models.SortOrder.DESCENDING)
        )
        .color_scheme(
            builders.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC_BY_NAME)
            if many
            else builders.FieldColor().mode(models.FieldColorModeId.SHADES).fixed_color(shades_of)
        )
        .thresholds(_steps("transparent"))
    )
    for place, query in enumerate(queries):
        if look := list(_look(query, is_first=place == 0)):
            panel.override_by_query(REFERENCES[place], look)
    panel.targets([_target(each, place) for place, each in enumerate(queries)])
    return _described(panel, title, description, unit, empty, (8, width))


def _legend(*, many: bool, is_wide: bool) -> common.VizLegendOptions:
    legend = common.VizLegendOptions().show_legend(True)
    beside = many and is_wide
    legend.placement(common_models.LegendPlacement.RIGHT if beside else common_models.LegendPlacement.BOTTOM)
    if not many:
        return legend.display_mode(common_models.LegendDisplayMode.LIST).calcs([])
    legend.display_mode(common_models.LegendDisplayMode.TABLE).calcs(["lastNotNull", "max"])
    return legend.sort_by("Last *").sort_desc(True)


def _look(query: Query, *, is_first: bool) -> Iterator[models.DynamicConfigValue]:
    if query.style != "solid":
        dashes = {"fill": "dash", "dash": DASHES[query.style]}
        yield models.DynamicConfigValue("custom.lineStyle", dashes)
        yield models.DynamicConfigValue("custom.fillOpacity", 0)
    if query.style == "dotted" and not query.is_of_many:
        yield fixed(NEUTRAL)
    if query.meaning and not is_first:
        hidden = {"legend": True, "tooltip": False, "viz": False}
        yield models.DynamicConfigValue("custom.hideFrom", hidden)


def rate(counter: str, by: str, name: str = "") -> Query:
    """The rate per minute for each value of a label, which is the name of the series."""
    return Query(f"sum by ({by}) (rate({counter}[$__rate_interval])) * 60", name or f"{{{{{by}}}}}")


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
    width: int = WIDE,
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


def unit_of(unit: str) -> models.DynamicConfigValue:
    return models.DynamicConfigValue("unit", unit)


def fixed(colour: str) -> models.DynamicConfigValue:
    return models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})


def _steps(without_number: str, *limits: tuple[float, str] | None) -> builders.ThresholdsConfig:
    steps = [models.Threshold(value=None, color=without_number)]
    steps += [models.Threshold(*limit) for limit in limits if limit]
    return builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)
