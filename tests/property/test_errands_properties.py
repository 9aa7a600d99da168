"""Polls, listings and health checks together, in virtual time: over random loads, delays, throttles and refusals."""

from __future__ import annotations

import itertools
import logging
import random
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.config.settings import DiscoverConfig, HealthConfig
from exporter.errors import ApiError, Kind
from exporter.model import OPERATION, PhoneNumber, pace_qps
from exporter.polling.budget import LATE_SECONDS
from tests.support.asked import HEALTH, NUMBERS, SPACES, TIMEOUT, Asked, FakeFleet, Sent
from tests.support.numbers import number

CEILINGS = {SPACES: 10, NUMBERS: 10, HEALTH: 5}
ERRORS = [
    None,
    ApiError("timeout", Kind.TRANSIENT),
    ApiError("http_503", Kind.TRANSIENT, retry_after_seconds=7.0),
    ApiError("Throttling.User", Kind.THROTTLE),
    ApiError("Throttling.Api", Kind.THROTTLE, retry_after_seconds=20.0),
    ApiError("InvalidParameter.X", Kind.NUMBER, retry_after_seconds=5.0),
    ApiError("Brand.New", Kind.NUMBER, guessed=True),
    ApiError("Ram.PermissionDeny", Kind.PERMISSION),
    ApiError("InvalidAccessKeyId.NotFound", Kind.ACCOUNT),
    ApiError("InvalidTimeStamp.Expired", Kind.ACCOUNT, cured=True),
]


