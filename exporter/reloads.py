"""Reloads run one after the other on one thread; requests that come during a reload become one reload.

Between them the same thread looks at number files, and at the configuration file if that is wanted, so that they never
meet.
"""

from __future__ import annotations

import contextlib
import logging
import math
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from exporter.logs import fields
from exporter.threads import start_daemon

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

SLOW_SECONDS = 30.0
"""A reload that takes longer is logged: the file may be on a mount that hangs."""

LOOK_SECONDS = 10.0
"""Between two looks.  A changed file counts after two equal looks, so within 20 s."""


class Reloads:
    """Runs `reload` on request, and `look` every `look_seconds` however often reloads are asked for; thread-safe.

    Runs `follow` too, first at once; it returns the seconds until its next time.

    Calls `slow` if a reload takes longer than `slow_seconds`.

    The thread is a daemon: a file on a mount that hangs does not keep the process from ending.
    """

    def __init__(
        self,
        reload: Callable[[], None],
        slow: Callable[[], None],
        look: Callable[[], None],
        *,
        slow_seconds: float = SLOW_SECONDS,
        look_seconds: float = LOOK_SECONDS,
        follow: Callable[[], float] | None = None,
    ) -> None:
        self._reload = reload
        self._slow = slow
        self._look = look
        self._look_seconds = look_seconds
        self._follow = follow
        self._slow_seconds = slow_seconds
        self._lock = threading.Lock()
        self._waiting: Future[Exception | None] | None = None
        self._asked: queue.SimpleQueue[Future[Exception | None] | None] = queue.SimpleQueue()

    def start(self) -> None:
        """Start the thread; raises OSError, with a text for the user, if the machine has no thread left."""
        start_daemon(self._run, "reload")

    def ask(self) -> Future[Exception | None]:
        """Request a reload; the result is its error or None.  All requests before its begin share one future."""
        with self._lock:
            if self._waiting is None:
                self._waiting = Future()
                self._asked.put(self._waiting)
            return self._waiting

    def stop(self) -> None:
        """End the thread after its current reload, without waiting for it."""
        self._asked.put(None)

    def _run(self) -> None:
        next_look = time.monotonic() + self._look_seconds
        next_follow = time.monotonic() if self._follow is not None else math.inf
        while True:
            if time.monotonic() >= next_look:
                self._safely(self._look)
                next_look = time.monotonic() + self._look_seconds
            if self._follow is not None and time.monotonic() >= next_follow:
                next_follow = (self._safely(self._follow) or self._look_seconds) + time.monotonic()
            try:
                future = self._asked.get(timeout=max(0.0, min(next_look, next_follow) - time.monotonic()))
            except queue.Empty:
                continue
            if future is None:
                return
            with self._lock:
                self._waiting = None
            watch = threading.Timer(self._slow_seconds, self._say_slow)
            watch.daemon = True
            with contextlib.suppress(RuntimeError):  # the machine has no thread left, and the reload needs none
                watch.start()
            try:
                self._reload()
            except Exception as error:  # noqa: BLE001 - `reload` has logged it
                future.set_result(error)
            else:
                future.set_result(None)
            watch.cancel()

    def _safely(self, look: Callable[[], _T]) -> _T | None:
        try:
            return look()
        except Exception:
            logger.exception("files could not be looked at; the next look follows")
            return None

    def _say_slow(self) -> None:
        logger.warning(
            "the configuration is still being read, the old one stays in force; check its mount",
            extra=fields(seconds=self._slow_seconds),
        )
        self._slow()
