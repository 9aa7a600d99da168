"""Polls one account: schedule (which number) -> gate (when) -> client (ask) -> recorder (what came of it).

One thread an account takes the next poll from the schedule and hands it to a worker.  The worker's client connects,
waits for a slot at the gate, and asks.  The outcome goes to the recorder, and to `reaction`, which decides what follows
from it.
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

from exporter.cams.error_codes import INTERNAL_ERROR
from exporter.errors import ApiError, Kind, Stopped
from exporter.logs import fields
from exporter.metrics.counters import Counters
from exporter.model import AccountStatus, Answer, Clock, NumberKey, PhoneNumber, Slot, Wait, pace_qps
from exporter.polling.budget import Budget
from exporter.polling.circuit_breaker import CircuitBreaker, CircuitBreakers
from exporter.polling.gate import Gate, Waiter
from exporter.polling.in_flight import HAND_OUT_SECONDS, connect_ahead, max_in_flight
from exporter.polling.loop import Loop
from exporter.polling.reaction import Reaction
from exporter.polling.recorder import Recorder
from exporter.polling.schedule import Entry, Schedule
from exporter.polling.workers import Workers
from exporter.scrape_priority import ScrapePriority
from exporter.state.store import State

logger = logging.getLogger(__name__)

NOT_READY_SECONDS = 0.05
"""How often to look whether the first credential is there."""

LOOK_SECONDS = 2.0
"""How often the loop steps at least: it looks whether the credential became another one, and has a heartbeat."""

DEAD_SECONDS = 30.0
"""A loop without a heartbeat for longer than this is dead."""

MAX_STAGGER_SECONDS = 1.0
"""An account's first poll waits for less than this, and for less than the time between two of its requests."""


class Fetcher(Protocol):
    """What the poller needs of the client."""

    def fetch(self, number: PhoneNumber, gate: Callable[[], Slot]) -> Answer:
        """Ask once; sends inside a slot that `gate` gives.  Raises ApiError, and what entering the slot raises."""

    def ready(self) -> bool:
        """False until a first look for credentials ended, with or without success."""

    def credential_changes(self) -> int:
        """How often the credential became another one; may look at key files, and does not wait for the network."""


