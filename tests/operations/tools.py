"""Finds the tools of the operations tests; skips or fails if one is missing."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
"""The repository."""


def python_tool(name: str) -> str:
    """A command that is installed beside the running Python; requirements-dev.txt brings it."""
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    return found or missing(f"{name} is not in the virtual environment: make develop")


def system_tool(name: str, package: str) -> str:
    """A command of the machine, from Debian's `package`."""
    return shutil.which(name) or missing(f"{name} is not installed (Debian: apt-get install {package})")


def environment_tool(variable: str, reason: str) -> str:
    """The value of an environment variable.  If it is not set, the test is skipped, also in CI: another make target
    sets it."""
    value = os.environ.get(variable)
    if not value:
        pytest.skip(reason)
    return value


def missing(reason: str) -> str:
    """Skip because a tool is missing; fail if `CI` is ``true``, because a skip would hide a broken set-up."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
