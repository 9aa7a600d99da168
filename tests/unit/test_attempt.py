"""The time of one request, and how it can be ended."""

from __future__ import annotations

import contextlib
import gc
import select
import socket
import ssl
import struct
import threading
import warnings
from collections.abc import Iterator

import pytest

from exporter.cams.attempt import Attempt, BoundedSocket, BoundedTLSSocket
from exporter.model import Clock
from tests.support.clock import FakeClock
from tests.support.patience import PATIENCE_SECONDS


def attempt_of(timeout_seconds: float, clock: Clock | None = None) -> Attempt:
    return Attempt(clock or FakeClock(), timeout_seconds, threading.Event())


def test_the_time_left_runs_out_once_for_all_steps() -> None:
    clock = FakeClock()
    attempt = attempt_of(10.0, clock)
    assert attempt.remaining() == 10.0
    clock.advance(9.5)
    assert (attempt.remaining(), attempt.elapsed_seconds) == (0.5, 9.5)
    clock.advance(0.5)
    with pytest.raises(TimeoutError):
        attempt.remaining()


def test_the_wait_for_a_slot_does_not_count_and_the_time_in_it_does() -> None:
    clock = FakeClock()
    attempt = attempt_of(10.0, clock)
    clock.advance(1.0)

    @contextlib.contextmanager
    def gate() -> Iterator[None]:
        clock.advance(100.0)
        yield

    with attempt.slot(gate):
        clock.advance(2.0)
    assert (attempt.remaining(), attempt.elapsed_seconds) == (7.0, 3.0)


def test_an_attempt_stops_when_its_client_is_closed() -> None:
    closed = threading.Event()
    attempt = Attempt(FakeClock(), 10.0, closed)
    closed.set()
    with pytest.raises(OSError, match="the client was closed"):
        attempt.remaining()


def test_a_socket_that_is_cut_ends_the_connection_for_the_other_side() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, BoundedSocket() as sock:
        sock.serve(attempt_of(10.0))
        sock.connect(listener.getsockname())
        peer, _ = listener.accept()
        with peer:
            sock.cut()
            peer.settimeout(PATIENCE_SECONDS)
            assert peer.recv(1) == b""
            assert sock.recv(1) == b""


def test_a_closed_socket_can_be_cut() -> None:
    sock = BoundedSocket()
    sock.close()
    sock.cut()


def test_a_socket_that_cannot_be_secured_is_closed() -> None:
    """The server reset the connection before TLS began; a socket left open would be a ResourceWarning."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = BoundedTLSSocket
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sock = BoundedSocket()
        sock.serve(attempt_of(10.0))
        sock.connect(listener.getsockname())
        peer, _ = listener.accept()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()  # with a reset
        poll = select.poll()
        poll.register(sock, 0)
        assert poll.poll(PATIENCE_SECONDS * 1000)  # the reset is here
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with pytest.raises(ConnectionResetError) as raised:
                context.wrap_socket(sock, server_hostname="cams.example", do_handshake_on_connect=False)
            raised.value.__traceback__ = None
            del raised
            gc.collect()
        assert [f"{warning.message}" for warning in caught] == []
