"""The runbooks: one page for each alert, of one shape, whose queries run and whose links lead somewhere."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.operations import rulebook
from tests.operations.rulebook import METRICS, RUNBOOKS
from tests.support import promql

if TYPE_CHECKING:
    from pathlib import Path

ALERT_NAMES = {alert.name for alert in rulebook.alerts()}
PAGES = sorted(path for path in RUNBOOKS.glob("*.md") if path.name != "README.md")
SECTIONS = ["Meaning", "Impact", "First look", "Causes", "Remedy", "Escalation"]
OTHERS = {"up", "process_start_time_seconds"}
"""Prometheus's own metric and prometheus_client's, beside the catalogue."""


def section(page: Path, title: str) -> str:
    """The text under a heading."""
    return page.read_text(encoding="utf-8").split(f"\n## {title}\n")[1].split("\n## ")[0]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_every_alert_has_a_page_and_every_page_an_alert() -> None:
    assert {page.stem for page in PAGES} == ALERT_NAMES


def test_the_index_lists_every_alert_with_its_severities() -> None:
    severities: dict[str, set[str]] = {}
    for alert in rulebook.alerts():
        severities.setdefault(alert.name, set()).add(alert.severity)
    index = (RUNBOOKS / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(\w+)\]\((\w+)\.md\) \| ([\w, ]+) \|", index, re.MULTILINE)
    assert {name: set(listed.split(", ")) for name, _, listed in rows} == severities
    assert all(name == page for name, page, _ in rows)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_of_one_shape(page: Path) -> None:
    """At 3 a.m. everything stands where it stands on every other page; the severity is the rule's."""
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {page.stem}\n\n**")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == SECTIONS
    severities = {alert.severity for alert in rulebook.alerts() if alert.name == page.stem}
    assert set(re.findall(r"\*\*(critical|warning)\*\*", text.split("\n## ")[0])) == severities
    assert len(text.splitlines()) <= 70


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_asks_prometheus_for_metrics_that_exist(page: Path) -> None:
    """Each query is PromQL over the catalogue; each page has one."""
    queries = re.findall(r"```promql\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert queries
    parser = pytest.importorskip("promql_parser")
    for query in queries:
        assert parser.parse(query) is not None
        used = promql.names(query)
        assert set(used.selected) <= set(METRICS) | OTHERS
        for metric, labels in used.selected.items():
            assert labels <= METRICS.get(metric, frozenset()) | {"job", "instance"}
        assert used.listed <= {label for labels in METRICS.values() for label in labels}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_says_whom_to_ask_and_what_to_bring(page: Path) -> None:
    """Alibaba Cloud asks for a RequestId; where no request is at fault the page says so."""
    assert "RequestId" in section(page, "Escalation")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_that_sends_for_a_code_forbids_automating_it(page: Path) -> None:
    remedy = section(page, "Remedy")
    asks_for_a_code = "GetChatappVerifyCode" in remedy or "CamsNumberNotVerified.md#remedy" in remedy
    assert not asks_for_a_code or re.search(r"[Nn]ever automate", remedy)


@pytest.mark.parametrize("page", [*PAGES, RUNBOOKS / "README.md"], ids=lambda page: page.stem)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([\w-]+))?\)", page.read_text(encoding="utf-8")):
        linked = (page.parent / target).resolve() if target else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), f"{target}#{anchor}"
