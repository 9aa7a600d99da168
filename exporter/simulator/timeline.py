"""Values that change with time: data, and a function of the elapsed seconds.  Reads no clock and does not wait."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, TypeVar, Union

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)  # no slots: Cycle[str](...) sets an attribute of typing's
class Cycle(Generic[T_co]):
    """Phases of (seconds, value), repeated for ever.

    Each phase lasts longer than 0 s; a phase begins at its first instant and ends before its last.  `offset_seconds` is
    the place of time 0 in the cycle.  Raises ValueError for no phase, or one without a length.
    """

    phases: tuple[tuple[float, T_co], ...]
    offset_seconds: float = 0.0

    def __post_init__(self) -> None:
        if not self.phases or any(seconds <= 0 for seconds, _ in self.phases):
            raise ValueError("a cycle needs phases, each longer than 0 s")

    @property
    def period_seconds(self) -> float:
        """The length of one cycle."""
        return sum(seconds for seconds, _ in self.phases)

    def at(self, elapsed_seconds: float) -> T_co:
        """The value at that time after time 0."""
        position = (elapsed_seconds + self.offset_seconds) % self.period_seconds
        for seconds, value in self.phases[:-1]:
            if position < seconds:
                return value
            position -= seconds
        return self.phases[-1][1]


@dataclass(frozen=True)  # no slots, as above
class Steps(Generic[T_co]):
    """The value `first`, then each (seconds after time 0, value) from that time on.  The last value stays.

    Raises ValueError if the times do not ascend.
    """

    first: T_co
    later: tuple[tuple[float, T_co], ...]

    def __post_init__(self) -> None:
        times = [seconds for seconds, _ in self.later]
        if any(second <= first for first, second in pairwise(times)):
            raise ValueError("the times of steps must ascend")

    def at(self, elapsed_seconds: float) -> T_co:
        """The value at that time after time 0."""
        value = self.first
        for seconds, later in self.later:
            if elapsed_seconds < seconds:
                break
            value = later
        return value


Changing = Union[T, Cycle[T], Steps[T]]  # noqa: UP007 - an alias with a variable, which `|` cannot make of a TypeVar
"""A fixed value, or one that changes with time."""


def now(value: Changing[T], elapsed_seconds: float) -> T:
    """The value at that time: of a cycle or steps, its value then; of anything else, itself."""
    return value.at(elapsed_seconds) if isinstance(value, (Cycle, Steps)) else value
