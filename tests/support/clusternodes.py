"""Replicas in real time on a real store.  Each sends as much as it may; what left is noted."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import replace

from exporter.cluster.answers import Key, decoded, encoded, freshest_age, merged
from exporter.cluster.leases import Leases
from exporter.cluster.replica import Replica
from exporter.cluster.session import Session
from exporter.cluster.store import Store
from exporter.cluster.timing import timing
from exporter.model import Answer, NumberKey, Pace, PhoneNumber, Right, SystemClock
from exporter.state.store import NumberState, State
from tests.support.patience import PATIENCE_SECONDS

CLOCK = SystemClock()
POLL_SECONDS = 0.005


class Known:
    """The numbers of a process: implements `exporter.cluster.replica.Answers`."""

    def __init__(self, numbers: Collection[PhoneNumber]) -> None:
        self._lock = threading.Lock()
        self._records = {number.key: NumberState(number) for number in numbers}

    def get(self, key: NumberKey) -> NumberState | None:
        with self._lock:
            return self._records.get(key)

    def begin(self) -> None:
        """Nothing waits here."""

    def known(self) -> Collection[Key]:
        with self._lock:
            return [("number", *key) for key, record in self._records.items() if record.last_poll_unix is not None]

    def written(self, key: Key) -> tuple[float, bytes] | None:
        record = self.get(NumberKey(*key[1:]))
        assert record is not None
        now, now_unix = CLOCK.monotonic(), CLOCK.unix()
        return freshest_age(record, now, now_unix), encoded(record, now, now_unix)

    def read(self, key: Key, payload: bytes, age_seconds: float) -> None:
        record = self.get(NumberKey(*key[1:]))
        if record is not None:
            self._keep(decoded(payload, record.number, age_seconds, CLOCK.monotonic(), CLOCK.unix()))

    def _keep(self, record: NumberState) -> None:
        with self._lock:
            key = record.number.key
            self._records[key] = merged(self._records[key], record)

    def polled(self, number: PhoneNumber, status: str) -> None:
        """A poll brought this status now."""
        state = State(CLOCK)
        state.configure([number], {number.account: 900.0})
        state.succeeded(number, Answer(status, "id", "request"))
        record = state.get(number.key)
        assert record is not None
        self._keep(replace(record, extra_statuses=()))


class Node:
    """One replica with its threads; implements `exporter.cluster.session.Polling`."""

    def __init__(
        self, name: str, store: Store, numbers: Collection[PhoneNumber], *, lease: float, qps: int, replicas: int = 3
    ) -> None:
        self.name = name
        self.accounts = sorted({number.account for number in numbers})
        self.known = Known(numbers)
        self.sent: list[tuple[str, float]] = []
        self.leases = Leases(name, timing(lease), replicas, CLOCK.monotonic())
        session = Session(self.leases, self, CLOCK.monotonic, name)
        self.replica = Replica(store, self.leases, session, self.known, CLOCK)
        self.replica.configure(self.accounts, "hash")
        self._gap = 1 / (qps * 0.98)
        self._lock = threading.Lock()
        self._rights: Mapping[str, Right] = {}
        self._slots: dict[str, float] = {}
        self.stopped, self.frozen = threading.Event(), threading.Event()
        self._threads = [threading.Thread(target=each, daemon=True) for each in (self._look, self._poll)]
        for thread in self._threads:
            thread.start()

    def allow(self, rights: Mapping[str, Right], *, is_spare: bool) -> None:
        with self._lock:
            for account, right in rights.items():
                if account not in self._rights or self._rights[account].token != right.token:
                    self._slots[account] = max(self._slots.get(account, -math.inf), right.slot_at)
            self._rights = dict(rights)

    def pace(self, account: str) -> Pace:
        with self._lock:
            slot = self._slots.get(account, -math.inf)
        return Pace(0.02, 0.0, None if slot == -math.inf else max(0.0, CLOCK.monotonic() - slot))

    def held(self) -> Collection[str]:
        return self.replica.status().held

    def kill(self) -> None:
        """End it without a word to the store."""
        self.stopped.set()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)

    def stop(self) -> None:
        """End it cleanly."""
        self.kill()
        self.replica.leave()

    def _look(self) -> None:
        while not self.stopped.is_set():
            at = self.replica.step()
            self.stopped.wait(max(0.0, at - CLOCK.monotonic()))

    def _poll(self) -> None:
        while not self.stopped.wait(POLL_SECONDS):
            for account in self.accounts:
                with self._lock:
                    now, right = CLOCK.monotonic(), self._rights.get(account)
                    if (
                        right is not None
                        and right.allows(now)
                        and now >= self._slots.get(account, -math.inf) + self._gap
                    ):
                        self._slots[account] = now
                        self.sent.append((account, now))


def most_in_a_second(nodes: Collection[Node], account: str) -> int:
    """The most requests of an account that left in one second, from all nodes."""
    times = sorted(at for node in nodes for each, at in node.sent if each == account)
    most, first = 0, 0
    for last, at in enumerate(times):
        while at - times[first] >= 1:
            first += 1
        most = max(most, last - first + 1)
    return most


def longest_gap(nodes: Collection[Node], account: str, since: float) -> float:
    """The longest time without a request of an account."""
    times = [since, *sorted(at for node in nodes for each, at in node.sent if each == account and at > since)]
    return max((after - before for before, after in itertools.pairwise(times)), default=math.inf)


def wait_until(what: str, is_so) -> None:  # type: ignore[no-untyped-def]
    """Wait for a condition; fails after the patience of tests."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, what  # bounds a hang
        time.sleep(0.02)
