"""What an earlier process knew of a number, taken over into its record.  Pure: time is an argument.

Its times are Unix seconds, from which true ages are made.  A time in the future means that the clock was set back.  Up
to `MAX_STEP_BACK_SECONDS` it counts as now; beyond that the age is unknown, and what was known then is ignored.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace

from exporter.model import VERDICTS, Health, ListedNumber, Listing
from exporter.state.records import (
    MAX_EXTRA_STATUSES,
    NOTHING_SHOWN,
    HealthState,
    NumberState,
    ShownValues,
    with_extra,
    with_listing,
)
from exporter.state.redacted import safe_health

MAX_STEP_BACK_SECONDS = 300.0
"""A stored answer may be this far in the future: NTP set the clock back a little."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """A number's last answer."""

    status: str
    extra_statuses: tuple[str, ...]
    phone_number_id: str
    success_unix: float
    status_since_unix: float


@dataclass(frozen=True, slots=True)
class RememberedListing:
    """A number's `Listing`.  `seen_unix` is None if no listing held the number, `looked_unix` if that is not known."""

    listed: bool
    looked_unix: float | None
    seen_unix: float | None = None
    entry: ListedNumber | None = None
    shown: ShownValues = NOTHING_SHOWN


@dataclass(frozen=True, slots=True)
class RememberedHealth:
    """A number's last answer about its health."""

    answer: Health
    success_unix: float
    since_unix: float
    shown: tuple[str, ...] = ()


def with_status(record: NumberState, known: Remembered, now: float, now_unix: float) -> NumberState | None:
    """`record` with the status of an earlier process; None if it has a status, or the age is unknown."""
    success_at = instant_of(known.success_unix, now, now_unix)
    if record.status or success_at is None:
        return None
    return replace(
        record,
        status=sys.intern(known.status),
        extra_statuses=known.extra_statuses[-MAX_EXTRA_STATUSES:],
        phone_number_id=known.phone_number_id,
        success_at=success_at,
        success_unix=min(known.success_unix, now_unix),
        status_since_unix=min(known.status_since_unix, now_unix),
    )


def with_old_listing(record: NumberState, known: RememberedListing, now: float, now_unix: float) -> NumberState | None:
    """`record` with what listings told an earlier process; None if it has a listing, or the age is unknown."""
    looked_at = instant_of(known.looked_unix, now, now_unix)
    if record.listing is not None or looked_at is None:
        return None
    listing = Listing(known.listed, looked_at)
    seen_at = instant_of(known.seen_unix, now, now_unix)
    if seen_at is not None:
        listing = replace(listing, seen_at=seen_at, entry=known.entry)
    shown = ShownValues(*(values[-MAX_EXTRA_STATUSES:] for values in known.shown))
    return with_listing(replace(record, shown=shown), listing)


def with_old_health(record: NumberState, known: RememberedHealth, now: float, now_unix: float) -> NumberState | None:
    """`record` with the verdict of an earlier process; None if it has a verdict, or the age is unknown."""
    success_at = instant_of(known.success_unix, now, now_unix)
    before = record.health or HealthState()
    if before.answer is not None or success_at is None:
        return None
    answer = safe_health(record.number, known.answer)
    health = replace(
        before,
        answer=answer,
        success_at=success_at,
        success_unix=min(known.success_unix, now_unix),
        since_unix=min(known.since_unix, known.success_unix, now_unix),
        shown=with_extra(known.shown[-MAX_EXTRA_STATUSES:], answer.verdict, VERDICTS),
    )
    return replace(record, health=health)


def instant_of(unix: float | None, now: float, now_unix: float) -> float | None:
    """The monotonic instant of a stored time; None if it is not known or not to be believed."""
    if unix is None:
        return None
    age_seconds = now_unix - unix
    return now - max(0.0, age_seconds) if -MAX_STEP_BACK_SECONDS <= age_seconds < math.inf else None
