"""The loop that polls one account: schedule -> budget -> client -> state.

One thread an account decides *what* is polled next and hands it to a worker; the worker's client connects and then
passes the gate, which decides *when*: the moment a request leaves is the moment its slot is taken, so neither a thread
that wakes late nor a slow TLS handshake squeezes two requests together.
"""

from __future__ import annotations

import functools
import logging
import math
import random
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from exporter.budget import Budget, pace_qps
from exporter.errors import ApiError, Kind, Stopped
from exporter.logs import fields
from exporter.metrics import Counters
from exporter.model import AccountStatus, Answer, Clock, NumberKey, PhoneNumber
from exporter.refusal import Refusal
from exporter.schedule import Entry, Schedule
from exporter.state import State
from exporter.workers import Workers

logger = logging.getLogger(__name__)

CONNECT_AHEAD_SECONDS = 0.4
"""Polls are handed to workers this much ahead of their slots, so that connecting does not cost the budget a slot."""

MAX_POLLS_UNDER_WAY = 1000
"""In all accounts together; an account may have its even share of them, and at least `MIN_SHARE`."""

MIN_SHARE = 4

MAX_RETRIES = 2
RETRY_BASE_SECONDS = 1.0
RETRY_CAP_SECONDS = 15.0

NOT_READY_SECONDS = 0.05
"""How often to look whether the first credential has come."""

BEAT_SECONDS = 5.0
"""The loop comes round at least this often, so that a missing beat means a dead loop."""

DEAD_SECONDS = 30.0

MAX_KEYS_LOCKED = 1000
"""Numbers whose next polls are looked up at a time: less than a millisecond."""

INTERNAL_ERROR = "internal_error"
"""The code of a poll that failed by a bug of ours."""


class Fetcher(Protocol):
    """What the poller needs of the client."""

    def fetch(self, number: PhoneNumber, gate: Callable[[], None]) -> Answer:
        """Ask once; calls `gate` right before sending.  Raises ApiError, and what `gate` raises."""

    def ready(self) -> bool:
        """False until a first look for credentials ended, well or badly."""

    def renew_credentials(self) -> None:
        """Have fresh credentials fetched in the background."""

    def close(self) -> None:
        """Abandon what is under way."""


def connect_ahead(pace: float) -> int:
    """How many polls may wait for their slots at once."""
    return max(2, min(32, math.ceil(pace * CONNECT_AHEAD_SECONDS)))


