"""The last polls of a number: which are kept, how many, and that they are returned unchanged."""

from __future__ import annotations

import sys

import pytest

from exporter.state.history import MAX_POLLS, Poll, polls_in, with_poll

UUID = "744C4B5C-79C9-4324-97A0-75BDFCA36BF5"


def test_the_last_polls_of_a_number_take_less_than_half_a_kilobyte() -> None:
    """Fifty thousand numbers must fit into a small container; an object above 512 bytes costs its own allocation."""
    polls = ""
    for index in range(3 * MAX_POLLS):
        polls = with_poll(polls, Poll(86_400.0625 + index, index % 2 == 0, "NOT_VERIFIED", 0.1234567, UUID))
    assert len(polls_in(polls, 0.0)) == MAX_POLLS
    assert sys.getsizeof(polls) <= 512


@pytest.mark.parametrize("text", ["", UUID, "x" * 128, 'a"b\\c\nd\r\u2028\x85', "ü\udcff\x00"])
def test_a_text_reads_as_it_was_written(text: str) -> None:
    """Alibaba Cloud's support needs the exact RequestId; a hostile one must not break the line."""
    polls = with_poll(with_poll("", Poll(1.0, True, text, 0.25, text)), Poll(2.0, False, text, 0.5, text, 502))
    assert polls_in(polls, 0.0) == (Poll(2.0, False, text, 0.5, text, 502), Poll(1.0, True, text, 0.25, text))


def test_times_are_told_on_the_clock_that_is_asked_for() -> None:
    (poll,) = polls_in(with_poll("", Poll(20.0, True, "VERIFIED", 0.25)), 1_764_000_000.0)
    assert poll.unix == 1_764_000_020.0


def test_nothing_kept_reads_as_nothing() -> None:
    assert polls_in("", 0.0) == ()
