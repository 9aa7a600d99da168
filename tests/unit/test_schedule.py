"""The schedule: which number is due, and when."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import pytest

from exporter.model import PhoneNumber
from exporter.polling.schedule import Entry, Schedule
from tests.support.numbers import number, numbers

UNIX_MINUS_MONOTONIC = 1_764_000_000.0


def schedule(
    count: int = 4, interval: float = 60.0, *, pace: float = 5.0, now: float = 0.0, repeat: bool = True
) -> Schedule[PhoneNumber]:
    made = Schedule[PhoneNumber]("main", repeat=repeat)
    configure(made, numbers(count), interval, pace=pace, now=now)
    return made


def configure(
    made: Schedule[PhoneNumber], polled: list[PhoneNumber], interval: float, *, pace: float = 5.0, now: float
) -> None:
    made.configure(polled, interval, len(polled) / pace, now=now, now_unix=now + UNIX_MINUS_MONOTONIC)


def run(made: Schedule[PhoneNumber], *, start: float, end: float, gap: float) -> list[tuple[float, str]]:
    """Take all polls, at most one each `gap` seconds; returns (instant, phone number) of each."""
    polls: list[tuple[float, str]] = []
    now = start
    while True:
        now = max(now, made.next_at())
        if now >= end:
            return polls
        entry = made.take(now)
        assert entry is not None
        polls.append((now, entry.target.phone_number))
        made.done(entry)
        now += gap


def test_the_first_pass_goes_as_fast_as_it_may() -> None:
    made = schedule(100)
    assert made.next_at() == -math.inf
    polls = run(made, start=0, end=20, gap=0.2)
    assert len({phone for _, phone in polls}) == 100
    assert len(polls) == 100


def test_after_the_first_pass_each_number_is_polled_once_per_interval() -> None:
    made = schedule(60, 60.0)
    run(made, start=0, end=30, gap=0.2)
    run(made, start=30, end=120, gap=0.2)
    polls = run(made, start=120, end=180, gap=0.2)
    assert len(polls) == 60
    assert len({phone for _, phone in polls}) == 60


def test_polls_spread_evenly_over_the_interval() -> None:
    """60 numbers in 60 s: one each second, not a burst."""
    made = schedule(60, 60.0)
    run(made, start=0, end=120, gap=0.2)
    instants = [at for at, _ in run(made, start=120, end=180, gap=0.2)]
    gaps = [after - before for before, after in itertools.pairwise(instants)]
    assert max(gaps) == pytest.approx(1.0, abs=1e-3)
    assert min(gaps) == pytest.approx(1.0, abs=1e-3)


def test_a_number_keeps_its_phase_over_a_restart() -> None:
    """The phase depends on the wall clock, not on the start of the process."""
    phases = []
    for started_at in (0.0, 1234.5):
        made = schedule(7, 60.0, now=started_at)
        run(made, start=started_at, end=started_at + 120, gap=0.2)
        polls = run(made, start=started_at + 120, end=started_at + 180, gap=0.2)
        phases.append({phone: (at + UNIX_MINUS_MONOTONIC) % 60 for at, phone in polls})
    assert phases[0].keys() == phases[1].keys()
    for phone, phase in phases[0].items():
        assert phases[1][phone] == pytest.approx(phase, abs=1e-3)


def test_the_order_of_the_configuration_does_not_change_phases() -> None:
    forward, backward = Schedule[PhoneNumber]("main"), Schedule[PhoneNumber]("main")
    configure(forward, numbers(5), 60.0, now=0.0)
    configure(backward, numbers(5)[::-1], 60.0, now=0.0)
    assert run(forward, start=0, end=300, gap=0.2) == run(backward, start=0, end=300, gap=0.2)


def test_accounts_do_not_all_start_their_interval_at_the_same_instant() -> None:
    due = set()
    for name in ("one", "two", "three"):
        made = Schedule[PhoneNumber](name)
        made.configure([number(0, name)], 60.0, 1.0, now=0.0, now_unix=UNIX_MINUS_MONOTONIC)
        entry = made.take(0.0)
        assert entry is not None
        made.done(entry)
        due.add(round(made.next_at() % 60, 3))
    assert len(due) == 3


def test_a_poll_that_came_late_is_not_followed_by_one_that_comes_at_once() -> None:
    made = schedule(1, 60.0)
    run(made, start=0, end=100, gap=0.2)
    due_at = made.next_at()
    late = due_at + 40
    entry = made.take(late)
    assert entry is not None
    made.done(entry)
    assert made.next_at() >= late + 30


def test_a_pass_that_does_not_fit_is_polled_continuously_and_all_numbers_lag_alike() -> None:
    """100 numbers at 1/s in 60 s: each is polled every 100 s, 40 s late."""
    made = schedule(100, 60.0, pace=1.0)
    polls = run(made, start=0, end=1000, gap=1.0)
    assert len(polls) == 1000
    last: dict[str, float] = {}
    gaps = []
    for at, phone in polls:
        if phone in last:
            gaps.append(at - last[phone])
        last[phone] = at
    assert min(gaps) == max(gaps) == 100
    assert made.lag_seconds(1000) == pytest.approx(40, abs=1.1)


def test_lag_is_zero_on_schedule_also_during_the_first_pass() -> None:
    made = schedule(100, 60.0)
    for second in range(20):
        run(made, start=second, end=second + 1, gap=0.2)
        assert made.lag_seconds(second + 1) == 0
    run(made, start=20, end=200, gap=0.2)
    assert made.lag_seconds(200) == pytest.approx(0, abs=0.2)


def test_lag_shows_how_late_the_most_overdue_number_is() -> None:
    made = schedule(10, 60.0)
    run(made, start=0, end=70, gap=0.2)
    assert made.lag_seconds(made.next_at() + 33) == pytest.approx(33)


def test_a_number_under_way_is_not_taken_twice() -> None:
    made = schedule(1, 1.0)
    assert made.take(0.0) is not None
    assert made.take(1000.0) is None
    assert made.next_at() == math.inf


def test_a_retry_goes_at_its_instant_and_keeps_the_regular_poll() -> None:
    made = schedule(1, 60.0)
    entry = taken(made, 0.0)
    made.done(entry, retry_at=3.0)
    assert made.next_at() == 3.0
    assert made.take(2.9) is None
    again = taken(made, 3.0)
    assert again is entry
    assert again.retries == 1
    made.done(again)
    assert made.next_at() > 29


def test_retries_are_counted_from_the_last_regular_poll() -> None:
    made = schedule(1, 60.0)
    made.done(taken(made, 0.0), retry_at=1.0)
    made.done(taken(made, 1.0), retry_at=2.0)
    assert taken(made, 2.0).retries == 2
    made = schedule(1, 60.0)
    made.done(taken(made, 0.0), retry_at=1.0)
    made.done(taken(made, 1.0))
    assert taken(made, made.next_at()).retries == 0


def test_due_numbers_go_before_retries() -> None:
    """Retries never delay the first pass or regular polls."""
    made = schedule(2, 60.0)
    first = taken(made, 0.0)
    made.done(first, retry_at=0.1)
    assert taken(made, 0.2) is not first


def test_a_retry_later_than_the_next_regular_poll_is_dropped() -> None:
    made = schedule(1, 60.0)
    entry = taken(made, 0.0)
    made.done(entry, retry_at=500.0)
    regular = taken(made, made.next_at())
    assert regular.retries == 0
    made.done(regular)
    assert made.next_at() > regular.taken_at + 29


def test_a_regular_poll_takes_the_place_of_a_waiting_retry() -> None:
    made = schedule(1, 60.0)
    entry = taken(made, 0.0)
    made.done(entry, retry_at=1.0)
    due_at = entry.due_at
    regular = taken(made, due_at)
    assert regular.retries == 0
    made.done(regular)
    assert made.next_at() == regular.due_at


def test_put_back_polls_are_due_at_once() -> None:
    made = schedule(1, 60.0)
    made.put_back(taken(made, 5.0), 5.0)
    assert taken(made, 5.0) is not None


def test_polls_that_are_due_at_one_instant_go_in_the_order_of_their_phases() -> None:
    made = schedule(4)
    under_way = [taken(made, 5.0) for _ in range(4)]
    for entry in reversed(under_way):
        made.put_back(entry, 5.0)
    assert [taken(made, 5.0) for _ in range(4)] == sorted(under_way, key=lambda entry: entry.phase)


def test_a_retry_that_is_put_back_stays_a_retry() -> None:
    made = schedule(1, 60.0)
    made.done(taken(made, 0.0), retry_at=1.0)
    made.put_back(taken(made, 1.0), 2.0)
    again = taken(made, 2.0)
    assert again.retries == 1
    made.done(again)
    assert made.next_at() > 29


def test_a_poll_that_is_requeued_after_a_refused_retry_is_a_regular_one() -> None:
    """It has its retries again, and goes back as what it is."""
    made = schedule(1, 600.0)
    made.done(taken(made, 0.0), retry_at=1.0)
    made.done(taken(made, 1.0), refused=True)
    made.requeue_refused(10.0)
    again = taken(made, 10.0)
    assert again.retries == 0
    made.put_back(again, 11.0)
    assert taken(made, 11.0).retries == 0


def test_refused_polls_are_requeued_once_the_account_is_accepted_again() -> None:
    made = schedule(3, 600.0)
    for refused in (True, False, True):
        made.done(taken(made, 0.0), refused=refused)
    assert made.take(10.0) is None
    made.requeue_refused(10.0)
    first, second = taken(made, 10.0), taken(made, 10.0)
    assert made.take(10.0) is None
    made.done(first)
    made.done(second)
    made.requeue_refused(20.0)
    assert made.next_at() > 200


def test_due_numbers_go_before_requeued_ones() -> None:
    made = schedule(3, 600.0)
    entries = [taken(made, 0.0) for _ in range(3)]
    for entry in entries:
        made.done(entry, refused=True)
    first, second, third = sorted(entries, key=lambda entry: entry.due_at)
    first.refused = False
    made.requeue_refused(first.due_at)
    assert [taken(made, first.due_at) for _ in range(3)] == [first, second, third]


def test_where_a_pass_does_not_fit_they_are_due_like_the_others() -> None:
    made = schedule(3, 10.0, pace=0.1)
    for refused in (True, False, False):
        made.done(taken(made, 0.0), refused=refused)
    made.requeue_refused(5.0)
    taken(made, 5.0)
    assert made.next_at() == 10.0


def test_a_poll_is_taken_ahead_of_its_time_by_its_key() -> None:
    made = schedule(3, 60.0)
    run(made, start=0, end=1, gap=0.2)
    assert made.take(1.0) is None
    wanted = numbers(3)[1].key
    assert made.is_free(wanted, 1.0)
    entry = made.take_early(wanted, 1.0)
    assert entry.target.key == wanted
    assert not made.is_free(wanted, 1.0)
    made.done(entry)
    polls = run(made, start=1, end=200, gap=0.2)
    assert len([phone for _, phone in polls if phone == wanted.phone_number]) == pytest.approx(3, abs=1)


def test_a_held_number_is_taken_only_by_its_key_and_is_not_late() -> None:
    made = schedule(3, 60.0)
    run(made, start=0, end=1, gap=0.2)
    held = numbers(3)[1].key
    made.hold([held])
    assert {phone for _, phone in run(made, start=1, end=300, gap=0.2)} == {
        each.phone_number for each in numbers(3) if each.key != held
    }
    assert made.lag_seconds(300.0) == 0.0
    assert made.next_poll_at(held) == math.inf
    made.done(made.take_early(held, 300.0), held=True)
    assert made.next_at() > 300.0


def test_a_number_that_is_released_has_its_place_again_and_is_not_late() -> None:
    made = schedule(3, 60.0)
    for _ in range(3):
        made.done(taken(made, 0.0), refused=True)
    every = [each.key for each in numbers(3)]
    made.hold(every)
    assert made.next_at() == math.inf
    made.resume(every, 1000.0)
    assert made.lag_seconds(1000.0) == 0.0
    assert 1000.0 <= made.next_at() <= 1060.0
    made.requeue_refused(1000.0, every)
    assert len(run(made, start=1000, end=1001, gap=0.2)) == 3


def test_no_poll_of_a_number_goes_before_the_instant_that_the_api_asked_for() -> None:
    for pace in (1.0, 0.1):
        made = schedule(1, 5.0, pace=pace)
        entry = taken(made, 0.0)
        made.done(entry, refused=True, not_before=40.0)
        made.requeue_refused(20.0)
        assert not made.is_free(entry.target.key, 20.0)
        assert 40.0 <= made.next_at() <= 45.0


def test_a_number_asked_again_while_it_is_to_be_left_alone_is_due_when_that_is_over() -> None:
    """It does not wait for its next regular poll, which may be in an hour."""
    for pace in (1.0, 0.0001):
        made = schedule(1, 3600.0, pace=pace)
        entry = taken(made, 0.0)
        made.done(entry, refused=True, not_before=40.0)
        made.requeue_refused(20.0)
        assert made.next_at() == 40.0
        assert taken(made, 40.0) is entry
        made.done(entry, refused=True, not_before=-math.inf)
        assert made.next_at() >= 1800.0


def test_once_polls_each_number_once_and_is_then_done() -> None:
    made = schedule(3, 60.0, repeat=False)
    polls = run(made, start=0, end=10_000, gap=0.2)
    assert len(polls) == 3
    assert made.next_at() == math.inf


def test_once_still_retries() -> None:
    made = schedule(1, 60.0, repeat=False)
    made.done(taken(made, 0.0), retry_at=100.0)
    assert made.next_at() == 100.0
    made.done(taken(made, 100.0))
    assert made.next_at() == math.inf


def test_unattempted_counts_down_as_polls_end() -> None:
    made = schedule(3, 60.0)
    assert made.unattempted == 3
    entry = taken(made, 0.0)
    assert made.unattempted == 3
    made.done(entry)
    assert made.unattempted == 2
    configure(made, numbers(2), 60.0, now=1.0)
    assert made.unattempted <= 2
    configure(made, [], 60.0, now=1.0)
    assert made.unattempted == 0


def test_next_poll_at_tells_when_a_number_is_polled_next() -> None:
    made = schedule(1, 60.0)
    key = number(0).key
    entry = taken(made, 0.0)
    assert made.next_poll_at(key) is None
    made.done(entry, retry_at=3.0)
    assert made.next_poll_at(key) == 3.0
    assert made.next_poll_at(number(99).key) is None


class TestReload:
    """A reload does not affect unchanged numbers."""

    def test_numbers_that_stay_keep_their_phase_and_new_ones_are_polled_at_once(self) -> None:
        made = schedule(3, 60.0)
        run(made, start=0, end=40, gap=0.2)
        before = {phone: at for at, phone in run(made, start=40, end=160, gap=0.2)}
        configure(made, numbers(4), 60.0, now=160.0)
        assert made.next_at() == -math.inf
        assert taken(made, 160.0).target == number(3)
        after = {phone: at for at, phone in run(made, start=160.2, end=280, gap=0.2)}
        for phone, at in before.items():
            assert after[phone] == pytest.approx(at + 120)

    def test_numbers_that_are_added_one_by_one_are_polled_once_an_interval(self) -> None:
        """Their phases must be spread: if a pass just fits the interval, equal phases would lose every second poll."""
        count, interval, gap = 280, 60.0, 0.2
        made = Schedule[PhoneNumber]("main")
        for known in range(1, count + 1):
            configure(made, numbers(known), interval, now=0.0)
        run(made, start=0, end=600, gap=gap)
        polls = run(made, start=600, end=1200, gap=gap)
        counted = Counter(phone for _, phone in polls)
        assert set(counted.values()) <= {9, 10, 11}
        assert len(counted) == count

    def test_a_number_takes_the_phase_of_one_that_left(self) -> None:
        made = schedule(4, 60.0)
        phases = {phone: at % 60 for at, phone in run(made, start=60, end=120, gap=0.2)}
        stay = [one for one in numbers(4) if one != number(2)]
        configure(made, stay, 60.0, now=120.0)
        configure(made, [*stay, number(9)], 60.0, now=120.0)
        later = {phone: at % 60 for at, phone in run(made, start=180, end=240, gap=0.2)}
        assert later[number(9).phone_number] == pytest.approx(phases[number(2).phone_number], abs=0.5)

    def test_numbers_that_left_are_not_polled_any_more(self) -> None:
        made = schedule(5, 60.0)
        run(made, start=0, end=0.5, gap=0.2)  # two of them are still eager
        configure(made, numbers(1), 60.0, now=1.0)
        assert {phone for _, phone in run(made, start=1, end=300, gap=0.2)} == {number(0).phone_number}

    def test_a_number_that_left_while_under_way_does_not_come_back(self) -> None:
        made = schedule(1, 60.0)
        entry = taken(made, 0.0)
        configure(made, [], 60.0, now=0.1)
        made.done(entry, retry_at=1.0)
        assert made.next_at() == math.inf

    def test_a_shorter_interval_takes_effect_without_waiting_for_the_old_one(self) -> None:
        made = schedule(2, 3600.0)
        run(made, start=0, end=1, gap=0.2)
        configure(made, numbers(2), 10.0, now=1.0)
        assert made.next_at() <= 16
        assert len(run(made, start=1, end=61, gap=0.2)) in (11, 12)

    def test_a_longer_interval_takes_effect(self) -> None:
        made = schedule(1, 10.0)
        run(made, start=0, end=1, gap=0.2)
        configure(made, numbers(1), 1000.0, now=1.0)
        assert made.next_at() >= 500
        assert len(run(made, start=1, end=5001, gap=0.2)) in (4, 5)

    def test_a_changed_name_reaches_the_entry(self) -> None:
        made = schedule(1, 60.0)
        configure(made, [number(0, name="support")], 60.0, now=1.0)
        assert taken(made, 1.0).target.name == "support"


def taken(made: Schedule[PhoneNumber], now: float) -> Entry[PhoneNumber]:
    entry = made.take(now)
    assert entry is not None
    return entry
