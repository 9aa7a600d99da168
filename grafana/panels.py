"""The kinds of panels of the dashboards, except tables.  Knows no metric and no place on the grid.

Every kind takes a title and a description, and a `unit` in Grafana's terms (``s``, ``percentunit``, ``short``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from grafana_foundation_sdk.builders import common as common_kit
from grafana_foundation_sdk.builders import dashboard as dashboard_kit
from grafana_foundation_sdk.builders import heatmap, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DATASOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="${datasource}")
RUNBOOKS = "https://github.com/cams-exporter/cams-exporter/blob/main/docs/runbooks/"

GREEN, YELLOW, ORANGE, RED, PURPLE, GREY, BLUE = (
    "green",
    "yellow",
    "orange",
    "red",
    "purple",
    "#8e8e8e",
    "blue",
)

COARSE_STEPS = 200
"""Number of steps of a graph whose query reads every number at each step.  For one day a step is 7 minutes."""

Steps: TypeAlias = "tuple[tuple[float | None, str], ...]"
"""Thresholds: each colour holds from its value on.  The first value is None: everything below the next."""
BAD_IF_ANY: Steps = ((None, GREEN), (1, RED))
WARN_IF_ANY: Steps = ((None, GREEN), (1, YELLOW))

AnyPanel: TypeAlias = "stat.Panel | timeseries.Panel | table.Panel | statetimeline.Panel | heatmap.Panel"
_Kind = TypeVar("_Kind", stat.Panel, timeseries.Panel, table.Panel, statetimeline.Panel, heatmap.Panel)


@dataclass(frozen=True, slots=True)
class Text:
    """Title and description of a panel; it links to the pages of the alerts in `runbooks`."""

    title: str
    description: str
    runbooks: tuple[str, ...] = ()


def over_time(expression: str, legend: str, ref: str = "A", *, min_step: str = "") -> prometheus.Dataquery:
    """A range query; `legend` may hold ``{{label}}``."""
    query = query_of(expression, ref).range().legend_format(legend)
    return query.interval(min_step) if min_step else query


def now(expression: str, ref: str = "A", legend: str = "__auto") -> prometheus.Dataquery:
    """An instant query at the end of the range."""
    return query_of(expression, ref).instant().legend_format(legend)


def single(
    text: Text,
    query: prometheus.Dataquery,
    *,
    unit: str = "short",
    steps: Steps = ((None, BLUE),),
    mappings: Sequence[dashboard.ValueMapping] = (),
    decimals: int = 0,
) -> stat.Panel:
    """One number, coloured by its thresholds."""
    panel = described(stat.Panel(), text, unit, steps).with_target(query).mappings(list(mappings))
    reduced = common_kit.ReduceDataOptions().calcs(["lastNotNull"])
    return (
        panel.decimals(decimals)
        .no_value("no data")
        .reduce_options(reduced)
        .color_mode(common.BigValueColorMode.BACKGROUND_SOLID)
        .graph_mode(common.BigValueGraphMode.NONE)
    )


def graph(
    text: Text,
    *queries: prometheus.Dataquery,
    unit: str = "short",
    steps: Steps = ((None, GREEN),),
    maximum: float | None = None,
    stacked: bool = False,
    empty: str = "",
    coarse: bool = False,
) -> timeseries.Panel:
    """Lines over time from 0, or stacked areas.  All thresholds but the first are dashed lines.

    `coarse` bounds the number of steps, for queries that read every number at each step.
    """
    panel = described(timeseries.Panel(), text, unit, steps).targets(list(queries)).min(0)
    panel.legend(_legend()).tooltip(
        common_kit.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
    )
    panel.line_width(1).fill_opacity(60 if stacked else 8).show_points(common.VisibilityMode.NEVER)
    if stacked:
        panel.stacking(common_kit.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    if len(steps) > 1:
        dashed = common.GraphThresholdsStyleMode.DASHED
        panel.thresholds_style(common_kit.GraphThresholdsStyleConfig().mode(dashed))
    if maximum is not None:
        panel.max(maximum)
    if coarse:
        panel.max_data_points(COARSE_STEPS)
    return panel.no_value(empty) if empty else panel


def colour_series(panel: timeseries.Panel, colours: Mapping[str, str]) -> timeseries.Panel:
    """Set the colour of series by their names."""
    for name, colour in colours.items():
        panel.override_by_name(name, [setting("color", {"mode": "fixed", "fixedColor": colour})])
    return panel


def dash_series(panel: timeseries.Panel, *names: str) -> timeseries.Panel:
    """Draw these series as dashed lines, without area."""
    style = {"fill": "dash", "dash": [8, 8]}
    for name in names:
        panel.override_by_name(name, [setting("custom.lineStyle", style), setting("custom.fillOpacity", 0)])
    return panel


def states(
    text: Text, query: prometheus.Dataquery, meanings: Mapping[int, tuple[str, str]], *, per_page: int
) -> statetimeline.Panel:
    """A line for each series, coloured by its state; `meanings` maps a value to (text, colour)."""
    panel = described(statetimeline.Panel(), text, "short", ((None, GREY),)).with_target(query)
    panel.mappings([value_map({str(value): meaning for value, meaning in meanings.items()})])
    panel.color_scheme(dashboard_kit.FieldColor().mode(dashboard.FieldColorModeId.THRESHOLDS))
    panel.show_value(common.VisibilityMode.NEVER).row_height(0.8).merge_values(True).per_page(per_page)
    return panel.max_data_points(COARSE_STEPS).legend(_legend()).no_value("no data")


def latency_map(text: Text, expression: str) -> heatmap.Panel:
    """How many requests took how long, over time; `expression` gives buckets by ``le``, in seconds."""
    query = over_time(expression, "{{le}}").format(PromQueryFormat.HEATMAP)
    panel = described(heatmap.Panel(), text, "short", ((None, GREEN),)).with_target(query)
    scheme = heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64)
    panel.calculate(False).color(scheme).cell_gap(1).show_y_histogram()
    panel.filter_values(heatmap.FilterValueRange().le(1e-9))
    return panel.y_axis(heatmap.YAxisConfig().unit("s").min(0)).max_data_points(300)


def value_map(meanings: Mapping[str, tuple[str, str]]) -> dashboard.ValueMap:
    """Values as text and colour."""
    return dashboard.ValueMap(
        options={
            value: dashboard.ValueMappingResult(text=shown, color=colour, index=place)
            for place, (value, (shown, colour)) in enumerate(meanings.items())
        }
    )


def query_of(expression: str, ref: str) -> prometheus.Dataquery:
    """A query of the chosen data source; neither range nor instant yet."""
    return prometheus.Dataquery().expr(expression).ref_id(ref).datasource(DATASOURCE)


def described(panel: _Kind, text: Text, unit: str, steps: Steps) -> _Kind:
    """Set the properties of every panel: title, description, data source, unit, thresholds, runbooks."""
    panel.title(text.title).description(text.description).datasource(DATASOURCE).unit(unit)
    panel.thresholds(
        dashboard_kit.ThresholdsConfig()
        .mode(dashboard.ThresholdsMode.ABSOLUTE)
        .steps([dashboard.Threshold(value=value, color=colour) for value, colour in steps])
    )
    return panel.links([_runbook(alert) for alert in text.runbooks])


def _runbook(alert: str) -> dashboard_kit.DashboardLink:
    return dashboard_kit.DashboardLink(f"Runbook: {alert}").url(f"{RUNBOOKS}{alert}.md").target_blank(True)


def _legend() -> common_kit.VizLegendOptions:
    return (
        common_kit.VizLegendOptions()
        .show_legend(True)
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
    )


def setting(name: str, value: object) -> dashboard.DynamicConfigValue:
    """One property of an override."""
    return dashboard.DynamicConfigValue(id_val=name, value=value)
