"""A phone number and its values in the answers.  Each value may change with time."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.simulator.faults import Fault
from exporter.simulator.timeline import Changing
from exporter.simulator.world.health import Health

Span = tuple[float, float]
"""Latency in seconds, uniform between the two values; equal values give a fixed latency."""


HEALTHY = Health()


@dataclass(slots=True, eq=False)
class Number:
    """A phone number.  Its `fault` is that of its status calls; `latency_seconds` is that of all its calls.

    If `exists` is false, no operation knows the number.  If `listed` is false, only the listing of its space omits it.
    `shown_as`, if set, replaces the phone number in answers.  `listed_status`, if set, replaces the verification status
    in the listing.  A listing omits fields that are None.  `health_fault` is the fault of its health calls.
    """

    cust_space_id: str
    phone_number: str
    status: Changing[str]
    id: str
    fault: Changing[Fault | None] = None
    latency_seconds: Span | None = None
    exists: Changing[bool] = True
    listed: Changing[bool] = True
    shown_as: Changing[str | None] = None
    listed_status: Changing[str | None] = None
    connection_status: Changing[str | None] = "CONNECTED"
    quality_rating: Changing[str | None] = "GREEN"
    messaging_limit_tier: Changing[str | None] = "TIER_1K"
    name_status: Changing[str | None] = "Approval"
    new_name_status: Changing[str | None] = "NONE"
    verified_name: Changing[str | None] = "Simulated Ltd"
    is_official: Changing[str | None] = "N"
    health: Changing[Health] = HEALTHY
    health_fault: Changing[Fault | None] = None
