"""The last answer of each number, and immutable snapshots of all of them.

A record is replaced as a whole, never changed.  So a snapshot is a list of references, and a scrape sees one instant.
Only `succeeded` writes a success: a failure changes neither a status nor a success time.  It is the same for `checked`.
Ages are measured on the monotonic clock.  When the wall clock is stepped, the Unix times of the records are moved by
the same step, so that their ages stay.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from exporter.errors import ApiError
from exporter.model import Answer, Clock, Health, Listing, NumberKey, PhoneNumber
from exporter.state.history import polls_in
from exporter.state.merging import merged
from exporter.state.records import (
    MAX_EXTRA_STATUSES,
    NOTHING_SHOWN,
    HealthState,
    LastError,
    NumberState,
    moved,
    renamed,
    with_answer,
    with_failed_check,
    with_failure,
    with_health,
    with_listing,
)
from exporter.state.snapshot import Details, Snapshot
from exporter.state.waiting import Waiting

__all__ = [
    "MAX_EXTRA_STATUSES",
    "Details",
    "HealthState",
    "LastError",
    "NumberState",
    "Snapshot",
    "State",
]

CLOCK_STEP_SECONDS = 1.0
"""The wall clock was stepped if it moved this much against the monotonic clock between two looks; less is drift."""

_NO_ACCOUNTS: Mapping[str, float] = MappingProxyType({})
_NO_SIZES: Mapping[NumberKey, int] = MappingProxyType({})


class State:
    """The numbers' records; thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._ahead_seconds = clock.unix() - clock.monotonic()
        self._records: dict[NumberKey, NumberState] = {}
        self._waiting = Waiting()
        self._stale_after: dict[str, float] = {}
        self._listing_seconds: dict[str, float] = {}
        self._health_seconds: dict[str, float] = {}
        self._health_refused: frozenset[str] = frozenset()
        self.changed: Callable[[NumberKey], None] = lambda _: None
        """Called when this process learnt something of a number, not when `take_over` did."""

    def configure(
        self,
        numbers: Iterable[PhoneNumber],
        stale_after_seconds: Mapping[str, float],
        *,
        listing_seconds: Mapping[str, float] = _NO_ACCOUNTS,
        health_seconds: Mapping[str, float] = _NO_ACCOUNTS,
    ) -> None:
        """Use a new configuration: numbers that stay keep their records, others are forgotten.

        All three are by account: for how many seconds a status, what a listing said, and a verdict count.  An account
        without `listing_seconds` has no `discover`: what listings said of its numbers is forgotten.  It is the same for
        `health_seconds` and `health`.
        """
        with self._lock:
            old = self._records
            self._records = {}
            self._waiting.forget(self._clock.monotonic())
            for number in numbers:
                record = old.get(number.key) or self._waiting.take(number.key)
                if record is None:
                    record = NumberState(number)
                elif record.number != number:
                    record = renamed(record, number)
                if record.listing is not None and number.account not in listing_seconds:
                    record = replace(record, listing=None, shown=NOTHING_SHOWN)
                if record.health is not None and number.account not in health_seconds:
                    record = replace(record, health=None)
                self._records[number.key] = record
            self._stale_after = dict(stale_after_seconds)
            self._listing_seconds = dict(listing_seconds)
            self._health_seconds = dict(health_seconds)

    def set_health(self, seconds: Mapping[str, float], refused: Collection[str]) -> None:
        """Use other ages of verdicts, by account; accounts without `health` are ignored.

        `refused` are all accounts that may not ask about health now: a verdict that is too old is not shown there.
        """
        with self._lock:
            self._health_seconds |= {name: age for name, age in seconds.items() if name in self._health_seconds}
            self._health_refused = frozenset(refused)

    def kept(self, numbers: Iterable[PhoneNumber]) -> tuple[PhoneNumber, ...]:
        """`numbers`, with the objects that are here already: a reload must not leave a second copy of each."""
        with self._lock:
            records = self._records
        return tuple(
            record.number if (record := records.get(number.key)) is not None and record.number == number else number
            for number in numbers
        )

    def succeeded(self, number: PhoneNumber, answer: Answer) -> NumberState | None:
        """Record a status; returns the record before, None if the number is no longer configured."""
        with self._lock:
            now, now_unix = self._now()
            record = self._records.get(number.key)
            if record is not None:  # else the number left the configuration during its poll
                self._records[number.key] = with_answer(record, number, answer, now, now_unix)
        self.changed(number.key)
        return record

    def failed(self, number: PhoneNumber, error: ApiError) -> bool:
        """Record a failure: the status and its success time stay.

        Returns whether it is news: the last poll of the number succeeded, or failed with another code.
        """
        with self._lock:
            now, now_unix = self._now()
            record = self._records.get(number.key)
            if record is None:
                return False
            self._records[number.key] = with_failure(record, error, now, now_unix)
        self.changed(number.key)
        return (
            record.last_poll_success is not False or record.last_error is None or record.last_error.code != error.code
        )

    def listed(self, listings: Mapping[NumberKey, Listing]) -> None:
        """Record what listings say of numbers; others keep what they have.

        Numbers that are not configured and accounts without `discover` are ignored.
        """
        with self._lock:
            news = []
            for key, listing in listings.items():
                record = self._records.get(key)
                before = None if record is None else record.listing
                if record is None or before is listing or key.account not in self._listing_seconds:
                    continue
                if before is not None and before.looked_at > listing.looked_at:
                    continue  # another replica listed its space later
                self._records[key] = with_listing(record, listing)
                if before is None or (before.listed, before.entry) != (listing.listed, listing.entry):
                    news.append(key)
        for key in news:
            self.changed(key)

    def checked(self, number: PhoneNumber, health: Health) -> HealthState | None:
        """Record a verdict; returns what was known before.

        None if the number is no longer configured, or its account has no `health` any more.
        """
        with self._lock:
            now, now_unix = self._now()
            record = self._checkable(number)
            if record is None:
                return None
            self._records[number.key] = with_health(record, health, now, now_unix)
        self.changed(number.key)
        return record.health or HealthState()

    def check_failed(self, number: PhoneNumber, error: ApiError) -> bool:
        """Record that a health check failed: the verdict and its success time stay.

        Returns whether it is news: the last check of the number succeeded, or failed with another code.
        """
        with self._lock:
            _, now_unix = self._now()
            record = self._checkable(number)
            if record is None:
                return False
            self._records[number.key] = with_failed_check(record, error, now_unix)
        self.changed(number.key)
        before = record.health
        return before is None or before.last_error is None or before.last_error.code != error.code

    def look(self, keys: Iterable[NumberKey]) -> tuple[dict[NumberKey, NumberState], float, float]:
        """The records of these numbers, with the monotonic and the wall time to which their times belong."""
        with self._lock:
            now, now_unix = self._now()
            return {key: self._records[key] for key in keys if key in self._records}, now, now_unix

    def take_over(self, records: Iterable[NumberState], sizes: Mapping[NumberKey, int] = _NO_SIZES) -> int:
        """Take over what another replica, or an earlier process, knows better; returns how many records changed.

        A record of a number that is not in force waits until it is; `sizes` are those of such records, in bytes.
        """
        with self._lock:
            return sum(self._take_over(theirs, sizes.get(theirs.number.key, 0)) for theirs in records)

    def _take_over(self, theirs: NumberState, size: int) -> bool:
        key = theirs.number.key
        record = self._records.get(key)
        if record is None:
            before = self._waiting.take(key)
            waits = theirs if before is None else merged(before, theirs)
            self._waiting.keep(waits, size, self._clock.monotonic())
            return False
        if theirs.listing is not None and key.account not in self._listing_seconds:
            theirs = replace(theirs, listing=None, shown=NOTHING_SHOWN)
        if theirs.health is not None and key.account not in self._health_seconds:
            theirs = replace(theirs, health=None)
        self._records[key] = merged(record, theirs)
        return self._records[key] is not record

    def _checkable(self, number: PhoneNumber) -> NumberState | None:
        return self._records.get(number.key) if number.account in self._health_seconds else None

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
        redacted = record.number.redacted  # with the label of now
        polls = polls_in(record.polls, now_unix - now)
        return Details(
            record,
            tuple(
                poll._replace(outcome=redacted(poll.outcome), request_id=redacted(poll.request_id)) for poll in polls
            ),
        )

    def snapshot(self) -> Snapshot:
        """All records as they are now, in the order of the configuration."""
        with self._lock:
            now, now_unix = self._now()
            return Snapshot(
                tuple(self._records.values()),
                _since(now, self._stale_after),
                now_unix,
                now,
                _since(now, self._listing_seconds),
                _since(now, self._health_seconds),
                self._health_refused,
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
                self._records = {key: moved(record, step_seconds) for key, record in self._records.items()}
        return now, now_unix


def _since(now: float, seconds: Mapping[str, float]) -> dict[str, float]:
    """By account the instant before which everything is too old."""
    return {account: now - age for account, age in seconds.items()}
