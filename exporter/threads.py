"""Calls on daemon threads, as futures: a signal ends the wait for one, and the process ends without it.

Not `concurrent.futures.ThreadPoolExecutor`: the interpreter waits for its threads at exit, so one call that hangs (on a
mount whose server is gone) would keep the process from ending.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, TypeVar

_T = TypeVar("_T")


def start_daemon(target: Callable[[], object], name: str) -> threading.Thread:
    """Start a daemon thread; raises OSError, with a text for the user, if the machine has no thread left."""
    thread = threading.Thread(target=target, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        raise OSError(f"no thread can be started for {name}; raise the limit of processes (ulimit -u, pids)") from None
    return thread


def fulfil(future: Future[_T], call: Callable[[], _T]) -> None:
    """Make `call` and set its result or error in `future`, unless that was cancelled."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001 - any error belongs to the caller who waits
        future.set_exception(error)
    else:
        future.set_result(result)


def begin(call: Callable[[], _T], name: str) -> Future[_T]:
    """The future result of `call` on a thread of its own.  Raises OSError as `start_daemon` does."""
    future: Future[_T] = Future()
    start_daemon(lambda: fulfil(future, call), name)
    return future


def run_apart(call: Callable[[], _T], name: str) -> _T:
    """Return or raise what `call` does; a signal ends the wait even if `call` hangs."""
    return begin(call, name).result()


class StillRunningError(Exception):
    """A call has not ended in time, or the one before it has not ended yet."""


class Bounded:
    """Makes one call at a time, each on a thread of its own, and waits for it only so long.

    For reading files, whose mount may hang.  While one call hangs, `run` begins no other and does not wait.  Only one
    caller at a time may use `run`.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._running: Future[Any] | None = None  # a call that did not end in time

    def run(self, call: Callable[[], _T], seconds: float) -> _T:
        """Return or raise what `call` does; StillRunningError if it takes longer than `seconds`."""
        if self._running is not None and not self._running.done():
            raise StillRunningError
        self._running = None
        try:
            running = begin(call, self._name)
        except OSError:  # the machine has no thread left: make the call on this one
            return call()
        if wait([running], seconds).not_done:
            self._running = running
            raise StillRunningError
        return running.result()
