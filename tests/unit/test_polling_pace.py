"""How many seconds polling takes, in virtual time: real pollers, gates and budgets, without real waits.

`benchmarks/` measures real durations.
"""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Callable

import pytest

from exporter.errors import ApiError, Kind
from exporter.metrics.counters import Counters
from exporter.model import Answer, PhoneNumber, Slot
from exporter.polling import AccountPoller
from exporter.polling.budget import Budget
from exporter.polling.in_flight import max_in_flight
from exporter.state.store import State
from tests.support.numbers import numbers
from tests.support.played import Keyed
from tests.support.virtualtime import VirtualTime, VirtualWorkers

TIMEOUT = 10.0


class Client(Keyed):
    """Answers after `seconds`, or hangs until the timeout; notes the time of each poll."""

    def __init__(self, time: VirtualTime, seconds: float, *, hangs: bool = False) -> None:
        self._time = time
        self._seconds = seconds
        self._hangs = hangs
        self.sent: list[tuple[float, str]] = []

    def fetch(self, number: PhoneNumber, gate: Callable[[], Slot]) -> Answer:
        with gate():
            self.sent.append((self._time.now, number.phone_number))
        self._time.sleep(TIMEOUT if self._hangs else self._seconds)
        if self._hangs:
            raise ApiError("timeout", Kind.TRANSIENT)
        return Answer("VERIFIED", "1", "R")


class Fleet:
    """Accounts of one exporter; each has its own poller, and all share the workers."""

    def __init__(self, time: VirtualTime) -> None:
        self.time = time
        self.began = time.now
        self.pollers: list[AccountPoller] = []
        self._workers = VirtualWorkers(time)

    def add(
        self,
        client: Client,
        polled: list[PhoneNumber],
        *,
        qps: float,
        interval_seconds: float,
        accounts: int = 1,
    ) -> Callable[[list[PhoneNumber]], None]:
        """Poll one more account; returns what a reload does to its numbers."""
        state, counters = State(self.time), Counters([])
        counters.register("main")
        poller = AccountPoller(
            "main",
            budget=Budget(1.0, 1.0),
            client=client,
            state=state,
            counters=counters,
            workers=self._workers,
            clock=self.time,
            rng=random.Random(1),
            wait=self.time.wait,
        )

        def reload(polled: list[PhoneNumber]) -> None:
            state.configure(polled, {"main": 900.0})
            poller.configure(
                polled,
                interval_seconds=interval_seconds,
                qps=qps,
                quota=10.0,
                timeout_seconds=TIMEOUT,
                accounts=accounts,
                client=client,
            )

        reload(polled)
        self.time.spawn(poller._loop.run)
        self.pollers.append(poller)
        return reload

    def run(self, seconds: float) -> None:
        self.time.run_until(self.time.now + seconds, lambda: None)
        assert self.time.failures == []

    def stop(self) -> None:
        for poller in self.pollers:
            poller.stop()
        self.run(3 * TIMEOUT)


@pytest.fixture
def time() -> VirtualTime:
    return VirtualTime()


def test_three_hundred_numbers_at_the_quota_take_one_pass_of_half_a_minute(time: VirtualTime) -> None:
    """`qps: 10`, answers after 0.3 s: each number is polled once in 32 s, and never more than ten in a second."""
    fleet, client = Fleet(time), Client(time, 0.3)
    fleet.add(client, numbers(300), qps=10.0, interval_seconds=60.0)
    fleet.run(32.0)
    assert len(client.sent) == len({phone for _, phone in client.sent}) == 300
    assert time.alive == 1  # the loop: every answer is in
    instants = [at for at, _ in client.sent]
    assert all(eleventh - first > 1.0 for first, eleventh in zip(instants, instants[10:], strict=False))
    fleet.stop()


def test_numbers_that_stay_keep_their_phase_when_others_leave(time: VirtualTime) -> None:
    """The next poll of each is one interval after its last, to a tenth of it."""
    fleet, client = Fleet(time), Client(time, 0.05)
    polled = numbers(8)
    reload = fleet.add(client, polled, qps=8.0, interval_seconds=4.0)
    fleet.run(21.0)
    reload(polled[2:])
    reloaded_at = time.now
    fleet.run(20.0)
    instants: dict[str, list[float]] = defaultdict(list)
    for at, phone in client.sent:
        instants[phone].append(at)
    for number in polled[2:]:
        later = [at for at in instants[number.phone_number] if at >= reloaded_at - 4.0]
        assert all(abs(after - before - 4.0) < 0.4 for before, after in itertools.pairwise(later))
        assert len(later) >= 5
    assert all(at < reloaded_at for number in polled[:2] for at in instants[number.phone_number])
    fleet.stop()


def test_hanging_accounts_do_not_delay_the_others(time: VirtualTime) -> None:
    """Four of 100 accounts are simulated.  Two of them hang until the timeout, and the other two use their whole
    share."""
    fleet = Fleet(time)
    clients = [Client(time, 0.3, hangs=index % 2 == 0) for index in range(4)]
    for client in clients:
        fleet.add(client, numbers(20), qps=2.0, interval_seconds=1.0, accounts=100)
    fleet.run(25.0)
    for client in clients[1::2]:
        assert len(client.sent) >= 0.99 * 2.0 * 25.0
    assert time.alive <= 4 * (1 + max_in_flight(2.0, TIMEOUT, 100))
    fleet.stop()
