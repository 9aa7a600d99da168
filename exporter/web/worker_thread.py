"""A few threads for work that would block the event loop; what hangs does not keep the process from stopping."""

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
    """`threads` daemon threads that run calls; what is still running at exit is abandoned."""

    def __init__(self, threads: int, name: str) -> None:
        self._names = [f"{name}-{number}" for number in range(1, threads + 1)]
        self._changed = threading.Condition()
        self._jobs: OrderedDict[object, deque[_Job]] = OrderedDict()  # whose turn is next stands first
        self._stopping = False

    def start(self) -> None:
        """Start the threads; raises OSError, with a text for the user, where the machine has none left."""
        for name in self._names:
            start_daemon(self._work, name)

    def stop(self) -> None:
        """End each thread once no call waits; waits for none."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    async def run(self, call: Callable[[], _T], whose: object = None) -> _T:
        """What `call` returns or raises; a caller that is cancelled before its turn costs nothing.

        Calls run in the order given, but those in different names (`whose`) take turns.
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
        """Waits for a job; None when there will be none."""
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
