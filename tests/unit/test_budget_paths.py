"""The budget over paths with jitter, and with other callers, half an hour each in virtual time.

It is compared with the best fixed rate over the same path: the largest of which one request in 1,000 is throttled.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator

import pytest

from benchmarks.virtual import Admit, Path, best_fixed_pace, fixed_second, send, sliding_second, token_bucket
from exporter.model import pace_qps
from exporter.polling.budget import Budget

QPS = QUOTA = 10
SECONDS = 1800.0
LEARNT_SECONDS = 300.0
"""The first minutes, in which the budget learns."""

JITTERS = (0.0, 0.02, 0.05, 0.1, 0.2)
PATHS = [Path(jitter, exponential) for exponential in (False, True) for jitter in JITTERS if jitter or not exponential]
SEEDS = (1, 2)


@functools.cache
def best(path: Path) -> float:
    """The best fixed rate over `path`, in requests per second."""
    return best_fixed_pace(path, QUOTA, seconds=SECONDS, seed=77)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("path", PATHS, ids=str)
def test_a_jittery_path_is_used_to_95_percent_of_the_best_fixed_pace(path: Path, seed: int) -> None:
    """After the first minutes at most one request in 1,000 is throttled."""
    sent = send(Budget(QPS, QUOTA), path, sliding_second(QUOTA), seconds=SECONDS, seed=seed)
    settled = sent.between(LEARNT_SECONDS, SECONDS)
    assert settled.throttled_share <= 0.001
    assert settled.answered / (SECONDS - LEARNT_SECONDS) >= 0.95 * best(path)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("path", PATHS, ids=str)
def test_a_late_request_now_and_then_costs_at_most_one_throttle_and_a_tenth_of_the_pace(path: Path, seed: int) -> None:
    """One request a minute comes 300 ms late, in addition to the jitter."""
    spiky = Path(path.jitter_seconds, path.exponential, spikes=True)
    sent = send(Budget(QPS, QUOTA), spiky, sliding_second(QUOTA), seconds=SECONDS, seed=seed)
    settled = sent.between(LEARNT_SECONDS, SECONDS)
    minutes = (SECONDS - LEARNT_SECONDS) / 60
    assert sum(settled.throttled) <= minutes + len(settled.released) * 0.001
    assert settled.answered / (SECONDS - LEARNT_SECONDS) >= 0.9 * min(pace_qps(QPS, QUOTA), best(path))


@pytest.mark.parametrize("qps", [8.4, 8.9, 9.5])
@pytest.mark.parametrize("path", [Path(0.2), Path(0.2, exponential=True)], ids=str)
def test_an_account_whose_own_limit_is_a_little_below_the_quota_learns_the_path_too(path: Path, qps: float) -> None:
    """Its requests arrive closer together than they left, like those of an account that uses its whole quota."""
    sent = send(Budget(qps, QUOTA), path, sliding_second(QUOTA), seconds=SECONDS, seed=1)
    settled = sent.between(LEARNT_SECONDS, SECONDS)
    assert settled.throttled_share <= 0.001
    assert settled.answered / (SECONDS - LEARNT_SECONDS) >= 0.95 * min(best(path), pace_qps(qps, QUOTA))


SERVERS: dict[str, Callable[[], Admit]] = {
    "sliding second": lambda: sliding_second(QUOTA),
    "sliding second, throttled requests count": lambda: sliding_second(QUOTA, counts_throttled=True),
    "fixed second": lambda: fixed_second(QUOTA),
    "token bucket": lambda: token_bucket(QUOTA, QUOTA),
}


@pytest.mark.parametrize("says_when", [False, True])
@pytest.mark.parametrize("server", list(SERVERS))
@pytest.mark.parametrize("path", [Path(), Path(0.2), Path(0.2, exponential=True)], ids=str)
def test_it_learns_the_path_whatever_the_servers_window_is(path: Path, server: str, says_when: bool) -> None:
    """With and without a wait in the throttle."""
    sent = send(Budget(QPS, QUOTA), path, SERVERS[server](), seconds=SECONDS, seed=1, says_when=says_when)
    settled = sent.between(LEARNT_SECONDS, SECONDS)
    assert settled.throttled_share <= 0.001
    assert settled.answered / (SECONDS - LEARNT_SECONDS) >= 0.95 * best(path)


def test_a_path_that_calms_down_is_used_in_full_again_within_an_hour() -> None:
    budget = Budget(QPS, QUOTA)
    send(budget, Path(0.2), sliding_second(QUOTA), seconds=SECONDS, seed=1)
    assert budget.effective_qps(SECONDS) < 9
    send(budget, Path(), sliding_second(QUOTA), seconds=3600.0, seed=1, start=SECONDS)
    assert budget.effective_qps(SECONDS + 3600.0) == QPS


def test_a_short_freeze_of_the_machine_keeps_the_learnt_guard_time() -> None:
    """By its count of requests such a throttle is not at the edge, so it halves the rate and keeps the guard time."""
    path, budget = Path(0.2), Budget(QPS, QUOTA)
    send(budget, path, sliding_second(QUOTA), seconds=700.0, seed=1)
    learnt = budget.guard_seconds(700.0)
    budget.released(701.0)
    budget.throttled(701.5, released_at=701.0, pause_seconds=None)
    assert budget.effective_qps(701.5) < 5
    sent = send(budget, path, sliding_second(QUOTA), seconds=600.0, seed=2, start=702.0)
    assert budget.guard_seconds(1302.0) == pytest.approx(learnt, abs=0.03)
    assert sent.throttled_share <= 0.002


def test_a_learnt_guard_that_is_given_to_a_new_budget_spares_it_the_first_minutes() -> None:
    path = Path(0.2)
    old, new = Budget(QPS, QUOTA), Budget(QPS, QUOTA)
    send(old, path, sliding_second(QUOTA), seconds=SECONDS, seed=1)
    new.remember(0.0, old.guard_seconds(SECONDS))
    sent = send(new, path, sliding_second(QUOTA), seconds=600.0, seed=2)
    assert sum(sent.throttled) <= 3
    assert sent.answered / 600.0 >= 0.95 * best(path)


@pytest.mark.parametrize("says_when", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_real_limit_far_below_the_quota_is_used_to_90_percent(seed: int, says_when: bool) -> None:
    """`qps: 10`, a limit of 3/s: at most 0.5 % of the requests are throttled."""
    sent = send(Budget(QPS, QUOTA), Path(), sliding_second(3), seconds=SECONDS, seed=seed, says_when=says_when)
    settled = sent.between(LEARNT_SECONDS, SECONDS)
    assert settled.throttled_share <= 0.005
    assert settled.answered / (SECONDS - LEARNT_SECONDS) >= 0.9 * 3


OTHERS: dict[str, Callable[[random.Random], float]] = {
    "evenly": lambda _: 0.2,
    "at random": lambda rng: rng.expovariate(5),
    "in bursts": lambda rng: rng.choice([0.001] * 4 + [0.996]),
}
"""The spacing of other callers' requests: five a second."""


def others(kind: str, start: float, end: float, seed: int) -> Iterator[float]:
    rng = random.Random(seed)
    while start < end:
        yield start
        start += OTHERS[kind](rng)


@pytest.mark.parametrize("says_when", [False, True])
@pytest.mark.parametrize("path", [Path(), Path(0.1)], ids=str)
@pytest.mark.parametrize("kind", list(OTHERS))
def test_when_others_who_took_half_the_quota_leave_the_full_pace_is_back_in_two_minutes(
    kind: str, path: Path, says_when: bool
) -> None:
    """They come for five minutes.  In this time the rate is low, and the learnt guard time is kept."""
    came, left = 600.0, 900.0
    sent = send(
        Budget(QPS, QUOTA),
        path,
        sliding_second(QUOTA),
        seconds=left + 300.0,
        seed=1,
        says_when=says_when,
        others=others(kind, came, left, 1),
    )
    before = sent.between(came - 120.0, came).answered / 120.0
    during = sent.between(came + 60.0, left).answered / (left - came - 60.0)
    after = sent.between(left + 120.0, left + 240.0).answered / 120.0
    assert during < 0.6 * before
    assert after >= 0.97 * before
