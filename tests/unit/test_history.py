"""The packed polls: what is kept, in which bounds, and that it comes out as it went in."""

from __future__ import annotations

import sys

import pytest

from exporter.state.history import (
    MAX_FAILURES,
    MAX_IDS,
    MAX_MESSAGES,
    MAX_OUTCOMES,
    MAX_POLLS,
    MAX_SHARED,
    NO_FAILURES,
    OTHER,
    Failures,
    History,
    Poll,
)

UUID = "744C4B5C-79C9-4324-97A0-75BDFCA36BF5"


def poll(unix: int = 1_764_000_000, outcome: str = "VERIFIED", success: bool = True, request_id: str = UUID) -> Poll:
    return Poll(unix, success, outcome, 0.25, request_id, None if success else 500)


def after(history: History, *polls: Poll) -> bytes:
    packed, failures = b"", NO_FAILURES
    for one in polls:
        packed, failures = history.with_poll(packed, failures, one)
    return packed


def failed(history: History, *messages: str) -> tuple[bytes, Failures]:
    packed, failures = b"", NO_FAILURES
    for unix, message in enumerate(messages):
        packed, failures = history.with_poll(packed, failures, Poll(unix, False, "timeout", 1.0, message=message))
    return packed, failures


def test_twenty_polls_take_less_than_half_a_kilobyte() -> None:
    """Fifty thousand numbers must fit a small container: what goes above 512 bytes costs an allocation of its own."""
    history = History()
    packed = after(history, *(poll(unix) for unix in range(2 * MAX_POLLS)))
    assert len(history.polls(packed)) == MAX_POLLS
    assert sys.getsizeof(packed) <= 496


def test_failures_are_kept_with_their_messages() -> None:
    history = History()
    packed, failures = failed(history, *(f"message {unix}" for unix in range(MAX_FAILURES + 3)))
    kept = history.failures(packed, failures)
    assert [(one.unix, one.message) for one in kept] == [(unix, f"message {unix}") for unix in range(12, 2, -1)]


def test_numbers_that_fail_alike_share_what_is_kept_of_their_failures() -> None:
    """In an outage of the whole API fifty thousand numbers fail with the same words: that must not double memory."""
    history = History()
    (_, first), (_, second) = (failed(history, *["no answer"] * (2 * MAX_POLLS)) for _ in range(2))
    assert first is second
    assert first.older == b""


@pytest.mark.parametrize(
    "request_id",
    [
        "",
        UUID,
        UUID.lower(),
        UUID.replace("-", ""),
        UUID.replace("-", "").lower(),
        "0" * 32,
        UUID[:-1] + "x",
        UUID.capitalize(),
        "744c4b5c 79c9 4324 97a0 75bdfca36bf5",
        "-" * 36,
        "ab" * 18,
        "id-1",
        "ü\udcff\x00",
        "x" * 128,
    ],
)
def test_a_request_id_reads_as_it_was_written(request_id: str) -> None:
    """Alibaba Cloud's support finds it by its text, so neither case nor hyphens may change."""
    history = History()
    (kept,) = history.polls(after(history, poll(request_id=request_id)))
    assert kept.request_id == request_id


def test_request_ids_that_are_no_uuids_are_bounded_in_number() -> None:
    history = History()
    packed = after(history, poll(request_id="first"))
    for index in range(MAX_IDS):
        after(history, poll(request_id=f"other {index}"))
    (kept,) = history.polls(packed)
    assert kept.request_id == ""
    assert len(history._ids) == MAX_IDS


def test_a_server_that_makes_up_statuses_fills_its_table_and_no_more() -> None:
    """What comes after that still tells success from failure, and keeps its time and RequestId."""
    history = History()
    made = [poll(index, f"ODD_{index}") for index in range(2 * MAX_OUTCOMES)]
    packed = after(history, *made, poll(600, "odd.code", success=False))
    newest, before = history.polls(packed)[:2]
    assert (newest.outcome, newest.success, newest.request_id, newest.unix) == (OTHER, False, UUID, 600)
    assert (before.outcome, before.success) == (OTHER, True)
    assert len(history._outcomes) == MAX_OUTCOMES


def test_messages_are_bounded_in_number_and_equal_ones_are_kept_once() -> None:
    """A server that makes them up, longer than anything else that is kept, must not fill the memory."""
    history = History()
    packed, failures = failed(history, "first", b"no answer".decode())
    assert history.message(b"no answer".decode()) is history.message("no answer")
    assert history.message("never seen") == "never seen"
    failed(history, *(f"message {index}" for index in range(MAX_MESSAGES - 1)))
    assert [one.message for one in history.failures(packed, failures)] == ["no answer", ""]
    assert (len(history._messages), len(history._shared)) == (MAX_MESSAGES, MAX_SHARED)


@pytest.mark.parametrize(
    ("unix", "latency_seconds", "kept"),
    [(-5, -1.0, (0, 0.0)), (2**40, 1e9, (2**32 - 1, 65.535)), (7, 0.0004, (7, 0.0)), (7, 10.0006, (7, 10.001))],
)
def test_what_no_clock_should_say_is_kept_as_the_nearest_that_fits(
    unix: int, latency_seconds: float, kept: tuple[int, float]
) -> None:
    history = History()
    (read,) = history.polls(after(history, Poll(unix, True, "VERIFIED", latency_seconds)))
    assert (read.unix, read.latency_seconds) == kept


def test_nothing_kept_reads_as_nothing() -> None:
    assert History().polls(b"") == ()
    assert History().failures(b"", NO_FAILURES) == ()
