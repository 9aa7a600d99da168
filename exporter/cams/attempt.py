"""One request under way: the time it has left, what it is doing, the socket it may be blocked on.

Bounds every read, write and handshake by *one* deadline, so that a server which drips a byte a second can't hold a
worker, and lets another thread abort it.  Knows nothing of HTTP.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any

from exporter.model import Clock

MAX_WIRE_BYTES = 8 << 20
"""What one answer may cost on the wire, headers and framing included: 1 MiB in chunks of one byte is 6 MiB."""


HAIR_SECONDS = 0.02
"""A timeout that differs from the time left by no more than this stays as it is: setting a new one is a system
call, and a hand-over between threads."""


class AbortedError(OSError):
    """The attempt was abandoned by another thread."""


class Attempt:
    """A deadline `timeout_seconds` from now that stands still while `paused`.

    `doing` is for people: it completes "timed out while …".
    """

    def __init__(self, clock: Clock, timeout_seconds: float) -> None:
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._started_at = clock.monotonic()
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
        seconds = self._timeout_seconds - self.elapsed_seconds
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
            self._started_at += self._clock.monotonic() - began_at

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
    """What both kinds of socket share: each call takes at most what the attempt has left."""

    _attempt: Attempt | None = None
    _allowance = 0

    def serve(self, attempt: Attempt) -> None:
        """Bind to `attempt`, with a fresh allowance of bytes to receive."""
        self._attempt = attempt
        self._allowance = MAX_WIRE_BYTES

    def bound(self) -> None:
        """Set the timeout of the next call to what is left, but for a hair; raises TimeoutError when nothing is."""
        assert self._attempt is not None, "not serving an attempt"  # noqa: S101 - a bug here would hang a worker
        remaining = self._attempt.remaining()
        timeout = self.gettimeout()
        if timeout is None or abs(timeout - remaining) > HAIR_SECONDS:
            self.settimeout(remaining)

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        """As the socket's own, within what is left of time and allowance."""
        self.bound()
        count = super().recv_into(*args, **kwargs)
        self._allowance -= count
        if self._allowance < 0:
            raise OSError("the answer does not end")
        return count

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        """As the socket's own, within the time left."""
        self.bound()
        super().sendall(*args, **kwargs)

    def is_quiet(self) -> bool:
        """Whether the connection is open and nothing unasked has arrived: fit for a request.

        What a poll shows is not the last word: right after a handshake TLS itself has something to read (session
        tickets).
        """
        try:
            if not self._has_input():
                return True
            self.setblocking(False)
            self.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except (OSError, ValueError):  # ValueError: closed on our side
            return False
        return False  # end of file, or bytes that would be taken for the next answer

    def _has_input(self) -> bool:
        poll = select.poll()
        poll.register(self, select.POLLIN)
        return bool(poll.poll(0))

    def cut(self) -> None:
        """Shut the TCP connection down under whoever is using it, without a TLS goodbye."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self, socket.SHUT_RDWR)


class BoundedSocket(_Bounded):
    """A TCP socket that keeps an attempt's deadline."""

    def connect_within(self, address: Any, seconds: float) -> None:
        """Connect, giving up after `seconds`."""
        self.settimeout(seconds)
        self.connect(address)


class BoundedTLSSocket(_Bounded, ssl.SSLSocket):
    """What `ssl.SSLContext.wrap_socket` makes when this is the context's `sslsocket_class`."""

    def do_handshake(self, block: bool = False) -> None:
        """As the socket's own, within the time left."""
        self.bound()  # the ssl module bounds the whole handshake by it, not each read
        super().do_handshake(block)

    def _has_input(self) -> bool:
        return self.pending() > 0 or super()._has_input()
