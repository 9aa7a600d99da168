"""How long polls, listings and health checks of an account really take in the long run.  Pure arithmetic.

All three take their slots from one budget.  The rules of `polling` that count here:

- While polls are due, listing and health together get at most every other slot; else all slots.  So in the long run
  they get what polls leave, but at least half of the slots if they want as many.
- Where polls alone do not fit the interval, listing and health together get a tenth of the slots.
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

SHARE_BESIDE_POLLS = 0.5
SHARE_IF_LATE = 0.1
"""The share of the slots that listing and health may take: at least, and where polls do not fit their interval."""

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


def shares(pace_qps: float, polls: Regular, listing: Regular, health: Regular) -> Shares:
    """What each gets of `pace_qps`."""
    fits = polls.wanted_qps <= pace_qps
    rest = max(pace_qps - polls.wanted_qps, pace_qps * SHARE_BESIDE_POLLS) if fits else pace_qps * SHARE_IF_LATE
    lists = min(listing.possible_qps, max(rest / 2, rest - health.possible_qps))
    checks = min(health.possible_qps, rest - lists)
    return Shares(min(polls.wanted_qps, pace_qps - lists - checks), lists, checks)
