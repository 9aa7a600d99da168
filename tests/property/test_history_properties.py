"""The packed polls, held to a list that forgets from its front."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from exporter.state.history import MAX_FAILURES, MAX_POLLS, NO_FAILURES, History, Poll

REQUEST_IDS = st.one_of(
    st.just(""),
    st.uuids().map(str),
    st.uuids().map(lambda uuid: str(uuid).upper()),
    st.uuids().map(lambda uuid: UUID(str(uuid)).hex),
    st.text(max_size=40),
)

POLLS = st.builds(
    Poll,
    unix=st.integers(0, 2**32 - 1),
    success=st.booleans(),
    outcome=st.sampled_from(["VERIFIED", "EXPIRED", "timeout"]) | st.text(max_size=5),
    latency_seconds=st.integers(0, 65_535).map(lambda milliseconds: milliseconds / 1000),
    request_id=REQUEST_IDS,
    http_status=st.none() | st.integers(100, 599),
    message=st.text(max_size=10),
)


@given(st.lists(st.tuples(st.integers(0, 2), POLLS), max_size=80))
def test_each_number_has_its_last_polls_and_its_last_failures_whatever_the_others_do(
    made: list[tuple[int, Poll]],
) -> None:
    """Three numbers of an account share its tables; what comes out of one is what went in, newest first."""
    history = History()
    polls, failures = [b""] * 3, [NO_FAILURES] * 3
    for number, poll in made:
        polls[number], failures[number] = history.with_poll(polls[number], failures[number], poll)
    for number in range(3):
        expected = [poll for whose, poll in made if whose == number][::-1]
        silent = [replace(poll, message="") for poll in expected]
        assert list(history.polls(polls[number])) == silent[:MAX_POLLS]
        failed = [poll for poll in expected if not poll.success]
        assert list(history.failures(polls[number], failures[number])) == failed[:MAX_FAILURES]


@given(st.lists(st.integers(1, 30), max_size=12))
def test_failures_are_kept_whatever_the_successes_between_them(runs: list[int]) -> None:
    """Runs of successes and of failures in turn, longer and shorter than what is kept."""
    history = History()
    polls, failures, made = b"", NO_FAILURES, list[Poll]()
    for place, length in enumerate(runs):
        for _ in range(length):
            success = place % 2 == 1
            poll = Poll(len(made), success, "x", 0.0, message="" if success else f"message {len(made)}")
            made.insert(0, poll)
            polls, failures = history.with_poll(polls, failures, poll)
    failed = [poll for poll in made if not poll.success][:MAX_FAILURES]
    among_polls = [poll for poll in failed if poll in made[:MAX_POLLS]]
    assert list(history.polls(polls)) == [replace(poll, message="") for poll in made[:MAX_POLLS]]
    assert list(history.failures(polls, failures)) == failed
    assert len(history.polls(failures.older)) == len(failed) - len(among_polls)  # none is kept twice
