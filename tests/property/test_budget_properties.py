"""Invariants of the budget, over generated use."""

from __future__ import annotations

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from exporter.cams.retry_after import MAX_RETRY_AFTER_SECONDS
from exporter.polling.budget import MAX_GUARD_SECONDS, Budget

qps_values = st.floats(0.05, 100)
steps = st.lists(
    st.tuples(
        st.one_of(st.just(0.0), st.floats(0, 3)),  # how late the poll is released after its slot
        st.sampled_from(["ok"] * 8 + ["throttle"]),
        st.one_of(st.none(), st.floats(0, MAX_RETRY_AFTER_SECONDS)),
    ),
    min_size=2,
    max_size=200,
)


def releases(budget: Budget, script: list[tuple[float, str, float | None]]) -> list[float]:
    now, out = 0.0, []
    for late, event, pause in script:
        ready_at = budget.ready_at(now)
        while ready_at > now:
            now = ready_at
            ready_at = budget.ready_at(now)
        now += late
        budget.released(now)
        out.append(now)
        if event == "throttle":
            budget.throttled(now, now, pause)
    return out


@given(qps_values, st.floats(1, 4), steps)
def test_no_sliding_second_holds_more_than_qps(
    qps: float, headroom: float, script: list[tuple[float, str, float | None]]
) -> None:
    """Any n + 1 releases in a row span at least n / qps seconds, for any delays and throttles."""
    times = releases(Budget(qps, qps * headroom), script)
    most = math.ceil(qps)
    for first, last in zip(times, times[most:], strict=False):
        assert last - first > 1.0 or most / qps < 1.0
    for before, after in itertools.pairwise(times):
        assert after - before >= 1 / qps


@given(qps_values, steps)
def test_at_the_quota_eleven_requests_span_more_than_a_second_and_20_ms(
    qps: float, script: list[tuple[float, str, float | None]]
) -> None:
    """The pace allows 20 ms of jitter on the path: n gaps last at least n / (98 % of the quota)."""
    times = releases(Budget(qps, qps), script)
    for before, after in itertools.pairwise(times):
        assert after - before >= 1 / (qps * 0.98) - 1e-9


@given(qps_values, steps)
def test_the_budget_is_fully_used_when_nothing_throttles(
    qps: float, script: list[tuple[float, str, float | None]]
) -> None:
    """If requests go as soon as possible, they use the whole rate."""
    punctual: list[tuple[float, str, float | None]] = [(0.0, "ok", None) for _ in script]
    times = releases(Budget(qps, qps * 2), punctual)
    assert (times[-1] - times[0]) * qps <= (len(times) - 1) * 1.0021


@given(qps_values, steps, st.floats(0, 1e5))
def test_the_effective_rate_stays_between_the_floor_and_qps(
    qps: float, script: list[tuple[float, str, float | None]], later: float
) -> None:
    """Halving has a minimum; the guard time widens the spacing in addition, if the quota is that low."""
    budget = Budget(qps, qps)
    end = releases(budget, script)[-1]
    rate = budget.effective_qps(end + later)
    assert min(0.1, qps / (1 + MAX_GUARD_SECONDS)) * 0.999 <= rate <= qps
    assert 0 <= budget.guard_seconds(end + later) <= MAX_GUARD_SECONDS


@given(qps_values, steps)
def test_every_wait_ends(qps: float, script: list[tuple[float, str, float | None]]) -> None:
    """After any throttle, the next slot is at most a pause and one slow gap away."""
    budget = Budget(qps, qps)
    end = releases(budget, script)[-1]
    assert budget.ready_at(end) <= end + MAX_RETRY_AFTER_SECONDS + (1 + MAX_GUARD_SECONDS) / (min(0.1, qps) * 0.97)


@given(qps_values, st.floats(), steps)
def test_a_guard_from_elsewhere_only_widens_the_spacing(
    qps: float, guard: float, script: list[tuple[float, str, float | None]]
) -> None:
    """For any restored guard time, no sliding second has more than `qps` requests."""
    budget = Budget(qps, qps)
    budget.remember(0.0, guard)
    for before, after in itertools.pairwise(releases(budget, script)):
        assert after - before >= 1 / (qps * 0.98) - 1e-9


bursts = st.lists(
    st.tuples(
        st.integers(1, 120),  # requests that go as soon as they may
        st.one_of(st.none(), st.floats(0, 3)),  # then one of them is throttled, with that pause
        st.integers(0, 12),  # the throttled one left so many requests before the last one
        st.one_of(st.just(0.0), st.floats(0, 5000)),  # then no number is due for that long
    ),
    min_size=1,
    max_size=30,
)


@given(st.integers(1, 30), bursts)
def test_after_any_throttles_at_the_edge_no_sliding_second_has_more_than_qps(
    qps: int, script: list[tuple[int, float | None, int, float]]
) -> None:
    """The guard time only widens the spacing, is bounded, and is shown."""
    budget, now, times = Budget(qps, qps), 0.0, []
    for requests, pause, before_last, idle in script:
        for _ in range(requests):
            now = max(now, budget.ready_at(now))
            budget.released(now)
            times.append(now)
        budget.throttled(now, times[max(0, len(times) - 1 - before_last)], pause)
        assert 0 <= budget.guard_seconds(now) <= MAX_GUARD_SECONDS
        assert budget.effective_qps(now) <= qps / (1 + budget.guard_seconds(now))
        now += idle
    for first, last in zip(times, times[qps:], strict=False):
        assert last - first >= 1.02 - 1e-6
