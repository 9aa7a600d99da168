"""The recording and alert rules: the real promtool checks and runs them; their metrics must be in the catalogue."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from exporter.cams import error_codes
from exporter.errors import Kind
from tests.operations import rulebook
from tests.operations.rulebook import CASE_FILES, METRICS, PROMETHEUS, RULE_FILES, RUNBOOKS, Rule
from tests.support import promql
from tests.support.patience import PATIENCE_SECONDS
from tests.support.servers import INSTALLED, PROMETHEUS_3, each_release, server_binary

if TYPE_CHECKING:
    from pathlib import Path

ALERTS = rulebook.alerts()
NUMBER = frozenset({"account", "cust_space_id", "phone_number"})
CARRIED = frozenset({"name", "team"})
VALUES = frozenset({"status", "rating", "verdict"})
TARGET = frozenset({"job", "instance", "namespace"})
SITUATIONS = ("restart", "reload", "scrape_gap", "api_outage")
LISTED_AND_CHECKED = {
    "CamsNumberCannotSend",
    "CamsNumberDisconnected",
    "CamsNumberNameRejected",
    "CamsNumberQualityLow",
    "CamsNumberSendingLimited",
    "CamsNumbersVanished",
    "CamsMessagingLimitFell",
    "CamsDiscoveryFailing",
    "CamsHealthCheckFailing",
}
"""Alerts on what listings and health checks say, or that they fail."""
WAITING_BY_THEMSELVES = {
    "CamsApiErrorRatioHigh",
    "CamsApiThrottled",
    "CamsCredentialsFailing",
    "CamsExporterDown",
    "CamsNumberDisconnected",
    "CamsNumberFailing",
    "CamsNumberQualityLow",
    "CamsNumberStatusUnknown",
}
"""Alerts without `for`.  With `for` they would begin after their cause is over, or start again after a rename.

