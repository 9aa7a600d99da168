"""What is known of a number: a record, and how one is made from the record before.  Pure: time is an argument.

A record is never changed.  All texts in it are shown to people, so each has the label in place of the number.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

from exporter.config.numbers import redact_message
from exporter.errors import ApiError, Kind
from exporter.model import (
    KNOWN_STATUSES,
    QUALITY_RATINGS,
    UNKNOWN,
    VERDICTS,
    Answer,
    Health,
    ListedNumber,
    Listing,
    PhoneNumber,
)
from exporter.state.history import Poll, with_poll
from exporter.state.redacted import all_redacted, safe_answer, safe_entry, safe_health

_OF_THE_ACCOUNT = frozenset({Kind.THROTTLE, Kind.ACCOUNT})
"""Errors that say nothing of the number that was asked about."""

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

    @property
    def tried_unix(self) -> float | None:
        """When the last check ended, with or without success."""
        ended = [self.success_unix, None if self.last_error is None else self.last_error.unix]
        return max((unix for unix in ended if unix is not None), default=None)


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


def with_extra(extra: tuple[str, ...], value: str, known: tuple[str, ...] = KNOWN_STATUSES) -> tuple[str, ...]:
    """`extra` with `value` as its newest, unless that is known or empty; the oldest goes if there are too many."""
    if not value or value in known or value in extra:
        return extra
    return (*extra, value)[-MAX_EXTRA_STATUSES:]


def with_answer(record: NumberState, asked: PhoneNumber, answer: Answer, now: float, now_unix: float) -> NumberState:
    """`record` after a poll that brought a status; `asked` is the number as it was when the request left."""
    if asked.label != record.number.label:
        answer = safe_answer(record.number, answer)
    status = sys.intern(answer.status)  # one text in memory for all numbers
    poll = Poll(now, True, status, answer.elapsed_seconds, answer.request_id)
    same_id = answer.phone_number_id == record.phone_number_id
    return replace(
        record,
        status=status,
        extra_statuses=with_extra(record.extra_statuses, status),
        phone_number_id=record.phone_number_id if same_id else answer.phone_number_id,  # keep one of the two
        last_poll_success=True,
        last_poll_unix=now_unix,
        success_at=now,
        success_unix=now_unix,
        status_since_unix=record.status_since_unix if status == record.status else now_unix,
        polls=with_poll(record.polls, poll),
    )


def with_failure(record: NumberState, error: ApiError, now: float, now_unix: float) -> NumberState:
    """`record` after a poll that failed."""
    last_error = _last_error(record.number, error, now_unix)
    poll = Poll(now, False, last_error.code, error.elapsed_seconds, last_error.request_id, last_error.http_status)
    return replace(
        record,
        last_poll_success=False,
        last_poll_unix=now_unix,
        last_error=last_error,
        own_error=record.own_error if error.kind in _OF_THE_ACCOUNT else last_error,
        polls=with_poll(record.polls, poll),
    )


def with_listing(record: NumberState, listing: Listing) -> NumberState:
    """`record` after a listing of its space."""
    entry = listing.entry
    if entry is None or (record.listing is not None and record.listing.entry is entry):
        return replace(record, listing=listing)
    safe = safe_entry(record.number, entry)
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


def with_failed_check(record: NumberState, error: ApiError, now_unix: float) -> NumberState:
    """`record` after a health check that failed."""
    last_error = _last_error(record.number, error, now_unix)
    return replace(record, health=replace(record.health or HealthState(), last_error=last_error))


def renamed(record: NumberState, number: PhoneNumber) -> NumberState:
    """`record` for `number`, which may have a new label: the old one must not be shown any more."""
    if record.number.label == number.label:
        return replace(record, number=number)
    listing, health = record.listing, record.health
    if listing is not None and listing.entry is not None:
        listing = replace(listing, entry=safe_entry(number, listing.entry))
    if health is not None:
        health = replace(
            health,
            answer=None if health.answer is None else safe_health(number, health.answer),
            shown=all_redacted(number, health.shown),
            last_error=_safe_error(number, health.last_error),
        )
    return replace(
        record,
        number=number,
        status=number.redacted(record.status),
        extra_statuses=all_redacted(number, record.extra_statuses),
        phone_number_id=number.redacted(record.phone_number_id),
        last_error=_safe_error(number, record.last_error),
        own_error=_safe_error(number, record.own_error),
        listing=listing,
        shown=ShownValues(*(all_redacted(number, values) for values in record.shown)),
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
    return shown if more == shown else shared_values(more)


@lru_cache(maxsize=1024)
def shared_values(shown: ShownValues) -> ShownValues:
    """One object in memory for all numbers that have shown the same."""
    return shown


def _last_error(number: PhoneNumber, error: ApiError, now_unix: float) -> LastError:
    """With the label of now: the request may have left before a reload."""
    code, message, request_id = map(number.redacted, (error.code, error.message, error.request_id))
    return LastError(sys.intern(code), message, error.http_status, request_id, now_unix)


def _safe_error(number: PhoneNumber, error: LastError | None) -> LastError | None:
    if error is None:
        return None
    return replace(
        error,
        code=number.redacted(error.code),
        message=redact_message(error.message, number),
        request_id=number.redacted(error.request_id),
    )