def max_in_flight(pace: float, timeout_seconds: float, accounts: int) -> int:
    """How many polls of an account may be under way, so that answers as slow as the timeout do not eat the budget.

    Bounded by an even share of `MAX_POLLS_UNDER_WAY`: a process never has more worker threads than the sum.
    """
    needed = math.ceil(pace * timeout_seconds) + connect_ahead(pace)
    return min(needed, max(MIN_SHARE, MAX_POLLS_UNDER_WAY // max(1, accounts)))


class AccountPoller:
    """Polls the numbers of one account until stopped; thread-safe.

    `repeat=False` polls each number once, with its retries, and is then `finished`.  `wait` lets seconds pass, or less.
    """

    def __init__(
        self,
        account: str,
        *,
        client: Fetcher,
        state: State,
        counters: Counters,
        workers: Workers,
        clock: Clock,
        rng: random.Random,
        repeat: bool = True,
        wait: Callable[[threading.Condition, float], object] = threading.Condition.wait,
    ) -> None:
        self.account = account
        self._client = client
        self._state = state
        self._counters = counters
        self._workers = workers
        self._clock = clock
        self._rng = rng
        self._repeat = repeat
        self._wait = wait
        self._lock = threading.Lock()
        self._loop_wakes = threading.Condition(self._lock)
        self._gate_opens = threading.Condition(self._lock)
        self._turnstile = threading.Lock()  # one poll at a time waits for the next slot, the others queue here
        self._schedule = Schedule(account, repeat=repeat)
        self._budget = Budget(1.0, 1.0)
        self._refusal = Refusal()
        self._probe: Entry | None = None  # the poll that may go although the account is refused
        self._numbers = 0
        self._interval = math.inf
        self._max_in_flight = self._max_waiting = 1
        self._under_way = 0  # polls handed to workers
        self._waiting = 0  # those of them that have not passed the gate yet
        self._nudged = False  # something changed while the loop was not waiting
        self._stopped = False
        self._beat_at = clock.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"poller-{account}", daemon=True)

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
            self._max_waiting = connect_ahead(pace)
            self._max_in_flight = max_in_flight(pace, timeout_seconds, accounts)
            if client is not None:
                self._client = client
            self._nudge()
            self._gate_opens.notify_all()

    def start(self) -> None:
        """Start polling."""
        self._thread.start()

    def stop(self) -> None:
        """Stop polling; requests under way are abandoned, not waited for."""
        with self._lock:
            self._stopped = True
            self._nudge()
            self._gate_opens.notify_all()
        self._client.close()

    def step(self) -> float:
        """Hand out the next poll if one may go; returns the instant at which to be called again."""
        with self._lock:
            self._nudged = False
            now = self._beat_at = self._clock.monotonic()
            at = self._next_at(now)
            entry = self._take(now) if at <= now else None
        if entry is not None:
            self._workers.submit(functools.partial(self._work, entry))
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
                in_flight=self._under_way - self._waiting,
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
            return self._clock.monotonic() - self._beat_at

    def finished(self) -> bool:
        """Whether every number had its poll, or the account is refused (`repeat=False`)."""
        with self._lock:
            if self._under_way:
                return False
            return self._refusal.refused or self._schedule.next_at() == math.inf

    def pass_gate(self, entry: Entry) -> float:
        """Block until the next slot and take it; returns the instant.  Raises Stopped where the poll must not go."""
        with self._turnstile, self._lock:
            while True:
                if self._stopped or not entry.scheduled or self._is_held_back(entry):
                    raise Stopped
                now = self._clock.monotonic()
                ready_at = self._budget.ready_at(now)
                if ready_at <= now:
                    break
                self._wait(self._gate_opens, ready_at - now)
            self._budget.released(now)
            self._waiting -= 1
            self._counters.waited(self.account, now - entry.wanted_at)
            if self._waiting <= self._max_waiting // 2:
                self._nudge()
            return now

    def _run(self) -> None:
        while True:
            try:
                at = self.step()
            except Exception:  # a dead poller looks healthy: say it and go on
                logger.exception("polling failed", extra=fields(account=self.account))
                at = self._clock.monotonic() + 1.0
            with self._lock:
                if self._stopped:
                    return
                wait = min(at - self._clock.monotonic(), BEAT_SECONDS)
                if wait > 0 and not self._nudged:
                    self._loop_wakes.wait(wait)

    def _nudge(self) -> None:
        self._nudged = True
        self._loop_wakes.notify()

    def _next_at(self, now: float) -> float:
        """The instant at which the next poll may be handed out; infinity until something changes."""
        if self._stopped or self._waiting >= self._max_waiting or self._under_way >= self._max_in_flight:
            return math.inf
        if not self._client.ready():
            return now + NOT_READY_SECONDS
        if self._refusal.refused:
            return math.inf if self._under_way or not self._repeat else self._refusal.probe_at(self._interval)
        return self._schedule.next_at()

    def _take(self, now: float) -> Entry | None:
        entry = self._schedule.take(now, early=self._refusal.refused)
        if entry is not None:
            self._under_way += 1
            self._waiting += 1
            self._probe = entry if self._refusal.refused else None
            if self._refusal.refused:
                self._refusal.probed(now)
        return entry

    def _is_held_back(self, entry: Entry) -> bool:
        """While the account is refused only its probe goes, not what was queued before that."""
        return self._refusal.refused and entry is not self._probe

    def _work(self, first: Entry) -> None:
        """Poll `first`, then whatever may go at once: the same thread goes on, which saves a hand-over."""
        entry: Entry | None = first
        while entry is not None:
            self._poll(entry)
            with self._lock:
                now = self._clock.monotonic()
                at = self._next_at(now)
                entry = self._take(now) if at <= now else None
                if entry is None:
                    self._nudge()

    def _poll(self, entry: Entry) -> None:
        """One poll of one number, from the gate to the state."""
        passed_at: list[float] = []
        retry_at: float | None = None
        try:
            answer = self._client.fetch(entry.number, lambda: passed_at.append(self.pass_gate(entry)))
        except Stopped:
            self._ended(entry, passed=bool(passed_at), put_back=True)
            return
        except ApiError as error:
            if self._stopped:  # the client was closed under it: that says nothing about the API
                self._ended(entry, passed=bool(passed_at), put_back=True)
                return
            retry_at = self._failed(entry, error, passed_at)
        except Exception as bug:  # a bug in one poll must not lose the number, nor look like a status
            logger.exception("a poll failed", extra=fields(account=self.account, phone_number=entry.number.label))
            internal = ApiError(INTERNAL_ERROR, Kind.TRANSIENT, message=type(bug).__name__, sent=False)
            retry_at = self._failed(entry, internal, passed_at)
        else:
            self._succeeded(entry, answer)
        self._ended(entry, passed=bool(passed_at), retry_at=retry_at)

    def _succeeded(self, entry: Entry, answer: Answer) -> None:
        number = entry.number
        self._counters.request(self.account, answer.elapsed_seconds)
        if entry.retries:
            self._counters.retry(self.account)
        before = self._state.succeeded(number, answer)
        with self._lock:
            restored = self._refusal.succeeded()
        if restored:
            self._say_let_in()
        if before:
            logger.info(
                "status changed",
                extra=fields(**_who(number), before=before, status=answer.status, request_id=answer.request_id),
            )

    def _failed(self, entry: Entry, error: ApiError, passed_at: list[float]) -> float | None:
        """Count, record and react to a failed attempt; returns when to retry it, or None."""
        number = entry.number
        self._counters.error(self.account, error.code)
        if error.sent:
            self._counters.request(self.account, error.elapsed_seconds)
            if entry.retries:
                self._counters.retry(self.account)
        is_news = self._state.failed(number, error)
        now = self._clock.monotonic()
        with self._lock:
            was_refused = self._refusal.refused
            self._refusal.failed(error, now)
            refused = self._refusal.refused
            if error.kind is Kind.THROTTLE:
                self._budget.throttled(now, passed_at[-1] if passed_at else now, error.retry_after_seconds)
            self._gate_opens.notify_all()
            retry_at = self._retry_at(entry, error, now)
        if error.kind is Kind.ACCOUNT:
            self._client.renew_credentials()
        facts = {"code": error.code, "http_status": error.http_status, "request_id": error.request_id}
        logger.log(
            logging.WARNING if is_news else logging.DEBUG,
            "poll failed",
            extra=fields(**_who(number), **facts, error=error.message),
        )
        if refused and not was_refused:
            logger.error("account is refused, probing it from now on", extra=fields(account=self.account, **facts))
        if was_refused and not refused:
            self._say_let_in()
        return retry_at

    def _retry_at(self, entry: Entry, error: ApiError, now: float) -> float | None:
        """Exponential backoff with full jitter for what may pass; an account's error is tried once more, renewed."""
        if self._refusal.refused or error.kind is Kind.NUMBER:
            return None
        if entry.retries >= (1 if error.kind is Kind.ACCOUNT else MAX_RETRIES):
            return None
        backoff = min(RETRY_CAP_SECONDS, RETRY_BASE_SECONDS * 2.0 ** (entry.retries + 1))
        return now + self._rng.uniform(0.0, backoff)

    def _ended(self, entry: Entry, *, passed: bool, retry_at: float | None = None, put_back: bool = False) -> None:
        with self._lock:
            if not passed:
                self._waiting -= 1
            self._under_way -= 1
            if put_back:
                self._schedule.put_back(entry, self._clock.monotonic())
            else:
                self._schedule.done(entry, retry_at)

    def _say_let_in(self) -> None:
        logger.info("account is let in again", extra=fields(account=self.account))


def _who(number: PhoneNumber) -> dict[str, str]:
    """The fields that name a number in the log."""
    return {"account": number.account, "cust_space_id": number.cust_space_id, "phone_number": number.label}
