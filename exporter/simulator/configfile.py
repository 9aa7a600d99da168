"""Writes a configuration of the exporter for a scenario that is served.

The YAML is written without a library.  Every value is in JSON's notation, which is valid YAML.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from exporter.simulator.scenarios import AccountPlan, Scenario

MARK = "# Written by exporter.simulator; simulated accounts, keys and numbers."
"""The first line.  A file with another first line is not ours, and is not overwritten."""


def write(path: Path, scenario: Scenario, url: str) -> None:
    """Write the configuration to `path`.

    Raises FileExistsError if there is a file that this function did not write, OSError if it cannot be written.
    """
    if path.exists() and not path.read_bytes().startswith(MARK.encode()):
        raise FileExistsError(f"{path} was not written by the simulator; name another file")
    path.write_text(render(scenario, url), encoding="utf-8")


def render(scenario: Scenario, url: str) -> str:
    """The configuration as YAML."""
    return "\n".join(_lines(scenario, url)) + "\n"


def _lines(scenario: Scenario, url: str) -> Iterator[str]:
    yield MARK
    yield f"scrape_interval: {scenario.scrape_interval_seconds}s"
    yield "api:"
    yield f"  endpoint: {json.dumps(url)}"
    yield "accounts:"
    for account in scenario.accounts:
        yield from _account_lines(account)


def _account_lines(account: AccountPlan) -> Iterator[str]:
    yield f"  - name: {json.dumps(account.name)}"
    yield f"    qps: {account.qps}"
    yield "    credentials:"
    yield "      type: access_key"
    yield f"      access_key_id: {json.dumps(account.access_key_id)}"
    yield f"      access_key_secret: {json.dumps(account.access_key_secret)}"
    if (plan := account.discovery) is not None:
        yield "    discover:"
        yield "      spaces: all"
        yield f"      refresh_interval: {plan.refresh_interval_seconds}s"
        yield f"      forget_after: {plan.forget_after_seconds}s"
        yield f"    health: {{interval: {plan.health_interval_seconds}s}}"
        return
    yield "    numbers:"
    for number in account.numbers:
        yield f"      - phone_number: {json.dumps(number.phone_number)}"
        yield f"        cust_space_id: {json.dumps(number.cust_space_id)}"
        yield f"        name: {json.dumps(number.name)}"
        if number.labels:
            yield f"        labels: {json.dumps(dict(number.labels))}"
