"""How long polls, listings and health checks of an account really take in the long run.  Pure arithmetic.

All three take their slots from one budget.  The rules of `polling` that count here:

- While polls are due, listing and health together get at most every other slot if polls take at most half of all slots
  in the long run, else every tenth.  While none is due, they get all slots.
- So they get what polls leave, and a tenth of the slots where polls do not leave as much.
- If they want more than that, each gets a half of it, and what the other does not use.

Throttles, failures and retries are not counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from exporter.model import QUOTA_SHARE

LISTING_QPS = 10.0 * QUOTA_SHARE
HEALTH_QPS = 5.0 * QUOTA_SHARE
"""The most requests per second of listing, and of health: a little below what the API allows."""

MOST_SHARE = 0.5
LEAST_SHARE = 0.1
"""The share of the slots that listing and health may take while polls are due: see `share_while_polls_are_due`."""

ROUNDING = 1 + 1e-9


class Regular(NamedTuple):
    """`requests` that are wanted once per `interval_seconds`, at most `max_qps` of them per second."""

    requests: int
    interval_seconds: float
    max_qps: float

    @property
    def wanted_qps(self) -> float:
        """Requests per second for the interval, whether they are possible or not."""
        return self.requests / self.interval_seconds

    @property
    def possible_qps(self) -> float:
        """Requests per second that are wanted and that the API allows."""
        return min(self.wanted_qps, self.max_qps)

    def seconds(self, qps: float) -> float:
        """The time between two requests for the same thing, if `qps` of them are sent per second."""
        return self.interval_seconds if self.wanted_qps <= qps * ROUNDING else self.requests / qps


class Shares(NamedTuple):
    """Requests per second that polls, listing and health really get."""

    polls: float
    listing: float
    health: float


@dataclass(frozen=True, slots=True)
class Times:
    """How long polls, listings and health checks really take with so many numbers and spaces, and how long they count.

    All in seconds.  `poll_seconds`, `refresh_seconds` and `health_seconds` pass between two polls of a number, two
    listings of a space, and two health checks of a number; `pass_seconds` is the time in which the whole budget polls
    every number once.  A status counts for `stale_after_seconds`, what a listing says for `listing_valid_seconds`, a
    verdict on a number's health for `health_valid_seconds`.  None: the account has no `discover`, or no `health`.
    """

    numbers: int
    spaces: int
    shares: Shares
    pass_seconds: float
    poll_seconds: float
    stale_after_seconds: float
    refresh_seconds: float | None = None
    listing_valid_seconds: float | None = None
    health_seconds: float | None = None
    health_valid_seconds: float | None = None


def share_while_polls_are_due(pace_qps: float, polls: Regular) -> float:
    """The share of the slots that listing and health may take while polls are due.

    Polls that take more than half of the slots would not fit their interval if every other slot were taken.
    """
    return MOST_SHARE if polls.wanted_qps <= pace_qps * (1 - MOST_SHARE) else LEAST_SHARE


def shares(pace_qps: float, polls: Regular, listing: Regular, health: Regular) -> Shares:
    """What each gets of `pace_qps`."""
    rest = max(pace_qps - polls.wanted_qps, pace_qps * LEAST_SHARE)
    lists = min(listing.possible_qps, max(rest / 2, rest - health.possible_qps))
    checks = min(health.possible_qps, rest - lists)
    return Shares(min(polls.wanted_qps, pace_qps - lists - checks), lists, checks)
