"""One optional operation, by hand: its schedule, its pauses, its refusals."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

import pytest

from exporter.errors import ApiError, Kind
from exporter.metrics.counters import Counters
from exporter.model import PhoneNumber
from exporter.polling.errands.health import HealthOperation
from exporter.polling.errands.operation import MAX_PAUSE_SECONDS, Ended
from exporter.polling.in_flight import HAND_OUT_SECONDS
from exporter.polling.recorder import Recorder
from exporter.polling.schedule import Entry
from exporter.state.store import State
from tests.support.clock import FakeClock
from tests.support.numbers import number

FORBIDDEN = ApiError("Ram.PermissionDeny", Kind.PERMISSION, request_id="R-1")
TIMED_OUT = ApiError("timeout", Kind.TRANSIENT)
THROTTLE = ApiError("Throttling.User", Kind.THROTTLE)


@dataclass
class Bench:
    """An operation, and the time."""

    spaces: tuple[str, ...] = ("a", "b", "c", "d")
    interval: float = 300.0
    now: float = 1000.0
    polled: list[PhoneNumber] = field(default_factory=list)

    def __post_init__(self) -> None:
        recorder = Recorder("main", State(FakeClock()), Counters([]))
        self.operation = HealthOperation("main", recorder, random.Random(1), repeat=True)
        self.polled = [number(index, space=space) for index, space in enumerate(self.spaces)]
        self.configure()

    def configure(self) -> None:
        self.operation.configure(self.polled, self.interval, self.interval, now=self.now, now_unix=self.now)

    def wait(self) -> float:
        """Until the next request may be handed out; returns how long that takes."""
        at = self.operation.next_at(self.now)
        began, self.now = self.now, max(self.now, at + HAND_OUT_SECONDS if at > self.now else self.now)
        return self.now - began

    def take(self) -> Entry[PhoneNumber]:
        entry = self.operation.take(self.now)
        assert entry is not None
        return entry

    def ask(self, error: ApiError | None, *, is_current: bool = True) -> Entry[PhoneNumber]:
        """The next request, which takes 0.1 s and ends so."""
        self.wait()
        is_probe = self.operation.breaker.is_open
        entry, asked_at = self.take(), self.now
        self.operation.limit.released(self.now)
        self.operation.limit.left(self.now)
        self.now += 0.1
        self.operation.ended(entry, Ended(error, asked_at, is_current, is_probe), self.now)
        return entry

    def refuse(self) -> None:
        """Have it refused as a whole."""
        for _ in range(3):
            self.ask(FORBIDDEN)
        assert self.operation.breaker.is_open


def test_three_refusals_in_a_row_of_three_spaces_refuse_it_as_a_whole() -> None:
    bench = Bench()
    for error in (FORBIDDEN, FORBIDDEN, None, FORBIDDEN):
        bench.ask(error)
        assert not bench.operation.breaker.is_open


def test_refusals_of_one_space_only_do_not() -> None:
    bench = Bench(("a",) * 10 + ("b",))
    bench.operation.configure(bench.polled, 300.0, 300.0, now=bench.now, now_unix=bench.now)
    for _ in range(5):
        bench.wait()
        entry = bench.operation.schedule.take_early(bench.polled[0].key, bench.now)
        bench.operation.ended(entry, Ended(FORBIDDEN, bench.now, is_current=True), bench.now)
    assert not bench.operation.breaker.is_open


def test_a_refusal_with_a_credential_that_was_replaced_teaches_nothing_and_is_asked_again() -> None:
    bench = Bench(("a",))
    entry = bench.ask(FORBIDDEN, is_current=False)
    assert bench.operation.standing.status.up
    assert bench.ask(None) is entry
    assert bench.now < 1002.0


def test_what_was_refused_is_asked_as_soon_as_a_probe_succeeds() -> None:
    bench = Bench()
    bench.refuse()
    assert bench.wait() > 290.0
    bench.ask(None)
    began = bench.now
    asked = {bench.ask(None).target.cust_space_id for _ in range(3)}
    assert bench.now - began < 5.0
    assert len(asked) == 3


def test_a_probe_without_an_answer_is_repeated_soon_and_later_each_time() -> None:
    bench = Bench()
    bench.refuse()
    bench.ask(TIMED_OUT)
    waits = []
    for _ in range(4):
        waits.append(bench.wait())
        bench.ask(TIMED_OUT)
    assert waits == pytest.approx([10.0, 20.0, 40.0, 60.0], abs=1.0)


def test_numbers_that_come_while_it_is_refused_are_probed_too_and_those_that_left_are_not() -> None:
    bench = Bench()
    bench.refuse()
    bench.polled = [number(77, space="e")]
    bench.configure()
    assert bench.ask(FORBIDDEN).target == bench.polled[0]


def test_throttles_of_requests_under_way_together_are_one_event() -> None:
    bench = Bench(("a",) * 20)
    entries = []
    for _ in range(4):
        bench.wait()
        entries.append((bench.take(), bench.now))
        bench.operation.limit.released(bench.now)
        bench.operation.limit.left(bench.now)
    for entry, asked_at in entries:
        bench.operation.ended(entry, Ended(THROTTLE, asked_at, is_current=True), bench.now)
    assert bench.operation.limit.ready_at(bench.now) - bench.now <= 1.0


def test_pauses_double_up_to_a_minute_and_a_success_shortens_the_next() -> None:
    bench = Bench(("a",) * 40)
    pauses = []
    for _ in range(8):
        bench.ask(THROTTLE)
        pauses.append(bench.operation.limit.ready_at(bench.now) - bench.now)
    assert pauses[:6] == pytest.approx([1.0, 2.0, 4.0, 8.0, 16.0, 32.0], rel=0.6)
    assert pauses[-1] == pytest.approx(MAX_PAUSE_SECONDS)
    for _ in range(6):
        bench.ask(None)
    bench.ask(THROTTLE)
    assert bench.operation.limit.ready_at(bench.now) - bench.now < 20.0


def test_a_pause_that_comes_with_no_error_of_a_number_holds_back_the_operation() -> None:
    bench = Bench(("a",) * 20)
    bench.ask(ApiError("http_503", Kind.TRANSIENT, retry_after_seconds=30.0))
    assert bench.operation.limit.ready_at(bench.now) == bench.now + 30.0


@pytest.mark.parametrize("kind", [Kind.NUMBER, Kind.PERMISSION])
def test_a_pause_that_comes_with_the_error_of_a_number_holds_back_that_number(kind: Kind) -> None:
    bench = Bench(("a",) * 20, interval=5.0)
    entry = bench.ask(ApiError("x", kind, retry_after_seconds=30.0))
    assert bench.operation.limit.ready_at(bench.now) < bench.now + 1.0
    assert entry.due_at >= bench.now + 30.0


def test_a_failure_is_retried_after_ten_seconds_doubling_but_not_after_the_next_regular_request() -> None:
    bench = Bench(("a",))
    entry = bench.ask(TIMED_OUT)
    assert 5.0 <= entry.retry_at - bench.now <= 10.0
    bench.ask(TIMED_OUT)
    assert 10.0 <= entry.retry_at - bench.now <= 20.0
    bench.ask(TIMED_OUT)
    assert entry.retry_at == math.inf


def test_a_request_that_waits_is_turned_back_when_a_pause_begins() -> None:
    bench = Bench(("a",) * 5)
    assert bench.operation.may_wait(bench.now, is_probe=False)
    bench.operation.limit.hold_until(bench.now + 30.0)
    assert not bench.operation.may_wait(bench.now, is_probe=False)


def test_only_probes_wait_while_it_is_refused() -> None:
    bench = Bench()
    bench.refuse()
    assert not bench.operation.may_wait(bench.now, is_probe=False)
    assert bench.operation.may_wait(bench.now, is_probe=True)
