"""Threads for calls that would block the event loop.  A call that hangs does not keep the process from stopping."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from exporter.threads import fulfil, start_daemon

_T = TypeVar("_T")
_Job = Callable[[], None]


class WorkerThreads:
    """Runs calls on `threads` daemon threads.  A call that still runs at exit is abandoned."""

    def __init__(self, threads: int, name: str) -> None:
        self._names = [f"{name}-{number}" for number in range(1, threads + 1)]
        self._changed = threading.Condition()
        self._jobs: OrderedDict[object, deque[_Job]] = OrderedDict()  # the first one is next
        self._stopping = False

    def start(self) -> None:
        """Start the threads.  Raises OSError, with a text for the user, if the machine has no thread left."""
        for name in self._names:
            start_daemon(self._work, name)

    def stop(self) -> None:
        """End each thread when no call waits for it.  Does not wait for that."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    async def run(self, call: Callable[[], _T], whose: object = None) -> _T:
        """What `call` returns or raises.  A call whose caller is cancelled before it begins is not made.

        Calls run in the order given, but calls for different values of `whose` take turns.
        """
        future: Future[_T] = Future()
        with self._changed:
            self._jobs.setdefault(whose, deque()).append(lambda: fulfil(future, call))
            self._changed.notify()
        return await asyncio.wrap_future(future)

    def _work(self) -> None:
        while (job := self._next()) is not None:
            job()
            del job  # an idle thread must not hold the last scrape's bytes

    def _next(self) -> _Job | None:
        """Waits for a job; None after `stop`."""
        with self._changed:
            while not self._jobs:
                if self._stopping:
                    return None
                self._changed.wait()
            whose, jobs = self._jobs.popitem(last=False)
            job = jobs.popleft()
            if jobs:
                self._jobs[whose] = jobs
            return job
