"""Calls on daemon threads, as futures: a signal ends the wait for one, and the process ends without it.

Not `concurrent.futures.ThreadPoolExecutor`: the interpreter waits for its threads at exit, so one call that hangs (on a
mount whose server is gone) would keep the process from ending.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

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


class Bounded:
    """Repeats one call, each time on a thread of its own, and waits for it for at most `seconds`.

    For reading files, whose mount may hang.  While one call hangs, `run` begins no other and does not wait.  Only one
    caller at a time may use `run`.
    """

    def __init__(self, call: Callable[[], None], name: str, seconds: float) -> None:
        self._call = call
        self._name = name
        self._seconds = seconds
        self._running: Future[None] | None = None

    def run(self) -> bool:
        """Whether the call has ended; raises what it raised."""
        if self._running is None:
            try:
                self._running = begin(self._call, self._name)
            except OSError:  # the machine has no thread left: make the call on this one
                self._call()
                return True
            wait([self._running], self._seconds)
        if not self._running.done():
            return False
        ended, self._running = self._running, None
        ended.result()
        return True