rates.yml tests how long they wait, and that they end in time.  Of CamsNumberDisconnected it is the warning.
"""
PERMISSIONS = {"Ram.PermissionDeny", "Forbidden.RAM", "NoPermission", "Authentication.NoAuth"}
SITUATION_SECONDS = 80 * 60
"""When the situation begins, in each of its case files."""


def promtool(release: str, *arguments: str | Path) -> None:
    """Run promtool; its output is the failure."""
    ran = subprocess.run(
        [server_binary("promtool", "PROMTOOL_BINARY", release), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


@each_release
def test_promtool_finds_no_fault_in_the_rules(release: str) -> None:
    promtool(release, "check", "rules", "--lint=all", "--lint-fatal", *RULE_FILES)


@each_release
def test_promtool_accepts_the_example_configuration_with_its_rules(release: str) -> None:
    promtool(release, "check", "config", PROMETHEUS / "prometheus.yml")


@pytest.mark.parametrize("file", CASE_FILES, ids=lambda file: file.stem)
def test_the_alerts_fire_and_keep_silent_as_the_cases_say(file: Path) -> None:
    """promtool runs every case.  If a rule cannot be evaluated, for example because of duplicate labels, its case
    fails."""
    promtool(PROMETHEUS_3, "test", "rules", file)


@pytest.mark.parametrize("name", ["day", "rates", "replicas", "scrape_gap", "startup"])
def test_the_older_release_agrees_where_ranges_decide(name: str) -> None:
    """Prometheus 2 counts a sample at the beginning of a range; all rules are loaded each time."""
    promtool(INSTALLED, "test", "rules", next(file for file in CASE_FILES if file.stem == name))


@pytest.mark.parametrize("rule", rulebook.rules(), ids=str)
def test_a_rule_names_only_metrics_and_labels_that_exist(rule: Rule) -> None:
    """A metric is in the exporter's catalogue, recorded by these rules, or Prometheus's own `up`."""
    used = promql.names(rule.expr)
    recorded = dict.fromkeys(rulebook.recordings(), NUMBER | CARRIED | VALUES)
    known = METRICS | recorded | {"up": TARGET}
    assert set(used.selected) <= set(known)
    for metric, labels in used.selected.items():
        assert labels <= known[metric] | TARGET
    assert used.listed <= NUMBER | CARRIED | TARGET | VALUES | {"file", "operation"}


def test_every_recorded_series_is_used_by_a_rule() -> None:
    used = {
        name
        for rule in rulebook.rules()
        for name in promql.names(rule.expr).selected
        if name != rule.name  # a rule that looks back at itself
    }
    assert set(rulebook.recordings()) <= used


@pytest.mark.parametrize("alert", ALERTS, ids=str)
def test_a_query_in_a_text_names_only_metrics_and_labels_that_exist(alert: Rule) -> None:
    """Prometheus fills in the labels of the alert, and shows the labels of the result."""
    for text in alert.annotations.values():
        for query in re.findall(r'printf "((?:[^"\\]|\\.)*)"', text):
            used = promql.names(query.replace("%q", '""'))
            recorded = dict.fromkeys(rulebook.recordings(), NUMBER | CARRIED | VALUES)
            known = METRICS | recorded
            assert set(used.selected) <= set(known)
            for metric, labels in used.selected.items():
                assert labels <= known[metric]
            assert query.count("%q") == len(re.findall(r"\$labels\.\w+", text.partition(query)[2].partition("|")[0]))


@pytest.mark.parametrize("alert", ALERTS, ids=str)
def test_an_alert_says_how_urgent_it_is_what_is_wrong_and_where_to_read_on(alert: Rule) -> None:
    """Severity, summary, description, and a runbook page named like the alert; texts show known labels only."""
    assert alert.severity in {"critical", "warning", "info"}
    waits_by_itself = alert.name in WAITING_BY_THEMSELVES and str(alert) != "CamsNumberDisconnected-critical"
    assert bool(alert.for_) == (not waits_by_itself)
    assert set(alert.annotations) == {"summary", "description", "runbook_url"}
    assert all(text.strip() for text in alert.annotations.values())
    base = "https://github.com/cams-exporter/cams-exporter/blob/main/docs/runbooks/"
    assert alert.annotations["runbook_url"] == f"{base}{alert.name}.md"
    assert (RUNBOOKS / f"{alert.name}.md").is_file()
    shown = set(re.findall(r"\$labels\.(\w+)", " ".join(alert.annotations.values())))
    assert shown <= NUMBER | CARRIED | TARGET | {"status", "file"}
    if shown >= NUMBER:
        assert "name" in shown


@pytest.mark.parametrize("alert", ALERTS, ids=str)
def test_the_steady_cases_hold_every_word_of_an_alert(alert: Rule) -> None:
    """steady.yml has a case in which the alert fires, text included, and one in which it is silent."""
    cases = [
        case
        for world in rulebook.load(PROMETHEUS / "tests" / "steady.yml")["tests"]
        for case in world.get("alert_rule_test", ())
        if case["alertname"] == alert.name
    ]
    fired = [expected for case in cases for expected in case.get("exp_alerts", ())]
    assert any(
        expected["exp_labels"]["severity"] == alert.severity and len(expected["exp_annotations"]) == 3
        for expected in fired
    )
    assert any(not case.get("exp_alerts") for case in cases)


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("alert", ALERTS, ids=str)
def test_every_alert_is_tried_in_every_situation(alert: Rule, situation: str) -> None:
    """In a restart, a reload, a scrape gap and an outage of the API: once firing, and once not firing although every
    metric of the alert exists."""
    during = [
        check
        for check in rulebook.checks(PROMETHEUS / "tests" / f"{situation}.yml")
        if check.seconds >= SITUATION_SECONDS
    ]
    key = (alert.name, alert.severity)
    assert any(key in check.firing for check in during)
    assert any(key not in check.firing and rulebook.rests_on(alert) <= check.metrics for check in during)


@pytest.mark.parametrize("situation", ["listing_failure", "permission_withdrawn"])
@pytest.mark.parametrize("alert", [one for one in ALERTS if one.name in LISTED_AND_CHECKED], ids=str)
def test_alerts_on_listings_and_checks_are_tried_where_those_fail(alert: Rule, situation: str) -> None:
    """Once firing, and once not firing although every metric of the alert exists."""
    if (str(alert), situation) in {
        ("CamsDiscoveryFailing-critical", "listing_failure"),  # then the account has numbers, or never listed any
        ("CamsHealthCheckFailing-warning", "listing_failure"),
    }:
        return
    test_every_alert_is_tried_in_every_situation(alert, situation)


def test_the_same_labels_are_carried_along_everywhere() -> None:
    """`name, team` is the same list everywhere, so that a new label can be added everywhere."""
    lists = {
        group
        for rule in rulebook.rules()
        for group in re.findall(r"group_(?:left|right) \(([^)]*)\)", rule.expr)
        if group
    }
    assert lists == {"name, team"}
    named = [rule.expr for rule in rulebook.rules() if re.search(r"by \([^)]*\bname\b", rule.expr)]
    assert all("phone_number, name, team)" in expr for expr in named)


def test_an_alert_on_a_number_outlives_a_change_of_its_name() -> None:
    """`name` is a label, so a reload that changes it starts a new alert: the old one must fire until the new one fires.

    Or the new one fires at once, because it waits without the name.
    """
    numbers = [alert for alert in ALERTS if "$labels.name" in alert.annotations["summary"]]
    assert len(numbers) == 12
    waits = {(alert.for_, alert.keep_firing_for) for alert in numbers}
    assert waits == {("3m", "5m"), ("5m", "5m"), ("", "")}


def test_a_ban_reaches_the_pager_within_six_minutes_after_the_listing() -> None:
    """A scrape, an evaluation before which it came, `for`, an evaluation that ends it, and Alertmanager's wait."""
    settings = rulebook.load(PROMETHEUS / "prometheus.yml")["global"]
    waits = rulebook.load(PROMETHEUS / "alertmanager.yml")["route"]["group_wait"]
    for name in ("CamsNumberDisconnected", "CamsNumberCannotSend"):
        alert = next(one for one in ALERTS if str(one) == f"{name}-critical")
        times = (
            settings["scrape_interval"],
            *2 * (settings["evaluation_interval"],),
            alert.for_,
            waits,
        )
        assert sum(int(time[:-1]) * {"s": 1, "m": 60}[time[-1]] for time in times) <= 6 * 60


