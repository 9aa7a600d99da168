"""The packed polls: what is kept, in which bounds, and that it comes out as it went in."""

from __future__ import annotations

import sys

import pytest

from exporter.history import (
    MAX_FAILURES,
    MAX_IDS,
    MAX_MESSAGES,
    MAX_OUTCOMES,
    MAX_POLLS,
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
    packed = b""
    for one in polls:
        packed = history.with_poll(packed, one)
    return packed


def test_twenty_polls_take_less_than_half_a_kilobyte() -> None:
    """Fifty thousand numbers must fit a small container: what goes above 512 bytes costs an allocation of its own."""
    history = History()
    packed = after(history, *(poll(unix) for unix in range(2 * MAX_POLLS)))
    assert len(history.polls(packed)) == MAX_POLLS
    assert sys.getsizeof(packed) <= 496


def test_failures_are_kept_with_their_messages() -> None:
    history = History()
    failures = NO_FAILURES
    for unix in range(MAX_FAILURES + 3):
        failures = history.with_failure(failures, Poll(unix, False, "timeout", 10.0, message=f"message {unix}"))
    kept = history.failures(failures)
    assert [(one.unix, one.message) for one in kept] == [(unix, f"message {unix}") for unix in range(12, 2, -1)]


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
        history.with_poll(b"", poll(request_id=f"other {index}"))
    (kept,) = history.polls(packed)
    assert kept.request_id == ""
    assert len(history._ids) == MAX_IDS


def test_a_server_that_makes_up_statuses_fills_its_table_and_no_more() -> None:
    """What comes after that still tells success from failure, and keeps its time and RequestId."""
    history = History()
    packed = b""
    for index in range(2 * MAX_OUTCOMES):
        packed = history.with_poll(packed, poll(index, f"ODD_{index}"))
    packed = history.with_poll(packed, poll(600, "odd.code", success=False))
    newest, before = history.polls(packed)[:2]
    assert (newest.outcome, newest.success, newest.request_id, newest.unix) == (OTHER, False, UUID, 600)
    assert (before.outcome, before.success) == (OTHER, True)
    assert len(history._outcomes) == MAX_OUTCOMES


def test_equal_messages_are_kept_once_for_all_numbers() -> None:
    """In an outage every number fails with the same words, each time spelled anew."""
    history = History()
    texts = ["timed out while connecting", b"timed out while connecting".decode()]
    first, second = (history.with_failure(NO_FAILURES, Poll(1, False, "timeout", 1.0, message=text)) for text in texts)
    assert first.messages[0] is second.messages[0]
    for index in range(2 * MAX_MESSAGES):
        history.with_failure(NO_FAILURES, Poll(1, False, "timeout", 1.0, message=f"message {index}"))
    assert len(history._messages) == MAX_MESSAGES


@pytest.mark.parametrize(
    ("unix", "latency_seconds", "kept"),
    [(-5, -1.0, (0, 0.0)), (2**40, 1e9, (2**32 - 1, 65.535)), (7, 0.0004, (7, 0.0)), (7, 10.0006, (7, 10.001))],
)
def test_what_no_clock_should_say_is_kept_as_the_nearest_that_fits(
    unix: int, latency_seconds: float, kept: tuple[int, float]
) -> None:
    history = History()
    (read,) = history.polls(history.with_poll(b"", Poll(unix, True, "VERIFIED", latency_seconds)))
    assert (read.unix, read.latency_seconds) == kept


def test_nothing_kept_reads_as_nothing() -> None:
    assert History().polls(b"") == ()
    assert History().failures(Failures(b"", ())) == ()
