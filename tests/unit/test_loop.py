"""The thread that calls a step over and over, in virtual time."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from exporter.polling.loop import ERROR_SECONDS, Loop
from tests.support.virtualtime import VirtualTime


class Steps:
    """A loop with a record of its steps; each wants to be called again after `pause` seconds."""

    def __init__(self, pause: float) -> None:
        self.time = VirtualTime()
        self.start = self.time.now
        self.lock = threading.Lock()
        self.loop = Loop("steps", self.step, self.lock, self.time, self.time.wait)
        self.pause = pause
        self.at: list[float] = []
        self.in_step: Callable[[], None] = lambda: None
        self.time.spawn(self.loop.run)

    def step(self) -> float:
        self.at.append(self.time.now - self.start)
        self.in_step()
        return self.time.now + self.pause

    def run(self, seconds: float) -> None:
        self.time.run_until(self.time.now + seconds, lambda: None)
        assert self.time.failures == []

    def wake(self, after_seconds: float = 0.0) -> None:
        with self.lock:
            self.loop.wake(self.time.now + after_seconds)


def test_a_step_is_called_at_the_instant_it_asked_for() -> None:
    steps = Steps(pause=2.0)
    steps.run(7)
    assert steps.at == [0, 2, 4, 6]


def test_each_step_that_begins_is_a_heartbeat() -> None:
    steps = Steps(pause=2.0)
    steps.run(7)
    assert steps.loop.seconds_without_heartbeat() == pytest.approx(1.0)


def test_a_loop_that_waits_can_be_woken() -> None:
    steps = Steps(pause=100.0)
    steps.run(3)
    steps.wake()
    steps.run(1)
    assert steps.at == [0, 3]


def test_of_the_instants_asked_for_the_earliest_counts() -> None:
    """A loop that was woken for an instant does not call its step before that."""
    steps = Steps(pause=4.0)
    steps.run(1)
    for seconds in (2.0, 1.0, 100.0):
        steps.wake(seconds)
    steps.run(4.5)
    assert steps.at == [0, 2]
    steps.run(1)
    assert steps.at == [0, 2, 6]


def test_a_wake_while_a_step_runs_is_not_lost() -> None:
    """If something changed after the step looked, the loop calls the step again before it waits."""
    steps = Steps(pause=100.0)

    def wake_once() -> None:
        steps.in_step = lambda: None
        steps.wake()

    steps.in_step = wake_once
    steps.run(1)
    assert steps.at == [0, 0]


def test_a_step_that_fails_is_called_again_after_a_second() -> None:
    steps = Steps(pause=100.0)

    def fail_once() -> None:
        steps.in_step = lambda: None
        raise RuntimeError("broken")

    steps.in_step = fail_once
    steps.run(3)
    assert steps.at == [0, ERROR_SECONDS]


def test_a_stopped_loop_ends() -> None:
    steps = Steps(pause=100.0)
    steps.run(1)
    with steps.lock:
        steps.loop.stop()
    steps.run(1)
    assert steps.time.alive == 0


def test_a_loop_that_does_nothing_but_fail_says_for_how_long() -> None:
    """For example without a free thread: a pass over all numbers must not wait for ever."""
    steps = Steps(pause=100.0)

    def fail() -> None:
        raise RuntimeError("can't start new thread")

    steps.in_step = fail
    steps.run(5.5)
    assert steps.loop.seconds_failing() == pytest.approx(5.5)
    steps.in_step = lambda: None
    steps.run(1)
    assert steps.loop.seconds_failing() == 0.0
