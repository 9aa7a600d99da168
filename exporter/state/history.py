"""The last polls of each number, packed: twenty of them take about as much memory as three RequestIds as text.

What is kept of a number is immutable bytes, replaced as a whole at each poll like the record they belong to.  Statuses,
error codes and texts repeat over an account's numbers: the bytes refer to tables, which are bounded and belong to the
account, so that a server that makes them up fills its own account's tables and no more.

Pure: time is an argument.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from hashlib import blake2b
from typing import NamedTuple, TypeVar

MAX_POLLS = 20
"""Polls kept of a number, successes and failures alike."""

MAX_FAILURES = 10
"""Failures kept of a number however many successes came since."""

MAX_OUTCOMES = 256
"""Distinct combinations of status or code, HTTP status and form of RequestId that an account's table holds."""

MAX_IDS = 1024
"""RequestIds of an account that are no UUIDs and are kept as text; the oldest are forgotten first."""

MAX_MESSAGES = 1024
"""Distinct messages of an account that are kept, once for all its numbers; the oldest are forgotten first."""

MAX_SHARED = 256
"""Combinations of messages of an account that numbers share: in an outage all fail alike."""

OTHER = "other"
"""What the status or code reads once the table is full."""

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

_RECORD = struct.Struct("<IHB16s")  # Unix seconds, milliseconds, place in the table of outcomes, RequestId
_PLACE = 6
_KEY_BYTES = 8
_MAX_UNIX = 2**32 - 1
_MAX_MILLISECONDS = 2**16 - 1


@dataclass(frozen=True, slots=True)
class Poll:
    """One poll that ended: `outcome` is the status it brought or, where it failed, the error's code.

    `unix` is when, in whole seconds; `latency_seconds` is at most 65.535, in milliseconds.  `message` is the error's
    text, bounded and hostile; it is kept for the last failures only.
    """

    unix: int
    success: bool
    outcome: str
    latency_seconds: float
    request_id: str = ""
    http_status: int | None = None
    message: str = ""


class Failures(NamedTuple):
    """What is kept of a number's last failures beside its polls, oldest first.

    `older` are those that successes pushed out of the polls, packed; `messages` are the keys of all their messages.
    """

    older: bytes
    messages: bytes


NO_FAILURES = Failures(b"", b"")


class _Form(IntEnum):
    """How a RequestId was written, so that it can be written so again."""

    NONE = 0
    UPPER = 1
    LOWER = 2
    UPPER_BARE = 3  # without hyphens
    LOWER_BARE = 4
    TEXT = 5  # no UUID: its digest is kept, which is its key in the table of texts


_UUID_BYTES = 16
_UUID_FORMS = {36: (_Form.UPPER, _Form.LOWER), 32: (_Form.UPPER_BARE, _Form.LOWER_BARE)}
"""By their lengths."""


class _Outcome(NamedTuple):
    success: bool
    text: str
    http_status: int | None
    form: _Form


_OTHERS = tuple(_Outcome(success, OTHER, None, form) for success in (False, True) for form in _Form)


