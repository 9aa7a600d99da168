"""The drawing of the dashboards shows what the queries gave, in the panels' colours, and says what it is."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from grafana.drawing import COLOURS, Box, Series, page
from tests.operations.tools import ROOT
from tests.support.dashboards import dashboards, panels

PANELS = {panel["title"]: panel for one in dashboards().values() for panel in panels(one)}
PLACE = Box(0, 0, 1000, 300)
DESK = {"account": "main", "cust_space_id": "s", "phone_number": "100", "name": "desk <b>", "status": "EXPIRED"}
KEY = {name: DESK[name] for name in ("account", "cust_space_id", "phone_number")}


def drawn(title: str, **results: list[Series]) -> tuple[str, list[str]]:
    """The picture of one panel: the SVG, and its texts in order."""
    svg = page("title", "caption", [(PANELS[title], PLACE, results)])
    return svg, [text for text in ET.fromstring(svg).itertext() if text.strip()]  # noqa: S314 - our own


def test_a_count_is_shown_in_the_colour_of_its_threshold() -> None:
    well, _ = drawn("Not verified", A=[Series({}, [(0, 0)])])
    ill, texts = drawn("Not verified", A=[Series({}, [(0, 2)])])
    assert f'fill="{COLOURS["green"]}"' in well
    assert f'fill="{COLOURS["red"]}"' in ill
    assert "2" in texts


def test_a_table_joins_its_queries_by_number_and_says_what_is_missing() -> None:
    """A status in its colour, an age in seconds, and for what a query does not have the panel's own words."""
    svg, texts = drawn(
        "Numbers that are not verified",
        A=[Series(DESK, [(0, 1.0)])],
        B=[Series(KEY, [(0, 61_000.0)])],
        C=[Series(KEY, [(0, 7.0)])],
        D=[],
    )
    assert texts[-9:-1] == ["main", "s", "100", "desk <b>", "EXPIRED", "00:01:01", "7 s", "none yet"]
    assert f"fill: {COLOURS['yellow']}" in svg


def test_a_timeline_keeps_the_least_verified_and_leaves_gaps_empty() -> None:
    well = [Series({**KEY, "phone_number": f"{number}"}, [(0, 2.0), (10, 2.0)]) for number in range(200, 230)]
    ill = Series({**KEY, "name": "desk"}, [(0, 5.0), (10, 5.0)])
    svg, texts = drawn("Status of the numbers least verified in this range", A=[*well, ill])
    assert "main 100 desk" in texts
    assert "main 229" not in texts
    assert "NOT_VERIFIED" in texts
    assert f'fill="{COLOURS["red"]}"' in svg


def test_a_graph_draws_no_line_over_a_gap() -> None:
    points = [(0.0, 1.0), (10.0, 1.0), (300.0, 1.0), (310.0, 2.0)]
    svg, texts = drawn("Errors by code", A=[Series({"code": "timeout"}, points)])
    assert svg.count("<polyline") == 2
    assert "timeout" in texts


def test_the_picture_in_the_docs_says_that_it_is_drawn() -> None:
    text = (ROOT / "docs" / "dashboards.svg").read_text(encoding="utf-8")
    assert "not a screenshot of Grafana" in text
    for title in ("Numbers that are not verified", "Status of the numbers least verified in this range"):
        assert title in PANELS
        assert f">{title}<" in text
