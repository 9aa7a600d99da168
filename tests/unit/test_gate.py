"""Polls wait for their slots at the gate, on threads in virtual time."""

from __future__ import annotations

import math
import threading

import pytest

from exporter.errors import Stopped
from exporter.model import ALWAYS, NEVER, Right, pace_qps
from exporter.polling.budget import LATE_SECONDS, Budget
from exporter.polling.gate import Gate, Waiter
from exporter.scrape_priority import ScrapePriority
from tests.support.virtualtime import VirtualTime

GAP = 1 / pace_qps(1.0, 10.0)


class Crossing:
    """A gate, the polls that passed it and when (seconds since the start), and the polls that were refused."""

    def __init__(self) -> None:
        self.time = VirtualTime()
        self.start = self.time.now
        self.budget = Budget(1.0, 10.0)
        self.lock = threading.Lock()
        self.priority = ScrapePriority(self.time, self.time.wait)
        self.gate = Gate(self.budget, self.lock, self.time, self.time.wait, lambda: None, self.priority)
        self.passed: list[tuple[str, float]] = []
        self.turned_away: list[tuple[str, float]] = []
        self.sent: list[tuple[str, float]] = []
        self.waiters: dict[str, Waiter] = {}

    def come(
        self,
        name: str,
        after_seconds: float = 0.0,
        *,
        stall_seconds: float = 0.0,
        fails: bool = False,
        limit: Budget | None = None,
    ) -> None:
        """`stall_seconds` pass between the slot and the sending, which `fails`.  An errand has a `limit`."""

        def send() -> None:
            if fails:
                raise ConnectionResetError
            self.sent.append((name, self.time.now - self.start))

        waiter = self.waiters[name] = Waiter(wanted_at=self.start, limit=limit)

        def cross() -> None:
            self.time.sleep(after_seconds)
            try:
                with self.gate.slot(waiter):
                    assert waiter.released_at is not None
                    self.passed.append((name, waiter.released_at - self.start))
                    self.time.sleep(stall_seconds)
                    send()
            except ConnectionResetError:
                pass
            except Stopped:
                self.turned_away.append((name, self.time.now - self.start))

        self.time.spawn(cross)

    def run(self, seconds: float) -> None:
        self.time.run_until(self.time.now + seconds, lambda: None)
        assert self.time.failures == []


def test_polls_pass_in_the_order_in_which_they_came_a_slot_apart() -> None:
    crossing = Crossing()
    for name in "abcd":
        crossing.come(name)
    crossing.run(10)
    assert [name for name, _ in crossing.passed] == list("abcd")
    assert [at for _, at in crossing.passed] == pytest.approx([0, GAP, 2 * GAP, 3 * GAP])


def test_no_poll_overtakes_one_that_comes_as_a_slot_becomes_free() -> None:
    crossing = Crossing()
    crossing.come("late", after_seconds=GAP)
    for name in "ab":
        crossing.come(name)
    crossing.run(10)
    assert [name for name, _ in crossing.passed] == ["a", "b", "late"]


def test_a_revoked_poll_is_refused_at_once_and_takes_no_slot() -> None:
    """At any place in the queue, also in the middle of a pause of a minute."""
    crossing = Crossing()
    crossing.budget.throttled(crossing.start, crossing.start, 60.0)
    for name in "abc":
        crossing.come(name)
    crossing.run(5)
    with crossing.lock:
        for name in "ab":
            crossing.waiters[name].revoked = True
        crossing.gate.look_again()
    crossing.run(70)
    assert crossing.turned_away == [("a", 5.0), ("b", 5.0)]
    assert crossing.passed == [("c", 60.0)]


@pytest.mark.parametrize("fails", [False, True])
def test_where_a_thread_stalls_before_it_sends_the_others_wait_a_gap_from_when_it_did(fails: bool) -> None:
    """If time were counted from its slot, its request and the next would leave together as a burst."""
    crossing = Crossing()
    crossing.come("late", stall_seconds=5.0, fails=fails)
    for name in "ab":
        crossing.come(name)
    crossing.run(3)
    assert crossing.passed == [("late", 0.0)]
    crossing.run(7)
    assert [name for name, _ in crossing.sent] == ["a", "b"] if fails else ["late", "a", "b"]
    assert [at for _, at in crossing.sent[-2:]] == pytest.approx([5.0 + GAP, 5.0 + 2 * GAP])


def test_normal_sending_time_does_not_lower_the_rate() -> None:
    crossing = Crossing()
    for name in "abc":
        crossing.come(name, stall_seconds=LATE_SECONDS * 0.9)
    crossing.run(5)
    assert [at for _, at in crossing.passed] == pytest.approx([0, GAP, 2 * GAP])


def test_a_refused_poll_leaves_its_slot_to_the_next() -> None:
    crossing = Crossing()
    for name in "ab":
        crossing.come(name)
    crossing.waiters["a"].revoked = True
    crossing.run(1)
    assert (crossing.turned_away, crossing.passed) == ([("a", 0.0)], [("b", 0.0)])


def test_a_faster_pace_counts_for_who_waits_already() -> None:
    crossing = Crossing()
    crossing.budget.configure(0.01, 10.0)
    for name in "ab":
        crossing.come(name)
    crossing.run(5)
    with crossing.lock:
        crossing.budget.configure(1.0, 10.0)
        crossing.gate.look_again()
    crossing.run(1)
    assert crossing.passed == [("a", 0.0), ("b", 5.0)]


