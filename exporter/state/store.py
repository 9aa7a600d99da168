"""The last answer of each number, and immutable snapshots of all of them.

A record is replaced as a whole, never changed.  So a snapshot is a list of references, and a scrape sees one instant.
Only `succeeded` writes a success: a failure changes neither a status nor a success time.
Ages are measured on the monotonic clock.  When the wall clock is stepped, the Unix times of the records are moved by
the same step, so that their ages stay.
"""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from exporter.errors import ApiError, Kind
from exporter.model import KNOWN_STATUSES, UNKNOWN, Answer, Clock, Health, ListedNumber, Listing, NumberKey, PhoneNumber
from exporter.state.history import Poll, polls_in, with_poll

CLOCK_STEP_SECONDS = 1.0
"""The wall clock was stepped if it moved this much against the monotonic clock between two looks; less is drift."""

MAX_STEP_BACK_SECONDS = 300.0
"""A stored answer may be this far in the future: NTP set the clock back a little."""

MAX_EXTRA_STATUSES = 16
"""Statuses kept per number beyond the four known ones, so that a hostile server cannot create series without end."""

_OF_THE_ACCOUNT = frozenset({Kind.THROTTLE, Kind.ACCOUNT})
"""Errors that say nothing of the number that was asked about."""


@dataclass(frozen=True, slots=True)
class LastError:
    """Why the last failed poll of a number failed; `unix` is when."""

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
    health: HealthState | None = None

    def current_status(self, fresh_since: float) -> str:
        """The status to show: UNKNOWN unless the last success came at or after the instant `fresh_since`."""
        return self.status if self.success_at >= fresh_since and self.status else UNKNOWN


@dataclass(frozen=True, slots=True)
class Remembered:
    """A number's last answer as an earlier process knew it."""

    status: str
    extra_statuses: tuple[str, ...]
    phone_number_id: str
    success_unix: float
    status_since_unix: float


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
    """All numbers at one instant, `unix`.

    `fresh_since` maps an account to the monotonic instant before which a success is stale.  `listing_fresh_since` and
    `health_fresh_since` are the same for what listings say and for health checks.  `health_refused` are the accounts
    that may not ask about health.
    """

    numbers: tuple[NumberState, ...]
    fresh_since: Mapping[str, float]
    unix: float
    listing_fresh_since: Mapping[str, float] = field(default_factory=dict)
    health_fresh_since: Mapping[str, float] = field(default_factory=dict)
    health_refused: frozenset[str] = frozenset()

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


