"""Invariants of polling as a whole: loop, schedule, gate, budget, refusal and retries, on threads in virtual time.

Answers come late, fail in every way, throttle, refuse; the wall clock jumps; reloads come at any time.
"""

from __future__ import annotations

import itertools
import logging
import random
from collections import defaultdict
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.errors import ApiError, Kind
from exporter.metrics.counters import Counters
from exporter.model import Answer, PhoneNumber, Slot, pace_qps
from exporter.polling import AccountPoller
from exporter.polling.budget import LATE_SECONDS, Budget
from exporter.state.store import State
from tests.support.numbers import numbers
from tests.support.played import Keyed
from tests.support.virtualtime import VirtualTime, VirtualWorkers

TIMEOUT = 10.0
STALLS = [0.0, 0.009, 0.02, 0.3, 3.0]
"""How long a thread may stall between its slot and its sending, and, below, how often it does."""

STALL_WEIGHTS = [20, 2, 2, 2, 1]
OK, TRANSIENT, THROTTLE, NUMBER, ACCOUNT, CURED, BUG = (
    "ok",
    "transient",
    "throttle",
    "number",
    "account",
    "cured",
    "bug",
)
KINDS = {TRANSIENT: Kind.TRANSIENT, NUMBER: Kind.NUMBER, ACCOUNT: Kind.ACCOUNT, CURED: Kind.ACCOUNT}

weights = st.fixed_dictionaries(
    {OK: st.integers(0, 8), **{name: st.integers(0, 3) for name in (TRANSIENT, THROTTLE, NUMBER, ACCOUNT, CURED, BUG)}}
).filter(lambda chosen: any(chosen.values()))
reloads = st.tuples(
    st.floats(0.0, 30.0),  # seconds until it comes
    st.integers(1, 25),  # numbers
    st.sampled_from([0.5, 1.0, 3.0, 5.0, 10.0]),  # qps
    st.sampled_from([2.0, 20.0, 60.0]),  # interval
    st.booleans(),  # another client
    st.sampled_from([0.0, 0.0, 3600.0, -3600.0]),  # the wall clock jumps
)


@pytest.fixture(autouse=True, scope="module")
def _silence() -> Iterator[None]:
    """Thousands of failures are simulated, and each would be logged."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


class Client(Keyed):
    """Gives random answers, and records each request."""

    def __init__(self, show: Show) -> None:
        self._show = show

    def fetch(self, number: PhoneNumber, gate: Callable[[], Slot]) -> Answer:
        return self._show.play(self, number, gate)


class Show:
    """One account's poller in a random environment."""

    def __init__(self, seed: int, chances: dict[str, int]) -> None:
        self.time = VirtualTime()
        self.rng = random.Random(seed)
        self.chances = chances
        self.state = State(self.time)
        self.counters = Counters([])
        self.counters.register("main")
        self.sent: list[tuple[float, str, str]] = []
        self.paces: list[tuple[float, float]] = []
        self.connects = [0.0, 0.0, 0.0, 0.05, 0.6, TIMEOUT]
        self.connecting = self.in_flight = 0
        self.client = Client(self)
        self.configured: list[PhoneNumber] = []
        self.interval = self.pass_seconds = 1.0
        self.poller = AccountPoller(
            "main",
            budget=Budget(1.0, 1.0),
            client=self.client,
            state=self.state,
            counters=self.counters,
            workers=VirtualWorkers(self.time),
            clock=self.time,
            rng=self.rng,
            wait=self.time.wait,
        )

    def configure(self, count: int, qps: float, interval: float) -> None:
        self.configured, self.interval, self.pass_seconds = numbers(count), interval, count / pace_qps(qps, 10.0)
        self.paces.append((self.time.now, pace_qps(qps, 10.0)))
        self.state.configure(self.configured, {"main": 900.0})
        self.poller.configure(
            self.configured,
            interval_seconds=interval,
            qps=qps,
            quota=10.0,
            timeout_seconds=TIMEOUT,
            accounts=1,
            client=self.client,
        )

    def play(self, client: Client, number: PhoneNumber, gate: Callable[[], Slot]) -> Answer:
        self.connecting += 1
        try:
            self.time.sleep(self.rng.choice(self.connects))
            if self.chances.get(BUG) and self.rng.random() < 0.02:
                raise KeyError("a bug before the gate")
            with gate():
                assert client is self.client, "a client that was replaced sent something"
                self.time.sleep(self.rng.choices(STALLS, STALL_WEIGHTS)[0])
                outcome = self.rng.choices(list(self.chances), list(self.chances.values()))[0]
                self.sent.append((self.time.now, number.phone_number, outcome))
        finally:
            self.connecting -= 1
        self.in_flight += 1
        try:
            self.time.sleep(self.rng.choice([0.0, 0.05, 0.3, 0.3, 2.0, TIMEOUT]))
        finally:
            self.in_flight -= 1
        if outcome == BUG:
            raise KeyError("a bug")
        if outcome == THROTTLE:
            pause = self.rng.choice([None, 0.0, 2.0, 60.0])
            raise ApiError("Throttling.User", Kind.THROTTLE, retry_after_seconds=pause)
        if outcome != OK:
            raise ApiError(outcome, KINDS[outcome], cured=outcome == CURED)
        return Answer("VERIFIED", "1", "R")

    def run(self, seconds: float) -> None:
        self.time.run_until(self.time.now + seconds, self.check)
        assert self.time.failures == []

    def check(self) -> None:
        """Invariants at each instant."""
        under_way, waiting = len(self.poller._hand_out.under_way), self.poller._gate.waiting
        assert self.connecting + self.in_flight <= under_way <= self.time.alive
        assert 0 <= waiting <= under_way
        assert waiting == sum(poll.waits for poll in self.poller._hand_out.under_way)
        assert self.in_flight <= self.poller.status().in_flight <= under_way
        assert 0 <= self.poller._schedule.unattempted <= len(self.configured)

    def check_budget(self) -> None:
        """Requests are at least a slot apart, at the fastest rate in force between them, even if threads stall."""
        instants = [at for at, *_ in self.sent]
        for gaps in (1, 2, 3, 5, 10):
            for before, after in zip(instants, instants[gaps:], strict=False):
                pace = max(pace for at, pace in self.paces_in(before, after))
                assert after - before >= gaps / pace - LATE_SECONDS - 1e-9

    def paces_in(self, begin: float, end: float) -> list[tuple[float, float]]:
        """The paces in force at any time from `begin` to `end`."""
        last = max(index for index, (at, _) in enumerate(self.paces) if at <= begin)
        return [(at, pace) for at, pace in self.paces[last:] if at <= end]


