"""Where an account's polls wait for the budget: the one place in which a request is held back.

A poll comes here connected and ready to send; the moment it is let through is the moment its slot is taken, so neither
a thread that wakes late nor a slow TLS handshake squeezes two requests together.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from exporter.budget import Budget
from exporter.errors import Stopped
from exporter.model import Clock

Wait = Callable[[threading.Condition, float], object]
"""Lets that many seconds pass, or less: until the condition is notified."""


class Gate:
    """Lets polls through one at a time, each at a slot of `budget`.

    `lock` guards the budget and whatever `may_go` looks at; its owner changes those, and says so by `look_again`.
    """

    def __init__(self, budget: Budget, lock: threading.Lock, clock: Clock, wait: Wait) -> None:
        self._budget = budget
        self._clock = clock
        self._wait = wait
        self._turnstile = threading.Lock()  # one poll at a time waits for the next slot, the others queue here
        self._lock = lock
        self._changed = threading.Condition(lock)

    @contextlib.contextmanager
    def slot(self, may_go: Callable[[], bool]) -> Iterator[float]:
        """Wait for the next slot and take it; gives its instant, with the lock held inside the block.

        Raises Stopped, without a slot, as soon as `may_go` says no; it is asked with the lock held.
        """
        with self._turnstile, self._lock:
            while True:
                if not may_go():
                    raise Stopped
                now = self._clock.monotonic()
                ready_at = self._budget.ready_at(now)
                if ready_at <= now:
                    break
                self._wait(self._changed, ready_at - now)
            self._budget.released(now)
            yield now

    def look_again(self) -> None:
        """What the waiting poll waits for has changed.  Call it with the lock held."""
        self._changed.notify_all()
