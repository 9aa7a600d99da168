"""What follows from a poll's outcome: for the account, its spaces, its budget, and the number's next poll.

Pure: time is an argument, nothing waits here.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from exporter.cams.error_codes import INTERNAL_ERROR
from exporter.errors import ApiError, Kind
from exporter.model import OPERATION, NumberKey, PhoneNumber
from exporter.polling.budget import Budget
from exporter.polling.circuit_breaker import CircuitBreaker, CircuitBreakers
from exporter.polling.retries import MAX_RETRIES, retry_at
from exporter.polling.schedule import Entry, Schedule
from exporter.polling.standing import DEFINITE, REFUSALS, Standing

_INCONCLUSIVE = frozenset({Kind.THROTTLE, Kind.TRANSIENT})
"""Errors that do not tell whether the API refuses the account or a space."""

MANY_FAILURES = 10
"""A number that failed at another replica counts as having failed so often in a row."""


@dataclass(frozen=True, slots=True)
class LastPoll:
    """When a number was last polled, in monotonic seconds, and of what kind the error was; None for a success."""

    at: float
    failed: Kind | None = None


class Reaction:
    """Reacts on behalf of one account.  Not thread-safe: its poller holds the lock.  Instants are monotonic seconds.

    `fresh_until` tells from which instant on a number's status is stale.
    """

    def __init__(
        self,
        schedule: Schedule[PhoneNumber],
        budget: Budget,
        breakers: CircuitBreakers,
        fresh_until: Callable[[NumberKey], float],
        rng: random.Random,
    ) -> None:
        self._schedule = schedule
        self._budget = budget
        self._breakers = breakers
        self._fresh_until = fresh_until
        self._rng = rng
        self.standing = Standing(OPERATION)
        """Whether polls are accepted."""

    def ended(
        self,
        entry: Entry[PhoneNumber],
        error: ApiError | None,
        *,
        asked_at: float,
        is_current: bool,
        is_probe: bool,
        now: float,
    ) -> list[CircuitBreaker]:
        """A poll of `entry`, whose request left at `asked_at`, brought a status or an error.

        `is_current` is False if the credential has changed since: then the breakers do not learn from the answer.
        Returns the breakers that changed.
        """
        key = entry.target.key
        changed: list[CircuitBreaker] = []
        if error is not None and error.cured:
            self._breakers.probe_soon()
        elif entry.scheduled and is_current:
            changed = self._breakers.heard(key, error, now)
            if error is not None or not self.standing.is_clear:
                self.standing.heard(key, error, is_whole=self._breakers.reason is not None)
        if is_probe and error is not None and error.kind in _INCONCLUSIVE:
            self._breakers.probe_again(key)
        entry.failures = 0 if error is None or error.kind in DEFINITE else entry.failures + 1
        some_are_held = entry.scheduled and bool(self._breakers.open_spaces)
        is_held = some_are_held and self._breakers.is_held(key)
        scope_is_refused = is_held or self._breakers.account.is_open  # only probes go: the number does not retry
        is_refused = error is not None and error.kind in (REFUSALS | _INCONCLUSIVE if scope_is_refused else REFUSALS)
        at, not_before = None, -math.inf
        if error is not None:
            not_before = self._pause(error, asked_at, now)
            if not scope_is_refused:
                fresh_until = self._fresh_until(key)
                at = retry_at(error, entry.retries, entry.failures, fresh_until, asked_at, now, self._rng)
        self._schedule.done(entry, at, refused=is_refused, held=is_held, not_before=not_before)
        for breaker in changed:
            self._follow(breaker, now)
        if is_refused and not is_current and entry.scheduled:
            self._schedule.requeue_refused(now, [key])
        return changed

    def ended_elsewhere(self, polls: Mapping[NumberKey, LastPoll], now: float) -> None:
        """Other replicas made these polls.  A new holder does not make the retries that follow at once again.

        A number without a status that counts is asked again once a minute, as after many failures.
        """
        for key, poll in polls.items():
            kind, at = poll.failed, None
            if kind is not None:
                error = ApiError(INTERNAL_ERROR, kind)
                at = retry_at(error, MAX_RETRIES, MANY_FAILURES, self._fresh_until(key), poll.at, now, self._rng)
            is_row = kind is not None and kind not in DEFINITE
            self._schedule.done_elsewhere(
                key,
                poll.at,
                at,
                retries=MAX_RETRIES if is_row else 0,
                failures=MANY_FAILURES if is_row else 0,
                refused=kind in REFUSALS,
            )

    def credential_changed(self, now: float) -> None:
        """What was refused may be accepted with another credential."""
        self._breakers.probe_soon()
        self._schedule.requeue_refused(now)

    def _pause(self, error: ApiError, asked_at: float, now: float) -> float:
        """Wait as long as the answer asks; returns the instant before which the number is not to be polled.

        An error about one number holds back that number, any other error the account.
        """
        if error.kind is Kind.THROTTLE:
            self._budget.throttled(now, asked_at, error.retry_after_seconds)
        elif error.retry_after_seconds is not None:
            until = now + error.retry_after_seconds
            if error.kind in DEFINITE:
                return until
            self._budget.hold_until(until)
        return -math.inf

    def _follow(self, breaker: CircuitBreaker, now: float) -> None:
        """The API refuses the account or a space from now on, or refuses it no more."""
        if breaker.space is None:
            if not breaker.is_open:
                self._schedule.requeue_refused(now)
        elif breaker.is_open:
            self._schedule.hold(breaker.turn)
        else:
            self._schedule.resume(breaker.turn, now)
            self._schedule.requeue_refused(now, breaker.turn)
