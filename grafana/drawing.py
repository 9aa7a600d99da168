"""Draws panels for the README with matplotlib, from real query results.  It is not a screenshot of Grafana.

Input: a panel's JSON and the results of its queries.  Names, columns, and the colours of states come from the panel.
If there are too many rows, it draws the first rows of a table, and the least VERIFIED rows of a timeline.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, chain, cycle, groupby
from operator import itemgetter
from pathlib import Path
from time import gmtime, strftime
from typing import Any, NamedTuple, TypeAlias
from xml.sax.saxutils import escape

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from exporter.model import VERIFIED

COLOURS = {"blue": "#3274d9", "orange": "#ff780a", "red": "#e02f44", "green": "#56a64b", "yellow": "#e0b400"}
PAGE, CARD, TEXT, SOFT, LINE = "#f4f5f5", "#fefefe", "#24292e", "#6a737d", "#dcdfe3"
DARK = {PAGE: "#111217", CARD: "#181b1f", TEXT: "#ccccdc", SOFT: "#8e8ea0", LINE: "#2c3235"}
STYLE: dict[Any, Any] = {
    "font.sans-serif": ["DejaVu Sans"], "font.size": 9, "text.color": TEXT, "axes.xmargin": 0, "figure.edgecolor": PAGE,
    "figure.constrained_layout.w_pad": 0.12, "figure.constrained_layout.h_pad": 0.1,
    "figure.titlesize": 9.5, "figure.titleweight": "bold", "svg.fonttype": "none", "svg.hashsalt": "same each time",
}  # fmt: skip
TABLE_ROWS, TIMELINE_ROWS = 6, 16
STEP_SECONDS = 10.0  # between the points of a range query; where a point is missing, nothing is drawn


class Series(NamedTuple):
    """One result of a query: `labels`, and (Unix seconds, value), oldest first.  An instant query has one point."""

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]
    legend: str = ""


Panel: TypeAlias = Mapping[str, Any]
Results: TypeAlias = Mapping[str, Sequence[Series]]  # by the query's refId


def draw(path: Path, title: str, caption: str, rows: Sequence[tuple[float, Sequence[tuple[Panel, Results]]]]) -> None:
    """Write an SVG file.  A row has a height in inches and panels of equal width; `caption` stands below the rows."""
    kinds = {"stat": _stat, "table": _table, "state-timeline": _timeline, "timeseries": _graph}
    heights = [*(height for height, _ in rows), 0.3]
    with mpl.rc_context(STYLE):
        figure = Figure((12, sum(heights)), layout="constrained", facecolor=PAGE)
        bands = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights, facecolor=PAGE)
        for band, (_, panels) in zip(bands[:, 0], rows, strict=False):  # the last one is for the caption
            cards = band.subfigures(1, len(panels), squeeze=False, facecolor=CARD, linewidth=6)[0]
            for card, (panel, results) in zip(cards, panels, strict=True):
                colour = "white" if panel["type"] == "stat" else TEXT
                card.suptitle(panel["title"], x=0.01 * len(panels), ha="left", color=colour)
                kinds[panel["type"]](card.subplots(subplot_kw={"frame_on": False}), panel, results)
        figure.text(0.01, 0.01, caption, color=SOFT)
        figure.savefig(path, metadata={"Title": title, "Date": None})
    ways = ("fill", "stroke")
    dark = "".join(f'[style*="{way}: {old}"]{{{way}:{new}!important}}' for old, new in DARK.items() for way in ways)
    about = f"<desc>{escape(caption)}</desc><style>@media (prefers-color-scheme: dark) {{{dark}}}</style>"
    path.write_text(path.read_text("utf-8").replace("<metadata>", f"{about}\n <metadata>", 1), "utf-8")


def _stat(axes: Axes, panel: Panel, results: Results) -> None:
    ((_, value),) = results["A"][0].points
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    colour = [step["color"] for step in steps if step["value"] is None or value >= step["value"]][-1]
    axes.figure.set_facecolor(COLOURS.get(colour, colour))
    axes.set(xticks=(), yticks=())
    axes.text(0.5, 0.4, f"{value:g}", size=24, color="white", ha="center", va="center")


def _table(axes: Axes, panel: Panel, results: Results) -> None:
    _, filtered, organized = (step["options"] for step in panel["transformations"])
    headings = {name: organized["renameByName"][name] for name in filtered["include"]["names"]}
    overrides = {
        one["matcher"]["options"]: {item["id"]: item["value"] for item in one["properties"]}
        for one in panel["fieldConfig"]["overrides"]
    }
    numbers: dict[Any, dict[str, Any]] = defaultdict(dict)
    for ref, one in ((ref, one) for ref, found in results.items() for one in found):
        number = itemgetter("account", "cust_space_id", "phone_number")(one.labels)
        numbers[number] |= {**one.labels, f"Value #{ref}": one.points[-1][1]}
    rows = sorted((row for row in numbers.values() if "status" in row), key=itemgetter("status", "phone_number"))
    cells = [[(heading, SOFT) for heading in headings.values()]]
    cells += [
        [_cell(row.get(name), overrides.get(heading, {})) for name, heading in headings.items()]
        for row in rows[:TABLE_ROWS]
    ]
    widths = [2 + max(len(text) for text, _ in column) for column in zip(*cells, strict=True)]
    places = [0, *accumulate(widths)]
    for y, line in enumerate(cells):
        axes.axhline(y + 0.5, color=LINE, linewidth=0.8)
        for x, (text, colour) in zip(places, line, strict=False):
            axes.text(x, y, text, color=COLOURS.get(colour, colour), va="center")
    axes.set(xlim=(0, places[-1]), ylim=(TABLE_ROWS + 0.5, -0.5), xticks=(), yticks=())


def _cell(value: float | str | None, properties: Mapping[str, Any]) -> tuple[str, str]:
    text = f"{value:g}" if isinstance(value, float) else value
    for mapping in properties.get("mappings", ()):
        if text in mapping["options"]:
            return mapping["options"][text]["text"], mapping["options"][text]["color"]
    if value and properties.get("unit") == "dateTimeAsIso":
        text = strftime("%H:%M:%S", gmtime(float(value) / 1000))
    elif value and properties.get("unit") == "s":
        text = f"{value:.0f} s"
    return text or properties.get("noValue", "–"), TEXT


def _timeline(axes: Axes, panel: Panel, results: Results) -> None:
    meanings = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
    verified = next(float(value) for value, meaning in meanings.items() if meaning["text"] == VERIFIED)
    lines = sorted(results["A"], key=lambda line: sum(value == verified for _, value in line.points))[:TIMELINE_ROWS]
    names = {}
    for y, line in enumerate(lines):
        for run in _runs(line, key=str):
            meaning = meanings[f"{run[0][1]:g}"]
            names[meaning["text"]] = colour = COLOURS.get(meaning["color"], meaning["color"])
            axes.barh(y, len(run) * STEP_SECONDS, left=run[0][0], color=colour)
    axes.set(yticks=range(len(lines)), yticklabels=[line.legend for line in lines], ylim=(len(lines) - 0.5, -0.5))
    _times_and_names(axes, names, columns=6)


def _graph(axes: Axes, panel: Panel, results: Results) -> None:
    lines = list(zip(chain(*results.values()), cycle(COLOURS.values()), strict=False))
    for run, colour in ((run, colour) for line, colour in lines for run in _runs(line)):
        axes.plot(*zip(*run, strict=True), color=colour)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter({"s": "{x:g} s", "reqps": "{x:g}/s"}[panel["fieldConfig"]["defaults"]["unit"]])
    axes.grid(axis="y", color=LINE)
    _times_and_names(axes, {line.legend: colour for line, colour in lines}, columns=2)


def _times_and_names(axes: Axes, colours: Mapping[str, str], columns: int) -> None:
    axes.tick_params(length=0, labelcolor=SOFT)
    axes.locator_params("x", nbins=4, steps=[1, 1.2, 1.8, 3, 6, 10])
    axes.xaxis.set_major_formatter(lambda unix, _: strftime("%H:%M:%S", gmtime(unix)))
    patches = [Patch(color=colour, label=name) for name, colour in colours.items()]
    axes.figure.legend(handles=patches, loc="outside lower left", ncols=columns, frameon=False, handlelength=1)


def _runs(line: Series, key: Callable[[float], Any] = lambda _: None) -> list[list[tuple[float, float]]]:
    """The points, split into runs without a gap and with one `key` of the value."""
    runs = groupby(enumerate(line.points), lambda one: (round(one[1][0] - one[0] * STEP_SECONDS), key(one[1][1])))
    return [[point for _, point in run] for _, run in runs]