def test_what_a_poll_waited_for_its_slots_is_kept_with_it() -> None:
    """Counted from the time when it was due.  A poll that was due later did not wait."""
    crossing = Crossing()
    for name in "abc":
        crossing.come(name)
    crossing.waiters["c"].wanted_at = crossing.start + 100.0
    crossing.run(10)
    assert [crossing.waiters[name].waited_seconds for name in "abc"] == pytest.approx([0.0, GAP, 0.0])


def test_more_polls_are_asked_for_once_half_of_those_that_may_wait_have_passed() -> None:
    """Not for each poll that passes, because that would wake the loop."""
    crossing = Crossing()
    room: list[float] = []
    gate = Gate(
        crossing.budget, crossing.lock, crossing.time, crossing.time.wait, lambda: room.append(crossing.time.now)
    )
    crossing.gate = gate
    gate.configure(4)
    for name in "abcd":
        assert gate.slot_at(crossing.start) == pytest.approx(crossing.start + gate.waiting * GAP)
        gate.expect(Waiter(wanted_at=0.0))
        crossing.come(name)
    assert gate.slot_at(crossing.start) == math.inf
    crossing.run(10)
    assert [at - crossing.start for at in room] == pytest.approx([GAP])
    assert gate.waiting == 0


def test_a_poll_that_comes_again_waits_as_one_more_until_it_has_passed_or_gone() -> None:
    """Its first slot is used; its waits are added."""
    crossing = Crossing()
    waiter, seen = Waiter(wanted_at=crossing.start), list[tuple[int, bool]]()

    def cross_twice() -> None:
        crossing.gate.expect(Waiter(wanted_at=crossing.start))
        for _ in range(2):
            with crossing.gate.slot(waiter):
                seen.append((crossing.gate.waiting, waiter.waits))
        waiter.revoked = True
        with pytest.raises(Stopped), crossing.gate.slot(waiter):
            pass
        seen.append((crossing.gate.waiting, waiter.waits))
        crossing.gate.gone(Waiter(wanted_at=crossing.start))

    crossing.time.spawn(cross_twice)
    crossing.run(10)
    assert seen == [(0, False), (0, False), (1, True)]
    assert crossing.gate.waiting == 0
    assert waiter.waited_seconds == pytest.approx(GAP)


def test_no_slot_is_taken_during_a_scrape_and_the_next_one_counts_from_the_slot_taken_after_it() -> None:
    """The poll at the head waits; the budget is spent no faster for it afterwards."""
    crossing = Crossing()
    for name in "abc":
        crossing.come(name)
    crossing.run(GAP - 0.1)
    with crossing.priority.scrape():
        crossing.run(0.2)
    crossing.run(10)
    assert [name for name, _ in crossing.passed] == list("abc")
    assert [at for _, at in crossing.passed] == pytest.approx([0.0, GAP + 0.1, 2 * GAP + 0.1])


def test_a_poll_that_is_revoked_during_a_scrape_takes_no_slot_after_it() -> None:
    crossing = Crossing()
    with crossing.priority.scrape():
        for name in "ab":
            crossing.come(name)
        crossing.run(0.125)
        with crossing.lock:  # which nobody holds meanwhile: a scrape needs it
            crossing.waiters["a"].revoked = True
            crossing.gate.look_again()
    crossing.run(0.125)
    assert (crossing.turned_away, crossing.passed) == ([("a", 0.125)], [("b", 0.125)])


def test_a_poll_that_finds_that_it_is_an_errands_turn_wakes_the_errand() -> None:
    """As the poll was woken, the operation's limit still held the errand back; the poll then waited for a scrape."""
    crossing = Crossing()
    limit = Budget(1.0, 1.0)
    limit.hold_until(crossing.start + GAP + 0.05)
    for name in "ab":
        crossing.come(name)
    crossing.come("errand", after_seconds=0.1, limit=limit)
    with crossing.lock:
        for waiter in crossing.waiters.values():
            crossing.gate.expect(waiter)
    crossing.run(GAP - 0.1)
    with crossing.priority.scrape():
        crossing.run(0.2)
    crossing.run(5)
    assert [name for name, _ in crossing.passed] == ["a", "errand", "b"]
    assert [at for _, at in crossing.passed] == pytest.approx([0.0, GAP + 0.1, 2 * GAP + 0.1])


@pytest.mark.parametrize(("stall_seconds", "waited"), [(0.0, 0.0), (0.1, 0.1), (5.0, 0.25)])
def test_who_takes_the_right_away_waits_until_the_last_request_has_left(stall_seconds: float, waited: float) -> None:
    """Bounded: a request that hangs must not keep other accounts from being handed over."""
    crossing = Crossing()
    crossing.come("late", stall_seconds=stall_seconds)
    crossing.come("next")
    crossing.run(0)
    ended: list[float] = []

    def take_away() -> None:
        with crossing.lock:
            crossing.gate.right = NEVER
            crossing.gate.wait_sent(crossing.time.now + 0.25)
            ended.append(crossing.time.now - crossing.start)

    crossing.time.spawn(take_away)
    crossing.run(10)
    assert ended == pytest.approx([waited])
    assert [name for name, _ in crossing.sent] == ["late"]


def test_a_request_takes_no_slot_before_the_right_begins_nor_after_it_ended() -> None:
    crossing = Crossing()
    crossing.gate.right = Right(1, crossing.start + 2.0, crossing.start + 2.0 + 1.5 * GAP)
    for name in "abcd":
        crossing.come(name)
    crossing.run(100)
    assert [name for name, _ in crossing.passed] == ["a", "b"]
    assert [at for _, at in crossing.passed] == pytest.approx([2.0, 2.0 + GAP])
    with crossing.lock:
        crossing.gate.right = ALWAYS
        crossing.gate.look_again()
    crossing.run(10)
    assert [name for name, _ in crossing.passed] == list("abcd")
