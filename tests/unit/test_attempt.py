"""The time one request has, and who may end it."""

from __future__ import annotations

import socket

import pytest

from exporter.cams.attempt import AbortedError, Attempt, BoundedSocket
from tests.support.clock import FakeClock
from tests.support.patience import PATIENCE_SECONDS


def test_the_time_left_runs_out_once_for_all_steps() -> None:
    clock = FakeClock()
    attempt = Attempt(clock, 10.0)
    assert attempt.remaining() == 10.0
    clock.advance(9.5)
    assert (attempt.remaining(), attempt.elapsed_seconds) == (0.5, 9.5)
    clock.advance(0.5)
    with pytest.raises(TimeoutError):
        attempt.remaining()


def test_a_pause_does_not_count_even_where_it_ends_in_an_error() -> None:
    clock = FakeClock()
    attempt = Attempt(clock, 10.0)
    clock.advance(1.0)

    def wait() -> None:
        with attempt.paused():
            clock.advance(100.0)
            raise KeyError

    with pytest.raises(KeyError):
        wait()
    assert (attempt.remaining(), attempt.elapsed_seconds) == (9.0, 1.0)


def test_an_aborted_attempt_goes_no_further() -> None:
    attempt = Attempt(FakeClock(), 10.0)
    attempt.abort()
    with pytest.raises(AbortedError):
        attempt.remaining()
    sock = BoundedSocket()
    with pytest.raises(AbortedError):
        attempt.use(sock)
    assert sock.fileno() == -1  # nobody else would close it


def test_an_abort_after_the_end_harms_nothing() -> None:
    attempt = Attempt(FakeClock(), 10.0)
    sock = BoundedSocket()
    attempt.use(sock)
    sock.close()
    attempt.abort()


def test_an_abort_ends_the_connection_for_the_other_side() -> None:
    attempt = Attempt(FakeClock(), 10.0)
    with socket.create_server(("127.0.0.1", 0)) as listener, BoundedSocket() as sock:
        attempt.use(sock)
        sock.connect(listener.getsockname())
        peer, _ = listener.accept()
        with peer:
            assert sock.is_reusable()
            attempt.abort()
            peer.settimeout(PATIENCE_SECONDS)
            assert peer.recv(1) == b""
            assert not sock.is_reusable()


def test_a_closed_connection_is_fit_for_nothing() -> None:
    sock = BoundedSocket()
    sock.close()
    assert not sock.is_reusable()
