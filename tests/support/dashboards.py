"""The committed Grafana dashboards for tests: panels, queries, variables, and the values that Grafana fills in.

Reads only the JSON, like Grafana, not the code that makes it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

GRAFANA = Path(__file__).parents[2] / "grafana"

BUILT_IN = frozenset({"__range", "__interval", "__rate_interval", "__url_time_range"})
"""Variables that Grafana defines itself."""

EVERYTHING: Mapping[str, str] = {
    "job": "cams-exporter",
    "account": ".*",
    "space": ".*",
    "number": ".*",
    "status": ".*",
    "__range": "60s",
    "__interval": "5s",
    "__rate_interval": "20s",
}
"""The values of a new dashboard, with a range of a minute and a scrape interval of a second."""

_VARIABLE = re.compile(r"\$\{?(\w+)(?:[.:][\w.]+)?\}?")


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a dashboard; `where` names it for a failure, `kind` is ``range``, ``instant`` or ``annotation``."""

    where: str
    kind: str
    expression: str
    texts: tuple[str, ...] = ()


def dashboards() -> dict[str, dict[str, Any]]:
    """Every committed dashboard by the name of its file."""
    files = sorted((GRAFANA / "dashboards").glob("*.json"))
    return {file.name: json.loads(file.read_text(encoding="utf-8")) for file in files}


def panels(dashboard: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every panel, without the headings of rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def variables(dashboard: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Every variable by its name."""
    return {variable["name"]: variable for variable in dashboard["templating"]["list"]}


def variable_queries(dashboard: Mapping[str, Any]) -> dict[str, str]:
    """The query of every variable that has one, such as ``label_values(metric{}, label)``."""
    return {
        name: variable["query"]["query"]
        for name, variable in variables(dashboard).items()
        if variable["type"] == "query"
    }


def queries(dashboard: Mapping[str, Any]) -> Iterator[Query]:
    """Every query of the panels and annotations."""
    for panel in panels(dashboard):
        for target in panel["targets"]:
            where = f"{dashboard['title']} / {panel['title']} / {target['refId']}"
            legend = target.get("legendFormat", "")
            yield Query(where, "instant" if target["instant"] else "range", target["expr"], (legend,))
    for mark in dashboard["annotations"]["list"]:
        where = f"{dashboard['title']} / annotation {mark['name']}"
        texts = (mark["titleFormat"], mark["textFormat"])
        yield Query(where, "annotation", mark["target"]["expr"], texts)


def used_variables(text: str) -> set[str]:
    """The names of the variables in an expression, a link or a whole dashboard's JSON."""
    return set(_VARIABLE.findall(text))


def filled(expression: str, values: Mapping[str, str] = EVERYTHING) -> str:
    """An expression as Grafana sends it; KeyError for a variable without a value."""
    return _VARIABLE.sub(lambda found: values[found[1]], expression)


def legend(pattern: str, labels: Mapping[str, str]) -> str:
    """A line's name as in Grafana: the pattern with the line's labels."""
    return " ".join(re.sub(r"{{(\w+)}}", lambda found: labels.get(found[1], ""), pattern).split())
