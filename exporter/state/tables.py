"""The tables of the store: how a record becomes rows, and what of a row is believed.

A stored value is checked and bounded like one of an answer of the API.  A value that no save writes is a ValueError or
a TypeError: then another program wrote the store.

Stored times are Unix seconds, from which true ages are made.  A time in the future means that the clock was set back:
the age is unknown, and what was known then is ignored.
"""

from __future__ import annotations

import json
import math
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from exporter.cams.answers import MAX_TEXT, Redaction
from exporter.cams.operations.phone_numbers import listed_number
from exporter.config.numbers import digits_of, parse_space_id
from exporter.model import (
    KNOWN_STATUSES,
    LISTED_TEXTS,
    VERDICTS,
    Health,
    HealthError,
    ListedNumber,
    Listing,
    NumberKey,
    PhoneNumber,
)
from exporter.state.found import Absence
from exporter.state.records import MAX_EXTRA_STATUSES, HealthState, NumberState, ShownValues, with_extra, with_listing
from exporter.state.redacted import safe_health

_NOT_KNOWN = Listing(listed=True, looked_at=-math.inf)
"""Stands for a found number of which it is not known what its listing said."""

MAX_STEP_BACK_SECONDS = 300.0
"""A stored time may be this far in the future: NTP set the clock back a little.  Then it counts as now."""

MAX_ERRORS = 16
"""The most errors of a health check that are believed."""

_KEY = "account TEXT NOT NULL, cust_space_id TEXT NOT NULL, phone_number TEXT NOT NULL"
_PRIMARY = "PRIMARY KEY (account, cust_space_id, phone_number)\n) WITHOUT ROWID"

ANSWERS = f"""CREATE TABLE answers (
    {_KEY},
    status TEXT NOT NULL, extra_statuses TEXT NOT NULL, phone_number_id TEXT NOT NULL, request_id TEXT NOT NULL,
    success_unix REAL NOT NULL, status_since_unix REAL NOT NULL,
    {_PRIMARY}"""
LISTINGS = f"""CREATE TABLE listings (
    {_KEY},
    listed INTEGER NOT NULL, looked_unix REAL, seen_unix REAL, entry TEXT NOT NULL, shown TEXT NOT NULL,
    missing_seconds REAL, gone_seconds REAL,
    {_PRIMARY}"""
HEALTH = f"""CREATE TABLE health (
    {_KEY},
    verdict TEXT NOT NULL, errors TEXT NOT NULL, shown TEXT NOT NULL, success_unix REAL NOT NULL,
    since_unix REAL NOT NULL,
    {_PRIMARY}"""
GUARDS = "CREATE TABLE guards (account TEXT NOT NULL PRIMARY KEY, seconds REAL NOT NULL) WITHOUT ROWID"

SCHEMA = (ANSWERS, GUARDS, LISTINGS, HEALTH)
"""A store of an older version lacks some of them."""


class Stored(NamedTuple):
    """What is stored of a number.  `absence` is None if it was not found; `ahead_seconds` is Unix minus monotonic."""

    record: NumberState
    absence: Absence | None
    ahead_seconds: float


class StoredListing(NamedTuple):
    """What listings said of a number; `absence` is None if they did not find it."""

    listing: Listing
    shown: ShownValues
    absence: Absence | None

    def record(self, number: PhoneNumber) -> NumberState | None:
        """The same as a record; None if it is not known when that was."""
        if self.listing.looked_at == -math.inf:
            return None
        return with_listing(NumberState(number, shown=self.shown), self.listing)


@dataclass(frozen=True, slots=True)
class Table:
    """One table of numbers.

    `version` is None if there is nothing to store of a number.  If it changes, the row is stored again.
    """

    name: str
    version: Callable[[Stored], object]
    row: Callable[[Stored], tuple[object, ...]]

    def replace(self, store: sqlite3.Connection, stored: Mapping[NumberKey, Stored]) -> None:
        """Write these rows."""
        marks = ""
        for key, of in stored.items():
            row = (*key, *self.row(of))
            marks = marks or ", ".join("?" * len(row))
            store.execute(f"INSERT OR REPLACE INTO {self.name} VALUES ({marks})", row)  # noqa: S608 - both are ours

    def delete(self, store: sqlite3.Connection, keys: Iterator[NumberKey] | None) -> None:
        """Delete the rows of these numbers, or all."""
        if keys is None:
            store.execute(f"DELETE FROM {self.name}")  # noqa: S608 - a name of ours
        else:
            where = "WHERE (account, cust_space_id, phone_number) = (?, ?, ?)"
            store.executemany(f"DELETE FROM {self.name} {where}", keys)  # noqa: S608 - a name of ours


