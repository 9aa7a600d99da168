"""The time that one request has, and sockets that keep to it.  Knows nothing of HTTP.

One deadline bounds connecting and every read and write, so that a server that sends a byte a second cannot hold a
worker.  One allowance bounds the bytes that a server may send.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from exporter.model import Clock, Slot

MAX_BODY_BYTES = 1 << 20
"""The largest body of an answer, unless its operation needs a larger one."""

MAX_FRAMING_BYTES = 7 << 20
"""The allowance for headers and framing of one answer, besides its body.  1 MiB in chunks of one byte needs 5 MiB of
it; 16 MiB fit in chunks of 12 bytes."""

T = TypeVar("T")


class Attempt:
    """One request: a deadline `timeout_seconds` from now, without the wait for a slot.

    The body of its answer has at most `max_body_bytes`.  `doing` says what it does now, for error messages: "timed out
    while …".  It ends once `closed` is set.
    """

    def __init__(
        self, clock: Clock, timeout_seconds: float, closed: threading.Event, max_body_bytes: int = MAX_BODY_BYTES
    ) -> None:
        self._clock = clock
        self._started_at = clock.monotonic()
        self._deadline_at = self._started_at + timeout_seconds
        self._closed = closed
        self.max_body_bytes = max_body_bytes
        self.doing = "starting"

    @property
    def elapsed_seconds(self) -> float:
        """How long the attempt has taken, without the wait for a slot."""
        return self._clock.monotonic() - self._started_at

    def remaining(self) -> float:
        """Seconds left, more than 0.  Raises TimeoutError if none are left, and OSError once `closed` is set."""
        if self._closed.is_set():
            raise OSError("the client was closed")
        seconds = self._deadline_at - self._clock.monotonic()
        if seconds <= 0:
            raise TimeoutError
        return seconds

    @contextlib.contextmanager
    def slot(self, gate: Callable[[], Slot]) -> Iterator[None]:
        """Wait for a slot of `gate` and stay in it; the wait does not count."""
        began_at = self._clock.monotonic()
        with gate():
            waited = self._clock.monotonic() - began_at
            self._started_at += waited
            self._deadline_at += waited
            yield

    @contextlib.contextmanager
    def limited(self, seconds: float) -> Iterator[None]:
        """In here, at most `seconds` of the time left may be used."""
        deadline_at = self._deadline_at
        self._deadline_at = min(deadline_at, self._clock.monotonic() + seconds)
        try:
            yield
        finally:
            self._deadline_at = deadline_at


class BoundedSocket(socket.socket):
    """A socket whose calls end when the attempt's time is up."""

    _attempt: Attempt | None = None
    _allowance = 0

    def serve(self, attempt: Attempt) -> None:
        """Bind to `attempt`, with a fresh allowance of bytes to receive."""
        self._attempt = attempt
        self._allowance = attempt.max_body_bytes + MAX_FRAMING_BYTES

    def connect(self, address: Any) -> None:
        """As of any socket, within the time left."""
        self._within_time(super().connect, address)

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        """As of any socket, within the time and the allowance left."""
        count = self._within_time(super().recv_into, *args, **kwargs)
        self._allowance -= count
        if self._allowance < 0:
            raise OSError("the answer does not end")
        return count

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        """As of any socket, within the time left."""
        self._within_time(super().sendall, *args, **kwargs)

    def cut(self) -> None:
        """End the TCP connection while another thread uses it, without TLS's close_notify."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self, socket.SHUT_RDWR)

    def _within_time(self, call: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """What `call` returns; raises as `Attempt.remaining` does if the attempt ended during the call."""
        assert self._attempt is not None, "not serving an attempt"  # noqa: S101 - a bug here would hang a worker
        self.settimeout(self._attempt.remaining())
        try:
            return call(*args, **kwargs)
        except OSError:
            self._attempt.remaining()
            raise


class BoundedTLSSocket(BoundedSocket, ssl.SSLSocket):
    """A TLS socket of that kind: for `ssl.SSLContext.sslsocket_class`."""

    def recv(self, *args: Any, **kwargs: Any) -> bytes:
        """As of any socket; closes it on an error that `wrap_socket` leaves open.

        `wrap_socket` reads from a connection that the server has reset, and forgets the new socket if that fails.
        """
        try:
            return super().recv(*args, **kwargs)
        except OSError:
            if self._attempt is None:
                self.close()
            raise

    def do_handshake(self, block: bool = False) -> None:
        """As of any socket, within the time left."""
        self._within_time(super().do_handshake, block)
