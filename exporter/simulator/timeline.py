"""Values that change with time: data, and a function of the elapsed seconds.  Reads no clock and does not wait."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)  # no slots: Cycle[str](...) sets an attribute of typing's
class Cycle(Generic[T]):
    """Phases of (seconds, value), repeated for ever.

    Each phase lasts longer than 0 s; a phase begins at its first instant and ends before its last.  `offset_seconds` is
    the place of time 0 in the cycle.  Raises ValueError for no phase, or one without a length.
    """

    phases: tuple[tuple[float, T], ...]
    offset_seconds: float = 0.0

    def __post_init__(self) -> None:
        if not self.phases or any(seconds <= 0 for seconds, _ in self.phases):
            raise ValueError("a cycle needs phases, each longer than 0 s")

    @property
    def period_seconds(self) -> float:
        """The length of one cycle."""
        return sum(seconds for seconds, _ in self.phases)

    def at(self, elapsed_seconds: float) -> T:
        """The value at that time after time 0."""
        position = (elapsed_seconds + self.offset_seconds) % self.period_seconds
        for seconds, value in self.phases[:-1]:
            if position < seconds:
                return value
            position -= seconds
        return self.phases[-1][1]


def now(value: T | Cycle[T], elapsed_seconds: float) -> T:
    """The value at that time: of a cycle, its value then; of anything else, itself."""
    return value.at(elapsed_seconds) if isinstance(value, Cycle) else value
