"""The loop that polls one account: schedule -> budget -> client -> state.

One thread an account decides *what* is polled next and hands it to a worker; the worker's client connects and then
passes the gate, which decides *when*.  What came of it goes to the journal, and back into schedule, budget and refusal.
"""

from __future__ import annotations

import functools
import logging
import math
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from exporter.budget import Budget, pace_qps
from exporter.cams.codes import INTERNAL_ERROR
from exporter.errors import ApiError, Kind, Stopped
from exporter.logs import fields
from exporter.metrics import Counters
from exporter.model import AccountStatus, Answer, Clock, NumberKey, PhoneNumber, Slot, Wait
from exporter.poller.bounds import HAND_OUT_SECONDS, Places
from exporter.poller.gate import Gate
from exporter.poller.journal import Journal
from exporter.poller.loop import Loop
from exporter.poller.refusal import Refusal
from exporter.poller.retries import retry_at
from exporter.poller.workers import Workers
from exporter.schedule import Entry, Schedule
from exporter.state import State

logger = logging.getLogger(__name__)

NOT_READY_SECONDS = 0.05
"""How often to look whether the first credential has come."""

DEAD_SECONDS = 30.0

MAX_STAGGER_SECONDS = 1.0
"""An account's first poll waits for less than this and less than the gap between two of its requests."""

MAX_KEYS_LOCKED = 1000
"""Numbers whose next polls are looked up at a time: less than a millisecond."""


class Fetcher(Protocol):
    """What the poller needs of the client."""

    def fetch(self, number: PhoneNumber, gate: Callable[[], Slot]) -> Answer:
        """Ask once; sends inside a slot that `gate` gives.  Raises ApiError, and what entering the slot raises."""

    def ready(self) -> bool:
        """False until a first look for credentials ended, well or badly."""

    def renew_credentials(self) -> None:
        """Have fresh credentials fetched in the background."""

    def close(self) -> None:
        """Abandon what is under way."""


@dataclass(slots=True, eq=False)
class _Poll:
    """One poll under way; `passed_at` is the instant at which it took its last slot, `waits` whether it wants one.

    `wanted_at` is since when nothing but the budget keeps it back.  `is_owed` says that it failed with the account as a
    whole, which had been let in again `let_ins` times by then.
    """

    entry: Entry
    client: Fetcher
    wanted_at: float
    passed_at: float | None = None
    waits: bool = True
    is_owed: bool = False
    let_ins: int = 0


