"""Settings for every test."""

from __future__ import annotations

import gc
import os
import sys

import pytest
from hypothesis import HealthCheck, settings

gc.disable()  # until all tests are collected


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """End-to-end tests mostly wait.  So each worker of xdist, which gets an equal part of all, begins with some."""
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    waiting = [item for item in items if "e2e" in item.path.parts]
    others = [item for item in items if "e2e" not in item.path.parts]
    items[:] = [
        item
        for worker in range(count)
        for tests in (waiting, others)
        for item in tests[len(tests) * worker // count : len(tests) * (worker + 1) // count]
    ]


def pytest_collection_finish() -> None:
    """Collect garbage again, but do not look through what lasts to the end: that takes more time than many a test."""
    gc.freeze()
    gc.enable()


# No deadline: a busy machine must not fail a property that holds.  In CI the examples are the same on each run.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("default"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "default")

# Proxies of the machine must not come between tests and the servers they start on loopback.
for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
    os.environ.pop(name, None)
    os.environ.pop(name.lower(), None)

# Modules are compiled once, not again by each of a thousand processes.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# promtool and the other programs in Go take a fifth less CPU, and some hundred MB more memory.
os.environ.setdefault("GOGC", "400")
