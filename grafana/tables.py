"""The tables of the dashboards: instant queries merged into rows, with chosen columns.  Knows no metric.

Grafana names the value of query B ``Value #B`` only if more than one query of a panel has data, else ``Value``.  So two
queries of a listing must have data whenever there are rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders import common as common_kit
from grafana_foundation_sdk.builders import prometheus, table
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from grafana.panels import GREEN, Steps, Text, described, query_of, setting, value_map

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its field, its heading, and the display of its values.

    `unit` is for numbers.  `colours` maps values to (text, colour); `steps` are thresholds.  `links` are (title, URL).
    """

    field: str
    heading: str
    unit: str = ""
    width: int = 0
    colours: Mapping[str, tuple[str, str]] | None = None
    steps: Steps = ()
    links: tuple[tuple[str, str], ...] = ()
    empty: str = "–"


def rows(*expressions: str) -> list[prometheus.Dataquery]:
    """Instant queries that each fill a column of a table: ``Value #A``, ``Value #B`` and so on."""
    return [
        query_of(expression, chr(ord("A") + place)).instant().format(PromQueryFormat.TABLE)
        for place, expression in enumerate(expressions)
    ]


def listing(
    text: Text, queries: Sequence[prometheus.Dataquery], columns: Sequence[Column], *, empty: str, sort: str
) -> table.Panel:
    """A table: the rows of the queries, merged by labels, with exactly these columns in this order."""
    panel = described(table.Panel(), text, "none", ((None, GREEN),)).targets(list(queries))
    panel.no_value(empty).filterable(True).cell_height(common.TableCellHeight.SM)
    panel.sort_by([common_kit.TableSortByFieldState().display_name(sort).desc(False)])
    panel.with_transformation(dashboard.DataTransformerConfig(id_val="merge", options={}))
    panel.with_transformation(
        dashboard.DataTransformerConfig(
            id_val="filterFieldsByName", options={"include": {"names": [column.field for column in columns]}}
        )
    )
    order = {column.field: place for place, column in enumerate(columns)}
    headings = {column.field: column.heading for column in columns}
    panel.with_transformation(
        dashboard.DataTransformerConfig(
            id_val="organize", options={"indexByName": order, "renameByName": headings, "excludeByName": {}}
        )
    )
    for column in columns:
        panel.override_by_name(column.heading, _column_properties(column))
    return panel


def matrix(text: Text, query: prometheus.Dataquery, row: str, column: str, heading: str, *, empty: str) -> table.Panel:
    """A table of one query's values: one row for each value of label `row`, one column for each of label `column`."""
    panel = described(table.Panel(), text, "short", ((None, GREEN),)).with_target(query)
    panel.no_value(empty).cell_height(common.TableCellHeight.SM).decimals(0)
    panel.with_transformation(
        dashboard.DataTransformerConfig(
            id_val="groupingToMatrix",
            options={"columnField": column, "rowField": row, "valueField": "Value", "emptyValue": "zero"},
        )
    )
    names = {f"{row}\\{column}": heading}
    return panel.with_transformation(
        dashboard.DataTransformerConfig(id_val="organize", options={"renameByName": names})
    )


def _column_properties(column: Column) -> list[dashboard.DynamicConfigValue]:
    properties = [setting("noValue", column.empty)]
    if column.unit:
        properties.append(setting("unit", column.unit))
    if column.width:
        properties.append(setting("custom.width", column.width))
    if column.colours:
        properties.append(setting("mappings", [value_map(column.colours)]))
    if column.steps:
        steps = [dashboard.Threshold(value=value, color=colour) for value, colour in column.steps]
        properties.append(setting("thresholds", {"mode": "absolute", "steps": steps}))
    if column.colours or column.steps:
        properties.append(setting("custom.cellOptions", {"type": "color-text"}))
    if column.links:
        links = [{"title": title, "url": url, "targetBlank": True} for title, url in column.links]
        properties.append(setting("links", links))
    return properties
