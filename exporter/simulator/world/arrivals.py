"""The log of arrivals, and the number of arrivals in one second.  Has no lock (see `world`)."""

from __future__ import annotations

from collections import deque
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


class ArrivalLog:
    """The last `kept` arrivals."""

    def __init__(self, kept: int) -> None:
        self._arrivals: deque[Arrival] = deque(maxlen=kept)

    def append(self, arrival: Arrival) -> None:
        """Add the newest arrival."""
        self._arrivals.append(arrival)

    def select(self, account: str | None, operation: str | None) -> tuple[Arrival, ...]:
        """The arrivals of one account or of all, of one operation or of all; oldest first."""
        return tuple(
            arrival
            for arrival in self._arrivals
            if account in (None, arrival.account) and operation in (None, arrival.operation)
        )


def in_a_second(arrivals: tuple[Arrival, ...]) -> int:
    """The maximum of arrivals in any sliding second."""
    return busiest_second([arrival.at for arrival in arrivals])


def surely_in_a_second(arrivals: tuple[Arrival, ...]) -> int:
    """Like `in_a_second`, without requests that were perhaps read together because this machine stalled."""
    return busiest_second([arrival.at for arrival in arrivals], [arrival.since for arrival in arrivals])
