"""What replicas tell each other of a number: its record, as text with ages instead of times.

Clocks of two machines differ, so no time of day is passed on.  A record says how old its parts were when it was
written; the reader adds how long ago that was.  What comes from the store is checked and bounded like an answer of the
API, and shows the phone number only if this replica's configuration does.
A newer version may add parts at the end; they are ignored.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable

from exporter.cams.answers import Redaction
from exporter.cluster.answers.reading import Reader, refuse
from exporter.cluster.store.replies import dumped, parsed, parts
from exporter.config.numbers import digits_of, parse_space_id
from exporter.model import KNOWN_STATUSES, LISTED_TEXTS, NumberKey, PhoneNumber
from exporter.state.found import Absence
from exporter.state.history import Poll, newest_in, with_poll
from exporter.state.records import (
    MAX_EXTRA_STATUSES,
    NOTHING_SHOWN,
    HealthState,
    NumberState,
)

Key = tuple[str, ...]
"""The name of an entry: its kind, then what it is about.  A newer version may have more kinds."""


_KINDS = (str, list, str, object, object, bool | None, *[object] * 6)
"""What the parts of a record are, as `encoded` writes them."""


def key_text(key: Key) -> str:
    """The name of an entry in the store."""
    return json.dumps(key, separators=(",", ":"))


def key_of(text: str) -> Key:
    """What an entry is about; raises StoreError."""
    found = parsed(text.encode("utf-8", "replace"))
    if not isinstance(found, list) or not 1 < len(found) < 8 or not all(isinstance(part, str) for part in found):
        refuse("the name of an answer is no list of texts")
    return tuple(found)


def checked_number(*parts: str) -> NumberKey:
    """The number that an entry is about: a replica that finds it there would poll it.  Raises StoreError."""
    key = NumberKey(*parts)
    if digits_of(key.phone_number) != key.phone_number:
        refuse("an answer is about no phone number")
    checked_space(key.cust_space_id)
    return key


def checked_space(space: str) -> None:
    """Whether it may be the ID of a space; raises StoreError."""
    try:
        parse_space_id(space)
    except ValueError:
        refuse("an answer is about no space")


def freshest_age(record: NumberState, now: float, now_unix: float) -> float:
    """How long ago a number was last polled, listed or checked, in seconds; infinity for never."""
    ages = [] if record.last_poll_unix is None else [now_unix - record.last_poll_unix]
    ages += [now - record.success_at] if record.status else []
    ages += [] if record.listing is None else [now - record.listing.looked_at]
    ages += [] if record.health is None or record.health.tried_unix is None else [now_unix - record.health.tried_unix]
    return max(0.0, min(ages, default=math.inf))


def encoded(record: NumberState, now: float, now_unix: float, absence: Absence | None = None) -> bytes:
    """A record as the store keeps it; `absence` is given for a number that listings found."""

    def age(unix: float | None) -> float | None:
        return None if unix is None else round(max(0.0, now_unix - unix), 3)

    error, poll = record.last_error, newest_in(record.polls)
    return dumped(
        [
            record.status,
            record.extra_statuses,
            record.phone_number_id,
            round(max(0.0, now - record.success_at), 3) if record.status else None,
            age(record.status_since_unix),
            record.last_poll_success,
            age(record.last_poll_unix),
            None
            if error is None
            else [error.code, error.message, error.http_status, error.request_id, age(error.unix)],
            _listing_parts(record, now),
            _health_parts(record.health, now, age),
            None if absence is None else [round(absence.missing_seconds, 3), round(absence.gone_seconds, 3)],
            None if poll is None else [poll.latency_seconds, poll.request_id],
        ]
    )


def _listing_parts(record: NumberState, now: float) -> list[object] | None:
    listing = record.listing
    if listing is None:
        return None
    entry = listing.entry
    return [
        listing.listed,
        round(max(0.0, now - listing.looked_at), 3),
        None if entry is None else round(max(0.0, now - listing.seen_at), 3),
        None if entry is None else [getattr(entry, name) for name in LISTED_TEXTS],
        record.shown,
    ]


def _health_parts(
    health: HealthState | None, now: float, age: Callable[[float | None], float | None]
) -> list[object] | None:
    if health is None:
        return None
    answer, error = health.answer, health.last_error
    return [
        None
        if answer is None
        else [
            answer.verdict,
            [[each.entity, each.code, each.description, each.solution] for each in answer.errors],
            answer.request_id,
        ],
        None if answer is None else round(max(0.0, now - health.success_at), 3),
        age(health.since_unix),
        health.shown,
        None if error is None else [error.code, error.message, error.http_status, error.request_id, age(error.unix)],
    ]


def decoded(found: object, number: PhoneNumber, age_seconds: float, now: float, now_unix: float) -> NumberState:
    """The record whose parsed JSON another replica wrote `age_seconds` ago; raises StoreError."""
    status, extra, number_id, success, since, last_success, last_poll, error, *more = parts(found, *_KINDS)
    listing, health, _, poll = more
    redaction = Redaction(number)
    read = Reader(redaction, age_seconds)
    success_age, poll_age, since_age = read.age(success), read.age(last_poll), read.age(since)
    known = read.text(status)
    if (success_age is None) is not (known == "") or (known and not known.strip()):
        refuse("an answer has a status without a time, or a time without a status")
    if (poll_age is None) is not (last_success is None):
        refuse("an answer does not say whether its last poll succeeded")
    if len(extra) > MAX_EXTRA_STATUSES:
        refuse("an answer has too many statuses")
    last_error = None if error is None else read.error(error, now_unix)
    polls = ""
    if poll is not None and poll_age is not None:
        latency, request_id = read.request(poll)
        why = None if last_success else last_error
        outcome, http_status = (known, None) if why is None else (why.code, why.http_status)
        polls = with_poll("", Poll(now - poll_age, bool(last_success), outcome, latency, request_id, http_status))
    return NumberState(
        number,
        status=known,
        extra_statuses=tuple(
            text for each in extra if (text := read.text(each)).strip() and text not in KNOWN_STATUSES
        ),
        phone_number_id=read.text(number_id),
        last_poll_success=last_success,
        last_poll_unix=None if poll_age is None else now_unix - poll_age,
        success_at=-math.inf if success_age is None else now - success_age,
        success_unix=None if success_age is None else now_unix - success_age,
        status_since_unix=None if since_age is None else now_unix - max(since_age, success_age or 0.0),
        last_error=last_error,
        polls=polls,
        listing=None if listing is None else read.listing(listing, number, now),
        shown=NOTHING_SHOWN if listing is None else read.shown(listing),
        health=None if health is None else read.health(health, now, now_unix),
    )


def absence_in(found: object) -> Absence | None:
    """For how long listings have lacked the number; None unless listings found it.  Raises StoreError."""
    absence = parts(found, *_KINDS)[10]
    if absence is None:
        return None
    read = Reader(Redaction(None), 0.0)
    missing, gone = map(read.age, parts(absence, object, object))
    return Absence(missing or 0.0, gone or 0.0)