class AccountPoller:
    """Polls the numbers of one account until stopped; thread-safe.

    `repeat=False` polls each number once, with its retries, and is then `finished`.  `wait` lets seconds pass, or less.
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
    ) -> None:
        self.account = account
        self._client = client
        self._journal = Journal(account, state, counters)
        self._workers = workers
        self._clock = clock
        self._rng = rng
        self._repeat = repeat
        self._lock = threading.Lock()
        self._loop = Loop(f"poller-{account}", self.step, self._lock, clock, wait)
        self._schedule = Schedule(account, repeat=repeat)
        self._budget = budget
        self._gate = Gate(budget, self._lock, clock, wait)
        self._refusal = Refusal()
        self._probe: _Poll | None = None  # the poll that may go although the account is refused
        self._numbers = 0
        self._interval = math.inf
        self._places = Places()
        self._let_ins = 0
        self._is_held = False  # by something other than the budget
        self._free_since = -math.inf  # when it last was not any more: before that no poll waited for the budget
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
    ) -> None:
        """Take over a configuration, at the start or while polling; counts from the next slot on."""
        pace = pace_qps(qps, quota)
        with self._lock:
            self._budget.configure(qps, quota)
            self._schedule.configure(
                numbers,
                interval_seconds,
                len(numbers) / pace,
                now=self._clock.monotonic(),
                now_unix=self._clock.unix(),
            )
            self._numbers = len(numbers)
            self._interval = interval_seconds
            self._places.configure(pace, timeout_seconds, accounts)
            if client is not None and client is not self._client:
                self._client = client
                self._refusal.probe_soon()  # it may have what the old one lacked
            self._loop.nudge()
            self._gate.look_again()

    def start(self) -> None:
        """Start polling, unless it goes on already or was stopped.

        A hundred accounts that start together do not stay in step.  Raises RuntimeError where the machine has no thread
        left.
        """
        with self._lock:
            if self._loop.is_alive or self._stopped:  # a reload may have begun before the end
                return
            gap_seconds = 1 / pace_qps(self._budget.qps, self._budget.quota)
            delay_seconds = self._schedule.offset_share * min(gap_seconds, MAX_STAGGER_SECONDS)
            self._budget.hold_until(self._clock.monotonic() + delay_seconds)
        self._loop.start()

    def stop(self) -> None:
        """Stop polling; requests under way are abandoned, not waited for."""
        with self._lock:
            self._stopped = True
            self._loop.stop()
            self._gate.look_again()
        self._client.close()

    def step(self) -> float:
        """Hand out the next poll if one may go; returns the instant at which to be called again."""
        with self._lock:
            now = self._clock.monotonic()
            self._loop.begin(now)
            at = self._next_at(now)
            poll = self._take(now) if at <= now else None
        if poll is not None:
            try:
                self._workers.submit(functools.partial(self._work, poll))
            except BaseException:  # no thread or memory to be had: the number is still due
                self._ended(poll, None, put_back=True)
                raise
        return max(at, now)

    def status(self) -> AccountStatus:
        """How polling goes now."""
        with self._lock:
            now = self._clock.monotonic()
            reason = self._refusal.reason
            return AccountStatus(
                account=self.account,
                phone_numbers=self._numbers,
                scrape_interval_seconds=self._interval,
                lag_seconds=self._schedule.lag_seconds(now),
                budget_qps=self._budget.qps,
                effective_qps=self._budget.effective_qps(now),
                in_flight=self._places.in_flight,
                refused_because="" if reason is None else reason.code,
                refused_message="" if reason is None else reason.message,
                refused_request_id="" if reason is None else reason.request_id,
            )

    def next_polls(self, keys: Sequence[NumberKey]) -> list[float | None]:
        """When each number is polled next, as Unix seconds; None while it is being polled, infinity for never."""
        found: list[float | None] = []
        for start in range(0, len(keys), MAX_KEYS_LOCKED):  # the gate must not wait long for a page
            with self._lock:
                ahead = self._clock.unix() - self._clock.monotonic()
                for key in keys[start : start + MAX_KEYS_LOCKED]:
                    at = self._schedule.next_poll_at(key)
                    found.append(None if at is None else at + ahead)
        return found

    def unattempted(self) -> int:
        """How many numbers were not attempted yet; 0 while the account is refused, since waiting does not help then."""
        with self._lock:
            return 0 if self._refusal.refused else self._schedule.unattempted

    def seconds_without_beat(self) -> float:
        """How long the loop has been silent."""
        with self._lock:
            return self._loop.seconds_without_beat()

    def finished(self) -> bool:
        """Whether every number had its poll, or the account is refused (`repeat=False`)."""
        with self._lock:
            if self._places.under_way:
                return False
            return self._refusal.refused or self._schedule.next_at() == math.inf

    def _next_at(self, now: float) -> float:
        """The instant at which the next poll may be handed out; infinity until something changes."""
        held_until = self._held_until(now)
        if held_until is not None:
            self._is_held = True
            return held_until
        if self._is_held:
            self._is_held, self._free_since = False, now
        if self._places.crowded:
            return math.inf
        pace = self._budget.pace(now)
        slot_at = max(now, self._budget.ready_at(now)) + self._places.waiting / pace
        return max(self._schedule.next_at(), slot_at - HAND_OUT_SECONDS)

    def _held_until(self, now: float) -> float | None:
        """When to look again where it is not the budget that keeps polls back; None where nothing else does."""
        if self._stopped or self._places.full:
            return math.inf
        if not self._client.ready():
            return now + NOT_READY_SECONDS
        if self._refusal.refused:
            return math.inf if self._places.under_way or not self._repeat else self._refusal.probe_at(self._interval)
        return None

    def _take(self, now: float) -> _Poll | None:
        is_probe = self._refusal.refused
        if is_probe:
            self._refusal.probed(now)
        entry = self._schedule.take(now, early=is_probe)
        if entry is None:
            return None
        poll = _Poll(entry, self._client, now if is_probe else max(entry.wanted_at, self._free_since))
        self._places.taken()
        self._probe = poll if is_probe else None
        return poll

    def _work(self, first: _Poll) -> None:
        """Poll `first`, then whatever may go at once: the same thread goes on, which saves a hand-over."""
        poll: _Poll | None = first
        while poll is not None:
            self._poll(poll)
            with self._lock:
                now = self._clock.monotonic()
                at = self._next_at(now)
                poll = self._take(now) if at <= now else None
                if poll is None:
                    self._loop.nudge()

    def _poll(self, poll: _Poll) -> None:
        """One poll of one number, from the gate to the state."""
        retry: float | None = None
        put_back = False
        number = poll.entry.number
        try:
            answer = poll.client.fetch(number, lambda: self._slot(poll))
        except Stopped:
            put_back = True
        except ApiError as error:
            retry = self._failed(poll, error)
        except Exception as bug:  # a bug in one poll must not lose the number, nor look like a status
            logger.exception("a poll failed", extra=fields(account=self.account, phone_number=number.label))
            internal = ApiError(INTERNAL_ERROR, Kind.TRANSIENT, message=type(bug).__name__)
            retry = self._failed(poll, internal)
        else:
            self._succeeded(poll, answer)
        finally:
            self._ended(poll, retry, put_back=put_back)

    def _slot(self, poll: _Poll) -> Slot:
        """The next slot, to be waited for and used; raises Stopped where the poll must not go.

        A poll that comes again, since its connection was gone, waits for another slot; its first one goes unused.
        """
        if not poll.waits:
            with self._lock:
                poll.waits = True
                self._places.came_back()
        return self._gate.slot(lambda: self._may_go(poll), lambda now: self._passed(poll, now))

    def _passed(self, poll: _Poll, now: float) -> None:
        self._journal.waited(now - poll.wanted_at)
        poll.wanted_at, poll.passed_at, poll.waits = now, now, False
        if self._places.passed():
            self._loop.nudge()

    def _may_go(self, poll: _Poll) -> bool:
        """Nothing goes by a client that was replaced; while the account is refused only its probe does."""
        if self._stopped or not poll.entry.scheduled or poll.client is not self._client:
            return False
        return poll is self._probe or not self._refusal.refused

    def _succeeded(self, poll: _Poll, answer: Answer) -> None:
        if self._stopped:
            return
        self._journal.succeeded(poll.entry.number, answer, is_retry=poll.entry.retries > 0)
        with self._lock:
            restored = poll.client is self._client and self._refusal.succeeded()
            if restored:
                self._make_up(self._clock.monotonic())
        if restored:
            self._journal.let_in()

    def _failed(self, poll: _Poll, error: ApiError) -> float | None:
        """Record a failed attempt and react to it; returns when to retry it, or None."""
        if self._stopped:  # the client was closed under it: that says nothing about the API
            return None
        self._journal.failed(poll.entry.number, error, is_retry=poll.entry.retries > 0)
        now = self._clock.monotonic()
        with self._lock:
            was_refused = self._refusal.refused
            if error.cured:
                self._refusal.probe_soon()
            elif poll.client is self._client:
                self._refusal.failed(error, now)
            is_refused = self._refusal.refused
            if was_refused and not is_refused:
                self._make_up(now)
            poll.is_owed, poll.let_ins = error.kind is Kind.ACCOUNT, self._let_ins
            if error.kind is Kind.THROTTLE:
                released_at = now if poll.passed_at is None else poll.passed_at
                self._budget.throttled(now, released_at, error.retry_after_seconds)
            self._gate.look_again()
            retry = None if is_refused else retry_at(error.kind, poll.entry.retries, now, self._rng)
        if error.kind is Kind.ACCOUNT:
            poll.client.renew_credentials()
        if is_refused and not was_refused:
            self._journal.refused(error)
        if was_refused and not is_refused:
            self._journal.let_in()
        return retry

    def _make_up(self, now: float) -> None:
        self._let_ins += 1
        self._schedule.make_up(now)

    def _ended(self, poll: _Poll, retry: float | None, *, put_back: bool) -> None:
        with self._lock:
            self._places.ended(passed=not poll.waits)
            now = self._clock.monotonic()
            if put_back:
                self._schedule.put_back(poll.entry, now)
                return
            self._schedule.done(poll.entry, retry, owed=poll.is_owed)
            if poll.is_owed and poll.let_ins != self._let_ins:  # let in again while the failure was being recorded
                self._schedule.make_up(now)