@settings(max_examples=25)
@given(st.integers(0, 2**32), weights, st.lists(reloads, min_size=1, max_size=8))
def test_the_budget_holds_nothing_is_lost_and_all_recovers(
    seed: int, chances: dict[str, int], script: list[tuple[float, int, float, float, bool, float]]
) -> None:
    show = Show(seed, chances)
    show.configure(5, 3.0, 20.0)
    show.time.spawn(show.poller._loop.run)
    for wait, count, qps, interval, is_other_client, jump in script:
        show.run(wait)
        show.time.unix_offset += jump
        if is_other_client:
            show.client = Client(show)
        show.configure(count, qps, interval)
    show.run(30.0)

    show.chances, show.connects = {OK: 1}, [0.0, 0.05]
    gap = 1.5 * max(show.interval, show.pass_seconds)
    show.run(
        60.0 + 3 * TIMEOUT + max(show.interval, 10.0)
    )  # the longest pause, a hanging request, a refused account's probe
    show.run(120.0 + 2 * gap)  # the rate rises again
    calm_since = show.time.now
    show.run(3 * gap + 3 * TIMEOUT)
    show.check_budget()
    polled: dict[str, list[float]] = defaultdict(list)
    for at, phone, _ in show.sent:
        if at >= calm_since:
            polled[phone].append(at)
    assert set(polled) == {number.phone_number for number in show.configured}
    for instants in polled.values():
        for before, after in itertools.pairwise([calm_since, *instants, show.time.now]):
            assert after - before <= gap + 3 * TIMEOUT
    assert all(record.last_poll_success for record in show.state.snapshot().numbers if record.last_poll_unix)
    assert show.poller.status().up
    assert show.poller._schedule.unattempted == 0
    show.poller.stop()
    show.run(2 * TIMEOUT + 10.0)
    assert show.time.alive == 0
    assert not show.poller._hand_out.under_way
    assert show.poller.status().in_flight == 0


def test_attempts_of_a_number_are_at_most_three_an_interval() -> None:
    """A regular poll and two retries while the status is fresh, for any failures and delays."""
    show = Show(7, {OK: 1})
    show.configure(10, 10.0, 60.0)
    show.time.spawn(show.poller._loop.run)
    show.run(60.0)
    show.sent.clear()
    show.chances = {TRANSIENT: 1}
    show.run(600.0)
    retries = next(
        value
        for _, samples in show.counters.samples()
        for series, value in samples
        if series.name == "cams_api_retries_total"
    )
    regular = len(show.sent) - retries
    assert regular == pytest.approx(100, abs=10)
    assert 0 < retries <= 2 * regular
    show.poller.stop()
    show.run(30.0)