def _answer_row(of: Stored) -> tuple[object, ...]:
    record = of.record
    extra, request_id = json.dumps(record.extra_statuses), ""  # a column that no version reads
    return record.status, extra, record.phone_number_id, request_id, record.success_unix, record.status_since_unix


def _listing_version(of: Stored) -> object:
    """A found number is stored even if what its listing said is not known: else the next process does not poll it."""
    return None if of.record.listing is None and of.absence is None else (of.record.listing, of.absence)


def _listing_row(of: Stored) -> tuple[object, ...]:
    listing = of.record.listing or _NOT_KNOWN
    looked_unix, seen_unix = listing.looked_at + of.ahead_seconds, listing.seen_at + of.ahead_seconds
    texts = None if listing.entry is None else [getattr(listing.entry, name) for name in LISTED_TEXTS]
    return (
        int(listing.listed),
        looked_unix if math.isfinite(looked_unix) else None,
        seen_unix if math.isfinite(seen_unix) else None,
        json.dumps(texts),
        json.dumps(of.record.shown),
        *(of.absence or (None, None)),
    )


def _health_version(of: Stored) -> object:
    return None if of.record.health is None else of.record.health.success_unix


def _health_row(of: Stored) -> tuple[object, ...]:
    health = of.record.health
    if health is None or health.answer is None:
        raise ValueError("there is nothing to store")
    errors = [(each.entity, each.code, each.description, each.solution) for each in health.answer.errors]
    return health.answer.verdict, json.dumps(errors), json.dumps(health.shown), health.success_unix, health.since_unix


TABLES = (
    Table("answers", lambda of: of.record.success_unix, _answer_row),
    Table("listings", _listing_version, _listing_row),
    Table("health", _health_version, _health_row),
)


