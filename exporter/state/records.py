"""What is known of a number: a record, and how one is made from the record before.  Pure: time is an argument.

A record is never changed.  All texts in it are shown to people, so each has the label in place of the number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

from exporter.model import (
    KNOWN_STATUSES,
    QUALITY_RATINGS,
    UNKNOWN,
    VERDICTS,
    Health,
    HealthError,
    ListedNumber,
    Listing,
    PhoneNumber,
)
from exporter.state.history import Poll

MAX_EXTRA_STATUSES = 16
"""Undocumented values kept per number and state set, so that a hostile server cannot create series without end."""


@dataclass(frozen=True, slots=True)
class LastError:
    """Why the last failed poll or check of a number failed; `unix` is when."""

    code: str
    message: str
    http_status: int | None
    request_id: str
    unix: float


@dataclass(frozen=True, slots=True)
class HealthState:
    """The last answer about a number's health.  `success_at` is in monotonic seconds, each `…_unix` is wall time.

    `since_unix` is when the verdict was first seen.  `shown` are verdicts beyond the documented ones that this number
    has shown.  `last_error` is why the last check failed; None if it succeeded.  `answer` is None before a success.
    """

    answer: Health | None = None
    success_at: float = -math.inf
    success_unix: float | None = None
    since_unix: float | None = None
    shown: tuple[str, ...] = ()
    last_error: LastError | None = None


class ShownValues(NamedTuple):
    """Values that listings have shown of a number, without the documented ratings; the newest last."""

    connection_statuses: tuple[str, ...] = ()
    quality_ratings: tuple[str, ...] = ()
    name_statuses: tuple[str, ...] = ()


NOTHING_SHOWN = ShownValues()


@dataclass(frozen=True, slots=True)
class NumberState:
    """What is known of one number.  `success_at` is in monotonic seconds, each `…_unix` is wall time.

    `own_error` is the last error that is no throttle and no refusal of the account: it tells what this number lacks.
    `polls` are the last polls as text, their times monotonic; `State.details` reads them.
    """

    number: PhoneNumber
    status: str = ""
    extra_statuses: tuple[str, ...] = ()
    phone_number_id: str = ""
    last_poll_success: bool | None = None
    last_poll_unix: float | None = None
    success_at: float = -math.inf
    success_unix: float | None = None
    status_since_unix: float | None = None
    last_error: LastError | None = None
    own_error: LastError | None = None
    polls: str = field(default="", repr=False)
    listing: Listing | None = None
    shown: ShownValues = NOTHING_SHOWN
    health: HealthState | None = None

    def current_status(self, fresh_since: float) -> str:
        """The status to show: UNKNOWN unless the last success came at or after the instant `fresh_since`."""
        return self.status if self.success_at >= fresh_since and self.status else UNKNOWN


@dataclass(frozen=True, slots=True)
class Details:
    """One number's record with its last polls, newest first.

    `unix_minus_monotonic` makes a wall time of the instants of `record.listing`.
    """

    record: NumberState
    polls: tuple[Poll, ...]
    unix_minus_monotonic: float = 0.0


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


def with_extra(extra: tuple[str, ...], value: str, known: tuple[str, ...] = KNOWN_STATUSES) -> tuple[str, ...]:
    """`extra` with `value` as its newest, unless that is known or empty; the oldest goes if there are too many."""
    if not value or value in known or value in extra:
        return extra
    return (*extra, value)[-MAX_EXTRA_STATUSES:]


def with_listing(record: NumberState, listing: Listing) -> NumberState:
    """`record` after a listing of its space."""
    entry = listing.entry
    if entry is None or (record.listing is not None and record.listing.entry is entry):
        return replace(record, listing=listing)
    safe = _safe_entry(record.number, entry)
    if safe is not entry:
        listing = replace(listing, entry=safe)
    return replace(record, listing=listing, shown=_with_values(record.shown, safe))


def with_health(record: NumberState, answer: Health, now: float, now_unix: float) -> NumberState:
    """`record` after a health check that brought an answer."""
    before = record.health or HealthState()
    answer = safe_health(record.number, answer)
    is_same = before.answer is not None and before.answer.verdict == answer.verdict
    health = HealthState(
        answer=answer,
        success_at=now,
        success_unix=now_unix,
        since_unix=before.since_unix if is_same else now_unix,
        shown=with_extra(before.shown, answer.verdict, VERDICTS),
    )
    return replace(record, health=health)


def safe_health(number: PhoneNumber, health: Health) -> Health:
    """`health` with the label of now in its texts: the request may have left before a reload."""
    errors = health.errors
    if number.label != number.phone_number:
        errors = tuple(
            HealthError(*map(number.redacted, (error.entity, error.code, error.description, error.solution)))
            for error in errors
        )
    return replace(health, verdict=number.redacted(health.verdict), errors=_shared_errors(errors))


def renamed(record: NumberState, number: PhoneNumber) -> NumberState:
    """`record` for `number`, which may have a new label: the old one must not be shown any more."""
    if record.number.label == number.label:
        return replace(record, number=number)
    listing, health = record.listing, record.health
    if listing is not None and listing.entry is not None:
        listing = replace(listing, entry=_safe_entry(number, listing.entry))
    if health is not None:
        health = replace(
            health,
            answer=None if health.answer is None else safe_health(number, health.answer),
            shown=_redacted(number, health.shown),
            last_error=_safe_error(number, health.last_error),
        )
    return replace(
        record,
        number=number,
        status=number.redacted(record.status),
        extra_statuses=_redacted(number, record.extra_statuses),
        phone_number_id=number.redacted(record.phone_number_id),
        last_error=_safe_error(number, record.last_error),
        own_error=_safe_error(number, record.own_error),
        listing=listing,
        shown=ShownValues(*(_redacted(number, values) for values in record.shown)),
        health=health,
    )


def moved(record: NumberState, seconds: float) -> NumberState:
    """`record` with its Unix times later by `seconds`."""

    def later(unix: float | None) -> float | None:
        return None if unix is None else unix + seconds

    def later_error(error: LastError | None) -> LastError | None:
        return None if error is None else replace(error, unix=error.unix + seconds)

    health = record.health
    if health is not None:
        health = replace(
            health,
            success_unix=later(health.success_unix),
            since_unix=later(health.since_unix),
            last_error=later_error(health.last_error),
        )
    return replace(
        record,
        last_poll_unix=later(record.last_poll_unix),
        success_unix=later(record.success_unix),
        status_since_unix=later(record.status_since_unix),
        last_error=later_error(record.last_error),
        own_error=later_error(record.own_error),
        health=health,
    )


def _with_values(shown: ShownValues, entry: ListedNumber) -> ShownValues:
    more = ShownValues(
        with_extra(shown.connection_statuses, entry.connection_status, ()),
        with_extra(shown.quality_ratings, entry.quality_rating, QUALITY_RATINGS),
        with_extra(shown.name_statuses, entry.name_status, ()),
    )
    return shown if more == shown else _shared_values(more)


@lru_cache(maxsize=1024)
def _shared_values(shown: ShownValues) -> ShownValues:
    """One object in memory for all numbers that have shown the same."""
    return shown


@lru_cache(maxsize=1024)
def _shared_errors(errors: tuple[HealthError, ...]) -> tuple[HealthError, ...]:
    """One object in memory for all numbers with the same errors: those of a space or a business are the same."""
    return errors


def _safe_entry(number: PhoneNumber, entry: ListedNumber) -> ListedNumber:
    """`entry` with the label of now in its texts; `entry` itself if that changes nothing."""
    if number.label == number.phone_number:
        return entry
    safe = replace(
        entry,
        connection_status=number.redacted(entry.connection_status),
        quality_rating=number.redacted(entry.quality_rating),
        messaging_limit_tier=number.redacted(entry.messaging_limit_tier),
        name_status=number.redacted(entry.name_status),
        code_verification_status=number.redacted(entry.code_verification_status),
        verified_name=number.redacted(entry.verified_name),
    )
    return entry if safe == entry else safe


def _safe_error(number: PhoneNumber, error: LastError | None) -> LastError | None:
    if error is None:
        return None
    return replace(
        error,
        code=number.redacted(error.code),
        message=number.redacted(error.message),
        request_id=number.redacted(error.request_id),
    )


def _redacted(number: PhoneNumber, texts: Iterable[str]) -> tuple[str, ...]:
    """`texts` with the label in place of the number, each once."""
    return tuple(dict.fromkeys(map(number.redacted, texts)))
