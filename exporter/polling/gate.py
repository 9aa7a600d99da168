"""Where an account's polls wait for the budget: the one place in which a request is held back.

A poll comes here connected and ready to send.  The moment it is let through is the moment its slot is taken, and the
next one's turn begins only when its request has left: neither a thread that wakes late, nor a slow TLS handshake, nor
a machine that stalls between the two brings requests closer together.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator

from exporter.errors import Stopped
from exporter.model import Clock, Wait
from exporter.polling.budget import Budget

QUEUE_SECONDS = 60.0
"""A poll that is not the first in the queue looks again at least this often; it is told when its turn comes."""


class Gate:
    """Lets polls through in the order in which they came, one at a time, each at a slot of `budget`.

    `lock` guards the budget and whatever `may_go` looks at; its owner changes those, and says so by `look_again`.
    """

    def __init__(self, budget: Budget, lock: threading.Lock, clock: Clock, wait: Wait) -> None:
        self._budget = budget
        self._clock = clock
        self._wait = wait
        self._lock = lock
        self._queue: deque[threading.Condition] = deque()  # one each: not all need to wake when one is let through

    @contextlib.contextmanager
    def slot(self, may_go: Callable[[], bool], taken: Callable[[float], None]) -> Iterator[None]:
        """Wait for the next slot and take it; the request leaves inside the block, or it does not leave.

        `taken` is told the slot's instant.  Raises Stopped, without a slot, as soon as `may_go` says no.  Both are
        called with the lock held.
        """
        turn = threading.Condition(self._lock)
        with self._lock:
            self._queue.append(turn)
            try:
                now = self._admitted(turn, may_go)
                self._budget.released(now)
                taken(now)
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
        """What polls wait for has changed.  Call it with the lock held."""
        for turn in self._queue:
            turn.notify()

    def _admitted(self, turn: threading.Condition, may_go: Callable[[], bool]) -> float:
        while True:
            if not may_go():
                raise Stopped
            wait_seconds = QUEUE_SECONDS
            if self._queue[0] is turn:
                now = self._clock.monotonic()
                ready_at = self._budget.ready_at(now)
                if ready_at <= now:
                    return now
                wait_seconds = ready_at - now
            self._wait(turn, wait_seconds)

    def _next_turn(self, turn: threading.Condition) -> None:
        self._queue.remove(turn)
        if self._queue:
            self._queue[0].notify()