def test_the_error_ratio_counts_what_concerns_the_account() -> None:
    """Errors of other alerts are left out: throttling, errors about one number or space, missing credentials."""
    errors = rulebook.recordings()["account_job_instance:cams_api_errors:irate"]
    (left_out,) = re.findall(r'code!~"([^"]*)"', errors.expr)
    pattern = re.compile(left_out)
    for code in (*error_codes.DOCUMENTED_CODES, "http_429"):
        elsewhere = (
            error_codes.kind_of(code, 400) in {Kind.THROTTLE, Kind.NUMBER}
            or code in PERMISSIONS
            or code == error_codes.CREDENTIALS_ERROR
        )
        assert bool(pattern.fullmatch(code)) == elsewhere, code


def test_the_throttling_alert_counts_every_throttle() -> None:
    throttled = next(alert for alert in ALERTS if alert.name == "CamsApiThrottled")
    (counted,) = re.findall(r'code=~"([^"]*)"', throttled.expr)
    for code in (*error_codes.DOCUMENTED_CODES, "http_429"):
        assert bool(re.fullmatch(counted, code)) == (error_codes.kind_of(code, 400) is Kind.THROTTLE), code


def test_the_example_scrape_job_is_one_that_the_down_alert_finds() -> None:
    down = next(alert for alert in ALERTS if alert.name == "CamsExporterDown")
    (job_pattern,) = set(re.findall(r'job=~"([^"]*)"', down.expr))
    (job,) = rulebook.load(PROMETHEUS / "prometheus.yml")["scrape_configs"]
    assert re.fullmatch(job_pattern, job["job_name"])
    assert job["static_configs"] == [{"targets": ["localhost:10106"]}]
