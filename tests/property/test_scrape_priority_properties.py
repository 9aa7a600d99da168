"""However scrapes come, they take a bounded share of the polls' time, and the budget is kept."""

from __future__ import annotations

import itertools
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.model import pace_qps
from exporter.scrape_priority import EARNED_PER_SECOND, MAX_WAIT_SECONDS, ScrapePriority
from tests.support.numbers import numbers
from tests.support.played import QUOTA, Played
from tests.support.virtualtime import VirtualTime

SHARE = EARNED_PER_SECOND / (1 + EARNED_PER_SECOND)
SECONDS = 30.0
QPS = 5.0
NUMBERS = 20
ERROR = 1e-6
"""Of sums of floating-point numbers."""

SCRAPERS = st.lists(
    st.lists(st.tuples(st.sampled_from([0.0, 0.01, 0.1, 1.0]), st.sampled_from([0.001, 0.03, 0.3, 5.0])), min_size=1),
    min_size=1,
    max_size=3,
)
"""What each of a few clients does over and over: pause, and take so long for a scrape."""


def scrape(clock: VirtualTime, priority: ScrapePriority, scrapers: list[list[tuple[float, float]]]) -> None:
    """Let them scrape for `SECONDS`."""
    end = clock.now + SECONDS

    def one(habit: list[tuple[float, float]]) -> None:
        for pause_seconds, seconds in itertools.cycle(habit):
            clock.sleep(pause_seconds)
            if clock.now >= end:
                return
            with priority.scrape():
                clock.sleep(seconds)

    for habit in scrapers:
        clock.spawn(partial(one, habit))


@given(SCRAPERS)
@settings(max_examples=10)
def test_polls_never_wait_for_more_than_their_bound(scrapers: list[list[tuple[float, float]]]) -> None:
    """In any time at all: a third of it, and `MAX_WAIT_SECONDS` on top."""
    clock = VirtualTime()
    priority = ScrapePriority(clock, clock.wait)
    end = clock.now + SECONDS
    waits: list[tuple[float, float]] = []

    def poll() -> None:
        while clock.now < end:
            began = clock.now
            priority.wait()
            waits.append((began, clock.now))
            clock.sleep(0.001)

    scrape(clock, priority, scrapers)
    clock.spawn(poll)
    clock.run_until(end + 60.0, lambda: None)
    assert clock.failures == []
    assert max(until - began for began, until in waits) <= MAX_WAIT_SECONDS + ERROR
    owed, owed_at = 0.0, waits[0][0]  # a bucket that leaks at the share must never hold more than the bound
    for began, until in waits:
        owed = max(0.0, owed - (began - owed_at) * EARNED_PER_SECOND)
        owed, owed_at = owed + until - began, until
        assert owed <= MAX_WAIT_SECONDS + ERROR


@given(SCRAPERS)
@settings(max_examples=20)
def test_a_flood_of_scrapes_costs_polls_their_share_and_no_more_and_the_pace_is_kept(
    scrapers: list[list[tuple[float, float]]],
) -> None:
    """The budget is too small for the interval, so that each wait costs slots."""
    played = Played(numbers(NUMBERS), interval=1.0, qps=QPS)
    scrape(played.time, played.priority, scrapers)
    pace = pace_qps(QPS, QUOTA)
    sent = played.run(SECONDS)
    played.stop()
    assert len(sent) >= pace * (SECONDS * (1 - SHARE) - MAX_WAIT_SECONDS) - 2  # a start, and an end
    assert all(later - earlier >= 1 / pace - ERROR for (earlier, _), (later, _) in itertools.pairwise(sent))
    asked = [key for _, key in sent]
    assert set(asked[:NUMBERS]) == {number.key for number in played.numbers}, "all, before one has its second turn"
