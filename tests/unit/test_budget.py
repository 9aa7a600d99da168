"""The budget: when an account's next request may go."""

from __future__ import annotations

import heapq
import math
from collections import Counter, deque
from collections.abc import Callable

import pytest

from exporter.budget import LATE_SECONDS, MAX_PAUSE_SECONDS, Budget, pace_qps


@pytest.mark.parametrize(
    ("qps", "quota", "pace"),
    [
        (5, 10, 4.99),  # well below the quota: all of qps but a hair
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
    """A late wake-up is not made up for by a burst."""
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


@pytest.mark.parametrize(("asked", "pause"), [(None, 1.0), (3600.0, MAX_PAUSE_SECONDS), (-5.0, 0.0)])
def test_a_pause_has_a_default_and_a_cap(asked: float | None, pause: float) -> None:
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
    """Ten throttled answers to ten requests sent before the first of them came are one event, not ten."""
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


def test_where_throttles_recur_at_a_rate_the_climb_rests_just_below_it_longer_each_time() -> None:
    """A lower limit that stays is probed ever more seldom; a single incident is not."""
    budget = Budget(10, 10)
    budget.throttled(99.0, released_at=98.0, pause_seconds=0)
    now, seconds_to_cross = 100.0, []
    for _ in range(6):
        since = now
        budget.throttled(now, released_at=now, pause_seconds=0)
        while budget.effective_qps(now) < 3.0:
            now += 0.25
        assert budget.effective_qps(now) == pytest.approx(3.0, abs=0.2)
        seconds_to_cross.append(now - since)
    climb = seconds_to_cross[1]
    assert climb == pytest.approx(15, abs=1)  # from 1.5 to 3.0 at 0.1/s
    assert seconds_to_cross[2:] == pytest.approx([climb + 10, climb + 20, climb + 40, climb + 80], abs=3)


Admit = Callable[[float], bool]
"""A server's limit: whether a request that arrives at that instant is answered."""


def sliding_second(limit: int) -> Admit:
    """At most `limit` in any second."""
    admitted: deque[float] = deque()

    def admit(now: float) -> bool:
        while admitted and now - admitted[0] >= 1:
            admitted.popleft()
        if len(admitted) >= limit:
            return False
        admitted.append(now)
        return True

    return admit


def fixed_second(limit: int) -> Admit:
    """At most `limit` in each second of the server's clock."""
    counts: Counter[int] = Counter()

    def admit(now: float) -> bool:
        second = math.floor(now)
        counts[second] += 1
        return counts[second] <= limit

    return admit


def token_bucket(limit: int, burst: int) -> Admit:
    """`limit` tokens a second, at most `burst` saved."""
    tokens, filled_at = float(burst), 0.0

    def admit(now: float) -> bool:
        nonlocal tokens, filled_at
        tokens, filled_at = min(burst, tokens + (now - filled_at) * limit), now
        if tokens < 1:
            return False
        tokens -= 1
        return True

    return admit


SERVERS: dict[str, Callable[[int], Admit]] = {
    "sliding second": sliding_second,
    "fixed second": fixed_second,
    "token bucket": lambda limit: token_bucket(limit, limit),
    "token bucket without burst": lambda limit: token_bucket(limit, 1),
}
"""The kind of the API's own window is not documented."""

SETTLED_SECONDS = 60.0


def simulate(
    admit: Admit, budget: Budget, *, seconds: float, latency: float, pause: float | None, start: float = 0.0
) -> tuple[int, int]:
    """Run `budget` as fast as it allows; (answered, throttled) once it has settled."""
    answers: list[tuple[float, float]] = []
    now, answered, throttled = start, 0, 0
    while now < start + seconds:
        at = max(budget.ready_at(now), now)
        if answers and answers[0][0] <= at:
            now, released_at = heapq.heappop(answers)
            budget.throttled(now, released_at, pause)
            continue
        if at > now:
            now = at
            continue
        budget.released(now)
        settled = now > start + SETTLED_SECONDS
        if admit(now):
            answered += settled
        else:
            throttled += settled
            heapq.heappush(answers, (now + latency, now))
    return answered, throttled


@pytest.mark.parametrize("server", list(SERVERS))
@pytest.mark.parametrize("limit", [1, 2, 3, 5, 8])
@pytest.mark.parametrize(("latency", "pause"), [(0.3, None), (0.3, 0.2), (0.3, 2.0), (0.05, 0.0), (1.0, None)])
def test_an_account_with_a_lower_real_limit_settles_close_below_it(
    server: str, limit: int, latency: float, pause: float | None
) -> None:
    """Under `qps: 10` less than 5 % of the attempts are throttled and more than 80 % of the real limit is used."""
    seconds = 1800.0
    answered, throttled = simulate(
        SERVERS[server](limit), Budget(10, 10), seconds=seconds, latency=latency, pause=pause
    )
    assert throttled / (answered + throttled) < 0.05
    assert answered / (limit * (seconds - SETTLED_SECONDS)) > 0.80


def test_a_limit_that_is_lifted_is_noticed_within_four_minutes() -> None:
    """However long it had lasted, the climb rests at most 2 minutes below the old limit."""
    budget = Budget(10, 10)
    simulate(sliding_second(3), budget, seconds=3600.0, latency=0.3, pause=None)
    assert budget.effective_qps(3600.0) < 4
    simulate(lambda now: True, budget, seconds=240.0, latency=0.3, pause=None, start=3600.0)
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


def test_nothing_goes_before_the_instant_it_is_held_until() -> None:
    budget = Budget(5.0, 10.0)
    budget.hold_until(7.5)
    assert budget.ready_at(0.0) == 7.5
    budget.hold_until(3.0)
    assert budget.ready_at(0.0) == 7.5
    assert budget.effective_qps(0.0) == 5.0
