"""Listening sockets that systemd hands over: it opened them before it started this process.

Source: systemd's sd_listen_fds(3).
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping

FIRST_DESCRIPTOR = 3

_CURE = "start the exporter by a socket unit of systemd, or use --web.listen-address in place of --web.systemd-socket"


def systemd_sockets(
    environment: Mapping[str, str] = os.environ, first_descriptor: int = FIRST_DESCRIPTOR
) -> list[socket.socket]:
    """The sockets, non-blocking; OSError with a text for the user where there is none, or one that cannot be used."""
    count = _count(environment)
    if not count:
        raise OSError(f"systemd hands over no socket; {_CURE}")
    with contextlib.ExitStack() as taken:
        descriptors = range(first_descriptor, first_descriptor + count)
        found = [taken.enter_context(_listening(descriptor)) for descriptor in descriptors]
        taken.pop_all()
        return found


def _count(environment: Mapping[str, str]) -> int:
    """How many sockets there are; 0 where they are meant for another process."""
    try:
        is_meant = int(environment.get("LISTEN_PID", "")) == os.getpid()
        return max(0, int(environment.get("LISTEN_FDS", ""))) if is_meant else 0
    except ValueError:
        return 0


def _listening(descriptor: int) -> socket.socket:
    try:
        handed = socket.socket(fileno=descriptor)
    except OSError:
        raise OSError(f"descriptor {descriptor} of systemd is no socket; {_CURE}") from None
    is_tcp = handed.family in {socket.AF_INET, socket.AF_INET6} and handed.type == socket.SOCK_STREAM
    if not is_tcp or not handed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        handed.close()
        what = "does not listen" if is_tcp else "is not of TCP"
        cure = "write ListenStream=PORT or HOST:PORT, and no Accept=yes, into the socket unit"
        raise OSError(f"the socket {descriptor} of systemd {what}; {cure}")
    handed.set_inheritable(False)
    handed.setblocking(False)
    return handed
