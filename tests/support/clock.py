"""A clock that moves only when a test moves it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class FakeClock:
    """Implements `exporter.model.Clock`."""

    now: float = 1000.0
    now_unix: float = 1_764_000_000.0

    def monotonic(self) -> float:
        return self.now

    def unix(self) -> float:
        return self.now_unix

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass on both clocks."""
        self.now += seconds
        self.now_unix += seconds
