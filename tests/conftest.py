"""Settings for every test."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# No deadline: a busy machine must not fail a property that holds.  In CI the examples are the same on each run.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("default"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "default")

# Proxies of the machine must not come between tests and the servers they start on loopback.
for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
    os.environ.pop(name, None)
    os.environ.pop(name.lower(), None)
