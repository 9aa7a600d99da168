"""The alert rules as data for tests: rules, promtool's test cases, and the metrics of an expression.

Reads the shipped files.  promtool evaluates them, this module does not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import yaml

from exporter.metrics.catalogue import CATALOGUE
from tests.operations.tools import ROOT
from tests.support import promql

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROMETHEUS = ROOT / "prometheus"
RULE_FILES = sorted((PROMETHEUS / "rules").glob("*.yml"))
CASE_FILES = sorted((PROMETHEUS / "tests").glob("*.yml"))
RUNBOOKS = ROOT / "docs" / "runbooks"

METRICS = {metric.name: frozenset(metric.labels) for metric in CATALOGUE if metric.type != "histogram"} | {
    f"{metric.name}_{part}": frozenset(metric.labels) | ({"le"} if part == "bucket" else set())
    for metric in CATALOGUE
    if metric.type == "histogram"
    for part in ("bucket", "sum", "count")
}
"""The samples the exporter exposes, with their labels."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; `name` is the alert's or the recorded series'."""

    name: str
    alert: bool
    expr: str
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    for_: str = ""
    keep_firing_for: str = ""

    @property
    def severity(self) -> str:
        """How urgent the alert is."""
        return self.labels.get("severity", "")

    def __str__(self) -> str:
        return f"{self.name}-{self.severity}" if self.alert else self.name


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a case file: which alerts fire at an instant (seconds), with these `metrics`."""

    seconds: int
    metrics: frozenset[str]
    firing: frozenset[tuple[str, str]]
    """Alert and severity."""


@cache
def rules() -> tuple[Rule, ...]:
    """Every rule of every file, in order."""
    return tuple(_rule(raw) for file in RULE_FILES for group in load(file)["groups"] for raw in group["rules"])


def alerts() -> tuple[Rule, ...]:
    """The alert rules; one name may have two severities."""
    return tuple(rule for rule in rules() if rule.alert)


def recordings() -> dict[str, Rule]:
    """The recording rules by the series they record."""
    return {rule.name: rule for rule in rules() if not rule.alert}


def rests_on(rule: Rule) -> frozenset[str]:
    """The scraped metrics that a rule uses, directly or through recorded series, which may look back at themselves."""
    recorded = recordings()
    found: set[str] = set()
    left = [rule.expr]
    while left:
        for name in promql.names(left.pop()).selected.keys() - found:
            found.add(name)
            if name in recorded:
                left.append(recorded[name].expr)
    return frozenset(found - recorded.keys())


def checks(file: Path) -> Iterator[Check]:
    """The checks of a case file about all alerts at once, by the series ALERTS."""
    for case in load(file)["tests"]:
        metrics = frozenset(re.split(r"[{ ]", series["series"])[0] for series in case["input_series"])
        for check in case.get("promql_expr_test", ()):
            if 'ALERTS{alertstate="firing"}' in check["expr"] and "by (alertname, severity" in check["expr"]:
                shown = [
                    dict(re.findall(r'(\w+)="([^"]*)"', sample["labels"])) for sample in check.get("exp_samples", ())
                ]
                firing = frozenset((labels["alertname"], labels["severity"]) for labels in shown)
                yield Check(_seconds(check["eval_time"]), metrics, firing)


def load(file: Path) -> Any:
    """A YAML file as data."""
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def _rule(raw: dict[str, Any]) -> Rule:
    return Rule(
        name=raw.get("alert") or raw["record"],
        alert="alert" in raw,
        expr=raw["expr"],
        labels=raw.get("labels", {}),
        annotations=raw.get("annotations", {}),
        for_=raw.get("for", ""),
        keep_firing_for=raw.get("keep_firing_for", ""),
    )


def _seconds(duration: str) -> int:
    return int(duration.removesuffix("m")) * 60
