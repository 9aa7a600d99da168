"""Polls one account: schedule (which number) -> gate (when) -> client (ask) -> recorder (what came of it).

One thread an account takes the next poll from the schedule and hands it to a worker.  The worker's client connects,
waits for a slot at the gate, and asks.  The outcome goes to the recorder, and to `reaction`, which decides what follows
from it.  Errands go the same way: `errands` gives them, and decides what follows.
"""

from __future__ import annotations

import functools
import logging
import math
import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from exporter.cams.error_codes import INTERNAL_ERROR
from exporter.errors import ApiError, Kind, Stopped
from exporter.logs import fields
from exporter.metrics.counters import Counters
from exporter.model import (
    ALWAYS,
    NEVER,
    AccountStatus,
    Answer,
    Clock,
    NumberKey,
    Pace,
    PhoneNumber,
    Right,
    Wait,
    pace_qps,
)
from exporter.polling.budget import Budget
from exporter.polling.circuit_breaker import CircuitBreaker, CircuitBreakers
from exporter.polling.client import CurrentClient, Fetcher
from exporter.polling.errands import Errand, Errands, ErrandSettings, Reply
from exporter.polling.gate import Gate
from exporter.polling.hand_out import HandOut, Poll, Request
from exporter.polling.hand_over import HandOver
from exporter.polling.in_flight import connect_ahead, max_in_flight
from exporter.polling.loop import Loop
from exporter.polling.reaction import Reaction
from exporter.polling.recorder import Recorder
from exporter.polling.schedule import Schedule
from exporter.polling.workers import Workers
from exporter.scrape_priority import ScrapePriority
from exporter.state.store import State

logger = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""How often the loop steps at least: it looks whether the credential became another one, and has a heartbeat."""

DEAD_SECONDS = 30.0
"""A loop without a heartbeat for longer than this is dead."""

SENDING_SECONDS = 0.25
"""How long a request may take from its slot to its leaving.  One that takes longer counts as leaving now."""

MAX_STAGGER_SECONDS = 1.0
"""An account's first poll waits for less than this, and for less than the time between two of its requests."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The part of a configuration that a change of the rate needs again."""

    numbers: Sequence[PhoneNumber] = field(repr=False)
    interval_seconds: float
    qps: float
    quota: float
    max_in_flight: int
    errands: ErrandSettings


