"""Scrapes go first: while one is served, polls start nothing.  So do answers that replicas exchange.

The interpreter runs one thread at a time.  With hundreds of polls a second, the thread that renders a scrape would wait
for its turn most of the time, and answers would reach the other replicas seconds late.  A poll loses little if it waits
for 20 ms.

Polls never wait for long: at most `MAX_WAIT_SECONDS` at a time, and in the long run at most a third of the time.
Beyond that, scrapes and polls run side by side.  So neither a flood of scrapes nor a client that reads slowly stops
polling.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from exporter.model import Clock, Wait

MAX_WAIT_SECONDS = 0.25
"""The longest time for which polls wait."""

EARNED_PER_SECOND = 0.5
"""Seconds for which polls may wait again after each second in which they did not have to: a third of the time."""


class ScrapePriority:
    """Tells polls when to wait; thread-safe."""

    def __init__(self, clock: Clock, wait: Wait = threading.Condition.wait) -> None:
        self._clock = clock
        self._wait = wait
        self._changed = threading.Condition()
        self._scrapes = 0  # under way
        self._polls_wait_until = -math.inf
        self._allowance = MAX_WAIT_SECONDS  # seconds for which polls may wait, as of `_counted_at`
        self._counted_at = clock.monotonic()

    @contextmanager
    def scrape(self) -> Iterator[None]:
        """A scrape is served inside the block, or answers are exchanged."""
        with self._changed:
            now = self._count()
            self._scrapes += 1
            self._polls_wait_until = now + self._allowance
        try:
            yield
        finally:
            with self._changed:
                self._scrapes -= 1
                if not self._scrapes:
                    self._polls_wait_until = self._count()
                    self._changed.notify_all()

    @property
    def polls_wait(self) -> bool:
        """Whether polls have to wait now."""
        return self._clock.monotonic() < self._polls_wait_until

    def wait(self) -> None:
        """Return as soon as polls do not have to wait."""
        while self.polls_wait:
            with self._changed:
                self._wait(self._changed, max(0.0, self._polls_wait_until - self._clock.monotonic()))

    def _count(self) -> float:
        """Bring the allowance up to now, and return that instant.  The lock is held."""
        now = self._clock.monotonic()
        waited = max(0.0, min(now, self._polls_wait_until) - self._counted_at)
        earned = (now - self._counted_at - waited) * EARNED_PER_SECOND
        self._allowance = min(MAX_WAIT_SECONDS, self._allowance - waited + earned)
        self._counted_at = now
        return now
