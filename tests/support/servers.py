"""Finds the binary of a real server, and a port on loopback; asks servers there.

Prometheus and its tools come in two releases: ``installed``, the machine's own (Debian 12: Prometheus 2.42,
Alertmanager 0.25), and ``prometheus-3``, which scripts/install-prometheus-3 unpacks next to the running Python.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Asks servers on loopback, whatever proxy the environment names."""

INSTALLED, PROMETHEUS_3 = RELEASES = ("installed", "prometheus-3")

each_release = pytest.mark.parametrize("release", RELEASES)
"""For a test with the argument `release`, run on both."""


def server_binary(name: str, variable: str, release: str) -> str:
    """The path of a server's or tool's binary in a release; the environment `variable` can replace the installed
    one."""
    return require_binary(name, variable) if release == INSTALLED else require_binary(_unpacked(name, release))


def has_server(name: str, variable: str, release: str) -> bool:
    """Skip or fail the test if the binary is missing."""
    wanted = os.environ.get(variable) or name if release == INSTALLED else _unpacked(name, release)
    return shutil.which(wanted) is not None


def _unpacked(name: str, release: str) -> str:
    return str(Path(sys.prefix) / release / "bin" / name)


def require_binary(name: str, variable: str = "") -> str:
    """The path of a server's binary, named by the environment `variable` or found in the path.

    Skips the test if there is none; fails it if `CI` is ``true``, because a skip would hide a broken set-up.
    """
    wanted = os.environ.get(variable) or name
    found = shutil.which(wanted)
    if found:
        return found
    reason = f"{wanted} is not installed: make develop (as root, or with sudo)"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def reserved_port() -> Iterator[int]:
    """A loopback TCP port that no other process gets.  A server can listen on it: it reuses addresses, as this does."""
    with socket.socket() as kept:
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.bind(("127.0.0.1", 0))
        yield kept.getsockname()[1]


def has_ipv6() -> bool:
    """Whether this machine has an IPv6 loopback address."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
