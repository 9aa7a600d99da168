"""The addresses of one host, in the order to try them.  Connects to none."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from socket import AI_NUMERICHOST, SOCK_STREAM, gaierror, getaddrinfo
from typing import Any

from exporter.cams.attempt import Attempt
from exporter.model import Clock
from exporter.threads import begin

Lookup = Callable[..., list[Any]]
"""`socket.getaddrinfo`, or what stands for it in a test."""

PASSED_OVER_SECONDS = 300.0
"""For so long an address that failed is tried after the others."""


class Addresses:
    """Finds the addresses of one host; thread-safe.

    A look-up cannot be interrupted, so it runs on its own thread, and all callers share it.  If DNS hangs, one thread
    hangs.
    """

    def __init__(self, host: str, port: int, clock: Clock, lookup: Lookup) -> None:
        self._host = host
        self._port = port
        self._clock = clock
        self._lookup = lookup
        self._lock = threading.Lock()
        self._under_way: Future[list[Any]] | None = None
        self._failed_at: dict[Any, float] = {}  # by address; replaced, never changed

    def find(self, attempt: Attempt) -> list[Any]:
        """The addresses as `socket.getaddrinfo` gives them, in the order to try them.  Raises OSError.

        An address that failed comes after the others for `PASSED_OVER_SECONDS`.  Of several, the one that failed
        longest ago comes first.
        """
        attempt.doing = f"looking up the host name {self._host}"
        since, failed_at = self._clock.monotonic() - PASSED_OVER_SECONDS, self._failed_at
        return sorted(self._resolve(attempt), key=lambda found: max(since, failed_at.get(found[4], since)))

    def failed(self, address: Any) -> None:
        """A connection to `address`, from a result of `find`, could not be made or broke."""
        now = self._clock.monotonic()
        recent = {each: at for each, at in self._failed_at.items() if now - at < PASSED_OVER_SECONDS}
        self._failed_at = recent | {address: now}

    def _resolve(self, attempt: Attempt) -> list[Any]:
        with contextlib.suppress(gaierror, UnicodeError):
            return getaddrinfo(self._host, self._port, type=SOCK_STREAM, flags=AI_NUMERICHOST)
        with self._lock:
            if self._under_way is None:
                self._under_way = begin(self._look_up, "dns")
            under_way = self._under_way
        try:
            return under_way.result(timeout=attempt.remaining())
        except UnicodeError:
            raise OSError("not a host name") from None

    def _look_up(self) -> list[Any]:
        try:
            return self._lookup(self._host, self._port, type=SOCK_STREAM)
        finally:
            with self._lock:
                self._under_way = None