class AccountPoller:
    """Polls the numbers of one account until stopped; thread-safe.

    With `repeat=False` each number is polled once, with its retries; after that the poller is `finished`.
    """

    def __init__(
        self,
        account: str,
        *,
        budget: Budget,
        client: Fetcher,
        state: State,
        counters: Counters,
        workers: Workers,
        clock: Clock,
        rng: random.Random,
        repeat: bool = True,
        wait: Wait = threading.Condition.wait,
        priority: ScrapePriority | None = None,
        right: Right = ALWAYS,
    ) -> None:
        self.account = account
        self._current = CurrentClient(client)
        self._recorder = Recorder(account, state, counters)
        self._workers = workers
        self._clock = clock
        self._repeat = repeat
        self._lock = threading.Lock()
        self._loop = Loop(f"poller-{account}", self.step, self._lock, clock, wait)
        self._schedule = Schedule[PhoneNumber](account, repeat=repeat)
        self._budget = budget
        self._gate = Gate(budget, self._lock, clock, wait, room=self._loop.wake, priority=priority)
        self._gate.right = right
        self._breakers = CircuitBreakers()
        self._errands = Errands(account, self._recorder, rng, repeat=repeat)
        self._numbers = 0
        self._interval = math.inf
        fresh_until = state.fresh_until if repeat else lambda _: math.inf
        self._reaction = Reaction(self._schedule, budget, self._breakers, fresh_until, rng)
        self._hand_over = HandOver(self._schedule, budget, self._breakers, self._reaction, self._errands, state)
        self._hand_out = HandOut(
            self._schedule, self._errands, budget, self._gate, self._breakers, self._current, repeat=repeat
        )
        self._settings: Settings | None = None
        self._spare_qps: int | None = None  # in place of `qps` and `quota`
        self._stopped = False

    def configure(
        self,
        numbers: Sequence[PhoneNumber],
        *,
        interval_seconds: float,
        qps: float,
        quota: float,
        timeout_seconds: float,
        accounts: int,
        client: Fetcher | None = None,
        errands: ErrandSettings | None = None,
    ) -> None:
        """Take over a configuration, at the start or while polling; counts from the next slot on."""
        pace = pace_qps(qps, quota)
        errands = errands or ErrandSettings()
        spaces = errands.fleet.spaces() if errands.fleet else ()
        settings = Settings(
            numbers, interval_seconds, qps, quota, max_in_flight(pace, timeout_seconds, accounts), errands
        )
        with self._lock:
            self._configure(settings, spaces)
            self._numbers = len(numbers)
            self._interval = interval_seconds
            if client is not None:
                self._current.replace(client)
            self._loop.wake()
            self._hand_out.revoke(self._clock.monotonic())

    def _configure(self, settings: Settings, spaces: Sequence[str]) -> None:
        """Take over settings at the rate that is in force; the lock is held."""
        self._settings = settings
        now, now_unix = self._clock.monotonic(), self._clock.unix()
        qps, quota = settings.qps, settings.quota
        if self._spare_qps is not None:
            qps = quota = float(self._spare_qps)
        pace, numbers, interval_seconds = pace_qps(qps, quota), settings.numbers, settings.interval_seconds
        self._budget.configure(qps, quota)
        self._errands.configure(
            settings.errands,
            numbers,
            spaces,
            poll_interval_seconds=interval_seconds,
            pace=pace,
            now=now,
            now_unix=now_unix,
        )
        self._schedule.configure(numbers, interval_seconds, self._errands.poll_seconds, now=now, now_unix=now_unix)
        self._breakers.configure(self._schedule.keys)
        self._reaction.standing.configure(self._schedule.keys)
        self._hand_out.configure(interval_seconds, settings.max_in_flight)
        self._gate.configure(connect_ahead(pace), self._errands.polls_first)

    def allow(self, right: Right, status: AccountStatus | None = None, spare_qps: int | None = None) -> None:
        """Send requests only while `right` allows it, at `spare_qps` in place of the configured rate if that is given.

        Where the right is a new one, polling goes on from what the state knows, and from the `status` of the holder
        before.  When this returns, no request leaves without the right, apart from one that takes longer than
        `SENDING_SECONDS` to leave.
        """
        errands = self._settings.errands if self._settings else ErrandSettings()
        is_other_rate = spare_qps != self._spare_qps
        spaces = errands.fleet.spaces() if is_other_rate and errands.fleet else ()
        with self._lock:
            now, before = self._clock.monotonic(), self._gate.right
            is_new = right is not NEVER and (before is NEVER or right.token != before.token)
            if is_other_rate and self._settings is not None:
                self._spare_qps = spare_qps
                self._configure(self._settings, spaces)
            if is_new:
                self._hand_over.take_over(right, status, now)
            self._gate.right = right
            if is_new or is_other_rate or right is NEVER or not before.allows(now):
                self._loop.wake()
                self._hand_out.revoke(now)
            if right is NEVER:
                self._gate.wait_sent(now + SENDING_SECONDS)

    def pace(self) -> Pace:
        """What to pass on to the next replica that holds the account."""
        with self._lock:
            return self._hand_over.pace(self._clock.monotonic(), is_sending=self._gate.is_sending)

    def start(self) -> None:
        """Start polling, unless it has been started or stopped before.

        Accounts that start together begin at different instants, so that they do not all send at the same time.  Raises
        OSError, with a text for the user, if the machine has no thread left.
        """
        with self._lock:
            if self._loop.is_alive or self._stopped:  # a reload may have begun before the end
                return
            gap_seconds = 1 / pace_qps(self._budget.qps, self._budget.quota)
            delay_seconds = self._schedule.offset_share * min(gap_seconds, MAX_STAGGER_SECONDS)
            self._budget.hold_until(self._clock.monotonic() + delay_seconds)
        self._loop.start()

    def learn_path(self, guard_seconds: float) -> None:
        """Take over what an earlier process learnt about the path, unless this process has learnt more."""
        with self._lock:
            now = self._clock.monotonic()
            self._budget.remember(now, max(guard_seconds, self._budget.guard_seconds(now)))

    def stop(self) -> None:
        """Stop polling; does not wait for requests under way, which end when the client is closed."""
        with self._lock:
            self._stopped = True
            self._loop.stop()
            self._hand_out.stop()

    def step(self) -> float:
        """Hand out the requests that may go; returns the instant at which to be called again."""
        look = self._current.look()
        with self._lock:
            now = self._clock.monotonic()
            if self._current.seen(*look):
                self._reaction.credential_changed(now)
                self._errands.credential_changed(now)
            request, at = self._hand_out.next(now)
        while request is not None:
            try:
                self._workers.submit(functools.partial(self._work, request))
            except BaseException:  # no thread or memory is left: it is still due
                if isinstance(request, Errand):
                    self._errand_ended(request, None)
                else:
                    self._ended(request, None)
                raise
            with self._lock:
                request, at = self._hand_out.next(self._clock.monotonic())
        return min(at, now + LOOK_SECONDS)

    def status(self) -> AccountStatus:
        """How polling goes now."""
        with self._lock:
            now = self._clock.monotonic()
            return AccountStatus(
                account=self.account,
                phone_numbers=self._numbers,
                scrape_interval_seconds=self._interval,
                lag_seconds=self._schedule.lag_seconds(now),
                budget_qps=self._budget.qps,
                effective_qps=self._budget.effective_qps(now),
                in_flight=len(self._hand_out.under_way) - self._gate.waiting,
                refused=self._breakers.reason if self._numbers else self._errands.refused,
                spaces=self._breakers.spaces,
                refused_spaces=self._breakers.refused_spaces,
                guard_seconds=self._budget.guard_seconds(now),
                operations=(self._reaction.standing.status, *self._errands.statuses),
                health_seconds=self._errands.health_seconds,
                throttled=self._budget.throttled_state(now),
            )

    def next_polls(self, keys: Sequence[NumberKey]) -> list[float | None]:
        """When each number is polled next, as Unix seconds; None while it is being polled, infinity for never."""
        with self._lock:
            ahead = self._clock.unix() - self._clock.monotonic()
            found = [self._schedule.next_poll_at(key) for key in keys]
        return [None if at is None else at + ahead for at in found]

    def unattempted(self) -> int:
        """How many numbers were not attempted yet; 0 while the account is refused, since waiting does not help then."""
        with self._lock:
            return 0 if self._breakers.account.is_open else self._schedule.unattempted

    def unlisted(self) -> list[str | None]:
        """The spaces whose first listing has not ended, None for the list of spaces; empty while waiting is in vain."""
        with self._lock:
            return [] if self._breakers.account.is_open else self._errands.unlisted()

    def seconds_without_heartbeat(self) -> float:
        """How long the loop has had no heartbeat."""
        with self._lock:
            return self._loop.seconds_without_heartbeat()

    def seconds_failing(self) -> float:
        """For how long every step of the loop has failed."""
        return self._loop.seconds_failing()

    def finished(self) -> bool:
        """Whether every number had its poll, or the account is refused (`repeat=False`)."""
        with self._lock:
            if self._hand_out.under_way:
                return False
            if self._breakers.account.is_open:
                return True
            return self._schedule.next_at() == math.inf and self._errands.finished()

    def _work(self, first: Request) -> None:
        """Send `first`, then whatever may go at once: the same thread goes on, which saves a hand-over."""
        request: Request | None = first
        while request is not None:
            if isinstance(request, Errand):
                self._errand_ended(request, request.asked(functools.partial(self._gate.slot, request)))
            else:
                self._poll(request)
            with self._lock:
                request, at = self._hand_out.next(self._clock.monotonic())
                if request is None:
                    self._loop.wake(at)

    def _poll(self, poll: Poll) -> None:
        """One poll of one number, from the client to the recorder."""
        outcome: Answer | ApiError | None = None
        number = poll.entry.target
        try:
            outcome = poll.client.fetch(number, functools.partial(self._gate.slot, poll))
        except Stopped:
            pass
        except ApiError as error:
            outcome = error
        except Exception as bug:  # a bug in one poll must not lose the number, nor look like a status
            logger.exception("a poll failed", extra=fields(account=self.account, phone_number=number.label))
            outcome = ApiError(INTERNAL_ERROR, Kind.TRANSIENT, message=type(bug).__name__)
        finally:
            self._ended(poll, outcome)

    def _ended(self, poll: Poll, outcome: Answer | ApiError | None) -> None:
        """Record what became of a poll, and react to it; None for one that did not go, which is still due."""
        if self._stopped:  # the client was closed under it: that says nothing about the API
            outcome = None
        error = outcome if isinstance(outcome, ApiError) else None
        entry = poll.entry
        changed: list[CircuitBreaker] = []
        try:
            if outcome is not None:
                self._recorder.ended(entry.target, outcome, poll.waited_seconds, is_retry=entry.retries > 0)
        finally:
            with self._lock:
                self._hand_out.gone(poll)
                now = self._clock.monotonic()
                if outcome is None:
                    self._schedule.put_back(entry, now)
                    if poll.is_probe:
                        self._breakers.probe_again(entry.target.key)
                else:
                    changed = self._reaction.ended(
                        entry,
                        error,
                        asked_at=now if poll.released_at is None else poll.released_at,
                        is_current=poll.credential == self._current.credential,
                        is_probe=poll.is_probe,
                        now=now,
                    )
                    if changed:
                        self._hand_out.revoke(now)
        for breaker in changed:
            self._recorder.changed(breaker.space, breaker.reason)

    def _errand_ended(self, errand: Errand, outcome: Reply[Any] | ApiError | None) -> None:
        """Hand on what an errand brought, and react to it; None for one that did not go, which is still due."""
        if self._stopped:
            outcome = None
        spaces = None if outcome is None else errand.told(outcome)
        with self._lock:
            self._hand_out.gone(errand)
            now, credential = self._clock.monotonic(), self._current.credential
            self._errands.ended(errand, outcome, credential, spaces, now=now, now_unix=self._clock.unix())
            if spaces is not None or isinstance(outcome, ApiError):
                self._hand_out.revoke(now)
