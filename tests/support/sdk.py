"""Alibaba's own SDK as a client of the simulator."""

from __future__ import annotations

from typing import Any

# No part of the SDK has types.
from alibabacloud_cams20200606.client import Client  # type: ignore[import-untyped]
from alibabacloud_tea_openapi.utils_models import Config  # type: ignore[import-untyped]

from exporter.simulator import Simulator
from tests.support.simulated import KEY, SECRET


def sdk(simulator: Simulator, secret: str = SECRET, **more: str) -> Any:
    """A client of the SDK, with the key of the account `care`; Any, since the SDK has no types."""
    endpoint = simulator.url.removeprefix("http://")
    return Client(Config(access_key_id=KEY, access_key_secret=secret, endpoint=endpoint, protocol="http", **more))
