"""The pages judge a number as the alerts do, and lead to the same runbooks."""

from __future__ import annotations

import re
from functools import cache

import pytest

from exporter.model import CONNECTED
from exporter.web.ui.health_errors import BY_CODE
from exporter.web.ui.judgement import MAY_PASS, NEVER_REGISTERED, Facts, Level, Trouble, troubles
from tests.operations import rulebook
from tests.operations.rulebook import RUNBOOKS, Rule

SENDS = Facts("VERIFIED", CONNECTED, "GREEN", "APPROVED", "AVAILABLE", True)
BAD = [
    SENDS._replace(verdict="BLOCKED"),
    SENDS._replace(verdict="LIMITED"),
    SENDS._replace(connection="BANNED"),
    SENDS._replace(connection="FLAGGED"),
    SENDS._replace(status="NOT_VERIFIED"),
    SENDS._replace(status="NOT_VERIFIED", connection="PENDING"),
    SENDS._replace(status="REVOKED"),
    SENDS._replace(status="UNKNOWN"),
    SENDS._replace(failing=True),
    SENDS._replace(listed=False),
    SENDS._replace(quality="RED"),
    SENDS._replace(name_status="DECLINED"),
    Facts("EXPIRED"),
]


def said() -> dict[str, Trouble]:
    """Each trouble that an alert names too, by a readable name."""
    found = {trouble.what: trouble for facts in BAD for trouble in troubles(facts)}
    return {f"{trouble.runbook}-{trouble.level.name}": trouble for trouble in found.values()}


@cache
def alerts() -> tuple[Rule, ...]:
    return tuple(rulebook.alerts())


def expression(name: str, severity: str) -> str:
    (alert,) = [alert for alert in alerts() if (alert.name, alert.severity) == (name, severity)]
    return alert.expr


@pytest.mark.parametrize("trouble", said().values(), ids=said())
def test_each_trouble_has_an_alert_of_its_level_with_its_runbook(trouble: Trouble) -> None:
    severities = {alert.severity for alert in alerts() if alert.name == trouble.runbook}
    assert trouble.level.name.lower() in severities
    assert (RUNBOOKS / f"{trouble.runbook}.md").is_file()


@pytest.mark.parametrize("facts", [SENDS._replace(status="EXPIRED"), SENDS._replace(verdict="NEW")])
def test_what_no_alert_names_leads_to_a_runbook_all_the_same(facts: Facts) -> None:
    (trouble,) = troubles(facts)
    assert trouble.level >= Level.INFO
    assert (RUNBOOKS / f"{trouble.runbook}.md").is_file()


def test_the_connection_statuses_that_may_pass_are_those_of_the_alert() -> None:
    found = re.search(r'status!~"([A-Z_|]+)"', expression("CamsNumberDisconnected", "critical"))
    assert found is not None
    assert set(found[1].split("|")) == {CONNECTED, *MAY_PASS}


@pytest.mark.parametrize("severity", ["critical", "warning"])
def test_the_connection_statuses_of_a_number_that_was_never_registered_are_those_of_the_alert(severity: str) -> None:
    found = re.search(r'status=~"([A-Z_|]+)"', expression("CamsNumberNotVerified", severity))
    assert found is not None
    assert set(found[1].split("|")) == NEVER_REGISTERED


def test_the_codes_of_the_health_check_are_those_of_the_runbook() -> None:
    text = (RUNBOOKS / "CamsNumberCannotSend.md").read_text(encoding="utf-8")
    codes = re.findall(r"^\| `(\d+)`", text, re.MULTILINE)
    assert codes
    assert set(codes) == BY_CODE.keys()
