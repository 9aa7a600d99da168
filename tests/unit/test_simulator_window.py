"""The sliding second."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from exporter.simulator.window import SlidingSecond, busiest_second

INSTANTS = st.lists(st.integers(0, 6400), max_size=80).map(lambda ticks: [tick / 64 for tick in sorted(ticks)])
"""Ascending instants in 64ths of a second: exact in floating point, so that a second is a second."""


def test_the_limit_is_admitted_and_the_next_one_waits_for_the_oldest_to_leave() -> None:
    window = SlidingSecond()
    assert [window.admit(5 + place / 16, 3) for place in range(3)] == [0, 0, 0]
    assert window.admit(5.25, 3) == 0.75
    assert window.admit(6.0, 3) == 0


def test_refused_requests_take_no_place() -> None:
    window = SlidingSecond()
    window.admit(0.0, 1)
    assert all(window.admit(tick / 16, 1) > 0 for tick in range(1, 16))
    assert window.admit(1.0, 1) == 0


def test_a_limit_of_none_admits_nothing() -> None:
    assert SlidingSecond().admit(0.0, 0) == 1.0


def test_a_lowered_limit_counts_what_was_admitted_under_the_old_one() -> None:
    """With a limit of 1, three requests at 0, 0.25 and 0.5 must all have left the window: that is at 1.5."""
    window = SlidingSecond()
    for instant in (0.0, 0.25, 0.5):
        window.admit(instant, 3)
    assert window.admit(0.5, 1) == 1.0


@given(instants=INSTANTS, limit=st.integers(1, 12))
def test_no_sliding_second_holds_more_than_the_limit(instants: list[float], limit: int) -> None:
    window = SlidingSecond()
    admitted = [instant for instant in instants if window.admit(instant, limit) == 0]
    assert busiest_second(admitted) <= limit


@given(instants=INSTANTS, limit=st.integers(1, 12))
def test_a_request_after_the_announced_wait_is_admitted(instants: list[float], limit: int) -> None:
    window = SlidingSecond()
    wait = 0.0
    for instant in instants:
        wait = window.admit(instant, limit)
    if wait:
        assert 0 < wait <= 1
        assert window.admit(instants[-1] + wait, limit) == 0


def test_what_may_have_come_earlier_is_not_held_against_a_second() -> None:
    """Twelve requests that were sent during a stall of 1.5 s, and then read at once."""
    earliest = [place / 8 for place in range(12)]
    latest = [1.5] * 12
    assert busiest_second(latest) == busiest_second(latest, latest) == 12
    assert busiest_second(latest, earliest) == 7  # those after 0.5


@given(instants=INSTANTS)
def test_the_busiest_second_is_what_counting_every_window_gives(instants: list[float]) -> None:
    counted = max((sum(end - 1 < instant <= end for instant in instants) for end in instants), default=0)
    assert busiest_second(instants) == counted
