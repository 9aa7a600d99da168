"""The drawing of the dashboards shows the results of the queries, in the panels' colours, and says what it is."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from grafana.drawing import COLOURS, Series, draw
from tests.operations.tools import ROOT
from tests.support.dashboards import dashboards, legend, panels

PANELS = {panel["title"]: panel for one in dashboards().values() for panel in panels(one)}
DESK = {"account": "main", "cust_space_id": "s", "phone_number": "100", "name": "desk <b>", "status": "EXPIRED"}
KEY = {name: DESK[name] for name in ("account", "cust_space_id", "phone_number")}

Drawn = Callable[..., tuple[str, list[str]]]


@pytest.fixture
def drawn(tmp_path: Path) -> Drawn:
    """Draws the panel of a title: the SVG, and its texts in order."""

    def drawn(title: str, **results: list[Series]) -> tuple[str, list[str]]:
        file = tmp_path / "picture.svg"
        draw(file, "title", "caption", [(3.0, [(PANELS[title], results)])])
        svg = file.read_text(encoding="utf-8")
        texts = ET.fromstring(svg).iterfind(".//{*}text")  # noqa: S314 - our own
        return svg, [text.text or "" for text in texts]

    return drawn


def test_a_count_is_shown_in_the_colour_of_its_threshold(drawn: Drawn) -> None:
    well, _ = drawn("Not verified", A=[Series({}, [(0, 0)])])
    ill, texts = drawn("Not verified", A=[Series({}, [(0, 2)])])
    assert f"fill: {COLOURS['green']}" in well
    assert f"fill: {COLOURS['red']}" in ill
    assert "2" in texts


def test_a_table_joins_its_queries_by_number_and_says_what_is_missing(drawn: Drawn) -> None:
    """A status in its colour, an age in seconds, and the panel's own text for a missing value."""
    svg, texts = drawn(
        "Numbers that are not verified",
        A=[Series(DESK, [(0, 1.0)])],
        B=[Series(KEY, [(0, 61_000.0)])],
        C=[Series(KEY, [(0, 7.0)]), Series({**KEY, "phone_number": "101"}, [(0, 8.0)])],
        D=[],
    )
    assert texts[:8] == ["Account", "Space", "Number", "Name", "Status", "Since", "Last answer", "Last poll"]
    assert texts[8:16] == ["main", "s", "100", "desk <b>", "EXPIRED", "00:01:01", "7 s", "none yet"]
    assert "101" not in texts
    assert f"fill: {COLOURS['yellow']}" in svg


def test_a_timeline_keeps_the_least_verified(drawn: Drawn) -> None:
    well = [Series({}, [(0, 2.0), (10, 2.0)], f"main {number}") for number in range(200, 230)]
    svg, texts = drawn(
        "Status of the numbers least verified in this range", A=[*well, Series({}, [(0, 5.0), (10, 5.0)], "main 100")]
    )
    assert "main 100" in texts
    assert "main 229" not in texts
    assert "NOT_VERIFIED" in texts
    assert f"fill: {COLOURS['red']}" in svg


def test_a_timeline_draws_one_bar_for_each_state_and_none_over_a_gap(drawn: Drawn) -> None:
    points = [(0.0, 2.0), (10.0, 2.0), (20.0, 5.0), (300.0, 5.0), (310.0, 5.0)]
    svg, _ = drawn("Status of the numbers least verified in this range", A=[Series({}, points, "main 100")])
    explanation = 1
    assert svg.count(f"fill: {COLOURS['green']}") == 1 + explanation
    assert svg.count(f"fill: {COLOURS['red']}") == 2 + explanation


def test_a_graph_draws_no_line_over_a_gap(drawn: Drawn) -> None:
    points = [(0.0, 1.0), (10.0, 1.0), (300.0, 1.0), (310.0, 2.0)]
    svg, texts = drawn("Errors by code", A=[Series({}, points, "timeout")])
    assert svg.count(f"fill: none; stroke: {COLOURS['blue']}") == 2
    assert "timeout" in texts


def test_a_line_is_named_by_the_labels_that_it_has() -> None:
    pattern = PANELS["Status of the numbers least verified in this range"]["targets"][0]["legendFormat"]
    assert legend(pattern, KEY | {"name": "desk"}) == "main 100 desk"
    assert legend(pattern, KEY) == "main 100"


def test_the_same_input_gives_the_same_file(drawn: Drawn) -> None:
    points = [(0.0, 1.0), (10.0, 1.0)]
    assert drawn("Errors by code", A=[Series({}, points)]) == drawn("Errors by code", A=[Series({}, points)])


def test_the_picture_in_the_docs_says_that_it_is_drawn() -> None:
    text = (ROOT / "docs" / "dashboards.svg").read_text(encoding="utf-8")
    assert "not a screenshot of Grafana" in text
    for title in ("Can it send, and if not why", "Status of the numbers least verified in this range"):
        assert title in PANELS
        assert f">{title}<" in text
