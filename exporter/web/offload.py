"""A few threads for work that would block the event loop.

Not `concurrent.futures.ThreadPoolExecutor`: the interpreter waits for its threads at exit, so that one hung scrape
would keep the process from stopping.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

_T = TypeVar("_T")
_Job = Callable[[], None]


class Offload:
    """`threads` daemon threads that run calls in the order given; what is still running at exit is abandoned."""

    def __init__(self, threads: int, name: str) -> None:
        self._names = [f"{name}-{number}" for number in range(1, threads + 1)]
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()

    def start(self) -> None:
        """Start the threads."""
        for name in self._names:
            threading.Thread(target=self._work, name=name, daemon=True).start()

    def stop(self) -> None:
        """End each thread after the call it is running; waits for none."""
        for _ in self._names:
            self._jobs.put(None)

    async def run(self, call: Callable[[], _T]) -> _T:
        """What `call` returns or raises; a caller that is cancelled before its turn costs nothing."""
        future: Future[_T] = Future()
        self._jobs.put(lambda: _fulfil(future, call))
        return await asyncio.wrap_future(future)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job  # an idle thread must not hold the last scrape's bytes


def _fulfil(future: Future[_T], call: Callable[[], _T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to the caller who awaits it
        future.set_exception(error)
    else:
        future.set_result(result)
