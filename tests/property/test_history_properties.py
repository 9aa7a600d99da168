"""The packed polls, held to a list that forgets from its front."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from exporter.history import MAX_FAILURES, MAX_POLLS, NO_FAILURES, History, Poll

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
        polls[number] = history.with_poll(polls[number], poll)
        if not poll.success:
            failures[number] = history.with_failure(failures[number], poll)
    for number in range(3):
        expected = [poll for whose, poll in made if whose == number][::-1]
        silent = [replace(poll, message="") for poll in expected]
        assert list(history.polls(polls[number])) == silent[:MAX_POLLS]
        failed = [poll for poll in expected if not poll.success]
        assert list(history.failures(failures[number])) == failed[:MAX_FAILURES]
