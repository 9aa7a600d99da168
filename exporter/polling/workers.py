"""Threads that poll: made on demand, kept warm for a while, shared by all accounts.

The pool itself has no bound: each account caps how many of its polls are under way, and the sum of those caps is the
bound on threads (`in_flight.max_in_flight`).  Idle threads are used last in, first out, so that a burst's extra threads
go cold and end.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

Job = Callable[[], None]

IDLE_SECONDS = 30.0
"""An idle thread ends after this long."""


class Workers:
    """A pool of daemon threads: a poll that hangs at shutdown is abandoned, not waited for."""

    def __init__(self, idle_seconds: float = IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._idle: list[queue.SimpleQueue[Job | None]] = []
        self._threads: set[threading.Thread] = set()
        self._made = 0
        self._stopped = False

    @property
    def threads(self) -> int:
        """How many threads there are now, idle ones included."""
        with self._lock:
            return len(self._threads)

    def submit(self, job: Job) -> None:
        """Run `job` soon on a thread of its own; `job` handles its own errors.

        Raises RuntimeError where the machine has no thread left; `job` is not run then.
        """
        with self._lock:
            if self._stopped:
                return
            if self._idle:
                self._idle.pop().put(job)
                return
            self._made += 1
            thread = threading.Thread(target=self._run, args=(job,), name=f"poll-{self._made}", daemon=True)
            self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError:
            with self._lock:
                self._threads.discard(thread)
            raise

    def stop(self) -> None:
        """End the idle threads now and the busy ones after their job; waits for neither."""
        with self._lock:
            self._stopped = True
            for mailbox in self._idle:
                mailbox.put(None)
            self._idle.clear()

    def _run(self, first: Job) -> None:
        mailbox: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        job: Job | None = first
        try:
            while job is not None:
                job()
                job = self._next(mailbox)
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _next(self, mailbox: queue.SimpleQueue[Job | None]) -> Job | None:
        with self._lock:
            if self._stopped:
                return None
            self._idle.append(mailbox)
        try:
            return mailbox.get(timeout=self._idle_seconds)
        except queue.Empty:
            with self._lock:
                if mailbox in self._idle:
                    self._idle.remove(mailbox)
                    return None
        return mailbox.get()  # a job was handed over just as the time ran out
