"""Threads in virtual time: one runs at a time, in the same order on each run, without real waits."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from exporter.polling.workers import Job, Workers
from tests.support.patience import PATIENCE_SECONDS


def _held() -> threading.Lock:
    """A lock that one thread waits for until another releases it; a semaphore would be several times slower."""
    lock = threading.Lock()
    lock.acquire()
    return lock


@dataclass(eq=False)
class _Sleeper:
    """A thread that waits for an instant, or for a notice."""

    turn: threading.Lock = field(default_factory=_held)
    wakes_at: float = 0.0


class VirtualTime:
    """A clock whose time passes only while every thread sleeps; implements `exporter.model.Clock`.

    Its owner calls `run_until`; the `spawn`ed threads run one by one, each until it sleeps or ends.  `alive` counts
    them; `failures` has their exceptions.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.unix_offset = 1_764_000_000.0
        self.alive = 0
        self.failures: list[BaseException] = []
        self._tie = itertools.count()
        self._sleepers: list[tuple[float, int, _Sleeper]] = []
        self._yielded = _held()
        self._current: _Sleeper | None = None

    def monotonic(self) -> float:
        return self.now

    def unix(self) -> float:
        return self.now + self.unix_offset

    def spawn(self, job: Callable[[], None]) -> None:
        """Run `job` on its own thread, when its turn comes."""
        me = _Sleeper()

        def run() -> None:
            self._pause(me)
            try:
                job()
            except BaseException as error:  # noqa: BLE001 - it belongs to the test
                self.failures.append(error)
            finally:
                self.alive -= 1
                self._yielded.release()

        self.alive += 1
        self._wake(me, self.now)
        threading.Thread(target=run, daemon=True).start()

    def sleep(self, seconds: float) -> None:
        """Let `seconds` pass; called by a spawned thread."""
        me = self._running
        self._wake(me, self.now + seconds)
        self._yielded.release()
        self._pause(me)

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        """`Condition.wait` in virtual time: it ends by a notice, or when the time is up."""
        notice = _Notice(self, self._running)
        waiters = condition._waiters  # type: ignore[attr-defined] # where `notify` looks for locks to release
        waiters.append(notice)
        condition.release()
        try:
            self.sleep(seconds)
        finally:
            condition.acquire()
            if notice in waiters:
                waiters.remove(notice)

    def run_until(self, end: float, after_each: Callable[[], None]) -> None:
        """Let time pass until `end`; `after_each` is called whenever a thread has run."""
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, sleeper = heapq.heappop(self._sleepers)
            if at != sleeper.wakes_at:
                continue  # there was a notice in between
            self.now = max(self.now, at)
            sleeper.wakes_at = -1.0
            self._current = sleeper
            sleeper.turn.release()
            assert self._yielded.acquire(timeout=PATIENCE_SECONDS), (
                "a thread neither sleeps nor ends: it waits for real"
            )
            self._current = None
            after_each()
        self.now = max(self.now, end)

    @property
    def _running(self) -> _Sleeper:
        assert self._current is not None
        return self._current

    def _wake(self, sleeper: _Sleeper, at: float) -> None:
        sleeper.wakes_at = at
        heapq.heappush(self._sleepers, (at, next(self._tie), sleeper))

    @staticmethod
    def _pause(sleeper: _Sleeper) -> None:
        assert sleeper.turn.acquire(timeout=10 * PATIENCE_SECONDS), "nobody runs the show any more"


@dataclass(eq=False)
class _Notice:
    """Takes the place of the lock that `Condition.notify` releases."""

    time: VirtualTime
    sleeper: _Sleeper

    def release(self) -> None:
        if self.sleeper.wakes_at > self.time.now:
            self.time._wake(self.sleeper, self.time.now)


class VirtualWorkers(Workers):
    """Runs each job on a thread in virtual time."""

    def __init__(self, time: VirtualTime) -> None:
        super().__init__()
        self._time = time

    def submit(self, job: Job) -> None:
        self._time.spawn(job)
