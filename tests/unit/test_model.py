"""The value types that all parts of the exporter use."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from exporter.fleet.space import Found, FoundSpace
from exporter.model import Answer, ListedNumber, PhoneNumber, SystemClock
from exporter.state.store import State
from tests.support.numbers import number


def test_no_repr_shows_a_number_that_is_hidden() -> None:
    """Not in the repr of the number, and not in that of its key, which is shown in reprs of dicts and tuples."""
    hidden = number(label="hidden-number")
    for shown in (repr(hidden), repr(hidden.key), str(hidden.key), f"{hidden.key}", repr({hidden.key: 1})):
        assert hidden.phone_number not in shown
        assert hidden.cust_space_id in shown
    found = Found(hidden, 0.0, ListedNumber(hidden.phone_number))
    space = FoundSpace({hidden.phone_number: found}, unwatched=[hidden.phone_number])
    assert hidden.phone_number not in f"{found!r} {space!r}"


class Machine(SimpleNamespace):
    """The module `time` of a Linux machine that can sleep."""

    CLOCK_BOOTTIME = 7

    def __init__(self) -> None:
        super().__init__(awake=1000.0, slept=0.0)

    def monotonic(self) -> float:
        return float(self.awake)

    def clock_gettime(self, clock: int) -> float:
        assert clock == self.CLOCK_BOOTTIME
        return float(self.awake + self.slept)


def test_a_status_grows_old_while_the_machine_sleeps() -> None:
    """CLOCK_MONOTONIC stops while the machine sleeps: a status of the evening would be fresh in the morning."""
    machine, asked = Machine(), number()
    state = State(SystemClock(machine))
    state.configure([asked], {asked.account: 900.0})

    def shown() -> list[str]:
        snapshot = state.snapshot()
        return [snapshot.status(record) for record in snapshot.numbers]

    state.succeeded(asked, Answer("VERIFIED", "1", "R"))
    assert shown() == ["VERIFIED"]
    machine.slept += 10 * 3600
    assert shown() == ["UNKNOWN"]


def test_where_no_clock_counts_sleep_the_monotonic_one_does() -> None:
    assert SystemClock(SimpleNamespace(monotonic=lambda: 5.0)).monotonic() == 5.0


def test_the_system_clock_never_goes_back() -> None:
    clock = SystemClock()
    assert 0 < clock.monotonic() <= clock.monotonic()
    assert abs(clock.unix() - time.time()) < 60  # bounds a hang


@pytest.mark.parametrize(
    "spelled",
    [
        "8613800138000",
        "+86 138 0013 8000",
        "+86 138-0013-8000",
        "+86 (138) 0013.8000",
        "0086 138 0013 8000",
        "138 0013 8000",
        "0138-00138000",
        "86\u00a0138\u200b0013\n8000",
        "\u0668\u0666\u0661\u0663\u0668\u0660\u0660\u0661\u0663\u0668\u0660\u0660\u0660",
        "８６１３８００１３８０００",
    ],
)
def test_a_hidden_number_is_replaced_in_any_usual_spelling(spelled: str) -> None:
    hidden = PhoneNumber("a", "s", "8613800138000", "0a1b2c3d4e5f")
    said = hidden.redacted(f"the number {spelled} is blocked").replace("+", "")
    assert said == "the number 0a1b2c3d4e5f is blocked"
    shown = PhoneNumber("a", "s", "8613800138000", "8613800138000")
    assert shown.redacted(spelled) == spelled


@pytest.mark.parametrize("text", ["error 131031", "at 2026-11-27 10:00:00", "id 106540352242922", "8000", "138000"])
def test_other_digits_stay(text: str) -> None:
    assert PhoneNumber("a", "s", "8613800138000", "0a1b2c3d4e5f").redacted(text) == text
