"""The example `alertmanager.yml`: the real amtool checks and routes it; its muting is checked against the alerts."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.operations import rulebook
from tests.operations.rulebook import PROMETHEUS, Rule
from tests.support.patience import PATIENCE_SECONDS
from tests.support.servers import each_release, server_binary

FILE = PROMETHEUS / "alertmanager.yml"
ALERTS = rulebook.alerts()
POLLED = {
    "CamsNumberExpired",
    "CamsNumberFailing",
    "CamsNumberNotVerified",
    "CamsNumberStatusUnknown",
    "CamsNumberUnexpectedStatus",
}
"""Alerts on what polls say of a number."""
LISTED_OR_CHECKED = {
    "CamsNumberCannotSend",
    "CamsNumberDisconnected",
    "CamsNumberNameRejected",
    "CamsNumberQualityLow",
    "CamsNumberSendingLimited",
    "CamsNumbersVanished",
    "CamsMessagingLimitFell",
}
"""Alerts on what listings and health checks say of a number."""
KEPT = frozenset({"environment", "account"})


def amtool(release: str, *arguments: str) -> str:
    """The output of amtool; its error text is the failure."""
    ran = subprocess.run(
        [server_binary("amtool", "AMTOOL_BINARY", release), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def matches(matchers: list[str], labels: dict[str, str]) -> bool:
    """Whether labels match all matchers; as in Alertmanager, a missing label counts as empty."""
    for matcher in matchers:
        found = re.fullmatch(r'(\w+)(=~|!~|!=|=)"(.*)"', matcher)
        assert found, matcher
        name, operator, wanted = found.groups()
        value = labels.get(name, "")
        hit = bool(re.fullmatch(wanted, value)) if "~" in operator else value == wanted
        if hit == operator.startswith("!"):
            return False
    return True


def muted_by(source: Rule) -> set[tuple[str, str]]:
    """The alerts (name, severity) that are muted while `source` fires, all other labels in `equal` being equal."""
    told = {"alertname": source.name, "severity": source.severity}
    rules = [one for one in rulebook.load(FILE)["inhibit_rules"] if matches(one["source_matchers"], told)]
    return {
        (alert.name, alert.severity)
        for alert in ALERTS
        for rule in rules
        if alert is not source
        and (alert.name == source.name or "alertname" not in rule["equal"])
        and matches(rule["target_matchers"], {"alertname": alert.name, "severity": alert.severity})
    }


def of(name: str, severity: str) -> Rule:
    return next(alert for alert in ALERTS if (alert.name, alert.severity) == (name, severity))


@each_release
def test_amtool_finds_no_fault(release: str) -> None:
    assert "SUCCESS" in amtool(release, "check-config", str(FILE))


@each_release
@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ("severity=critical", "on-call"),
        ("severity=warning", "default"),
        ("severity=critical team=care", "team-care-on-call"),
        ("severity=warning team=care", "team-care"),
        ("severity=critical team=unheard-of", "on-call"),
        ("severity=warning team=unheard-of", "default"),
        ("severity=info", "nobody"),
        ("severity=info team=care", "nobody"),
    ],
)
def test_an_alert_goes_to_its_team_by_its_severity(labels: str, receiver: str, release: str) -> None:
    """Alerts of a team without a route go to the defaults."""
    routed = amtool(release, "config", "routes", "test", f"--config.file={FILE}", *labels.split(), "alertname=Cams")
    assert routed.split() == [receiver]


def test_nobody_is_told_of_information() -> None:
    receivers = {one["name"]: one for one in rulebook.load(FILE)["receivers"]}
    assert receivers["nobody"] == {"name": "nobody"}


def test_one_notification_an_account() -> None:
    """A hundred numbers of an account give one message.  Of a store that is away, a hundred accounts give one."""
    route = rulebook.load(FILE)["route"]
    assert set(route["group_by"]) == KEPT
    (other,) = [one for one in route["routes"] if "group_by" in one]
    assert str(route["routes"]).count("group_by") == 1
    assert 'alertname="CamsClusterStoreDown"' in str(other["matchers"])
    assert set(other["group_by"]) == {"environment", "job", "namespace"}


def test_a_refused_account_mutes_what_follows_from_it() -> None:
    """Every alert on its polls, its requests and its budget, but not alerts about the cause, nor what listings and
    health checks said of a number."""
    muted = {name for name, _ in muted_by(of("CamsAccountRefused", "critical"))}
    assert muted >= POLLED | {
        "CamsDiscoveryFailing",
        "CamsHealthCheckFailing",
        "CamsSpaceRefused",
        "CamsFleetUnverifiedDrop",
        "CamsApiErrorRatioHigh",
        "CamsApiThrottled",
    }
    assert muted.isdisjoint({"CamsCredentialsFailing", "CamsExporterDown", "CamsExporterAbsent", "CamsNumberFileDown"})
    assert muted.isdisjoint(LISTED_OR_CHECKED)


def test_a_refused_space_mutes_the_alerts_on_polls_of_its_numbers_and_nothing_else() -> None:
    """A ban or a block is known from another operation, which may be permitted."""
    assert {name for name, _ in muted_by(of("CamsSpaceRefused", "critical"))} == POLLED
    (rule,) = [
        one
        for one in rulebook.load(FILE)["inhibit_rules"]
        if one["source_matchers"] == ['alertname="CamsSpaceRefused"']
    ]
    assert "cust_space_id" in rule["equal"]


@pytest.mark.parametrize("source", ["CamsClusterStoreDown", "CamsAccountUnheld"])
def test_an_account_that_no_replica_polls_mutes_what_follows_from_it_and_no_trouble_of_a_number(source: str) -> None:
    muted = {name for name, _ in muted_by(of(source, "critical"))} - {source}
    assert muted == {
        "CamsNumberFailing",
        "CamsNumberStatusUnknown",
        "CamsBudgetTooSmall",
        "CamsDiscoveryFailing",
        "CamsHealthCheckFailing",
    }


def test_a_replica_that_is_refused_mutes_nothing() -> None:
    """The other one still watches the numbers."""
    assert muted_by(of("CamsAccountRefused", "warning")) == set()


def test_an_outage_of_the_api_mutes_no_number_that_was_not_verified_before() -> None:
    muted = {name for name, _ in muted_by(of("CamsApiErrorRatioHigh", "critical"))}
    assert muted >= {"CamsNumberStatusUnknown", "CamsDiscoveryFailing", "CamsHealthCheckFailing"}
    assert muted.isdisjoint({"CamsNumberNotVerified", "CamsNumberExpired", "CamsNumberUnexpectedStatus"})
    assert muted.isdisjoint(LISTED_OR_CHECKED)


def test_an_alert_with_two_severities_notifies_once() -> None:
    names = [alert.name for alert in ALERTS]
    twice = {name for name in names if names.count(name) == 2}
    assert len(twice) >= 3
    for name in twice:
        assert (name, "warning") in muted_by(of(name, "critical"))
        assert (name, "critical") not in muted_by(of(name, "warning"))


def test_every_alert_named_is_one_of_the_rules() -> None:
    """A pattern without a matching alert, for example after a rename, would mute nothing."""
    for rule in rulebook.load(FILE)["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            if found := re.fullmatch(r'alertname=~?"(.*)"', matcher):
                for pattern in re.split(r"\|(?![^(]*\))", found[1]):
                    assert any(re.fullmatch(pattern, alert.name) for alert in ALERTS), pattern


def test_what_mutes_and_what_is_muted_carry_the_labels_that_must_be_equal() -> None:
    """A label that both alerts lack counts as equal, so a rule over accounts would mute all alerts without an
    account."""
    for rule in rulebook.load(FILE)["inhibit_rules"]:
        assert "environment" in rule["equal"]
        if "account" not in rule["equal"]:
            continue
        touched = [
            alert
            for alert in ALERTS
            for side in ("source_matchers", "target_matchers")
            if any(one.startswith("alertname") for one in rule[side])
            and matches(rule[side], {"alertname": alert.name, "severity": alert.severity})
        ]
        assert touched
        assert all("$labels.account" in alert.annotations["description"] for alert in touched)
