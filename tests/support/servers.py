"""What tests need to start a real server: its binary, and a port on loopback.

Prometheus and its kin come in two releases: ``installed``, the machine's own (Debian 12: Prometheus 2.42, Alertmanager
0.25), and ``prometheus-3``, which scripts/install-prometheus-3 unpacks beside the running Python.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
from pathlib import Path

import pytest

INSTALLED, PROMETHEUS_3 = RELEASES = ("installed", "prometheus-3")

each_release = pytest.mark.parametrize("release", RELEASES)
"""For a test that takes `release` and holds on either."""


def server_binary(name: str, variable: str, release: str) -> str:
    """The path of a server's or tool's binary in a release; `variable` names another for the installed one."""
    return require_binary(name, variable) if release == INSTALLED else require_binary(_unpacked(name, release))


def has_server(name: str, variable: str, release: str) -> bool:
    """Whether `server_binary` finds the binary; it skips or fails the test where it does not."""
    wanted = os.environ.get(variable) or name if release == INSTALLED else _unpacked(name, release)
    return shutil.which(wanted) is not None


def _unpacked(name: str, release: str) -> str:
    return str(Path(sys.prefix) / release / "bin" / name)


def require_binary(name: str, variable: str = "") -> str:
    """The path of a server's binary, named by the environment `variable` or found in the path.

    Skips the test where there is none; fails it where `CI` is ``true``, since a skip would hide a broken set-up.
    """
    wanted = os.environ.get(variable) or name
    found = shutil.which(wanted)
    if found:
        return found
    reason = f"{wanted} is not installed: make develop (as root, or with sudo)"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def free_port() -> int:
    """A loopback TCP port that was free a moment ago; it may be lost again, so whoever binds it retries."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
