"""One request under way: the time it has left, what it is doing, the socket it may be blocked on.

Bounds every read, write and handshake by *one* deadline, so that a server which drips a byte a second can't hold a
worker, and lets another thread abort it.  Knows nothing of HTTP.
"""

from __future__ import annotations

import contextlib
import math
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from exporter.model import Clock

MAX_WIRE_BYTES = 8 << 20
"""What one answer may cost on the wire, headers and framing included: 1 MiB in chunks of one byte is 6 MiB."""

T = TypeVar("T")


class AbortedError(OSError):
    """The attempt was abandoned by another thread."""


class Attempt:
    """A deadline `timeout_seconds` from now that stands still while `paused`.

    `doing` is for people: it completes "timed out while …".
    """

    def __init__(self, clock: Clock, timeout_seconds: float) -> None:
        self._clock = clock
        self._started_at = clock.monotonic()
        self._deadline_at = self._started_at + timeout_seconds
        self._lock = threading.Lock()
        self._socket: BoundedSocket | BoundedTLSSocket | None = None
        self._aborted = False
        self.doing = "starting"

    @property
    def elapsed_seconds(self) -> float:
        """How long the attempt has taken, pauses excluded."""
        return self._clock.monotonic() - self._started_at

    def remaining(self) -> float:
        """Seconds left, more than 0; raises TimeoutError when none are, and AbortedError after `abort`."""
        if self._aborted:
            raise AbortedError("the client was closed")
        seconds = self._deadline_at - self._clock.monotonic()
        if seconds <= 0:
            raise TimeoutError
        return seconds

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Time spent in here does not count."""
        began_at = self._clock.monotonic()
        try:
            yield
        finally:
            seconds = self._clock.monotonic() - began_at
            self._started_at += seconds
            self._deadline_at += seconds

    @contextlib.contextmanager
    def limited(self, seconds: float) -> Iterator[None]:
        """In here at most `seconds` of the time left are to be had; nothing may pause."""
        deadline_at = self._deadline_at
        self._deadline_at = min(deadline_at, self._clock.monotonic() + seconds)
        try:
            yield
        finally:
            self._deadline_at = deadline_at

    def use(self, sock: BoundedSocket | BoundedTLSSocket) -> None:
        """Bind `sock` to this attempt; closes it and raises AbortedError after `abort`."""
        with self._lock:
            if not self._aborted:
                sock.serve(self)
                self._socket = sock
                return
        sock.close()
        raise AbortedError("the client was closed")

    def abort(self) -> None:
        """Wake whoever is blocked in this attempt, and let it go no further; from any thread."""
        with self._lock:
            self._aborted = True
            if self._socket is not None:
                self._socket.cut()


class _Bounded(socket.socket):
    """What both kinds of socket share: each call takes at most what the attempt has left.

    The socket itself never blocks; what cannot go on waits here.  A timeout of the socket's own would cost several
    system calls for each of ours, and each is a hand-over between threads.
    """

    peer_address: Any = None
    """Where it leads, as `connect` took it; None before."""
    renew_at = math.inf
    """When a new connection should take its place (monotonic)."""

    _attempt: Attempt | None = None
    _allowance = 0

    def serve(self, attempt: Attempt) -> None:
        """Bind to `attempt`, with a fresh allowance of bytes to receive."""
        self._attempt = attempt
        self._allowance = MAX_WIRE_BYTES

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        """As the socket's own, within what is left of time and allowance."""
        count = self._within_time(super().recv_into, select.POLLIN, *args, **kwargs)
        self._allowance -= count
        if self._allowance < 0:
            raise OSError("the answer does not end")
        return count

    def sendall(self, data: Any, flags: int = 0) -> None:
        """As the socket's own, within the time left."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._within_time(super().send, select.POLLOUT, rest, flags) :]

    def is_reusable(self) -> bool:
        """Whether the connection is open and nothing unasked has arrived: fit for a request.

        What a poll shows is not the last word: right after a handshake TLS itself has something to read (session
        tickets).
        """
        try:
            if not self._has_input():
                return True
            self.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except (OSError, ValueError):  # ValueError: closed on our side
            return False
        return False  # end of file, or bytes that would be taken for the next answer

    def cut(self) -> None:
        """Shut the TCP connection down under whoever is using it, without a TLS goodbye."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self, socket.SHUT_RDWR)

    def _within_time(self, call: Callable[..., T], event: int, *args: Any, **kwargs: Any) -> T:
        """`call` until it does not have to wait, for `event` or what TLS wants; raises TimeoutError at the deadline."""
        assert self._attempt is not None, "not serving an attempt"  # noqa: S101 - a bug here would hang a worker
        while True:
            remaining = self._attempt.remaining()
            try:
                return call(*args, **kwargs)
            except BlockingIOError:
                wanted = event
            except ssl.SSLWantReadError:
                wanted = select.POLLIN
            except ssl.SSLWantWriteError:
                wanted = select.POLLOUT
            if not self._has_come(wanted, remaining):
                raise TimeoutError

    def _has_input(self) -> bool:
        return self._has_come(select.POLLIN, 0.0)

    def _has_come(self, event: int, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self, event)
        return bool(poll.poll(seconds * 1000))


class BoundedSocket(_Bounded):
    """A TCP socket that keeps an attempt's deadline."""

    def connect(self, address: Any) -> None:
        """As the socket's own, within the time left."""
        assert self._attempt is not None, "not serving an attempt"  # noqa: S101 - a bug here would hang a worker
        self.settimeout(self._attempt.remaining())
        super().connect(address)
        self.setblocking(False)


class BoundedTLSSocket(_Bounded, ssl.SSLSocket):
    """What `ssl.SSLContext.wrap_socket` makes when this is the context's `sslsocket_class`."""

    def do_handshake(self, block: bool = False) -> None:
        """As the socket's own, within the time left."""
        self._within_time(super().do_handshake, select.POLLIN, block)

    def _has_input(self) -> bool:
        return self.pending() > 0 or super()._has_input()
