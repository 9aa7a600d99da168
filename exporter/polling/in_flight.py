"""How many polls of an account may be under way at once, which bounds the threads and connections of the process.

Pure arithmetic.  A poll that is under way has a worker thread of its own.
"""

from __future__ import annotations

import math

CONNECT_AHEAD_SECONDS = 0.4
"""As many polls as there are slots in this time may wait for theirs, so that connecting does not cost a slot."""

HAND_OUT_SECONDS = 0.6
"""A poll is handed to a worker no earlier than this before its slot: a server may close a connection that waits long.
More than `CONNECT_AHEAD_SECONDS`, so that it does not count at 5/s and above: a worker takes the next poll itself."""

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
