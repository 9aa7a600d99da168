"""The last polls of each number, for the number's page: one short text a number, one JSON line a poll.

As objects they would take four times the memory, which 50,000 numbers do not have.  Pure: time is an argument.
"""

from __future__ import annotations

import json
from typing import NamedTuple

MAX_POLLS = 5
"""Polls kept of a number, successes and failures alike."""

SAME_SECONDS = 5.0
"""Two replicas tell of the same poll if nothing but its time differs, and by less than this."""

_encoded = json.JSONEncoder(separators=(",", ":")).encode


class Poll(NamedTuple):
    """One poll that ended: `outcome` is the status it brought or, where it failed, the error's code.

    `unix` is when it ended; `latency_seconds` is the time that the request took.
    """

    unix: float
    success: bool
    outcome: str
    latency_seconds: float
    request_id: str = ""
    http_status: int | None = None


def with_poll(polls: str, poll: Poll) -> str:
    """`polls` with one more; the oldest goes when there are too many."""
    short = poll._replace(unix=round(poll.unix, 3), latency_seconds=round(poll.latency_seconds, 3))
    return "\n".join([*polls.splitlines()[1 - MAX_POLLS :], _encoded(short)])


def newest_in(polls: str) -> Poll | None:
    """The last poll in `polls`; None if there is none."""
    return Poll(*json.loads(polls.rpartition("\n")[2])) if polls else None


def with_others(polls: str, others: str) -> str:
    """`polls` with the newest of another replica, unless that is the same: its time is not exact."""
    mine, theirs = newest_in(polls), newest_in(others)
    if theirs is None or (mine and mine[1:] == theirs[1:] and abs(mine.unix - theirs.unix) < SAME_SECONDS):
        return polls
    return with_poll(polls, theirs)


def polls_in(polls: str, later_seconds: float) -> tuple[Poll, ...]:
    """The polls in `polls`, newest first, their times later by `later_seconds`."""
    found = (Poll(*json.loads(line)) for line in reversed(polls.splitlines()))
    return tuple(poll._replace(unix=round(poll.unix + later_seconds, 3)) for poll in found)
