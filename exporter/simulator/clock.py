"""The clock of a world: a protocol, so that tests can pass their own clock, and the machine's clock."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """The clock of a world."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, which never go back."""

    def unix(self) -> float:
        """Seconds since the epoch, UTC."""


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start."""
        return time.monotonic()

    def unix(self) -> float:
        """Seconds since the epoch."""
        return time.time()
