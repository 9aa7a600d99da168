"""Reloads, one after the other on a thread of their own; those asked for while one is under way become one."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future

from exporter.logs import fields
from exporter.threads import start_daemon

logger = logging.getLogger(__name__)

SLOW_SECONDS = 30.0
"""A reload that takes longer is said to: the file may be on a mount that hangs."""


class Reloads:
    """Runs `reload` whenever asked to; calls `slow` where one takes longer than `slow_seconds`.  Thread-safe.

    The thread is a daemon: a file that can't be read does not keep the process from stopping.
    """

    def __init__(
        self, reload: Callable[[], None], slow: Callable[[], None], slow_seconds: float = SLOW_SECONDS
    ) -> None:
        self._reload = reload
        self._slow = slow
        self._slow_seconds = slow_seconds
        self._lock = threading.Lock()
        self._waiting: Future[Exception | None] | None = None
        self._asked: queue.SimpleQueue[Future[Exception | None] | None] = queue.SimpleQueue()

    def start(self) -> None:
        """Start the thread; raises OSError, with a text for the user, where the machine has none left."""
        start_daemon(self._run, "reload")

    def ask(self) -> Future[Exception | None]:
        """What goes wrong in a reload that begins from now on, or None; shared by all who ask before it begins."""
        with self._lock:
            if self._waiting is None:
                self._waiting = Future()
                self._asked.put(self._waiting)
            return self._waiting

    def stop(self) -> None:
        """End the thread after the reload it may be in; waits for nothing."""
        self._asked.put(None)

    def _run(self) -> None:
        while (future := self._asked.get()) is not None:
            with self._lock:
                self._waiting = None
            watch = threading.Timer(self._slow_seconds, self._say_slow)
            watch.daemon = True
            with contextlib.suppress(RuntimeError):  # the machine has no thread left: the reload itself needs none
                watch.start()
            future.set_result(self._outcome())
            watch.cancel()

    def _outcome(self) -> Exception | None:
        try:
            self._reload()
        except Exception as error:  # noqa: BLE001 - whoever reloads has logged it
            return error
        return None

    def _say_slow(self) -> None:
        logger.warning(
            "the configuration is still being read, the old one stays in force; is its mount well?",
            extra=fields(seconds=self._slow_seconds),
        )
        self._slow()
