"""The lines of the log of arrivals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from exporter.simulator.window import busiest_second


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request: `at` is its monotonic time, `unix` its wall time, both on the world's clock, without skew.

    `account` is empty if the key was unknown, `operation` if no operation has that name; `outcome` is the `Code`
    answered, or the name of the fault played.  If the machine may have stalled before the request was read, `since` is
    before `at`: the request came in between.
    """

    at: float
    unix: float
    account: str
    cust_space_id: str
    phone_number: str
    outcome: str
    since: float
    operation: str = ""


def surely_in_a_second(arrivals: Sequence[Arrival]) -> int:
    """The maximum in any sliding second, without those that were perhaps read together because this machine stalled."""
    return busiest_second([arrival.at for arrival in arrivals], [arrival.since for arrival in arrivals])
