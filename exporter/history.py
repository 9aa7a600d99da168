"""The last polls of each number, packed: twenty of them take about as much memory as three RequestIds as text.

What is kept of a number is immutable bytes, replaced as a whole at each poll like the record they belong to.  Statuses,
error codes and texts repeat over an account's numbers: the bytes refer to tables, which are bounded and belong to the
account, so that a server that makes them up fills its own account's tables and no more.

Pure: time is an argument.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from hashlib import blake2b
from typing import NamedTuple, TypeVar

MAX_POLLS = 20
"""Polls kept of a number, successes and failures alike."""

MAX_FAILURES = 10
"""Failures kept of a number in a ring of their own, where successes do not push them out."""

MAX_OUTCOMES = 256
"""Distinct combinations of status or code, HTTP status and form of RequestId that an account's table holds."""

MAX_IDS = 1024
"""RequestIds of an account that are no UUIDs and are kept as text; the oldest are forgotten first."""

MAX_MESSAGES = 256
"""Messages of an account that are remembered in order to keep one copy of them for all numbers."""

OTHER = "other"
"""What the status or code reads once the table is full."""

_Key = TypeVar("_Key")

_RECORD = struct.Struct("<IHB16s")  # Unix seconds, milliseconds, place in the table of outcomes, RequestId
_MAX_UNIX = 2**32 - 1
_MAX_MILLISECONDS = 2**16 - 1


@dataclass(frozen=True, slots=True)
class Poll:
    """One poll that ended: `outcome` is the status it brought or, where it failed, the error's code.

    `unix` is when, in whole seconds; `latency_seconds` is at most 65.535, in milliseconds.  `message` is the error's
    text: bounded, hostile, and kept in the ring of failures only.
    """

    unix: int
    success: bool
    outcome: str
    latency_seconds: float
    request_id: str = ""
    http_status: int | None = None
    message: str = ""


class Failures(NamedTuple):
    """A number's failures, packed, and their messages; oldest first."""

    packed: bytes
    messages: tuple[str, ...]


NO_FAILURES = Failures(b"", ())


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
        self._messages: dict[str, str] = {}

    def with_poll(self, polls: bytes, poll: Poll) -> bytes:
        """`polls` with one more; the oldest goes when there are too many."""
        return _cut(polls + self._packed(poll), MAX_POLLS)

    def with_failure(self, failures: Failures, poll: Poll) -> Failures:
        """`failures` with one more, its message included; the oldest goes when there are too many."""
        messages = (*failures.messages, self._shared(poll.message))[-MAX_FAILURES:]
        return Failures(_cut(failures.packed + self._packed(poll), MAX_FAILURES), messages)

    def polls(self, polls: bytes) -> tuple[Poll, ...]:
        """The polls packed in `polls`, newest first."""
        return tuple(self._unpacked(polls, ("",) * MAX_POLLS))[::-1]

    def failures(self, failures: Failures) -> tuple[Poll, ...]:
        """The failures with their messages, newest first."""
        return tuple(self._unpacked(failures.packed, failures.messages))[::-1]

    def _packed(self, poll: Poll) -> bytes:
        form, request_id = self._id(poll.request_id)
        return _RECORD.pack(
            min(max(0, poll.unix), _MAX_UNIX),
            min(max(0, round(poll.latency_seconds * 1000)), _MAX_MILLISECONDS),
            self._place(_Outcome(poll.success, poll.outcome, poll.http_status, form)),
            request_id,
        )

    def _unpacked(self, packed: bytes, messages: tuple[str, ...]) -> Iterator[Poll]:
        for (unix, milliseconds, place, request_id), message in zip(
            _RECORD.iter_unpack(packed), messages, strict=False
        ):
            success, text, http_status, form = self._outcomes[place]
            shown = self._ids.get(request_id, "") if form is _Form.TEXT else _spelled(form, request_id)
            yield Poll(unix, success, text, milliseconds / 1000, shown, http_status, message)

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
                if len(uuid) == _UUID_BYTES and _spelled(form, uuid) == text:
                    return form, uuid
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        _remember(self._ids, digest, text, MAX_IDS)
        return _Form.TEXT, digest

    def _shared(self, message: str) -> str:
        """The copy of `message` that others hold already, if any do."""
        return _remember(self._messages, message, self._messages.get(message, message), MAX_MESSAGES)


def _cut(packed: bytes, records: int) -> bytes:
    return packed[-records * _RECORD.size :]


def _from_hex(digits: str) -> bytes:
    try:
        return bytes.fromhex(digits)
    except ValueError:
        return b""


def _spelled(form: _Form, uuid: bytes) -> str:
    if form is _Form.NONE:
        return ""
    digits = uuid.hex()
    if form in _UUID_FORMS[36]:
        digits = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
    return digits.upper() if form is _Form.UPPER or form is _Form.UPPER_BARE else digits


def _remember(table: dict[_Key, str], key: _Key, text: str, limit: int) -> str:
    """Enter `text` as the newest of `table`; the oldest goes when there are too many."""
    table.pop(key, None)
    table[key] = text
    if len(table) > limit:
        del table[next(iter(table))]
    return text