@dataclass(slots=True, eq=False, kw_only=True)
class _Poll(Waiter):
    """One poll under way; `credential` says which one signs, as a number."""

    entry: Entry
    client: Fetcher
    credential: int
    is_probe: bool


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
    ) -> None:
        self.account = account
        self._client = client
        self._recorder = Recorder(account, state, counters)
        self._workers = workers
        self._clock = clock
        self._repeat = repeat
        self._lock = threading.Lock()
        self._loop = Loop(f"poller-{account}", self.step, self._lock, clock, wait)
        self._schedule = Schedule(account, repeat=repeat)
        self._budget = budget
        self._gate = Gate(budget, self._lock, clock, wait, room=self._loop.wake, priority=priority)
        self._breakers = CircuitBreakers()
        self._numbers = 0
        self._interval = math.inf
        self._under_way: set[_Poll] = set()
        self._most_under_way = 1
        self._reaction = Reaction(
            self._schedule, budget, self._breakers, state.fresh_until if repeat else lambda _: math.inf, rng
        )
        self._credential = 0  # counts credentials, of all clients
        self._credential_changes = -1  # of the client, as last seen
        self._is_ready = False  # the client's first look for a credential ended
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
            self._breakers.configure(self._schedule.keys)
            self._numbers = len(numbers)
            self._interval = interval_seconds
            self._most_under_way = max_in_flight(pace, timeout_seconds, accounts)
            self._gate.configure(connect_ahead(pace))
            if client is not None and client is not self._client:
                self._client = client
                self._credential += 1
                self._credential_changes = -1  # it may have what the old one lacked
                self._is_ready = False
            self._loop.wake()
            self._revoke()

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
            self._revoke()

    def step(self) -> float:
        """Hand out the polls that may go; returns the instant at which to be called again."""
        client = self._client  # asked without the lock: it may look at files
        changes, is_ready = client.credential_changes(), self._is_ready or client.ready()
        with self._lock:
            now = self._clock.monotonic()
            if client is self._client:
                self._is_ready = is_ready
                if changes != self._credential_changes:
                    self._credential_changes = changes
                    self._credential += 1
                    self._reaction.credential_changed(now)
            poll, at = self._next(now)
        while poll is not None:
            try:
                self._workers.submit(functools.partial(self._work, poll))
            except BaseException:  # no thread or memory is left: the number is still due
                self._ended(poll, None)
                raise
            with self._lock:
                poll, at = self._next(self._clock.monotonic())
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
                in_flight=len(self._under_way) - self._gate.waiting,
                refused=self._breakers.reason,
                spaces=self._breakers.spaces,
                refused_spaces=self._breakers.refused_spaces,
                guard_seconds=self._budget.guard_seconds(now),
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
            if self._under_way:
                return False
            return self._breakers.account.is_open or self._schedule.next_at() == math.inf

    def _next(self, now: float) -> tuple[_Poll | None, float]:
        """The poll that goes now, if one does, and the instant at which to look for the next one."""
        probe_at = self._probe_at(now)
        at = self._held_until(now, probe_at)
        if at is not None:
            self._is_held = True
        else:
            if self._is_held:
                self._is_held, self._free_since = False, now
            at = max(min(self._schedule.next_at(), probe_at), self._gate.slot_at(now) - HAND_OUT_SECONDS)
        if at > now:
            return None, at
        if probe_at <= now:
            key = self._breakers.probe(now, self._interval, lambda each: self._schedule.is_free(each, now))
            entry = None if key is None else self._schedule.take_early(key, now)
            return self._handed_out(entry, now, is_probe=True), now
        return self._handed_out(self._schedule.take(now), self._free_since, is_probe=False), now

    def _probe_at(self, now: float) -> float:
        """The instant of the next probe of what is refused."""
        if not self._repeat or not self._breakers.refuses:
            return math.inf
        return self._breakers.probe_at(self._interval, self._budget.pace(now))

    def _held_until(self, now: float, probe_at: float) -> float | None:
        """When to look again where it is not the budget that holds polls back; None where nothing else does."""
        if self._stopped or len(self._under_way) >= self._most_under_way:
            return math.inf
        if not self._is_ready:
            return now + NOT_READY_SECONDS
        if self._breakers.account.is_open:
            return math.inf if self._under_way else probe_at
        return None

    def _handed_out(self, entry: Entry | None, free_since: float, *, is_probe: bool) -> _Poll | None:
        if entry is None:
            return None
        poll = _Poll(
            wanted_at=max(entry.wanted_at, free_since),
            entry=entry,
            client=self._client,
            credential=self._credential,
            is_probe=is_probe,
        )
        self._under_way.add(poll)
        self._gate.expect()
        return poll

    def _work(self, first: _Poll) -> None:
        """Poll `first`, then whatever may go at once: the same thread goes on, which saves a hand-over."""
        poll: _Poll | None = first
        while poll is not None:
            self._poll(poll)
            with self._lock:
                poll, at = self._next(self._clock.monotonic())
                if poll is None:
                    self._loop.wake(at)

    def _poll(self, poll: _Poll) -> None:
        """One poll of one number, from the client to the recorder."""
        outcome: Answer | ApiError | None = None
        number = poll.entry.number
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

    def _revoke(self) -> None:
        """Turn back at the gate the polls that may not go any more.

        Those are the polls of a client that was replaced and, except for probes, of what is refused.
        """
        for poll in self._under_way:
            entry = poll.entry
            if self._stopped or not entry.scheduled or poll.client is not self._client:
                poll.revoked = True
            elif not poll.is_probe:
                poll.revoked |= self._breakers.account.is_open or self._breakers.is_held(entry.number.key)
        self._gate.look_again()

    def _ended(self, poll: _Poll, outcome: Answer | ApiError | None) -> None:
        """Record what became of a poll, and react to it; None for one that did not go, which is still due."""
        if self._stopped:  # the client was closed under it: that says nothing about the API
            outcome = None
        error = outcome if isinstance(outcome, ApiError) else None
        entry = poll.entry
        changed: list[CircuitBreaker] = []
        try:
            if outcome is not None:
                self._recorder.ended(entry.number, outcome, poll.waited_seconds, is_retry=entry.retries > 0)
        finally:
            with self._lock:
                self._under_way.discard(poll)
                if poll.waits:
                    self._gate.gone()
                now = self._clock.monotonic()
                if outcome is None:
                    self._schedule.put_back(entry, now)
                    if poll.is_probe:
                        self._breakers.probe_again(entry.number.key)
                else:
                    changed = self._reaction.ended(
                        entry,
                        error,
                        asked_at=now if poll.released_at is None else poll.released_at,
                        is_current=poll.credential == self._credential,
                        is_probe=poll.is_probe,
                        now=now,
                    )
                    if changed:
                        self._revoke()
        for breaker in changed:
            self._recorder.changed(breaker.space, breaker.reason)
