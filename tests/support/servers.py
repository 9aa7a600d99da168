"""What tests need to start a real server: its binary, and a port on loopback."""

from __future__ import annotations

import os
import shutil
import socket

import pytest


def require_binary(name: str, variable: str = "") -> str:
    """The path of a server's binary, named by the environment `variable` or found in the path.

    Skips the test where there is none; fails it where `CI` is ``true``, since a skip would hide a broken set-up.
    """
    wanted = os.environ.get(variable) or name
    found = shutil.which(wanted)
    if found:
        return found
    reason = f"{wanted} is not installed (Debian: scripts/install-test-tools)"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def free_port() -> int:
    """A loopback TCP port that was free a moment ago; it may be lost again, so whoever binds it retries."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
