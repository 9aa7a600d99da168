"""Where an account's polls wait for the budget: the one place in which a request is held back.

A poll comes here connected and ready to send.  Its slot is taken when it passes, and the next poll's turn begins only
when its request has left.  So requests stay evenly spaced even if a thread wakes late, a TLS handshake is slow, or the
machine stalls.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from exporter.errors import Stopped
from exporter.model import Clock, Wait
from exporter.polling.budget import Budget
from exporter.scrape_priority import ScrapePriority

QUEUE_SECONDS = 60.0
"""A poll that is not the first in the queue looks again at least this often; it is told when its turn comes."""


@dataclass(slots=True, eq=False, kw_only=True)
class Waiter:
    """What the gate knows of a poll, from the moment it is handed out.  Instants are monotonic seconds."""

    wanted_at: float
    """Since when nothing but the budget holds it back."""
    waits: bool = True
    """Whether it wants a slot: a poll whose connection was closed meanwhile takes a second one."""
    revoked: bool = False
    """Set by the owner where the poll may not go any more; `Gate.look_again` makes it leave the queue."""
    released_at: float | None = None
    """When it took its last slot."""
    waited_seconds: float = 0.0
    """How long it waited for its slots in total."""


class Gate:
    """Lets polls through in the order in which they came, one at a time, each at a slot of `budget`.

    `lock` guards all this and the budget.  No slot is taken while `priority` makes polls wait for a scrape.  `room` is
    called, with the lock held, when half of the polls that may wait have passed: it is time to hand out more.
    """

    def __init__(
        self,
        budget: Budget,
        lock: threading.Lock,
        clock: Clock,
        wait: Wait,
        room: Callable[[], None],
        priority: ScrapePriority | None = None,
    ) -> None:
        self._budget = budget
        self._lock = lock
        self._clock = clock
        self._wait = wait
        self._room = room
        self._priority = priority or ScrapePriority(clock)
        self._queue: deque[threading.Condition] = deque()  # one each: when one passes, only the next wakes
        self._most_waiting = 1
        self.waiting = 0
        """Polls that were handed out and want a slot, those that still connect included."""

    def configure(self, most_waiting: int) -> None:
        """Take over how many polls may wait.  The lock is held."""
        self._most_waiting = most_waiting

    def expect(self) -> None:
        """A poll is handed out: it will come.  The lock is held."""
        self.waiting += 1

    def gone(self) -> None:
        """A poll that wanted a slot ended without one.  The lock is held."""
        self.waiting -= 1

    def slot_at(self, now: float) -> float:
        """When a poll that is handed out now gets its slot; infinity while no more may wait.  The lock is held."""
        return math.inf if self.waiting >= self._most_waiting else self._budget.slot_at(now, self.waiting)

    @contextlib.contextmanager
    def slot(self, waiter: Waiter) -> Iterator[None]:
        """Wait for the next slot and take it; the request leaves inside the block, or it does not leave.

        Raises Stopped, without a slot, as soon as the waiter is revoked.
        """
        turn = threading.Condition(self._lock)
        with self._lock:
            if not waiter.waits:  # it had a slot, which goes unused
                waiter.waits = True
                self.waiting += 1
            self._queue.append(turn)
            try:
                self._pass(waiter, self._slot_taken(turn, waiter))
            except BaseException:
                self._next_turn(turn)
                raise
        try:
            yield
        finally:
            with self._lock:
                self._budget.left(self._clock.monotonic())
                self._next_turn(turn)

    def look_again(self) -> None:
        """The pace has changed, or polls were revoked.  The lock is held."""
        for turn in self._queue:
            turn.notify()

    def _slot_taken(self, turn: threading.Condition, waiter: Waiter) -> float:
        """Wait for the slot; returns its instant."""
        while not waiter.revoked:
            wait_seconds = QUEUE_SECONDS
            if self._queue[0] is turn:
                now = self._clock.monotonic()
                ready_at = self._budget.ready_at(now)
                if ready_at <= now and self._priority.polls_wait:
                    self._let_scrape_go_first()
                    continue  # the clock went on, and the poll may be revoked
                if ready_at <= now:
                    self._budget.released(now)
                    return now
                wait_seconds = ready_at - now
            self._wait(turn, wait_seconds)
        raise Stopped

    def _let_scrape_go_first(self) -> None:
        """Wait without the lock: a scrape needs it."""
        self._lock.release()
        try:
            self._priority.wait()
        finally:
            self._lock.acquire()

    def _pass(self, waiter: Waiter, now: float) -> None:
        waiter.waited_seconds += max(0.0, now - waiter.wanted_at)
        waiter.wanted_at = waiter.released_at = now
        waiter.waits = False
        self.waiting -= 1
        if self.waiting == self._most_waiting // 2:
            self._room()

    def _next_turn(self, turn: threading.Condition) -> None:
        self._queue.remove(turn)
        if self._queue:
            self._queue[0].notify()