class State:
    """The numbers' records; thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._ahead_seconds = clock.unix() - clock.monotonic()
        self._records: dict[NumberKey, NumberState] = {}
        self._stale_after: dict[str, float] = {}

    def configure(self, numbers: Iterable[PhoneNumber], stale_after_seconds: Mapping[str, float]) -> None:
        """Use a new configuration: numbers that stay keep their records, others are forgotten.

        `stale_after_seconds` is by account.
        """
        with self._lock:
            old = self._records
            self._records = {}
            for number in numbers:
                record = old.get(number.key)
                if record is None:
                    record = NumberState(number)
                elif record.number != number:
                    record = _renamed(record, number)
                self._records[number.key] = record
            self._stale_after = dict(stale_after_seconds)

    def kept(self, numbers: Iterable[PhoneNumber]) -> tuple[PhoneNumber, ...]:
        """`numbers`, with the objects that are here already: a reload must not leave a second copy of each."""
        with self._lock:
            records = self._records
        return tuple(
            record.number if (record := records.get(number.key)) is not None and record.number == number else number
            for number in numbers
        )

    def restore(self, remembered: Mapping[NumberKey, Remembered]) -> int:
        """Take over the answers of an earlier process for numbers without an answer; returns how many.

        A status is as old as its success time says.  A success time in the future means that the clock was set back.
        Up to `MAX_STEP_BACK_SECONDS` the status counts as new; beyond that its age is unknown, and it is ignored.
        """
        restored = 0
        with self._lock:
            now, now_unix = self._now()
            for key, known in remembered.items():
                record = self._records.get(key)
                age_seconds = now_unix - known.success_unix
                if record is None or record.status or not -MAX_STEP_BACK_SECONDS <= age_seconds < math.inf:
                    continue
                self._records[key] = replace(
                    record,
                    status=sys.intern(known.status),
                    extra_statuses=known.extra_statuses[-MAX_EXTRA_STATUSES:],
                    phone_number_id=known.phone_number_id,
                    success_at=now - max(0.0, age_seconds),
                    success_unix=min(known.success_unix, now_unix),
                    status_since_unix=min(known.status_since_unix, now_unix),
                )
                restored += 1
        return restored

    def succeeded(self, number: PhoneNumber, answer: Answer) -> NumberState | None:
        """Record a status; returns the record before, None if the number is no longer configured."""
        status = sys.intern(answer.status)  # one text in memory for all numbers
        with self._lock:
            now, now_unix = self._now()
            record = self._records.get(number.key)
            if record is None:  # the number left the configuration during its poll
                return None
            poll = Poll(now, True, status, answer.elapsed_seconds, answer.request_id)
            same_id = answer.phone_number_id == record.phone_number_id
            self._records[number.key] = replace(
                record,
                status=status,
                extra_statuses=_with_extra(record.extra_statuses, status),
                phone_number_id=record.phone_number_id if same_id else answer.phone_number_id,  # keep one of the two
                last_poll_success=True,
                last_poll_unix=now_unix,
                success_at=now,
                success_unix=now_unix,
                status_since_unix=record.status_since_unix if status == record.status else now_unix,
                polls=with_poll(record.polls, poll),
            )
            return record

    def failed(self, number: PhoneNumber, error: ApiError) -> bool:
        """Record a failure: the status and its success time stay.

        Returns whether it is news: the last poll of the number succeeded, or failed with another code.
        """
        code, request_id, http_status = sys.intern(error.code), error.request_id, error.http_status
        with self._lock:
            now, now_unix = self._now()
            record = self._records.get(number.key)
            if record is None:
                return False
            # with the label of now: the request may have left before a reload
            message = record.number.redacted(error.message)
            poll = Poll(now, False, code, error.elapsed_seconds, request_id, http_status)
            last_error = LastError(code, message, http_status, request_id, now_unix)
            self._records[number.key] = replace(
                record,
                last_poll_success=False,
                last_poll_unix=now_unix,
                last_error=last_error,
                own_error=record.own_error if error.kind in _OF_THE_ACCOUNT else last_error,
                polls=with_poll(record.polls, poll),
            )
            return (
                record.last_poll_success is not False
                or record.last_error is None
                or record.last_error.code != error.code
            )

    def get(self, key: NumberKey) -> NumberState | None:
        """One number's record."""
        with self._lock:
            return self._records.get(key)

    def fresh_until(self, key: NumberKey) -> float:
        """The monotonic instant when the number's status becomes stale; minus infinity if it has none."""
        with self._lock:
            record = self._records.get(key)
            if record is None or not record.status:
                return -math.inf
            return record.success_at + self._stale_after[key.account]

    def details(self, key: NumberKey) -> Details | None:
        """One number's record and its last polls; None for a number that is not configured."""
        with self._lock:
            now, now_unix = self._now()
            record = self._records.get(key)
        if record is None:
            return None
        return Details(record, polls_in(record.polls, now_unix - now), now_unix - now)

    def snapshot(self) -> Snapshot:
        """All records as they are now, in the order of the configuration."""
        with self._lock:
            now, now_unix = self._now()
            return Snapshot(
                tuple(self._records.values()),
                {account: now - seconds for account, seconds in self._stale_after.items()},
                now_unix,
            )

    def _now(self) -> tuple[float, float]:
        """The monotonic and the wall time; the caller holds the lock.

        Moves the Unix times of the records if the wall clock was stepped since the last look.
        """
        before, now_unix, now = self._clock.monotonic(), self._clock.unix(), self._clock.monotonic()
        if now - before < CLOCK_STEP_SECONDS / 2:  # else the process was halted in between: no comparison
            step_seconds = now_unix - now - self._ahead_seconds
            self._ahead_seconds = now_unix - now
            if abs(step_seconds) >= CLOCK_STEP_SECONDS:
                self._records = {key: _moved(record, step_seconds) for key, record in self._records.items()}
        return now, now_unix


def _renamed(record: NumberState, number: PhoneNumber) -> NumberState:
    """`record` for `number`, which may have a new label: the old one must not be shown any more."""

    def redacted(error: LastError | None) -> LastError | None:
        return None if error is None else replace(error, message=number.redacted(error.message))

    return replace(record, number=number, last_error=redacted(record.last_error), own_error=redacted(record.own_error))


def _moved(record: NumberState, seconds: float) -> NumberState:
    """`record` with its Unix times later by `seconds`."""

    def moved(unix: float | None) -> float | None:
        return None if unix is None else unix + seconds

    def moved_error(error: LastError | None) -> LastError | None:
        return None if error is None else replace(error, unix=error.unix + seconds)

    return replace(
        record,
        last_poll_unix=moved(record.last_poll_unix),
        success_unix=moved(record.success_unix),
        status_since_unix=moved(record.status_since_unix),
        last_error=moved_error(record.last_error),
        own_error=moved_error(record.own_error),
    )


def _with_extra(extra: tuple[str, ...], status: str) -> tuple[str, ...]:
    """`extra` with `status` as its newest, unless it is known already; the oldest goes if there are too many."""
    if status in KNOWN_STATUSES or status in extra:
        return extra
    return (*extra, status)[-MAX_EXTRA_STATUSES:]