class History:
    """The tables of one account, and the way into and out of the bytes.  Not thread-safe: the state holds its lock."""

    def __init__(self) -> None:
        self._outcomes = list(_OTHERS)
        self._places = {outcome: place for place, outcome in enumerate(_OTHERS)}
        self._ids: dict[bytes, str] = {}
        self._messages: dict[bytes, str] = {}
        self._shared: dict[Failures, Failures] = {}

    def with_poll(self, polls: bytes, failures: Failures, poll: Poll) -> tuple[bytes, Failures]:
        """`polls` and `failures` with one more; the oldest goes when there are too many."""
        polls += self._packed(poll)
        pushed_out, polls = polls[: -MAX_POLLS * _RECORD.size], polls[-MAX_POLLS * _RECORD.size :]
        older, messages = failures
        if pushed_out and not self._outcomes[pushed_out[_PLACE]].success:
            older += pushed_out
        if older:
            room = MAX_FAILURES - sum(not self._outcomes[place].success for place in polls[_PLACE :: _RECORD.size])
            older = older[-room * _RECORD.size :] if room > 0 else b""
        if not poll.success:
            messages = (messages + self._key(poll.message))[-MAX_FAILURES * _KEY_BYTES :]
        elif older == failures.older:
            return polls, failures
        return polls, self._one_for_all(Failures(older, messages))

    def polls(self, polls: bytes) -> tuple[Poll, ...]:
        """The polls packed in `polls`, newest first."""
        return tuple(self._unpacked(polls))[::-1]

    def failures(self, polls: bytes, failures: Failures) -> tuple[Poll, ...]:
        """The last failures with their messages, newest first."""
        failed = [poll for poll in self._unpacked(failures.older + polls) if not poll.success]
        keys = [failures.messages[start : start + _KEY_BYTES] for start in range(0, len(failures.messages), _KEY_BYTES)]
        return tuple(
            replace(poll, message=self._messages.get(key, ""))
            for poll, key in zip(reversed(failed), reversed(keys), strict=False)
        )

    def _packed(self, poll: Poll) -> bytes:
        form, request_id = self._id(poll.request_id)
        return _RECORD.pack(
            min(max(0, poll.unix), _MAX_UNIX),
            min(max(0, round(poll.latency_seconds * 1000)), _MAX_MILLISECONDS),
            self._place(_Outcome(poll.success, poll.outcome, poll.http_status, form)),
            request_id,
        )

    def _unpacked(self, packed: bytes) -> Iterator[Poll]:
        for unix, milliseconds, place, request_id in _RECORD.iter_unpack(packed):
            success, text, http_status, form = self._outcomes[place]
            shown = self._ids.get(request_id, "") if form is _Form.TEXT else _as_text(form, request_id)
            yield Poll(unix, success, text, milliseconds / 1000, shown, http_status)

    def _place(self, outcome: _Outcome) -> int:
        place = self._places.get(outcome)
        if place is not None:
            return place
        if len(self._outcomes) == MAX_OUTCOMES:
            return self._places[_Outcome(outcome.success, OTHER, None, outcome.form)]
        self._outcomes.append(outcome)
        self._places[outcome] = len(self._outcomes) - 1
        return len(self._outcomes) - 1

    def _id(self, text: str) -> tuple[_Form, bytes]:
        """A RequestId as 16 bytes."""
        if not text:
            return _Form.NONE, b""
        if len(text) in _UUID_FORMS:
            uuid = _from_hex(text.replace("-", ""))
            for form in _UUID_FORMS[len(text)]:
                if len(uuid) == _UUID_BYTES and _as_text(form, uuid) == text:
                    return form, uuid
        digest = _digest(text, _UUID_BYTES)
        _remember(self._ids, digest, text, MAX_IDS)
        return _Form.TEXT, digest

    def message(self, text: str) -> str:
        """The copy of a message that is kept for all numbers, if there is one."""
        return self._messages.get(_digest(text, _KEY_BYTES), text)

    def _key(self, message: str) -> bytes:
        key = _digest(message, _KEY_BYTES)
        _remember(self._messages, key, message, MAX_MESSAGES)
        return key

    def _one_for_all(self, failures: Failures) -> Failures:
        """The copy that other numbers hold already, if any do."""
        if failures.older:
            return failures
        return _remember(self._shared, failures, failures, MAX_SHARED)


def _digest(text: str, size: int) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).digest()


def _from_hex(digits: str) -> bytes:
    try:
        return bytes.fromhex(digits)
    except ValueError:
        return b""


def _as_text(form: _Form, uuid: bytes) -> str:
    if form is _Form.NONE:
        return ""
    digits = uuid.hex()
    if form in _UUID_FORMS[36]:
        digits = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
    return digits.upper() if form is _Form.UPPER or form is _Form.UPPER_BARE else digits


def _remember(table: dict[_Key, _Value], key: _Key, value: _Value, limit: int) -> _Value:
    """Enter `value` as the newest of `table`, unless it is there; the oldest goes when there are too many."""
    value = table.pop(key, value)
    table[key] = value
    if len(table) > limit:
        del table[next(iter(table))]
    return value