@pytest.fixture(autouse=True, scope="module")
def _silence() -> Iterator[None]:
    """Thousands of failures are simulated, and each would be logged."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@dataclass(frozen=True)
class Load:
    """What an account has to ask."""

    numbers: int
    spaces: int
    qps: float
    interval: float
    refresh: float
    health: float


loads = st.builds(
    Load,
    numbers=st.sampled_from([0, 1, 7, 40, 150]),
    spaces=st.sampled_from([1, 3, 40]),
    qps=st.sampled_from([0.7, 3.0, 5.0, 10.0]),
    interval=st.sampled_from([5.0, 20.0, 60.0]),
    refresh=st.sampled_from([10.0, 60.0]),
    health=st.sampled_from([10.0, 60.0]),
)


def polled(load: Load) -> list[PhoneNumber]:
    return [number(index, space=f"cams-{index % load.spaces}") for index in range(load.numbers)]


class Show(Asked):
    """Notes, at each step, whether a poll is due or waits for a slot."""

    def watch(self) -> None:
        self.due: list[tuple[float, bool]] = []

    def note(self) -> None:
        gate = self.poller._gate
        is_due = self.poller._schedule.next_at() <= self.now or gate.waiting > gate.errands_waiting
        if not self.due or self.due[-1][1] != is_due:
            self.due.append((self.now, is_due))

    def was_due_throughout(self, begin: float, end: float) -> bool:
        """Whether a poll was due at each moment from `begin` to `end`."""
        before = [is_due for at, is_due in self.due if at < begin]
        during = [is_due for at, is_due in self.due if begin <= at <= end]
        return all(during) and bool(before and before[-1])

    def check_paces(self) -> None:
        """All together are a slot apart, also where threads stall; each operation keeps its limit of a second."""
        pace = pace_qps(self.qps, self.quota)
        for gaps in (1, 2, 3, 5, 10):
            for before, after in zip(self.sent, self.sent[gaps:], strict=False):
                assert after.at - before.at >= gaps / pace - LATE_SECONDS - 1e-9
        for operation, most in CEILINGS.items():
            sent = self.of(operation)
            for before, after in zip(sent, sent[most:], strict=False):
                assert after.at - before.at > 1.0

    def check_wakes(self) -> None:
        """While a poll is due, no two slots are far apart: nobody waits for one that nobody wakes."""
        longest = 1 / pace_qps(self.qps, self.quota) + 2.0
        for before, after in itertools.pairwise([*(sent.at for sent in self.sent), self.now]):
            assert after - before < longest or not self.was_due_throughout(before, after)

    def check_share(self, polls_first: int) -> None:
        """While polls are due, so many of them go between two errands."""
        since: list[Sent] = []
        last: Sent | None = None
        for sent in self.sent:
            if sent.operation == OPERATION:
                since.append(sent)
                continue
            if last is not None and len(since) < polls_first:
                assert not self.was_due_throughout(last.at, sent.at), (last, since, sent)
            last, since = sent, []


def made(load: Load, seed: int, *, errors: bool, stalls: bool) -> Show:
    rng = random.Random(seed)
    found = [f"cams-{index}" for index in range(load.spaces)]
    show = Show(
        polled(load),
        interval=load.interval,
        qps=load.qps,
        discover=DiscoverConfig(refresh_interval_seconds=load.refresh),
        health=HealthConfig(interval_seconds=load.health),
        spaces=found,
        page_size=25,
        fleet=FakeFleet(found),
        latency=lambda _: rng.choice([0.0, 0.05, 0.3, 2.0]),
        connecting=lambda: rng.choice([0.0, 0.0, 0.0, 0.05, 0.3]),
        stall=lambda: rng.choice([0.0] * 20 + [0.009, 0.3]) if stalls else 0.0,
    )
    show.watch()
    if errors:
        show.answer = lambda _: rng.choice(ERRORS) if rng.random() < 0.3 else None
    return show


def scrapes(show: Show, seed: int, *, until: float) -> None:
    """Scrapes, at which requests wait: they come to their slots late."""
    rng = random.Random(seed)
    while show.now < until:
        with show.priority.scrape():
            show.time.sleep(rng.choice([0.01, 0.1, 0.5]))
        show.time.sleep(rng.uniform(0.0, 0.5))


@settings(max_examples=20)
@given(loads, st.integers(0, 2**32), st.booleans())
def test_no_second_has_more_than_the_budget_or_a_ceiling_and_polls_go_between_errands(
    load: Load, seed: int, errors: bool
) -> None:
    show = made(load, seed, errors=errors, stalls=True)
    show.time.spawn(lambda: scrapes(show, seed, until=show.now + 60.0))
    show.run(60.0, show.note)
    show.check_paces()
    if not errors:
        show.check_wakes()
    takes_half = load.numbers / load.interval <= pace_qps(load.qps, 10.0) / 2
    show.check_share(1 if takes_half else 9)
    assert len(show.poller._hand_out.under_way) <= show.time.alive
    show.stop()
    assert not show.poller._hand_out.under_way
    assert show.poller._gate.waiting == show.poller._gate.errands_waiting == 0


@settings(max_examples=5)
@given(loads, st.integers(0, 2**32))
def test_everything_gets_its_turn_after_any_trouble(load: Load, seed: int) -> None:
    """Each number is polled and checked, and each space listed, within about twice the time that they really take."""
    show = made(load, seed, errors=True, stalls=False)
    show.run(60.0)
    show.answer = lambda _: None
    show.run(120.0 + 2 * load.interval + 2 * max(load.refresh, load.health))  # pauses and probes pass
    errands = show.poller._errands
    refresh = max(load.refresh, 2 * 10 * (load.spaces + 2) / pace_qps(load.qps, 10.0))
    health = errands.health_seconds or 0.0
    began = show.now
    show.run(3 * max(errands.poll_seconds if load.numbers else 0.0, refresh, health) + 3 * TIMEOUT)
    since = [sent for sent in show.sent if sent.at >= began]
    assert {sent.phone for sent in show.of(OPERATION, since)} == {each.phone_number for each in show.numbers}
    assert {sent.phone for sent in show.of(HEALTH, since)} == {each.phone_number for each in show.numbers}
    assert {sent.space for sent in show.of(NUMBERS, since)} == set(show.spaces)
    assert show.of(SPACES, since)
    assert all(status.up for status in show.poller.status().operations if status.operation != OPERATION or load.numbers)
    show.stop()


@settings(max_examples=4)
@given(
    st.sampled_from([20, 100, 240, 300, 520]),
    st.sampled_from([10.0, 60.0]),
    st.sampled_from([5, 60]),
    st.integers(0, 2**32),
)
def test_a_poll_is_late_by_a_slot_or_two_however_much_else_is_asked(
    count: int, refresh: float, spaces: int, seed: int
) -> None:
    """Listings and health checks want far more than what is left; polls leave a tenth of the slots or more."""
    load = Load(count, spaces, 10.0, 60.0, refresh, 10.0)
    show = made(load, seed, errors=False, stalls=False)
    show.connecting = lambda: 0.05
    show.run(60.0)
    lags: list[float] = []
    show.run(60.0, lambda: lags.append(show.poller.status().lag_seconds))
    assert max(lags) <= 3 / pace_qps(10.0, 10.0)
    show.stop()
