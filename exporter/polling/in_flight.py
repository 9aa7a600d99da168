"""How many polls of an account may be under way at once, which bounds the threads and connections of the process.

Pure arithmetic.  A poll that is under way has a worker thread of its own.
"""

from __future__ import annotations

import math

CONNECT_AHEAD_SECONDS = 0.4
"""As many polls as there are slots in this time may wait for theirs, so that connecting does not cost a slot."""

HAND_OUT_SECONDS = 0.6
"""A poll is handed to a worker no earlier than this before its slot: a server may close a connection that waits long.
More than `CONNECT_AHEAD_SECONDS`, so that at 5/s and above it does not count: the threads hand over by themselves."""

MAX_POLLS_UNDER_WAY = 1000
"""In all accounts together; an account may have its even share of them, and at least `MIN_SHARE`."""

MIN_SHARE = 4


def connect_ahead(pace: float) -> int:
    """How many polls may wait for their slots at once."""
    return max(2, min(32, math.ceil(pace * CONNECT_AHEAD_SECONDS)))


def max_in_flight(pace: float, timeout_seconds: float, accounts: int) -> int:
    """How many polls of an account may be under way, so that answers as slow as the timeout do not eat the budget.

    Bounded by an even share of `MAX_POLLS_UNDER_WAY`: a process never has more worker threads than the sum, and what
    one account lets hang takes nothing from another's share.
    """
    needed = math.ceil(pace * timeout_seconds) + connect_ahead(pace)
    return min(needed, max(MIN_SHARE, MAX_POLLS_UNDER_WAY // max(1, accounts)))


class InFlight:
    """The polls of one account that are under way, and the room for more.  Not thread-safe: its poller holds the lock.

    A poll waits until it has passed the gate; after that it is in flight.
    """

    def __init__(self) -> None:
        self._most_under_way = self._most_waiting = 1
        self.under_way = 0
        """Polls handed to workers."""
        self.waiting = 0
        """Those of them that have no slot yet."""

    def configure(self, pace: float, timeout_seconds: float, accounts: int) -> None:
        """Take over new bounds; polls beyond them end in their own time."""
        self._most_under_way = max_in_flight(pace, timeout_seconds, accounts)
        self._most_waiting = connect_ahead(pace)

    @property
    def full(self) -> bool:
        """Whether as many polls are under way as may be."""
        return self.under_way >= self._most_under_way

    @property
    def crowded(self) -> bool:
        """Whether as many polls wait for their slots as may."""
        return self.waiting >= self._most_waiting

    @property
    def in_flight(self) -> int:
        """Polls that have passed the gate and have not ended."""
        return self.under_way - self.waiting

    def taken(self) -> None:
        """A poll is handed out."""
        self.under_way += 1
        self.waiting += 1

    def passed(self) -> bool:
        """A poll passes the gate; tells whether it is time to hand out more."""
        self.waiting -= 1
        return self.waiting <= self._most_waiting // 2

    def came_back(self) -> None:
        """A poll that had passed the gate waits there again."""
        self.waiting += 1

    def ended(self, *, passed: bool) -> None:
        """A poll ends, having passed the gate or not."""
        self.under_way -= 1
        if not passed:
            self.waiting -= 1
