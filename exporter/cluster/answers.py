"""What replicas tell each other of a number: its record, as text with ages instead of times.

Clocks of two machines differ, so no time of day is passed on.  A record says how old its parts were when it was
written; the reader adds how long ago that was.  What comes from the store is checked and bounded like an answer of the
API, and shows the phone number only if this replica's configuration does.
A newer version may add parts at the end; they are ignored.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Never

from exporter.cams.answers import MAX_MESSAGE, Redaction
from exporter.cluster.replies import StoreError
from exporter.model import KNOWN_STATUSES, NumberKey, PhoneNumber
from exporter.state.store import MAX_EXTRA_STATUSES, LastError, NumberState

KIND = "number"
"""The first part of each name: replicas of a newer version may tell each other of more than numbers."""

MAX_AGE_SECONDS = 10 * 366 * 86400.0


def key_text(key: NumberKey) -> str:
    """The name of a number's entry in the store."""
    return json.dumps([KIND, *key], ensure_ascii=False, separators=(",", ":"))


def key_of(text: str) -> NumberKey:
    """The number that an entry is about; raises StoreError."""
    found = _parsed(text)
    if not isinstance(found, list) or len(found) != 4 or not all(isinstance(part, str) for part in found):
        _refuse("the name of an answer is no account, space and number")
    if found[0] != KIND:
        _refuse("an answer is about no number")
    return NumberKey(*found[1:])


def freshest_age(record: NumberState, now_unix: float) -> float:
    """How long ago a number was last polled, in seconds; infinity for never."""
    return math.inf if record.last_poll_unix is None else max(0.0, now_unix - record.last_poll_unix)


def encoded(record: NumberState, now: float, now_unix: float) -> bytes:
    """A record as the store keeps it."""

    def age(unix: float | None) -> float | None:
        return None if unix is None else round(max(0.0, now_unix - unix), 3)

    error = record.last_error
    return json.dumps(
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
        ],
        ensure_ascii=False,
        separators=(",", ":"),
    ).encode("utf-8", "replace")


def decoded(payload: bytes, number: PhoneNumber, age_seconds: float, now: float, now_unix: float) -> NumberState:
    """The record that another replica wrote `age_seconds` ago; raises StoreError."""
    try:
        found = _parsed(payload.decode("utf-8"))
    except UnicodeDecodeError:
        _refuse("an answer is no UTF-8")
    if not isinstance(found, list) or len(found) < 8:
        _refuse("an answer has another shape than an exporter writes")
    status, extra, number_id, success, since, last_success, last_poll, error = found[:8]
    redaction = Redaction(number)
    read = _Reader(redaction, age_seconds)
    success_age, poll_age, since_age = read.age(success), read.age(last_poll), read.age(since)
    known = read.text(status)
    if (success_age is None) is not (known == "") or (known and not known.strip()):
        _refuse("an answer has a status without a time, or a time without a status")
    if not isinstance(last_success, bool | None) or (poll_age is None) is not (last_success is None):
        _refuse("an answer does not say whether its last poll succeeded")
    if not isinstance(extra, list) or len(extra) > MAX_EXTRA_STATUSES:
        _refuse("an answer has too many statuses")
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
        last_error=None if error is None else read.error(error, now_unix),
    )


def merged(mine: NumberState, theirs: NumberState) -> NumberState:
    """`mine` with what is newer in `theirs`; the object `mine` if nothing is.

    The status and the last poll are two facts: each comes from whoever knows it best.  The history stays `mine`.
    """
    changed = mine
    if theirs.success_at > mine.success_at:
        same = mine.status == theirs.status and mine.status_since_unix is not None
        since = min(mine.status_since_unix or math.inf, theirs.status_since_unix or math.inf) if same else math.inf
        extra = (*mine.extra_statuses, *theirs.extra_statuses)
        changed = replace(
            changed,
            status=theirs.status,
            extra_statuses=tuple(dict.fromkeys(extra))[-MAX_EXTRA_STATUSES:],
            phone_number_id=theirs.phone_number_id,
            success_at=theirs.success_at,
            success_unix=theirs.success_unix,
            status_since_unix=theirs.status_since_unix if since == math.inf else since,
        )
    if (theirs.last_poll_unix or -math.inf) > (mine.last_poll_unix or -math.inf):
        changed = replace(
            changed,
            last_poll_success=theirs.last_poll_success,
            last_poll_unix=theirs.last_poll_unix,
            last_error=theirs.last_error or mine.last_error,
        )
    return changed


class _Reader:
    """Reads parts of a payload; each raises StoreError."""

    def __init__(self, redaction: Redaction, age_seconds: float) -> None:
        self._redaction = redaction
        self._age_seconds = age_seconds

    def text(self, value: object) -> str:
        if not isinstance(value, str):
            _refuse("an answer lacks a text")
        return self._redaction.verbatim(value)

    def age(self, value: object) -> float | None:
        """How old it is now."""
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_AGE_SECONDS:
            _refuse("an answer has an age that is none")
        return value + self._age_seconds

    def error(self, value: object, now_unix: float) -> LastError:
        if not isinstance(value, list) or len(value) != 5:
            _refuse("an answer has an error of another shape")
        code, message, http_status, request_id, age = value
        error_age = self.age(age)
        is_status = http_status is None or (type(http_status) is int and 0 <= http_status < 1000)
        if error_age is None or not is_status or not isinstance(message, str):
            _refuse("an answer has an error of another shape")
        return LastError(
            code=self._redaction.line(self.text(code)),
            message=self._redaction.line(message, MAX_MESSAGE),
            http_status=http_status,
            request_id=self._redaction.line(self.text(request_id)),
            unix=now_unix - error_age,
        )


def _parsed(text: str) -> object:
    try:
        found: object = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        _refuse("an answer is not JSON")
    return found


def _no_constant(_: str) -> Never:
    raise ValueError("NaN and infinity are not JSON")


def _refuse(why: str) -> Never:
    raise StoreError(why)
