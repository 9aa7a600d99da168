"""Forbidden numbers next to good ones, refused spaces and accounts: simulated for mixtures, in virtual time."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.errors import ApiError
from exporter.model import NumberKey, PhoneNumber, pace_qps
from exporter.polling.circuit_breaker import MIN_PROBE_SECONDS, PROBE_SHARE
from tests.support.numbers import number
from tests.support.played import FORBIDDEN, QUOTA, REVOKED, Played

QPS = 5.0
PACE = pace_qps(QPS, QUOTA)


@pytest.fixture(autouse=True, scope="module")
def _silence() -> Iterator[None]:
    """Thousands of failures are simulated, and each would be logged."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


class World:
    """An account whose key, spaces and numbers can be forbidden at any time."""

    def __init__(self, spaces: list[int], interval: float) -> None:
        self.numbers = [
            number(place * 1000 + index, space=f"cams-{place:03}")
            for place, count in enumerate(spaces)
            for index in range(count)
        ]
        self.forbidden: set[NumberKey] = set()
        self.revoked = False
        self.played = Played(self.numbers, interval, qps=QPS, stale_after=3 * interval, answer=self.answer)
        self.interval = interval

    def answer(self, asked: PhoneNumber) -> ApiError | None:
        if self.revoked:
            return REVOKED
        return FORBIDDEN if asked.key in self.forbidden else None

    def of(self, *spaces: str) -> list[NumberKey]:
        return [each.key for each in self.numbers if each.cust_space_id in spaces]

    @property
    def good(self) -> list[NumberKey]:
        return [each.key for each in self.numbers if each.key not in self.forbidden]

    @property
    def dead_spaces(self) -> set[str]:
        """Spaces in which every number is forbidden."""
        return {each.cust_space_id for each in self.numbers} - {key.cust_space_id for key in self.good}

    @property
    def round_seconds(self) -> float:
        """From one probe of a space to its next."""
        return max(self.interval, MIN_PROBE_SECONDS, len(self.dead_spaces) / (PACE * PROBE_SHARE))

    def check(self) -> None:
        """The metrics show the real state."""
        status = self.played.poller.status()
        assert status.refused_spaces.keys() == self.dead_spaces
        assert status.up is bool(self.good)
        assert {key for key, shown in self.played.statuses().items() if shown == "VERIFIED"} == set(self.good)


mixtures = st.tuples(
    st.lists(st.integers(1, 12), min_size=1, max_size=12),  # numbers, by space
    st.sampled_from([20.0, 60.0]),
    st.sampled_from([0.01, 0.3, 0.5, 0.9, 0.99]),  # share of numbers that are forbidden
    st.booleans(),  # in whole spaces, if possible
    st.randoms(use_true_random=False),
)


@settings(max_examples=25)
@given(mixtures)
def test_good_numbers_stay_on_schedule_beside_any_share_of_forbidden_ones(
    mixture: tuple[list[int], float, float, bool, object],
) -> None:
    spaces, interval, share, by_space, rng = mixture
    world = World(spaces, interval)
    keys = [each.key for each in world.numbers]
    if not by_space:
        rng.shuffle(keys)  # type: ignore[attr-defined] # a Random
    world.forbidden = set(keys[: min(max(1, round(len(keys) * share)), max(1, len(keys) - 1))])
    played = world.played
    played.run(len(keys) / PACE + 3 * world.round_seconds)
    played.start_sampling()
    began = played.now
    sent = played.run(6 * interval)
    if world.good:
        assert played.share(world.good) >= 0.98
        for key in world.good:
            instants = [began, *(at for at, asked in sent if asked == key), played.now]
            assert all(after - before <= 1.5 * interval + 2.0 for before, after in itertools.pairwise(instants))
    world.check()
    assert played.poller.status().lag_seconds < 2.0
    assert played.poller.unattempted() == 0
    probes = [at for at, key in sent if key.cust_space_id in world.dead_spaces]
    assert len(probes) <= PROBE_SHARE * PACE * (played.now - began) + 1
    assert len(probes) <= len(world.dead_spaces) * ((played.now - began) / max(interval, MIN_PROBE_SECONDS) + 1)

    waited = world.round_seconds + len(keys) / PACE + 5.0
    world.forbidden = set()
    played.run(max(waited, 1.5 * interval))  # forbidden ones of an accepted space wait for their regular poll
    world.check()
    played.stop()


