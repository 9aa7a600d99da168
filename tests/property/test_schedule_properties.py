"""Invariants of the schedule, over generated fleets, budgets, failures and reloads."""

from __future__ import annotations

import itertools
import math
import random

from hypothesis import given
from hypothesis import strategies as st

from exporter.model import PhoneNumber
from exporter.polling.schedule import Schedule, gap_fillers
from tests.support.numbers import numbers


@given(
    st.integers(1, 40),
    st.floats(5, 120),
    st.floats(0.5, 20),
    st.floats(0, 2e9),
    st.integers(0, 2**32),
)
def test_every_number_is_polled_and_none_is_left_behind(
    count: int, interval: float, pace: float, now_unix: float, seed: int
) -> None:
    """No number waits longer than 1.5 intervals or passes between two polls, for any failures and retries."""
    rng = random.Random(seed)
    made = Schedule[PhoneNumber]("main")
    pass_seconds = count / pace
    made.configure(numbers(count), interval, pass_seconds, now=0.0, now_unix=now_unix)
    end = 6 * max(interval, pass_seconds)
    last = {n.phone_number: 0.0 for n in numbers(count)}
    now = 0.0
    while (now := max(now, made.next_at())) < end:
        entry = made.take(now)
        assert entry is not None
        phone = entry.target.phone_number
        assert now - last[phone] <= 1.5 * max(interval, pass_seconds) + 2 / pace + 1e-6
        last[phone] = now
        made.done(entry, retry_at=now + rng.uniform(0, interval) if rng.random() < 0.1 else None)
        now += 1 / pace
    for at in last.values():
        assert end - at <= 1.5 * max(interval, pass_seconds) + 2 / pace + 1e-6


@given(
    st.lists(
        st.tuples(st.sampled_from(["take", "done", "retry", "put_back", "reload"]), st.integers(0, 12)),
        max_size=120,
    )
)
def test_a_number_is_never_under_way_twice_and_never_lost(script: list[tuple[str, int]]) -> None:
    """For any order of takes, ends and reloads, each configured number is in flight or will be taken."""
    made = Schedule[PhoneNumber]("main")
    configured = numbers(5)
    made.configure(configured, 60.0, 1.0, now=0.0, now_unix=0.0)
    under_way = []
    now = 0.0
    for action, value in script:
        now += value
        if action == "take" and (entry := made.take(now)) is not None:
            assert entry not in under_way
            under_way.append(entry)
        elif action == "reload":
            configured = numbers(value)
            made.configure(configured, 60.0 + value % 2, 1.0, now=now, now_unix=now)
        elif under_way:
            entry = under_way.pop(value % len(under_way))
            if action == "put_back":
                made.put_back(entry, now)
            else:
                made.done(entry, now + 1 if action == "retry" else None)
    for entry in under_way:
        made.done(entry)
    polled = set()
    for _ in range(3 * len(configured) + 3):
        if made.next_at() == math.inf:
            break
        now = max(now, made.next_at())
        entry = made.take(now)
        assert entry is not None
        polled.add(entry.target.phone_number)
        made.done(entry)
    assert polled == {n.phone_number for n in configured}
    assert made.unattempted == 0


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), st.integers(0, 50))
def test_new_phases_halve_the_widest_gaps(taken: list[float], count: int) -> None:
    def widest(places: list[float]) -> float:
        ordered = sorted(place % 1.0 for place in places)
        return max(after - before for before, after in itertools.pairwise([*ordered, ordered[0] + 1.0]))

    found = gap_fillers(taken, count)
    assert len(found) == count
    assert all(0.0 <= place <= 1.0 for place in found)
    assert widest([*taken, *found]) <= widest(taken) / (2 if count >= len(taken) else 1) + 1e-9
