"""Configurations of many numbers, evenly spread over accounts."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import total, until, wait_ready
from exporter.metrics.catalogue import CAN_SEND

IDLE_QPS = 0.001
"""The minimum of the configuration: one request in 17 minutes."""

SPREAD = 0.2
"""The maximum difference of an account's rate from the mean."""

MAX_ACCOUNTS = 100
NUMBERS_PER_ACCOUNT = 100

MAX_RATE = 1000.0
"""Maximum of `qps` and `quota` in the exporter's configuration."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """`numbers` numbers of an endpoint, in up to 100 accounts of 100 numbers, or in `wanted_accounts`.

    They are configured, or `found`: then the accounts have `discover` and `health` instead.  The endpoint lists 100
    numbers for each account.  With `store`, the URL of a Redis, up to `replicas` exporters share the accounts.
    """

    numbers: int
    endpoint: str
    ca_file: Path | None = None
    interval: str = "1s"
    wanted_accounts: int = 0
    found: bool = False
    store: str = ""
    replicas: int = 3
    lease: int = 15

    @property
    def accounts(self) -> int:
        return self.wanted_accounts or max(1, min(MAX_ACCOUNTS, self.numbers // NUMBERS_PER_ACCOUNT))

    def write(self, path: Path, polls_per_second: float) -> None:
        """Write the configuration.  `polls_per_second` is the rate of all accounts together; 0: almost none."""
        path.write_text(self.text(polls_per_second), encoding="utf-8")

    def text(self, polls_per_second: float) -> str:
        """The configuration."""
        qps = polls_per_second / self.accounts
        lines = [f"scrape_interval: {self.interval}", "api:", f"  endpoint: {self.endpoint}"]
        if self.ca_file is not None:
            lines.append(f"  ca_file: {self.ca_file}")
        if self.store:
            lines.append(f"cluster: {{url: '{self.store}', replicas: {self.replicas}, lease: {self.lease}s}}")
        lines.append("accounts:")
        bounds = [self.numbers * account // self.accounts for account in range(self.accounts + 1)]
        for account, (first, end) in enumerate(itertools.pairwise(bounds)):
            # With equal rates all accounts would send at the same instants, which real accounts do not do.
            own = max(IDLE_QPS, min(MAX_RATE, qps * (1 + SPREAD * ((2 * account + 1) / self.accounts - 1))))
            numbers = range(0) if self.found else range(first, end)
            lines += account_lines(account, numbers, own, min(MAX_RATE, math.ceil(own * 1.1)))
        return "\n".join(lines) + "\n"

    def wait_filled(self, url: str) -> None:
        """Wait until every number has all its series: it was polled, listed and checked."""
        wait_ready(url)
        if self.found:
            until(lambda: total(url, CAN_SEND.name) >= self.numbers, "every number is checked", every_seconds=1.0)


def account_name(account: int) -> str:
    return f"account-{account:03d}"


def space(account: int) -> str:
    return f"cams-space-{account:03d}"


def account_of_space(name: str) -> int:
    return int(name.removeprefix("cams-space-"))


def account_of_key(access_key_id: str) -> int:
    return int(access_key_id.removeprefix("key-"))


def phone_number(index: int) -> str:
    """The digits of the `index`-th number of a fleet."""
    return f"86138{index:08d}"


def account_lines(account: int, numbers: range, qps: float, quota: float) -> list[str]:
    """One account's section: a name and two labels a number, as in the example; without numbers they are found."""
    lines = [
        f"  - name: {account_name(account)}",
        f"    qps: {qps:g}",
        f"    quota: {quota:g}",
        f"    credentials: {{type: access_key, access_key_id: key-{account:03d}, access_key_secret: secret}}",
        *(["    numbers:"] if numbers else ["    discover: {spaces: all}", "    health: {interval: 5m}"]),
    ]
    for index in numbers:
        lines += [
            f'      - phone_number: "{phone_number(index)}"',
            f"        cust_space_id: {space(account)}",
            f"        name: line {index}",
            f"        labels: {{team: care, brand: brand-{index % 7}}}",
        ]
    return lines
