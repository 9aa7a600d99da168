"""The shipped rules, `prometheus.yml` and `alertmanager.yml`, with other addresses and shorter times."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

PROMETHEUS = Path(__file__).parents[2] / "prometheus"
QUICK = "1s"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_RANGE = re.compile(r"(?<=[\[:])(\d+)([smhd])(?=[]:])|(?<=offset )(\d+)([smhd])")
_MINUTES = re.compile(r"(\d+) \* 60\b")


def shipped(name: str) -> Any:
    """A YAML file of prometheus/ as data."""
    return yaml.safe_load((PROMETHEUS / name).read_text(encoding="utf-8"))


def quick_rules(folder: Path) -> list[Path]:
    """The shipped rules with shorter waiting times."""
    return _rules(folder, lambda rule: rule | {key: QUICK for key in ("for", "keep_firing_for") if key in rule})


def scaled_rules(folder: Path, times: int) -> list[Path]:
    """The shipped rules with every duration divided by `times`: of waits, of ranges, and in minutes (``20 * 60``)."""

    def scaled(duration: str) -> str:
        return f"{int(duration[:-1]) * _UNITS[duration[-1]] * 1000 // times}ms"

    def rule(of: dict[str, Any]) -> dict[str, Any]:
        expr = _RANGE.sub(lambda found: scaled(found[0]), of["expr"])
        expr = _MINUTES.sub(lambda found: f"{int(found[1]) * 60 / times:g}", expr)
        waits = {key: scaled(of[key]) for key in ("for", "keep_firing_for") if key in of}
        return of | {"expr": expr} | waits

    return _rules(folder, rule)


def quick_alertmanager(webhook_url: str) -> Any:
    """The shipped `alertmanager.yml`, quick, with every receiver at `webhook_url`."""
    document = shipped("alertmanager.yml")
    document["route"] |= {"group_wait": QUICK, "group_interval": QUICK}
    for receiver in document["receivers"]:
        for hook in receiver.get("webhook_configs", ()):
            hook["url"] = hook["url"].replace("http://localhost:9099", webhook_url)
    return document


def prometheus_config(exporters: Sequence[str], alertmanager: str) -> Any:
    """The shipped `prometheus.yml` with these addresses; the caller adds the rules."""
    document = shipped("prometheus.yml")
    document["global"] |= {"scrape_interval": QUICK, "scrape_timeout": QUICK, "evaluation_interval": QUICK}
    document["rule_files"] = []
    document["scrape_configs"][0]["static_configs"] = [{"targets": list(exporters)}]
    document["alerting"]["alertmanagers"][0]["static_configs"] = [{"targets": [alertmanager]}]
    return document


def _rules(folder: Path, change: Any) -> list[Path]:
    """Copies of the rules, each changed, all groups at Prometheus's own interval; JSON is YAML."""
    written = []
    for file in sorted((PROMETHEUS / "rules").glob("*.yml")):
        document = shipped(f"rules/{file.name}")
        for group in document["groups"]:
            group.pop("interval", None)
            group["rules"] = [change(rule) for rule in group["rules"]]
        copy = folder / file.name
        copy.write_text(json.dumps(document), encoding="utf-8")
        written.append(copy)
    return written
