"""The ceiling of one operation, which waits for slots of the account as well."""

from __future__ import annotations

import itertools
import random

import pytest

from exporter.polling.errands.ceiling import Ceiling
from tests.support.asked import most_in_a_second

HEALTH_QPS = 5.0


def sent(ceiling: Ceiling, seconds: float, *, late: float, seed: int = 1, begin: float = 0.0) -> list[float]:
    """Each request is late by up to `late` seconds."""
    rng, now = random.Random(seed), begin
    instants: list[float] = []
    while now < begin + seconds:
        now = max(now, ceiling.ready_at(now)) + rng.uniform(0.0, late)
        ceiling.released(now)
        ceiling.left(now)
        instants.append(now)
    return instants


def test_requests_are_evenly_spaced_also_after_a_rest() -> None:
    ceiling = Ceiling(HEALTH_QPS)
    for begin in (0.0, 60.0):
        gaps = [after - before for before, after in itertools.pairwise(sent(ceiling, 5.0, late=0.0, begin=begin))]
        assert gaps == pytest.approx([1 / 4.9] * len(gaps))


@pytest.mark.parametrize("late", [0.05, 0.102])
def test_waiting_for_a_slot_of_the_account_does_not_lower_the_rate(late: float) -> None:
    assert len(sent(Ceiling(HEALTH_QPS), 100.0, late=late)) == pytest.approx(490, rel=0.05)


@pytest.mark.parametrize("late", [0.0, 0.05, 0.102, 0.2, 1.0, 5.0])
@pytest.mark.parametrize("seed", range(5))
def test_no_second_has_more(late: float, seed: int) -> None:
    assert most_in_a_second(sent(Ceiling(HEALTH_QPS), 200.0, late=late, seed=seed)) <= 5


def test_a_request_that_leaves_late_counts_from_when_it_left() -> None:
    ceiling = Ceiling(HEALTH_QPS)
    ceiling.released(0.0)
    ceiling.left(0.7)
    assert ceiling.ready_at(0.7) == pytest.approx(0.7 + 1 / 4.9)


def test_a_throttle_slows_it_and_it_recovers() -> None:
    ceiling = Ceiling(HEALTH_QPS)
    ceiling.throttled(0.0, 0.0, 2.0)
    assert ceiling.ready_at(0.0) == 2.0
    assert ceiling.pace(2.0) < 2.6
    assert ceiling.pace(200.0) == pytest.approx(4.9)
