"""What a scrape and a page see: all records at one instant, and what of them counts then."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from exporter.model import UNKNOWN, HealthError, ListedNumber
from exporter.state.history import Poll
from exporter.state.records import NumberState


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All numbers at one instant: `unix`, and `at` on the monotonic clock.

    `fresh_since` maps an account to the monotonic instant before which a success is stale.  `listing_fresh_since` and
    `health_fresh_since` are the same for what listings say and for health checks.  `health_refused` are the accounts
    that may not ask about health.
    """

    numbers: tuple[NumberState, ...]
    fresh_since: Mapping[str, float]
    unix: float
    at: float = 0.0
    listing_fresh_since: Mapping[str, float] = field(default_factory=dict)
    health_fresh_since: Mapping[str, float] = field(default_factory=dict)
    health_refused: frozenset[str] = frozenset()

    def unix_of(self, instant: float) -> float:
        """A monotonic instant as Unix seconds."""
        return self.unix - (self.at - instant)

    def status(self, record: NumberState) -> str:
        """The status to show for `record`."""
        return record.current_status(self.fresh_since[record.number.account])

    def listed(self, record: NumberState) -> bool | None:
        """Whether the last listing of its space held the number; None if that is not known, or too old."""
        listing = record.listing
        if listing is None or listing.looked_at < self.listing_fresh_since.get(record.number.account, math.inf):
            return None
        return listing.listed

    def entry(self, record: NumberState) -> ListedNumber | None:
        """What the last listing that held the number said; None if none did, or if it is too old."""
        listing = record.listing
        if listing is None or listing.seen_at < self.listing_fresh_since.get(record.number.account, math.inf):
            return None
        return listing.entry

    def verdict(self, record: NumberState) -> str:
        """Whether it can send; UNKNOWN if the last answer is too old, empty if there is none or it may not be asked."""
        health = record.health
        account = record.number.account
        if health is None or health.answer is None or account not in self.health_fresh_since:
            return ""
        if health.success_at >= self.health_fresh_since[account]:
            return health.answer.verdict
        return "" if account in self.health_refused else UNKNOWN

    def health_errors(self, record: NumberState) -> tuple[HealthError, ...]:
        """The errors that the last health check named; none if it is too old."""
        health = record.health
        if health is None or health.answer is None:
            return ()
        if health.success_at < self.health_fresh_since.get(record.number.account, math.inf):
            return ()
        return health.answer.errors


@dataclass(frozen=True, slots=True)
class Details:
    """One number's record with its last polls, newest first."""

    record: NumberState
    polls: tuple[Poll, ...]
