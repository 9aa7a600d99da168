"""The budget: when an account's next request may go."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from benchmarks.virtual import Admit, Path, fixed_second, send, sliding_second, token_bucket
from exporter.model import pace_qps
from exporter.polling.budget import (
    DOUBT_SECONDS,
    FORGET_SECONDS,
    LATE_SECONDS,
    MAX_GUARD_SECONDS,
    MAX_WIDENING_SECONDS,
    WIDENING_SECONDS,
    Budget,
)


@pytest.mark.parametrize(
    ("qps", "quota", "pace"),
    [
        (5, 10, 4.99),  # well below the quota: nearly all of qps
        (10, 10, 9.8),  # at the quota: 98 % of it
        (9.9, 10, 9.8),  # within 2 % of the quota: likewise
        (9.8, 10, 9.7804),
        (0.5, 10, 0.499),
        (40, 40, 39.2),
    ],
)
def test_pace_is_qps_but_never_above_98_percent_of_the_quota(qps: float, quota: float, pace: float) -> None:
    assert pace_qps(qps, quota) == pytest.approx(pace)


def test_the_first_request_may_go_at_once() -> None:
    assert Budget(5, 10).ready_at(100.0) <= 100.0


def test_the_next_slot_counts_from_the_actual_release_and_not_from_the_planned_one() -> None:
    """No burst follows a late wake-up."""
    budget = Budget(10, 10)
    budget.released(100.0)
    assert budget.ready_at(100.0) == pytest.approx(100 + 1 / 9.8)
    budget.released(100.5)  # 0.4 s late
    assert budget.ready_at(100.5) == pytest.approx(100.5 + 1 / 9.8)


def test_a_request_that_left_late_moves_the_next_slot_and_one_that_left_at_once_does_not() -> None:
    budget = Budget(10.0, 10.0)
    budget.released(100.0)
    budget.left(100.0 + 0.9 * LATE_SECONDS)
    assert budget.ready_at(100.0) == pytest.approx(100.0 + 1 / 9.8)
    budget.left(100.5)
    assert budget.ready_at(100.5) == pytest.approx(100.5 + 1 / 9.8)


def test_an_idle_account_saves_up_no_burst() -> None:
    budget = Budget(10, 10)
    budget.released(100.0)
    budget.released(500.0)
    assert budget.ready_at(500.0) > 500.1


def test_a_changed_qps_counts_from_the_next_slot() -> None:
    budget = Budget(10, 10)
    budget.released(100.0)
    budget.configure(1, 10)
    assert budget.ready_at(100.0) == pytest.approx(100 + 1 / 0.998)


def test_a_throttle_pauses_the_account_for_the_time_the_answer_gives() -> None:
    budget = Budget(10, 10)
    budget.released(100.0)
    budget.throttled(100.2, released_at=100.0, pause_seconds=7.0)
    assert budget.ready_at(100.2) == pytest.approx(107.2)


@pytest.mark.parametrize(("asked", "pause"), [(None, 1.0), (60.0, 60.0), (0.0, 0.0)])
def test_a_pause_is_as_asked_and_has_a_default(asked: float | None, pause: float) -> None:
    budget = Budget(1000, 1100)
    budget.throttled(100.0, released_at=99.0, pause_seconds=asked)
    assert budget.ready_at(100.0) == pytest.approx(100.0 + pause)


def test_a_throttle_halves_the_rate() -> None:
    budget = Budget(10, 10)
    assert budget.effective_qps(100.0) == 10
    budget.throttled(100.0, released_at=99.9, pause_seconds=1)
    assert budget.effective_qps(100.0) == 5
    budget.throttled(101.0, released_at=100.5, pause_seconds=1)
    assert budget.effective_qps(101.0) == 2.5


def test_requests_under_way_at_a_throttle_do_not_halve_the_rate_again() -> None:
    """Ten throttles of requests that were sent before the first throttle came are one event, not ten."""
    budget = Budget(10, 10)
    for index in range(10):
        budget.throttled(100.0 + index / 100, released_at=99.0 + index / 20, pause_seconds=1)
    assert budget.effective_qps(100.2) == 5


def test_the_rate_never_falls_below_a_tenth_of_a_request_per_second() -> None:
    budget = Budget(10, 10)
    for second in range(100, 200):
        budget.throttled(float(second), released_at=second - 0.5, pause_seconds=0)
    assert budget.effective_qps(199.0) == pytest.approx(0.1)


def test_a_budget_below_the_floor_is_not_raised_to_it() -> None:
    budget = Budget(0.05, 10)
    budget.throttled(100.0, released_at=99.0, pause_seconds=0)
    assert budget.effective_qps(100.0) == pytest.approx(0.05)


def test_the_rate_climbs_by_a_tenth_of_qps_each_ten_seconds_after_the_pause() -> None:
    budget = Budget(10, 10)
    budget.throttled(100.0, released_at=99.0, pause_seconds=5)
    climbing = [budget.effective_qps(105.0 + seconds) for seconds in (0, 5, 10, 20, 40, 50, 1000)]
    assert climbing == pytest.approx([5, 5.5, 6, 7, 9, 10, 10])


def test_a_recovered_account_starts_afresh() -> None:
    budget = Budget(10, 10)
    budget.throttled(100.0, released_at=99.0, pause_seconds=0)
    assert budget.effective_qps(160.0) == 10
    budget.throttled(200.0, released_at=199.9, pause_seconds=0)
    assert budget.effective_qps(200.0) == 5
    assert budget.effective_qps(250.0) == 10


def test_where_throttles_recur_at_a_rate_it_holds_just_below_for_a_sixth_of_that_limits_age() -> None:
    """A permanent lower limit is tested less and less often, but at least every two minutes; a single throttle is
    not."""
    budget = Budget(10, 10)
    budget.throttled(99.0, released_at=98.0, pause_seconds=0)
    first, held = 100.0, []
    now = first
    for _ in range(18):
        since = now
        budget.throttled(now, released_at=now, pause_seconds=0)
        while budget.effective_qps(now) < 3.0:
            now += 0.25
        assert budget.effective_qps(now) == pytest.approx(3.0, abs=0.2)
        climb = (3.0 - budget.effective_qps(since)) * 10
        held.append((since - first, now - since - climb))
    assert held[0][1] == pytest.approx(0, abs=1)
    for age, seconds in held[2:]:
        assert seconds == pytest.approx(min(max(20.0, age / 6), 120.0), abs=1), age
    assert held[-1][1] == pytest.approx(120.0, abs=1)


SERVERS: dict[str, Callable[[int], Admit]] = {
    "sliding second": sliding_second,
    "fixed second": fixed_second,
    "token bucket": lambda limit: token_bucket(limit, limit),
    "token bucket without burst": lambda limit: token_bucket(limit, 1),
}
"""The API does not document its kind of window."""


class Pausing(Budget):
    """A budget whose throttles all ask for the same pause."""

    def __init__(self, pause_seconds: float | None) -> None:
        super().__init__(10, 10)
        self._asked = pause_seconds

    def throttled(self, now: float, released_at: float, pause_seconds: float | None) -> None:
        super().throttled(now, released_at, self._asked)


@pytest.mark.parametrize("server", list(SERVERS))
@pytest.mark.parametrize("limit", [1, 2, 3, 5, 8])
@pytest.mark.parametrize(("latency", "pause"), [(0.3, None), (0.3, 0.2), (0.3, 2.0), (0.05, 0.0), (1.0, None)])
def test_an_account_with_a_lower_real_limit_settles_close_below_it(
    server: str, limit: int, latency: float, pause: float | None
) -> None:
    """Under `qps: 10` less than 5 % of the attempts are throttled and more than 80 % of the real limit is used."""
    path = Path(latency_seconds=(latency, latency))
    sent = send(Pausing(pause), path, SERVERS[server](limit), seconds=1800.0, seed=1).between(60.0, 1800.0)
    assert sent.throttled_share < 0.05
    assert sent.answered / (limit * 1740.0) > 0.80


def test_a_limit_that_is_lifted_is_noticed_within_four_minutes() -> None:
    """Even after a long time the rate stays at most 2 minutes below the old limit."""
    budget = Budget(10, 10)
    send(budget, Path(), sliding_second(3), seconds=3600.0, seed=1)
    assert budget.effective_qps(3600.0) < 4
    send(budget, Path(), lambda now: 0.0, seconds=240.0, seed=1, start=3600.0)
    assert budget.effective_qps(3840.0) == 10


def test_a_budget_is_idle_once_nothing_of_its_past_counts_any_more() -> None:
    budget = Budget(10, 10)
    assert budget.is_idle(100.0)
    budget.released(100.0)
    assert not budget.is_idle(100.05)
    assert budget.is_idle(100.2)
    budget.throttled(101.0, released_at=101.0, pause_seconds=5)
    assert not budget.is_idle(140.0)
    assert budget.is_idle(160.0)


def test_no_poll_is_taken_before_the_instant_it_is_held_until() -> None:
    budget = Budget(5.0, 10.0)
    budget.hold_until(7.5)
    assert budget.ready_at(0.0) == 7.5
    budget.hold_until(3.0)
    assert budget.ready_at(0.0) == 7.5
    assert budget.effective_qps(0.0) == 5.0


def at_the_edge(budget: Budget, now: float, count: int = 20) -> float:
    """Release `count` requests as fast as `budget` allows, from `now` on; returns when the last one left."""
    for _ in range(count):
        now = max(now, budget.ready_at(now))
        budget.released(now)
    return now


def test_a_throttle_at_the_edge_widens_the_spacing_a_little_and_keeps_the_rate() -> None:
    """Ten requests of this account were in that second: one was late, and no other caller uses the quota."""
    budget = Budget(10, 10)
    now = at_the_edge(budget, 100.0)
    budget.throttled(now + 0.2, released_at=now, pause_seconds=None)
    assert budget.guard_seconds(now + 0.2) == WIDENING_SECONDS
    assert budget.effective_qps(now + 0.2) == pytest.approx(10 / (1 + WIDENING_SECONDS))
    assert budget.pace(now + 0.2) == pytest.approx(9.8 / (1 + WIDENING_SECONDS))
    assert budget.ready_at(now + 0.2) == pytest.approx(now + 1.2)


def test_requests_under_way_at_a_throttle_at_the_edge_do_not_widen_it_again() -> None:
    budget = Budget(10, 10)
    now = at_the_edge(budget, 100.0)
    for index in range(4):
        budget.throttled(now + 0.2 + index / 10, released_at=now - 0.1 * index, pause_seconds=None)
    assert budget.guard_seconds(now + 0.5) == pytest.approx(WIDENING_SECONDS, rel=0.01)


@pytest.mark.parametrize(("qps", "quota"), [(5, 10), (10, 100), (8, 10)])
def test_an_account_with_qps_below_the_quota_is_never_at_the_edge(qps: float, quota: float) -> None:
    budget = Budget(qps, quota)
    now = at_the_edge(budget, 100.0)
    budget.throttled(now, released_at=now, pause_seconds=None)
    assert budget.effective_qps(now) == qps / 2
    assert budget.guard_seconds(now) == 0


def test_an_account_with_less_to_ask_than_its_budget_is_not_at_the_edge() -> None:
    budget = Budget(10, 10)
    now = 100.0
    for _ in range(50):
        now = max(budget.ready_at(now), now + 0.2)
        budget.released(now)
    budget.throttled(now, released_at=now, pause_seconds=None)
    assert budget.effective_qps(now) == 5


def widenings(budget: Budget, requests_between: int) -> list[float]:
    """How much each of five throttles at the edge adds to the guard time, with that many requests in between."""
    now, grew = at_the_edge(budget, 100.0), []
    for _ in range(5):
        before = budget.guard_seconds(now)
        budget.throttled(now, released_at=now, pause_seconds=0.0)
        grew.append(budget.guard_seconds(now) - before)
        now = at_the_edge(budget, now, requests_between)
    return grew


def test_throttles_that_follow_at_once_widen_it_twice_as_much_each_time() -> None:
    assert widenings(Budget(10, 10), 40) == pytest.approx([WIDENING_SECONDS] * 5)
    doubled = [WIDENING_SECONDS * 2**times for times in range(5)]
    assert widenings(Budget(10, 10), 2) == pytest.approx([min(each, MAX_WIDENING_SECONDS) for each in doubled])


def test_where_the_widest_spacing_does_not_end_throttles_others_spend_the_quota() -> None:
    """Then the rate halves, and the spacing stays the same."""
    budget = Budget(10, 10)
    now = at_the_edge(budget, 100.0)
    budget.remember(now, 0.03)
    now += DOUBT_SECONDS + 1
    throttles = 0
    while budget.effective_qps(now) > 6:
        now = at_the_edge(budget, now, 11)
        budget.throttled(now, released_at=now, pause_seconds=0.0)
        throttles += 1
    assert 5 < throttles < 15
    assert budget.guard_seconds(now) == pytest.approx(0.03, abs=0.002)


def test_two_throttles_below_the_edge_undo_the_last_widening() -> None:
    """Other callers begin: at the first throttle this account alone is at the edge, at the next ones it is not."""
    budget = Budget(10, 10)
    now = at_the_edge(budget, 100.0)
    budget.throttled(now, released_at=now, pause_seconds=None)
    now = at_the_edge(budget, now, 4)
    budget.throttled(now, released_at=now, pause_seconds=None)
    assert budget.guard_seconds(now) == pytest.approx(WIDENING_SECONDS, rel=0.01), "this machine may have been frozen"
    assert budget.effective_qps(now) == pytest.approx(5, rel=0.01)
    now = at_the_edge(budget, now, 4)
    budget.throttled(now, released_at=now, pause_seconds=None)
    assert budget.guard_seconds(now) == 0
    assert budget.effective_qps(now) == pytest.approx(2.5, rel=0.05)


def test_a_throttle_at_a_lowered_rate_is_not_at_the_edge() -> None:
    """A path can bring nine requests of 1.3 s into one second, but the rate was below the quota."""
    budget = Budget(10, 10)
    budget.throttled(100.0, released_at=100.0, pause_seconds=0)
    now = at_the_edge(budget, 125.0)
    assert 7 < budget.effective_qps(now) < 8.5
    budget.throttled(now, released_at=now, pause_seconds=None)
    assert budget.guard_seconds(now) == 0
    assert 3.5 < budget.effective_qps(now) < 4.3


def test_what_was_learnt_long_before_others_call_is_kept() -> None:
    budget = Budget(10, 10)
    budget.remember(100.0, 0.15)
    now = 100.0 + DOUBT_SECONDS
    for _ in range(3):
        now = at_the_edge(budget, now, 4)
        budget.throttled(now, released_at=now, pause_seconds=None)
    assert budget.guard_seconds(now) == pytest.approx(0.15, abs=0.002)
    assert budget.effective_qps(now) < 2


def test_the_guard_is_forgotten_slowly_and_then_faster() -> None:
    """Only a throttle shows whether the path still has jitter."""
    budget = Budget(10, 10)
    budget.remember(0.0, 0.15)
    left = [budget.guard_seconds(FORGET_SECONDS * times) for times in (0, 1, 2, 3, 4, 5, 100_000)]
    gone = [0, 1, 3, 7, 15]
    assert left == pytest.approx([0.15 - WIDENING_SECONDS * times for times in gone] + [0, 0])


def test_a_small_quota_forgets_by_requests_and_not_by_seconds() -> None:
    """At one request a second a throttle in 400 s would be one in 400."""
    budget = Budget(1, 1)
    budget.remember(0.0, 0.15)
    assert budget.guard_seconds(4000.0) == pytest.approx(0.15 - WIDENING_SECONDS)


def test_what_was_learnt_survives_new_limits() -> None:
    budget = Budget(10, 10)
    budget.remember(100.0, 0.1)
    budget.configure(20, 20)
    assert budget.pace(100.0) == pytest.approx(19.6 / 1.1)
    now = at_the_edge(budget, 100.0, 17)
    budget.throttled(now, released_at=now, pause_seconds=None)
    assert budget.effective_qps(now) == pytest.approx(20 / 1.1 / 2, rel=0.01), "17 of 20 are not the edge"


@pytest.mark.parametrize("guard", [-1.0, 0.0, 0.2, 7.0, math.inf, -math.inf, math.nan])
def test_an_absurd_guard_is_bounded(guard: float) -> None:
    budget = Budget(10, 10)
    budget.remember(100.0, guard)
    assert 0 <= budget.guard_seconds(100.0) <= MAX_GUARD_SECONDS


def test_a_throttle_that_never_ends_is_borne() -> None:
    """Every request for months: nothing grows, nothing overflows."""
    budget, now = Budget(10, 10), 100.0
    for _ in range(5000):
        now = max(now, budget.ready_at(now))
        budget.released(now)
        budget.throttled(now, released_at=now, pause_seconds=60.0)
    assert budget.effective_qps(now) == pytest.approx(0.1)
    assert len(budget._recent) == 1


def test_a_budget_with_a_guard_is_not_idle() -> None:
    """An account that was removed and is configured again learns its path again."""
    budget = Budget(10, 10)
    budget.remember(100.0, 0.1)
    assert not budget.is_idle(200.0)
    assert budget.is_idle(200.0 + FORGET_SECONDS * 6)
