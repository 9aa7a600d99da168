"""A few threads for work that would block the event loop; what hangs does not keep the process from stopping."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from exporter.threads import fulfil, start_daemon

_T = TypeVar("_T")
_Job = Callable[[], None]


class Offload:
    """`threads` daemon threads that run calls in the order given; what is still running at exit is abandoned."""

    def __init__(self, threads: int, name: str) -> None:
        self._names = [f"{name}-{number}" for number in range(1, threads + 1)]
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()

    def start(self) -> None:
        """Start the threads; raises OSError, with a text for the user, where the machine has none left."""
        for name in self._names:
            start_daemon(self._work, name)

    def stop(self) -> None:
        """End each thread after the call it is running; waits for none."""
        for _ in self._names:
            self._jobs.put(None)

    async def run(self, call: Callable[[], _T]) -> _T:
        """What `call` returns or raises; a caller that is cancelled before its turn costs nothing."""
        future: Future[_T] = Future()
        self._jobs.put(lambda: fulfil(future, call))
        return await asyncio.wrap_future(future)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job  # an idle thread must not hold the last scrape's bytes
