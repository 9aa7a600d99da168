"""One account's poller in virtual time with all it asks: polls, listings, health checks."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from exporter.cams.operations import (
    GetWhatsappHealthStatus,
    InstancePage,
    ListInstance,
    NumberListing,
    Operation,
    QueryChatappPhoneNumbers,
)
from exporter.config.settings import DiscoverConfig, HealthConfig
from exporter.errors import ApiError
from exporter.metrics.counters import Counters
from exporter.model import OPERATION, Answer, Health, OperationStatus, PhoneNumber, Slot, Space
from exporter.polling import AccountPoller, ErrandSettings
from exporter.polling.budget import Budget
from exporter.scrape_priority import ScrapePriority
from exporter.state.store import State
from tests.support.played import Keyed
from tests.support.virtualtime import VirtualTime, VirtualWorkers

SPACES, NUMBERS, HEALTH = ListInstance.name, QueryChatappPhoneNumbers.name, GetWhatsappHealthStatus.name
TIMEOUT = 10.0


class Sent(NamedTuple):
    """One request: when it left, and what it asked about."""

    at: float
    operation: str
    space: str = ""
    phone: str = ""


class FakeFleet:
    """Lists `wanted` spaces, and notes what it is told."""

    def __init__(self, wanted: Sequence[str] = ()) -> None:
        self.wanted = list(wanted)
        self.takes_found = True
        self.found: list[tuple[Space, ...]] = []
        self.listed: list[str] = []
        self.failed: list[tuple[str | None, str]] = []

    def spaces(self) -> Sequence[str]:
        return self.wanted

    def spaces_listed(self, spaces: Sequence[Space]) -> None:
        self.found.append(tuple(spaces))
        if self.takes_found:
            self.wanted = [space.cust_space_id for space in spaces]

    def numbers_listed(self, cust_space_id: str, _: NumberListing) -> None:
        self.listed.append(cust_space_id)

    def listing_failed(self, cust_space_id: str | None, error: ApiError) -> None:
        self.failed.append((cust_space_id, error.code))


@dataclass(eq=False)
class Asked(Keyed):
    """`answer` gives the error of a request, None for a success.  `spaces` are those that the API lists, in pages."""

    numbers: Sequence[PhoneNumber] = ()
    interval: float = 60.0
    qps: float = 10.0
    quota: float = 10.0
    discover: DiscoverConfig | None = None
    health: HealthConfig | None = None
    spaces: list[str] = field(default_factory=list)
    page_size: int = 100
    accounts: int = 1
    repeat: bool = True
    answer: Callable[[Sent], ApiError | None] = lambda _: None
    latency: Callable[[Sent], float] = lambda _: 0.1
    connecting: Callable[[], float] = lambda: 0.0
    stall: Callable[[], float] = lambda: 0.0
    fleet: FakeFleet = field(default_factory=FakeFleet)
    hide: Callable[[str], str] | None = None
    hidden: set[tuple[str, object]] = field(default_factory=set)
    """The operations of listings, and what each had to take phone numbers out of its texts."""
    time: VirtualTime = field(default_factory=VirtualTime)
    sent: list[Sent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.began = self.time.now
        self.priority = ScrapePriority(self.time, self.time.wait)
        self.state = State(self.time)
        self.counters = Counters([])
        self.counters.register("main", (OPERATION, SPACES, NUMBERS, HEALTH))
        self.poller = AccountPoller(
            "main",
            budget=Budget(self.qps, self.quota),
            client=self,
            state=self.state,
            counters=self.counters,
            workers=VirtualWorkers(self.time),
            clock=self.time,
            rng=random.Random(1),
            repeat=self.repeat,
            wait=self.time.wait,
            priority=self.priority,
        )
        self.configure()
        self.time.spawn(self.poller._loop.run)

    def configure(self, client: Asked | None = None) -> None:
        seconds = {"main": 900.0}
        self.state.configure(
            self.numbers, seconds, listing_seconds=seconds, health_seconds=seconds if self.health else {}
        )
        self.poller.configure(
            self.numbers,
            interval_seconds=self.interval,
            qps=self.qps,
            quota=self.quota,
            timeout_seconds=TIMEOUT,
            accounts=self.accounts,
            client=client or self,
            errands=ErrandSettings(self.discover, self.fleet, self.health, self.hide),
        )

    @property
    def now(self) -> float:
        return self.time.now

    def fetch(self, number: PhoneNumber, gate: Callable[[], Slot]) -> Answer:
        self._request(OPERATION, number.cust_space_id, number.phone_number, gate)
        return Answer("VERIFIED", "1", "R")

    def check_health(self, number: PhoneNumber, gate: Callable[[], Slot]) -> Health:
        self._request(HEALTH, number.cust_space_id, number.phone_number, gate)
        return Health("AVAILABLE")

    def call(self, operation: Operation[Any], gate: Callable[[], Slot]) -> Any:
        self.hidden.add((operation.name, operation.hide))
        if isinstance(operation, ListInstance):
            self._request(SPACES, "", "", gate)
            size = min(self.page_size, operation.page_size)
            begin = (operation.page_index - 1) * size
            page = tuple(map(Space, self.spaces[begin : begin + size]))
            return InstancePage(page, len(self.spaces), "R", 0.1)
        asked = cast("QueryChatappPhoneNumbers", operation)
        self._request(NUMBERS, asked.cust_space_id, "", gate)
        return NumberListing((), "R", 0.1)

    def _request(self, operation: str, space: str, phone: str, gate: Callable[[], Slot]) -> None:
        self.time.sleep(self.connecting())
        with gate():
            self.time.sleep(self.stall())
            request = Sent(self.time.now, operation, space, phone)
            self.sent.append(request)
            error = self.answer(request)
        self.time.sleep(self.latency(request))
        if error is not None:
            raise ApiError(
                error.code,
                error.kind,
                message=error.message,
                request_id=error.request_id,
                sent=error.sent,
                cured=error.cured,
                guessed=error.guessed,
                retry_after_seconds=error.retry_after_seconds,
                operation=operation,
            )

    def run(self, seconds: float, after_each: Callable[[], None] = lambda: None) -> list[Sent]:
        """Let time pass; returns the requests of that time."""
        before = len(self.sent)
        self.time.run_until(self.time.now + seconds, after_each)
        assert self.time.failures == []
        return self.sent[before:]

    def stop(self) -> None:
        """End every thread."""
        self.poller.stop()
        self.run(60.0)
        assert self.time.alive == 0

    def of(self, operation: str, sent: Sequence[Sent] | None = None) -> list[Sent]:
        """The requests of one operation."""
        return [request for request in (self.sent if sent is None else sent) if request.operation == operation]

    def operation(self, name: str) -> OperationStatus:
        """How an operation goes."""
        return next(status for status in self.poller.status().operations if status.operation == name)


def most_in_a_second(instants: Sequence[float]) -> int:
    """The most requests in any sliding second."""
    return max(_in_seconds(instants), default=0)


def _in_seconds(instants: Sequence[float]) -> Iterator[int]:
    first = 0
    for last, at in enumerate(instants):
        while at - instants[first] >= 1.0:
            first += 1
        yield last - first + 1
