"""One request under way: the time it has, what it is doing, and sockets that keep to it.

*One* deadline bounds connecting and every read and write, so that a server which drips a byte a second cannot hold a
worker.  One allowance bounds what a server may send.  Knows nothing of HTTP.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from exporter.model import Clock, Slot

MAX_WIRE_BYTES = 8 << 20
"""What one answer may cost on the wire, headers and framing included: 1 MiB in chunks of one byte is 6 MiB."""

T = TypeVar("T")


class Attempt:
    """A deadline `timeout_seconds` from now that stands still during the wait for a slot.

    `doing` is for people: it completes "timed out while …".  Once `closed` is set the attempt goes no further.
    """

    def __init__(self, clock: Clock, timeout_seconds: float, closed: threading.Event) -> None:
        self._clock = clock
        self._started_at = clock.monotonic()
        self._deadline_at = self._started_at + timeout_seconds
        self._closed = closed
        self.doing = "starting"

    @property
    def elapsed_seconds(self) -> float:
        """How long the attempt has taken, the wait for a slot excluded."""
        return self._clock.monotonic() - self._started_at

    def remaining(self) -> float:
        """Seconds left, more than 0; raises TimeoutError when none are, and OSError once `closed` is set."""
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
        """In here at most `seconds` of the time left may be used."""
        deadline_at = self._deadline_at
        self._deadline_at = min(deadline_at, self._clock.monotonic() + seconds)
        try:
            yield
        finally:
            self._deadline_at = deadline_at


class BoundedSocket(socket.socket):
    """A socket of which no call takes longer than the attempt has left."""

    _attempt: Attempt | None = None
    _allowance = 0

    def serve(self, attempt: Attempt) -> None:
        """Bind to `attempt`, with a fresh allowance of bytes to receive."""
        self._attempt = attempt
        self._allowance = MAX_WIRE_BYTES

    def connect(self, address: Any) -> None:
        """As the socket's own, within the time left."""
        self._within_time(super().connect, address)

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        """As the socket's own, within what is left of time and allowance."""
        count = self._within_time(super().recv_into, *args, **kwargs)
        self._allowance -= count
        if self._allowance < 0:
            raise OSError("the answer does not end")
        return count

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        """As the socket's own, within the time left."""
        self._within_time(super().sendall, *args, **kwargs)

    def is_reusable(self) -> bool:
        """Whether the connection is open and nothing unasked has arrived: fit for a request."""
        try:
            self.settimeout(0)
            self.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True  # also where TLS itself had something to read: session tickets after the handshake
        except (OSError, ValueError):  # ValueError: closed on our side
            return False
        return False  # end of file, or bytes that would be taken for the next answer

    def cut(self) -> None:
        """Shut the TCP connection down under whoever is using it, without a TLS goodbye."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self, socket.SHUT_RDWR)

    def _within_time(self, call: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """What `call` returns; raises as `Attempt.remaining` does where the attempt ended meanwhile."""
        assert self._attempt is not None, "not serving an attempt"  # noqa: S101 - a bug here would hang a worker
        self.settimeout(self._attempt.remaining())
        try:
            return call(*args, **kwargs)
        except OSError:
            self._attempt.remaining()
            raise


class BoundedTLSSocket(BoundedSocket, ssl.SSLSocket):
    """What `ssl.SSLContext.wrap_socket` makes when this is the context's `sslsocket_class`."""

    def do_handshake(self, block: bool = False) -> None:
        """As the socket's own, within the time left."""
        self._within_time(super().do_handshake, block)
