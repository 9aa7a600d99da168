"""Threads that poll: started on demand, kept for a while, shared by all accounts.

The pool has no bound: each account limits how many of its polls are under way, and the sum of those limits bounds the
threads (`in_flight.max_in_flight`).  The thread that became idle last is used first, so those that a burst needed end.

Not `concurrent.futures.ThreadPoolExecutor`: the interpreter waits for its threads at exit, so a poll that hangs would
keep the process from stopping in time, and no public interface turns that off.  Nor do its idle threads ever end.
"""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable

from exporter.threads import start_daemon

Job = Callable[[], None]

IDLE_SECONDS = 30.0
"""An idle thread ends after this long."""


class Workers:
    """A pool of daemon threads: a poll that hangs at shutdown is abandoned, not waited for."""

    def __init__(self, idle_seconds: float = IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._idle: list[queue.SimpleQueue[Job | None]] = []  # what each idle thread waits at
        self._numbers = itertools.count(1)
        self._stopped = False

    def submit(self, job: Job) -> None:
        """Run `job` soon on a thread of its own; `job` handles its own errors.

        Raises OSError if the machine has no thread left; `job` is not run then.
        """
        with self._lock:
            if self._stopped:
                return
            if self._idle:
                self._idle.pop().put(job)
                return
        start_daemon(lambda: self._run(job), f"poll-{next(self._numbers)}")

    def stop(self) -> None:
        """End the idle threads now and the busy ones after their job; waits for neither."""
        with self._lock:
            self._stopped = True
            for jobs in self._idle:
                jobs.put(None)
            self._idle.clear()

    def _run(self, first: Job) -> None:
        jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        job: Job | None = first
        while job is not None:
            job()
            job = self._next(jobs)

    def _next(self, jobs: queue.SimpleQueue[Job | None]) -> Job | None:
        with self._lock:
            if self._stopped:
                return None
            self._idle.append(jobs)
        try:
            return jobs.get(timeout=self._idle_seconds)
        except queue.Empty:
            with self._lock:
                if jobs in self._idle:
                    self._idle.remove(jobs)
                    return None
        return jobs.get()  # a job came just as the time ran out
