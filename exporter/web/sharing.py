"""One piece of work for all who ask for the same while it is under way.  Lives in one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

_Key = TypeVar("_Key", bound=Hashable)
_Result = TypeVar("_Result")


@dataclass(slots=True)
class _Work(Generic[_Result]):
    task: asyncio.Task[_Result]
    waiters: int = 0


class Shared(Generic[_Key, _Result]):
    """Work by what was asked for."""

    def __init__(self) -> None:
        self._under_way: dict[_Key, _Work[_Result]] = {}

    async def run(self, key: _Key, begin: Callable[[], Coroutine[Any, Any, _Result]]) -> _Result:
        """What the work for `key` returns or raises; `begin` begins it where none is under way.

        Work that all who waited for it have left is cancelled.
        """
        work = self._under_way.get(key)
        if work is None:
            work = self._under_way[key] = _Work(asyncio.create_task(begin()))
        work.waiters += 1
        try:
            return await asyncio.shield(work.task)
        finally:
            work.waiters -= 1
            if not work.waiters:
                del self._under_way[key]
                work.task.cancel()

    def results(self) -> Iterator[_Result]:
        """What is done, and not yet in the hands of those who wait for it."""
        for work in self._under_way.values():
            if work.task.done() and not work.task.cancelled() and work.task.exception() is None:
                yield work.task.result()