class Reader:
    """Reads the rows; `now` and `now_unix` are this instant on both clocks."""

    def __init__(self, store: sqlite3.Connection, now: float, now_unix: float) -> None:
        self._store = store
        self._now = now
        self._now_unix = now_unix

    def answers(self, numbers: Mapping[NumberKey, PhoneNumber]) -> list[NumberState]:
        """The stored answers of `numbers`, as records."""
        return [made for of in self._rows("answers", numbers) if (made := self._answer(*of)) is not None]

    def listings(self, hide: Callable[[str], str]) -> dict[NumberKey, StoredListing]:
        """All stored listings.  `hide` takes phone numbers that must not be shown out of a text."""
        redaction = Redaction(None, hide=hide)
        rows = self._store.execute("SELECT * FROM listings")
        return {_key(row[:3]): self._listing(row[2], row[3:], redaction) for row in rows}

    def health(self, numbers: Mapping[NumberKey, PhoneNumber]) -> list[NumberState]:
        """The stored verdicts on `numbers`, as records."""
        return [made for of in self._rows("health", numbers) if (made := self._checked(*of)) is not None]

    def _rows(
        self, table: str, numbers: Mapping[NumberKey, PhoneNumber]
    ) -> Iterator[tuple[PhoneNumber, tuple[object, ...]]]:
        for row in self._store.execute(f"SELECT * FROM {table}"):  # noqa: S608 - a name of ours; the schema was checked
            number = numbers.get(NumberKey(*row[:3]))
            if number is not None:
                yield number, row[3:]

    def _answer(self, number: PhoneNumber, values: tuple[object, ...]) -> NumberState | None:
        status, extra, phone_number_id, _, success, since = values
        redaction = Redaction(number)
        known, *more = (redaction.verbatim(text) for text in (_text(status), *_texts(extra)))
        if not all(text.strip() for text in (known, *more)):
            raise ValueError("a status was expected")
        extra_statuses = tuple(text for text in dict.fromkeys((*more, known)) if text not in KNOWN_STATUSES)
        success_unix = _time(success)
        since_unix, success_at = min(_time(since), success_unix), self._instant(success_unix)
        if success_at is None:
            return None
        return NumberState(
            number,
            status=sys.intern(known),
            extra_statuses=extra_statuses[-MAX_EXTRA_STATUSES:],
            phone_number_id=redaction.verbatim(_text(phone_number_id)),
            success_at=success_at,
            success_unix=min(success_unix, self._now_unix),
            status_since_unix=min(since_unix, self._now_unix),
        )

    def _listing(self, digits: str, values: tuple[object, ...], redaction: Redaction) -> StoredListing:
        listed, looked_unix, seen_unix, text, shown, missing, gone = values
        if listed not in (0, 1):
            raise ValueError("0 or 1 was expected")
        groups = _list(shown)
        if len(groups) != len(ShownValues._fields):
            raise ValueError("other values were expected")
        looked_at = None if looked_unix is None else self._instant(_time(looked_unix))
        seen_at = None if seen_unix is None else self._instant(_time(seen_unix))
        entry = _entry(digits, _text(text), redaction)
        listing = Listing(listed == 1, -math.inf if looked_at is None else looked_at)
        if seen_at is not None:
            listing = replace(listing, seen_at=seen_at, entry=entry)
        values_shown = (tuple(_safe(redaction, each) for each in _strings(group)) for group in groups)
        return StoredListing(
            listing,
            ShownValues(*(each[-MAX_EXTRA_STATUSES:] for each in values_shown)),
            None if missing is None else Absence(_seconds(missing), _seconds(gone)),
        )

    def _checked(self, number: PhoneNumber, values: tuple[object, ...]) -> NumberState | None:
        verdict, errors, shown, success, since = values
        redaction = Redaction(number)
        known = _safe(redaction, _text(verdict))
        if not known:
            raise ValueError("a verdict was expected")
        answer = safe_health(number, Health(known, tuple(_errors(errors, redaction))))
        before = tuple(_safe(redaction, each) for each in _texts(shown))[-MAX_EXTRA_STATUSES:]
        success_unix, since_unix = _time(success), _time(since)
        success_at = self._instant(success_unix)
        if success_at is None:
            return None
        health = HealthState(
            answer,
            success_at,
            success_unix=min(success_unix, self._now_unix),
            since_unix=min(since_unix, success_unix, self._now_unix),
            shown=with_extra(before, answer.verdict, VERDICTS),
        )
        return NumberState(number, health=health)

    def _instant(self, unix: float) -> float | None:
        """The monotonic instant of a stored time; None if it is not to be believed."""
        age_seconds = self._now_unix - unix
        return self._now - max(0.0, age_seconds) if age_seconds >= -MAX_STEP_BACK_SECONDS else None


def _entry(digits: str, text: str, redaction: Redaction) -> ListedNumber | None:
    texts = json.loads(text)
    return None if texts is None else listed_number(digits, [_safe(redaction, each) for each in _strings(texts)])


def _errors(value: object, redaction: Redaction) -> Iterator[HealthError]:
    for error in _list(value)[:MAX_ERRORS]:
        entity, code, description, solution = _strings(error)
        yield HealthError(
            entity=_safe(redaction, entity),
            code=_safe(redaction, code),
            description=redaction.message(description),
            solution=redaction.message(solution),
        )


def _key(values: tuple[object, ...]) -> NumberKey:
    account, space, digits = (_text(value) for value in values)
    if digits_of(digits) != digits:
        raise ValueError("the digits of a phone number were expected")
    return NumberKey(account, parse_space_id(space), digits)


def _safe(redaction: Redaction, text: str) -> str:
    return sys.intern(redaction.line(text, MAX_TEXT))  # ten thousand numbers share a few values


def _list(value: object) -> list[object]:
    found = json.loads(_text(value))
    if not isinstance(found, list):
        raise TypeError("a list was expected")
    return found


def _strings(value: object) -> list[str]:
    if not isinstance(value, list):
        raise TypeError("a list of texts was expected")
    return [_text(each) for each in value]


def _texts(value: object) -> list[str]:
    return _strings(_list(value))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text was expected")
    return value


def _time(value: object) -> float:
    if not isinstance(value, float) or not 0 < value < math.inf:
        raise TypeError("a time was expected")
    return value


def _seconds(value: object) -> float:
    if not isinstance(value, float) or not 0 <= value < math.inf:
        raise TypeError("a duration was expected")
    return value