def test_forbidden_spaces_recover_at_their_next_probe_and_all_of_their_numbers_at_once() -> None:
    """Within the budget, and without another number being late; the interval is an hour."""
    world = World([10, 10, 1], 3600.0)
    world.forbidden = {*world.of("cams-000"), *world.of("cams-002")}
    played = world.played
    played.run(60)
    world.check()
    world.forbidden = set()
    played.run(3600.0 + 10)
    world.check()
    (first, *_) = (at for at, key in played.sent if at > 1100.0 and key.cust_space_id == "cams-000")
    late = [at for at, key in played.sent if first < at < first + 10 and key.cust_space_id == "cams-000"]
    assert len(late) == 9
    played.stop()


def test_the_credentials_of_one_space_are_withdrawn_at_run_time_and_given_back() -> None:
    world = World([5, 5, 5, 1], 20.0)
    played = world.played
    played.run(40)
    world.check()
    for spaces in (["cams-001"], ["cams-003"], ["cams-000", "cams-002", "cams-003"]):
        world.forbidden = set(world.of(*spaces))
        played.run(3 * 20.0 + 45)  # their answers become stale
        world.check()
        played.start_sampling()
        played.run(200)
        assert played.share(world.good) == 1.0
        world.forbidden = set()
        played.run(30)
        world.check()
    played.stop()


@pytest.mark.parametrize("forbidden", [0, 1, 19, 39, 40])
@pytest.mark.parametrize("interval", [5.0, 60.0])
def test_a_revoked_key_is_found_after_three_answers_costs_one_probe_an_interval_and_recovers(
    forbidden: int, interval: float
) -> None:
    world = World([20, 10, 5, 5], interval)
    world.forbidden = {each.key for each in world.numbers[:forbidden]}
    played = world.played
    played.run(120)
    assert played.poller.status().up is (forbidden < 40)
    world.revoked = True
    while not played.poller._breakers.account.is_open:
        played.run(0.2)
    answered = [at for at, _ in played.sent if at > 1120.0]
    assert len(answered) <= 5  # three, and requests in flight
    began = played.now
    probes = played.run(600.0)
    gap = max(interval, MIN_PROBE_SECONDS)
    assert len(probes) == pytest.approx(600.0 / gap, abs=1)
    asked = [key for _, key in probes]
    assert len(set(asked[:40])) == min(40, len(asked)), "the probes take turns"
    if 0 < forbidden < 40:
        assert asked[0] not in world.forbidden, "the number that last succeeded comes first"
    assert not played.poller.status().up
    assert played.poller.status().refused is not None
    assert played.poller.status().refused.code == REVOKED.code  # type: ignore[union-attr] # just asserted
    world.revoked = False
    played.run(gap + max(world.round_seconds, 40 / PACE) + 5.0)
    world.check()
    assert played.now > began
    played.stop()


def test_a_key_that_is_refused_and_then_forbidden_does_not_hold_back_good_numbers() -> None:
    """A probe that is answered by an error of permission shows that the key is accepted again."""
    world = World([20, 20], 20.0)
    world.forbidden = set(world.of("cams-000"))
    played = world.played
    played.run(60)
    world.revoked = True
    played.run(60)
    assert not played.poller.status().up
    world.revoked = False
    played.run(30)
    world.check()
    played.stop()


def test_hundreds_of_spaces_of_one_number_each_share_the_probes_of_a_tenth_of_the_budget() -> None:
    world = World([1] * 300, 60.0)
    world.forbidden = set([each.key for each in world.numbers][:250])
    played = world.played
    played.run(120)
    assert len(played.poller.status().refused_spaces) == 250
    played.start_sampling()
    sent = played.run(600)
    assert played.share(world.good) == 1.0
    asked = [key for _, key in sent if key in world.forbidden]
    assert len(asked) == pytest.approx(600 * PACE * PROBE_SHARE, rel=0.05)
    assert len(set(asked)) == 250
    played.stop()
