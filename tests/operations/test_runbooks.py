"""The runbooks: one page for each alert, all with the same sections.  test_docs.py checks queries, commands and
links."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.operations import rulebook
from tests.operations.rulebook import RUNBOOKS

if TYPE_CHECKING:
    from pathlib import Path

ALERT_NAMES = {alert.name for alert in rulebook.alerts()}
PAGES = sorted(path for path in RUNBOOKS.glob("*.md") if path.name != "README.md")
SECTIONS = ["Meaning", "Impact", "First look", "Causes", "Remedy", "Escalation"]
CONSOLE = "*Channel Management > Manage > WABA Management > Phone Number Management*"
ABOUT_THE_EXPORTER = ("CamsExporter", "CamsNumberFile")
ABOUT_THE_API = [page for page in PAGES if not page.stem.startswith(ABOUT_THE_EXPORTER)]
ABOUT_A_STATUS = [page for page in PAGES if page.stem.startswith("CamsNumber") and page in ABOUT_THE_API]


def section(page: Path, title: str) -> str:
    """The text under a heading."""
    return page.read_text(encoding="utf-8").split(f"\n## {title}\n")[1].split("\n## ")[0]


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
    """All pages have the same sections, and the severity of the rule."""
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# {page.stem}\n\n**")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == SECTIONS
    severities = {alert.severity for alert in rulebook.alerts() if alert.name == page.stem}
    assert set(re.findall(r"\*\*(critical|warning|info)\*\*", text.split("\n## ")[0])) == severities
    assert len(text.splitlines()) <= 70


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_first_look_has_a_query(page: Path) -> None:
    """test_docs.py checks that the query runs, over metrics that exist."""
    assert "```promql\n" in section(page, "First look")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_query_works_as_pasted_for_every_account(page: Path) -> None:
    """It names no account, space, number or target, which each user has other ones of."""
    for query in re.findall(r"```promql\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        assert not re.search(r"\b(account|cust_space_id|phone_number|name|instance)\s*=~?\"", query), query


@pytest.mark.parametrize("page", ABOUT_THE_API, ids=lambda page: page.stem)
def test_the_first_look_leads_to_the_exporters_page(page: Path) -> None:
    """Only the status page has the last error's text and its RequestId."""
    assert "http://EXPORTER:10106/numbers" in section(page, "First look")


@pytest.mark.parametrize("page", ABOUT_A_STATUS, ids=lambda page: page.stem)
def test_a_page_about_a_status_leads_into_the_console(page: Path) -> None:
    """The console shows more than the API."""
    assert CONSOLE in re.sub(r"\s+", " ", page.read_text(encoding="utf-8"))


def test_the_way_to_verify_a_number_is_told_in_full() -> None:
    """The two calls with their parameters are on one page, and the other pages link to it."""
    remedy = section(RUNBOOKS / "CamsNumberNotVerified.md", "Remedy")
    for name in ("GetChatappVerifyCode", "ChatappVerifyAndRegister", "CustSpaceId", "PhoneNumber", "VerifyCode"):
        assert f"`{name}`" in remedy


def test_the_index_says_where_a_request_id_is_found() -> None:
    escalation = section(RUNBOOKS / "README.md", "Escalation")
    assert "`request_id`" in escalation
    assert "`/numbers`" in escalation


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_says_whom_to_ask_and_what_to_bring(page: Path) -> None:
    """Alibaba Cloud needs a RequestId; if there is none, the page says so."""
    assert "RequestId" in section(page, "Escalation")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_that_sends_for_a_code_forbids_automating_it(page: Path) -> None:
    remedy = section(page, "Remedy")
    asks_for_a_code = "GetChatappVerifyCode" in remedy or "CamsNumberNotVerified.md#remedy" in remedy
    assert not asks_for_a_code or re.search(r"[Nn]ever automate", remedy)
