"""Values that change with time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.simulator.timeline import Changing, Cycle, Steps, now

DAY = Cycle(((10.0, "dawn"), (5.0, "noon"), (1.0, "dusk")))


@pytest.mark.parametrize(
    ("elapsed", "value"),
    [(0, "dawn"), (9.999, "dawn"), (10, "noon"), (14.999, "noon"), (15, "dusk"), (16, "dawn"), (31.5, "dusk")],
)
def test_a_phase_begins_at_its_first_instant_and_ends_before_its_last(elapsed: float, value: str) -> None:
    assert DAY.at(elapsed) == value


def test_an_offset_begins_within_the_cycle() -> None:
    assert Cycle(DAY.phases, offset_seconds=12).at(0) == "noon"


LIFE = Steps("young", ((20.0, "old"), (70.0, "gone")))


@pytest.mark.parametrize(
    ("elapsed", "value"), [(0, "young"), (19.999, "young"), (20, "old"), (70, "gone"), (1e9, "gone")]
)
def test_a_step_is_taken_once_and_the_last_one_stays(elapsed: float, value: str) -> None:
    assert LIFE.at(elapsed) == value


def test_steps_without_a_later_one_never_change() -> None:
    assert Steps("fixed", ()).at(1e9) == "fixed"


@pytest.mark.parametrize("later", [((20.0, "a"), (20.0, "b")), ((20.0, "a"), (10.0, "b"))])
def test_steps_go_one_way(later: tuple[tuple[float, str], ...]) -> None:
    with pytest.raises(ValueError, match="ascend"):
        Steps("first", later)


def test_a_value_that_is_neither_a_cycle_nor_steps_is_constant() -> None:
    values: list[Changing[str]] = ["fixed", DAY, LIFE]
    assert [now(value, 12) for value in values] == ["fixed", "noon", "young"]


@pytest.mark.parametrize("phases", [(), ((0.0, "a"),), ((1.0, "a"), (-1.0, "b"))])
def test_a_cycle_without_a_lasting_phase_is_refused(phases: tuple[tuple[float, str], ...]) -> None:
    with pytest.raises(ValueError, match="longer than 0 s"):
        Cycle(phases)


@given(
    lengths=st.lists(st.floats(0.001, 1e6), min_size=1, max_size=8),
    elapsed=st.floats(0, 1e9),
    offset=st.floats(0, 1e6),
)
def test_every_instant_has_exactly_one_phase(lengths: list[float], elapsed: float, offset: float) -> None:
    """Rounding at the end of a period must not fall out of the cycle."""
    cycle = Cycle(tuple((length, place) for place, length in enumerate(lengths)), offset)
    assert 0 <= cycle.at(elapsed) < len(lengths)
