"""A thread that calls a step over and over, each time at the instant the step asked for, or when it is nudged."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from exporter.logs import fields
from exporter.model import Clock, Wait

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5.0
"""The step is called at least this often, so that a missing heartbeat means a dead loop."""

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
        self._wakes = threading.Condition(lock)
        self._nudged = False  # something changed while the loop was not waiting
        self._stopped = False
        self._heartbeat_at = clock.monotonic()
        self._failing_since: float | None = None
        self._thread = threading.Thread(target=self.run, name=name, daemon=True)

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End it after the step it may be in; waits for nothing.  The lock is held."""
        self._stopped = True
        self.nudge()

    def nudge(self) -> None:
        """Call the step again soon, whatever it asked for.  The lock is held."""
        self._nudged = True
        self._wakes.notify()

    def begin(self, now: float) -> None:
        """A step begins: it sees all that was changed so far.  The lock is held."""
        self._nudged = False
        self._heartbeat_at = now

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
            try:
                at = self._step()
            except Exception:  # a dead loop looks healthy: say it and go on
                logger.exception("a loop's step failed", extra=fields(loop=self._name))
                now = self._clock.monotonic()
                at = now + ERROR_SECONDS
                if self._failing_since is None:
                    self._failing_since = now
            else:
                self._failing_since = None
            with self._lock:
                if self._stopped:
                    return
                wait = min(at - self._clock.monotonic(), HEARTBEAT_SECONDS)
                if wait > 0 and not self._nudged:
                    self._wait(self._wakes, wait)
