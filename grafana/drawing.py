"""Panels as a picture for the README: a simple drawing of real query results, no screenshot of Grafana.

Pure: takes a panel's JSON and what its queries returned, gives SVG.  Colours, names and columns come from the panel; of
the lines and rows for which there is no room, those stay that are least VERIFIED, or first in the table.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from xml.sax.saxutils import escape

from exporter.model import VERIFIED

COLOURS = {
    "green": "#56a64b", "red": "#e02f44", "yellow": "#e0b400", "orange": "#ff780a", "blue": "#3274d9",
    "purple": "#a352cc", "text": "#8e8e8e",
}  # fmt: skip
PALETTE = ("#3274d9", "#ff780a", "#56a64b", "#a352cc", "#e0b400", "#e02f44", "#37a2b4")
STYLE = """
  .page { fill: #f4f5f5 } .panel { fill: #ffffff; stroke: #dcdfe3 } text { fill: #24292e; font-size: 13px }
  .soft { fill: #6a737d; font-size: 12px } .line { stroke: #e4e7ea } .bold { font-weight: 600 } .on { fill: #ffffff }
  @media (prefers-color-scheme: dark) {
    .page { fill: #111217 } .panel { fill: #181b1f; stroke: #2c3235 } text { fill: #ccccdc }
    .soft { fill: #8e8ea0 } .line { stroke: #2c3235 } .on { fill: #ffffff }
  }"""
ROW, PAD, HEAD = 24, 12, 30
"""Heights of a row and of a panel's title, and the space around, pixels."""
MOST_SECONDS = 30.0
"""How far a status is drawn on where no other follows: what is missing stays empty."""


@dataclass(frozen=True, slots=True)
class Series:
    """What a query returned: `labels`, and (Unix seconds, value) oldest first; an instant query has one point."""

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle, pixels."""

    x: float
    y: float
    width: float
    height: float


Results: TypeAlias = Mapping[str, Sequence[Series]]
"""By the query's refId."""


def page(title: str, caption: str, panels: Sequence[tuple[Mapping[str, Any], Box, Results]]) -> str:
    """The whole picture; `caption` stands below it and says what it is."""
    width = max(box.x + box.width for _, box, _ in panels) + PAD
    height = max(box.y + box.height for _, box, _ in panels) + PAD + ROW
    body = "\n".join(_panel(panel, box, results) for panel, box, results in panels)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img" '
        "font-family=\"system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif\">\n"
        f"<title>{escape(title)}</title>\n<desc>{escape(caption)}</desc>\n<style>{STYLE}\n</style>\n"
        f'<rect class="page" width="{width:g}" height="{height:g}"/>\n{body}\n'
        f"{_text(PAD, height - 14, caption, 'soft')}\n</svg>\n"
    )


def _panel(panel: Mapping[str, Any], box: Box, results: Results) -> str:
    frame = f'<rect class="panel" x="{box.x:g}" y="{box.y:g}" width="{box.width:g}" height="{box.height:g}" rx="3"/>'
    inner = Box(box.x + PAD, box.y + HEAD, box.width - 2 * PAD, box.height - HEAD - PAD)
    if panel["type"] == "stat":
        return _stat(panel, box, results)
    kinds: dict[str, Callable[[Mapping[str, Any], Box, Results], str]] = {
        "table": _table, "state-timeline": _timeline, "timeseries": _graph,
    }  # fmt: skip
    head = _text(box.x + PAD, box.y + 20, panel["title"], "bold")
    return f"{frame}\n{head}\n{kinds[panel['type']](panel, inner, results)}"


def _stat(panel: Mapping[str, Any], box: Box, results: Results) -> str:
    value = results["A"][0].points[-1][1]
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    colour = [step["color"] for step in steps if step["value"] is None or value >= step["value"]][-1]
    return (
        f"{_rect(box, _paint(colour))}"
        f"{_text(box.x + PAD, box.y + 20, panel['title'], 'on bold')}"
        f'<text class="on" x="{box.x + box.width / 2:g}" y="{box.y + box.height - 18:g}" text-anchor="middle" '
        f'style="font-size: 34px">{value:g}</text>'
    )


def _table(panel: Mapping[str, Any], box: Box, results: Results) -> str:
    steps = {step["id"]: step["options"] for step in panel["transformations"]}
    fields = steps["filterFieldsByName"]["include"]["names"]
    headings = steps["organize"]["renameByName"]
    overrides = {
        one["matcher"]["options"]: {item["id"]: item["value"] for item in one["properties"]}
        for one in panel["fieldConfig"]["overrides"]
    }
    step = box.width / len(fields)
    places = [box.x + place * step for place in range(len(fields))]
    parts = [_text(x, box.y + 14, headings[field], "soft bold") for x, field in zip(places, fields, strict=True)]
    keys = ("account", "cust_space_id", "phone_number")
    values = {
        f"Value #{ref}": {tuple(one.labels.get(key) for key in keys): one.points[-1][1] for one in found}
        for ref, found in results.items()
    }
    rows = sorted(results["A"], key=lambda one: (one.labels.get("status", ""), one.labels.get("phone_number", "")))
    for line, row in enumerate(rows[: int(box.height // ROW) - 1], start=1):
        y = box.y + 14 + line * ROW
        parts.append(f'<path class="line" d="M{box.x:g} {y - 17:g}H{box.x + box.width:g}"/>')
        key = tuple(row.labels.get(name) for name in keys)
        for x, field in zip(places, fields, strict=True):
            found = values[field].get(key) if field in values else row.labels.get(field)
            text, colour = _cell(found, overrides.get(headings[field], {}))
            parts.append(_text(x, y, text, "", colour))
    return "\n".join(parts)


def _cell(value: float | str | None, properties: Mapping[str, Any]) -> tuple[str, str]:
    """(text, colour or nothing) of a cell."""
    if value is None or value == "":
        return str(properties.get("noValue", "–")), ""
    text = f"{value:g}" if isinstance(value, float) else value
    for mapping in properties.get("mappings", ()):
        if text in mapping["options"]:
            return mapping["options"][text]["text"], _paint(mapping["options"][text]["color"])
    if properties.get("unit") == "dateTimeAsIso":
        return _clock(float(value) / 1000), ""
    return (f"{float(value):.0f} s" if properties.get("unit") == "s" else text), ""


def _timeline(panel: Mapping[str, Any], box: Box, results: Results) -> str:
    meanings = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
    height = ROW - 4
    verified = next(float(value) for value, entry in meanings.items() if entry["text"] == VERIFIED)
    worst = sorted(results["A"], key=lambda line: sum(value == verified for _, value in line.points))
    lines = worst[: int((box.height - ROW) // height)]
    first, last = _span(lines)
    left = box.x + 290
    scale = (box.x + box.width - left) / (last - first or 1)
    parts = []
    for place, line in enumerate(lines):
        y = box.y + place * height
        parts.append(_text(box.x, y + height / 2 + 4, _legend(panel, "A", line.labels), "soft"))
        for at, until, value in _states(line.points, last):
            state = Box(left + (at - first) * scale, y + 1, (until - at) * scale, height - 2)
            parts.append(_rect(state, _paint(meanings[f"{value:g}"]["color"])))
    bottom = box.y + len(lines) * height
    parts += _times(left, box.x + box.width, bottom + 16, first, last)
    used = {f"{value:g}" for line in lines for _, value in line.points}
    names = [(entry["text"], _paint(entry["color"])) for value, entry in meanings.items() if value in used]
    return "\n".join([*parts, _key(box.x, bottom + 16, names)])


def _graph(panel: Mapping[str, Any], box: Box, results: Results) -> str:
    colours = {
        one["matcher"]["options"]: item["value"]["fixedColor"]
        for one in panel["fieldConfig"]["overrides"]
        for item in one["properties"]
        if item["id"] == "color"
    }
    lines = [(_legend(panel, ref, one.labels), one.points) for ref, found in results.items() for one in found]
    plot = Box(box.x + 44, box.y, box.width - 44, box.height - 2 * ROW)
    first, last = _span([Series({}, points) for _, points in lines])
    top = max((value for _, points in lines for _, value in points), default=1.0) * 1.1 or 1.0
    parts = []
    for part in (0, 0.5, 1):
        y = plot.y + plot.height * (1 - part)
        parts.append(f'<path class="line" d="M{plot.x:g} {y:g}h{plot.width:g}"/>')
        parts.append(_text(box.x, y + 4, f"{top * part:.3g}", "soft"))
    names = []
    for place, (name, points) in enumerate(lines):
        colour = _paint(colours[name]) if name in colours else PALETTE[place % len(PALETTE)]
        names.append((name, colour))
        for piece in _pieces(points):
            path = " ".join(
                f"{plot.x + (at - first) / (last - first or 1) * plot.width:.1f},"
                f"{plot.y + plot.height * (1 - value / top):.1f}"
                for at, value in piece
            )
            parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{path}"/>')
    parts += _times(plot.x, plot.x + plot.width, plot.y + plot.height + 16, first, last)
    return "\n".join([*parts, _key(box.x, box.y + box.height, names)])


def _pieces(points: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """The points between gaps: no line is drawn where nothing was found."""
    pieces: list[list[tuple[float, float]]] = []
    for point in points:
        if pieces and point[0] - pieces[-1][-1][0] <= MOST_SECONDS:
            pieces[-1].append(point)
        else:
            pieces.append([point])
    return pieces


def _states(points: Sequence[tuple[float, float]], end: float) -> list[tuple[float, float, float]]:
    """(from, until, value) of each stretch of one value; a stretch ends at the next point, or where nothing follows."""
    states: list[tuple[float, float, float]] = []
    for (at, value), (following, _) in itertools.pairwise([*points, (end, 0.0)]):
        until = min(following, at + MOST_SECONDS)
        if states and states[-1][1:] == (at, value):
            states[-1] = (states[-1][0], until, value)
        else:
            states.append((at, until, value))
    return states


def _times(left: float, right: float, y: float, first: float, last: float) -> list[str]:
    middle = (left + right) / 2
    return [
        f'<text class="soft" x="{right:g}" y="{y:g}" text-anchor="end">{_clock(last)}</text>',
        f'<text class="soft" x="{middle:g}" y="{y:g}" text-anchor="middle">{_clock((first + last) / 2)}</text>',
    ]


def _rect(box: Box, colour: str) -> str:
    place = f'x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}"'
    return f'<rect {place} rx="1" fill="{colour}"/>'


def _key(x: float, y: float, names: Sequence[tuple[str, str]]) -> str:
    parts = []
    for name, colour in names:
        parts.append(f'<rect x="{x:g}" y="{y - 9:g}" width="10" height="10" rx="2" fill="{colour}"/>')
        parts.append(_text(x + 15, y, name, "soft"))
        x += 34 + 7.4 * len(name)
    return "\n".join(parts)


def _span(lines: Sequence[Series]) -> tuple[float, float]:
    times = [at for line in lines for at, _ in line.points]
    return (min(times), max(times)) if times else (0.0, 1.0)


def _legend(panel: Mapping[str, Any], ref: str, labels: Mapping[str, str]) -> str:
    (pattern,) = (target["legendFormat"] for target in panel["targets"] if target["refId"] == ref)
    for name, value in {**dict.fromkeys(("account", "phone_number", "name", "status", "code"), ""), **labels}.items():
        pattern = pattern.replace(f"{{{{{name}}}}}", value)
    return " ".join(pattern.split())


def _text(x: float, y: float, text: str, kind: str, colour: str = "") -> str:
    fill = f' style="fill: {colour}"' if colour else ""
    return f'<text class="{kind}" x="{x:g}" y="{y:g}"{fill}>{escape(text)}</text>'


def _clock(unix: float) -> str:
    return dt.datetime.fromtimestamp(unix, dt.UTC).strftime("%H:%M:%S")


def _paint(colour: str) -> str:
    return COLOURS.get(colour, colour)
