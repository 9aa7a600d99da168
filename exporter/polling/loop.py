"""A thread that calls a step again and again, each time at the instant the step asked for, or when it is woken."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable

from exporter.logs import fields
from exporter.model import Clock, Wait
from exporter.threads import start_daemon

logger = logging.getLogger(__name__)

ERROR_SECONDS = 1.0
"""How long a step that failed is left alone."""


class Loop:
    """Runs `step`, which returns the monotonic instant of its next call, until stopped.

    `lock` is that of the step's owner; where a method says so it is held by the caller.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], float],
        lock: threading.Lock,
        clock: Clock,
        wait: Wait = threading.Condition.wait,
    ) -> None:
        self._name = name
        self._step = step
        self._lock = lock
        self._clock = clock
        self._wait = wait
        self._woken = threading.Condition(lock)
        self._next_at = math.inf  # of the step; what was asked for since the last one began
        self._stopped = False
        self._heartbeat_at = clock.monotonic()
        self._failing_since: float | None = None
        self._thread: threading.Thread | None = None

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start the thread; raises OSError, with a text for the user, if the machine has no thread left."""
        self._thread = start_daemon(self.run, self._name)

    def stop(self) -> None:
        """End it after the step it may be in; waits for nothing.  The lock is held."""
        self._stopped = True
        self.wake()

    def wake(self, at: float = -math.inf) -> None:
        """Call the step again at the instant `at`, if it is not to be called sooner.  The lock is held."""
        if at < self._next_at:
            self._next_at = at
            self._woken.notify()

    def seconds_without_heartbeat(self) -> float:
        """How long no step has begun.  The lock is held."""
        return self._clock.monotonic() - self._heartbeat_at

    def seconds_failing(self) -> float:
        """For how long every step has failed; 0 while they do not."""
        since = self._failing_since
        return 0.0 if since is None else self._clock.monotonic() - since

    def run(self) -> None:
        """What the thread does: step after step, until stopped."""
        while True:
            at = self._stepped()
            with self._lock:
                self.wake(at)
                while (wait_seconds := self._next_at - self._clock.monotonic()) > 0:
                    self._wait(self._woken, wait_seconds)
                if self._stopped:
                    return
                self._next_at = math.inf  # the step that begins now sees all that was changed so far
                self._heartbeat_at = self._clock.monotonic()

    def _stepped(self) -> float:
        try:
            at = self._step()
        except Exception:  # a dead loop looks healthy: say it and go on
            logger.exception("a loop's step failed", extra=fields(loop=self._name))
            now = self._clock.monotonic()
            if self._failing_since is None:
                self._failing_since = now
            return now + ERROR_SECONDS
        self._failing_since = None
        return at
