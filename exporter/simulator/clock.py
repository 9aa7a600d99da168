"""Where a world takes its time from: a protocol, so that tests can hand in their own clock, and the machine's."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where a world takes its time from."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, never going back."""

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
