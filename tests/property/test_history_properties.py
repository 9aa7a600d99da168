"""The kept polls, compared with a simple list."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from exporter.state.history import MAX_POLLS, Poll, polls_in, with_poll

THOUSANDTHS = st.integers(0, 2**40).map(lambda thousandths: thousandths / 1000)

POLLS = st.builds(
    Poll,
    unix=THOUSANDTHS,
    success=st.booleans(),
    outcome=st.sampled_from(["VERIFIED", "EXPIRED", "timeout"]) | st.text(max_size=5),
    latency_seconds=THOUSANDTHS,
    request_id=st.text(max_size=40),
    http_status=st.none() | st.integers(100, 599),
)


@given(st.lists(POLLS, max_size=3 * MAX_POLLS))
def test_the_last_polls_come_out_as_they_went_in_newest_first(made: list[Poll]) -> None:
    polls = ""
    for poll in made:
        polls = with_poll(polls, poll)
    assert list(polls_in(polls, 0.0)) == made[::-1][:MAX_POLLS]
