"""Exporters that share the accounts of one configuration."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path

from benchmarks.processes import Served, exporter, series, until

HELD = "cams_account_held"
ACCOUNT = re.compile('account="([^"]*)"')


class Replicas:
    """The replicas of a configuration; `seats` of them at most hold accounts."""

    def __init__(self, stack: ExitStack, config: Path, seats: int) -> None:
        self._stack = stack
        self._config = config
        self._seats = seats
        self.running: list[Served] = []

    def start(self, count: int) -> None:
        """Start so many more."""
        for _ in range(count):
            self.running.append(self._stack.enter_context(exporter(self._config)))

    def remove(self, replica: Served) -> None:
        """It was ended."""
        self.running.remove(replica)

    def held(self, replica: Served) -> list[str]:
        """The accounts that a replica holds."""
        held = (written for written, value in series(replica.url, HELD).items() if value)
        return [name for written in held for name in ACCOUNT.findall(written)]

    def settle(self) -> None:
        """Wait until each account has one holder, evenly."""
        until(self._is_settled, "each account has one holder", every_seconds=0.2)

    def reload(self) -> None:
        for replica in self.running:
            replica.reload()

    def _is_settled(self) -> bool:
        every = len(series(self.running[0].url, HELD))
        found = [self.held(replica) for replica in self.running]
        counts = sorted(map(len, found), reverse=True)[: self._seats]
        return len({each for held in found for each in held}) == sum(counts) == every and counts[0] - counts[-1] <= 1
