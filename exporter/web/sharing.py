"""Callers that ask for the same result at the same time share one task.  Lives in one event loop."""

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
    """The tasks under way, by what was asked for."""

    def __init__(self) -> None:
        self._under_way: dict[_Key, _Work[_Result]] = {}

    async def run(self, key: _Key, begin: Callable[[], Coroutine[Any, Any, _Result]]) -> _Result:
        """What the task for `key` returns or raises; `begin` makes the task if there is none.

        A task is cancelled when no caller waits for it any more.
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
        """The results that no waiting caller has taken yet."""
        for work in self._under_way.values():
            if work.task.done() and not work.task.cancelled() and work.task.exception() is None:
                yield work.task.result()
