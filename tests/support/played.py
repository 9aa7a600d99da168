"""One account's poller in virtual time, against an API that the test simulates."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from exporter.cams.operations import Operation
from exporter.errors import ApiError, Kind
from exporter.metrics.counters import Counters
from exporter.model import Answer, Health, NumberKey, PhoneNumber, Slot
from exporter.polling import AccountPoller
from exporter.polling.budget import Budget
from exporter.scrape_priority import ScrapePriority
from exporter.state.store import State
from tests.support.virtualtime import VirtualTime, VirtualWorkers

QUOTA = 10.0
CONNECT_SECONDS = 0.02
LATENCY_SECONDS = 0.1

FORBIDDEN = ApiError("Forbidden.RAM", Kind.PERMISSION, request_id="R-forbidden")
REVOKED = ApiError("InvalidAccessKeyId.Inactive", Kind.ACCOUNT)
UNREACHABLE = ApiError("connection_error", Kind.TRANSIENT)
NO_CREDENTIAL = ApiError("credentials_error", Kind.ACCOUNT, sent=False)

T = TypeVar("T")


class Polled:
    """A client that is asked for nothing but statuses."""

    def check_health(self, number: PhoneNumber, gate: Callable[[], Slot]) -> Health:
        raise AssertionError("no health check was configured")

    def call(self, operation: Operation[T], gate: Callable[[], Slot]) -> T:
        raise AssertionError("no discovery was configured")


class Keyed(Polled):
    """The other methods of a client that a poller uses; `changes` counts changes of the credential."""

    changes = 1

    def ready(self) -> bool:
        return True

    def credential_changes(self) -> int:
        return self.changes


@dataclass(eq=False)
class Played(Keyed):
    """`answer` gives the current answer about a number, None for VERIFIED; `sent` has (instant, number) of each
    request.

    `shares` counts, by number, the samples (one a second) in which it was VERIFIED.
    """

    numbers: Sequence[PhoneNumber]
    interval: float
    qps: float = 5.0
    stale_after: float = 900.0
    answer: Callable[[PhoneNumber], ApiError | None] = lambda _: None
    latency: float = LATENCY_SECONDS
    time: VirtualTime = field(default_factory=VirtualTime)
    changes: int = 1
    sent: list[tuple[float, NumberKey]] = field(default_factory=list)
    samples: int = 0
    verified: dict[NumberKey, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.state = State(self.time)
        self.state.configure(self.numbers, {"main": self.stale_after})
        self.priority = ScrapePriority(self.time, self.time.wait)
        counters = Counters([])
        counters.register("main")
        self.poller = AccountPoller(
            "main",
            budget=Budget(self.qps, QUOTA),
            client=self,
            state=self.state,
            counters=counters,
            workers=VirtualWorkers(self.time),
            clock=self.time,
            rng=random.Random(1),
            wait=self.time.wait,
            priority=self.priority,
        )
        self.poller.configure(
            self.numbers,
            interval_seconds=self.interval,
            qps=self.qps,
            quota=QUOTA,
            timeout_seconds=10.0,
            accounts=1,
        )
        self.time.spawn(self.poller._loop.run)
        self._samples = False

    @property
    def now(self) -> float:
        return self.time.now

    def fetch(self, number: PhoneNumber, gate: Callable[[], Slot]) -> Answer:
        self.time.sleep(CONNECT_SECONDS)
        with gate():
            self.sent.append((self.time.now, number.key))
            error = self.answer(number)
        self.time.sleep(self.latency)
        self.priority.wait()
        if error is not None:
            raise ApiError(
                error.code,
                error.kind,
                request_id=error.request_id,
                sent=error.sent,
                retry_after_seconds=error.retry_after_seconds,
            )
        return Answer("VERIFIED", "1", "R")

    def run(self, seconds: float) -> list[tuple[float, NumberKey]]:
        """Let time pass; returns the requests of that time."""
        before = len(self.sent)
        self.time.run_until(self.time.now + seconds, lambda: None)
        assert self.time.failures == []
        return self.sent[before:]

    def stop(self) -> None:
        """End every thread."""
        self._samples = False
        self.poller.stop()
        self.run(60.0)
        assert self.time.alive == 0

    def statuses(self) -> dict[NumberKey, str]:
        """The current state as in a scrape."""
        snapshot = self.state.snapshot()
        return {record.number.key: snapshot.status(record) for record in snapshot.numbers}

    def start_sampling(self) -> None:
        """Count the shares from now on."""
        self.samples, self.verified = 0, {}
        if not self._samples:
            self._samples = True
            self.time.spawn(self._sample)

    def share(self, keys: Sequence[NumberKey]) -> float:
        """Share of the samples in which these numbers were VERIFIED."""
        return sum(self.verified.get(key, 0) for key in keys) / (self.samples * len(keys))

    def _sample(self) -> None:
        while self._samples:
            self.time.sleep(1.0)
            self.samples += 1
            for key, status in self.statuses().items():
                self.verified[key] = self.verified.get(key, 0) + (status == "VERIFIED")
