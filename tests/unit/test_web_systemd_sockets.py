"""Sockets that systemd hands over."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from exporter.web.connections.systemd_sockets import systemd_sockets


@pytest.fixture
def descriptor() -> Iterator[int]:
    """One that is free, with a free one after it."""
    first = 200
    yield first
    for each in (first, first + 1):
        try:
            os.close(each)
        except OSError:
            continue


def handed(count: int = 1) -> dict[str, str]:
    return {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(count)}


def put(descriptor: int, made: socket.socket) -> None:
    with made:
        os.dup2(made.fileno(), descriptor)


def test_each_socket_is_taken_over(descriptor: int) -> None:
    """They do not block, and no program that this one starts gets them."""
    put(descriptor, socket.create_server(("127.0.0.1", 0)))
    put(descriptor + 1, socket.create_server(("::1", 0), family=socket.AF_INET6))
    found = systemd_sockets(handed(2), descriptor)
    try:
        assert [each.fileno() for each in found] == [descriptor, descriptor + 1]
        assert [each.family for each in found] == [socket.AF_INET, socket.AF_INET6]
        assert not any(each.getblocking() or each.get_inheritable() for each in found)
        socket.create_connection(found[0].getsockname()[:2]).close()
    finally:
        for each in found:
            each.close()


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_PID": "1", "LISTEN_FDS": "1"},
        {**handed(), "LISTEN_FDS": "x"},
        {**handed(), "LISTEN_FDS": "0"},
        {**handed(), "LISTEN_FDS": "-1"},
    ],
)
def test_sockets_that_are_missing_or_for_another_process_are_a_fault(
    descriptor: int, environment: dict[str, str]
) -> None:
    put(descriptor, socket.create_server(("127.0.0.1", 0)))
    with pytest.raises(OSError, match=r"^systemd hands over no socket; start the exporter by a socket unit"):
        systemd_sockets(environment, descriptor)


@pytest.mark.parametrize(
    ("made", "fault"),
    [
        (lambda: socket.socket(socket.AF_UNIX), "is not of TCP; write ListenStream="),
        (lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM), "is not of TCP; write ListenStream="),
        (lambda: socket.socket(socket.AF_INET), "does not listen; write ListenStream=PORT or HOST:PORT, and no Accept"),
    ],
)
def test_a_socket_of_no_use_is_a_fault_that_says_what_to_write(descriptor: int, made: object, fault: str) -> None:
    assert callable(made)
    put(descriptor, made())
    with pytest.raises(OSError, match=fault):
        systemd_sockets(handed(), descriptor)


def test_a_descriptor_that_is_no_socket_is_a_fault(descriptor: int) -> None:
    reader, writer = os.pipe()
    os.dup2(reader, descriptor)
    os.close(reader)
    os.close(writer)
    with pytest.raises(OSError, match="is no socket"):
        systemd_sockets(handed(), descriptor)
