"""One optional operation of an account: what is due, its own ceiling, and whether the API refuses it.

Pure but for `ask` and `told`: time is an argument, nothing waits here.

- The *limit* is a budget of its own, at the documented ceiling (`ceiling`).  A throttle pauses and slows this operation
  only: the pause is longer each time, at most `MAX_PAUSE_SECONDS`.  A pause that comes with an error about one number
  or space holds back that one only.
- After `REFUSALS_TO_PROBE` refusals in a row with no success between, of as many spaces if there are so many, the
  operation is *refused as a whole*: its circuit breaker opens, and probes ask, one per interval, spaces in turn.  A
  space that is refused alone holds back nothing else.
- A failure that may pass is retried after `RETRY_SECONDS`, later each time, at most after the interval.
"""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from exporter.cams.operations import Operation
from exporter.errors import ApiError, Kind
from exporter.model import NumberKey, Refused, Slot
from exporter.polling.circuit_breaker import CircuitBreaker
from exporter.polling.client import Fetcher
from exporter.polling.errands.ceiling import Ceiling
from exporter.polling.in_flight import HAND_OUT_SECONDS
from exporter.polling.recorder import Recorder
from exporter.polling.schedule import Entry, Schedule, Target
from exporter.polling.standing import DEFINITE, REFUSALS, Standing, reason_of

REFUSALS_TO_PROBE = 3
RETRY_SECONDS = 10.0
MAX_PAUSE_SECONDS = 60.0
MAX_RETRIES_ONCE = 2
"""How often a failure is retried with `repeat=False`."""

THROTTLES_ONCE = 5
"""With `repeat=False` the operation is given up after so many throttles in a row: each one pauses it, and thousands of
requests would take days."""

DEFAULT_QPS = 10.0
"""The ceiling of an operation without a documented one: the account's own."""

T = TypeVar("T", bound=Target)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Reply(Generic[V]):
    """The value of a successful request; None if more requests of the same listing follow."""

    value: V | None
    elapsed_seconds: float


@dataclass(frozen=True, slots=True)
class Ended:
    """How a request ended, which left at `asked_at`: the error, or None for a success.

    `is_current` is False if the credential has changed since.  With `is_part` more of the same listing follows.
    """

    error: ApiError | None
    asked_at: float
    is_current: bool
    is_probe: bool = False
    is_part: bool = False


class OptionalOperation(ABC, Generic[T, V]):
    """One operation of an account.  Not thread-safe: the poller holds the lock, except for `ask` and `told`.

    `T` is what is asked about, `V` what is answered.  With `repeat=False` each is asked once, with its retries.
    """

    operation: ClassVar[type[Operation[Any]]]
    max_retries: ClassVar[float] = math.inf
    """How often a failure is retried before the next regular request."""

    def __init__(self, account: str, recorder: Recorder, rng: random.Random, *, repeat: bool) -> None:
        self.name = self.operation.name
        self.schedule = Schedule[T](account, repeat=repeat)
        self.limit = Ceiling(self.operation.max_qps or DEFAULT_QPS)
        self.standing = Standing(self.name)
        self.breaker = CircuitBreaker()
        self.taken_at = -math.inf
        """When a request was last handed out."""
        self._recorder = recorder
        self._rng = rng
        self._repeat = repeat
        self._interval = math.inf
        self._spaces = 0
        self._to_go_on: Entry[T] | None = None  # its listing has begun
        self._refusals = 0  # in a row
        self._refused_spaces: set[str] = set()  # of those
        self._throttled_at = -math.inf
        self._throttles = 0  # in a row

    @abstractmethod
    def ask(self, client: Fetcher, target: T, gate: Callable[[], Slot]) -> Reply[V]:
        """Send one request.  Raises ApiError, and what entering the slot raises."""

    @abstractmethod
    def succeeded(self, target: T, value: V) -> Sequence[str] | None:
        """Hand on what was answered; returns the spaces to list from now on if they may be others."""

    @abstractmethod
    def failed(self, target: T, error: ApiError) -> None:
        """Hand on an error."""

    def told(self, target: T, outcome: Reply[V] | ApiError, *, is_retry: bool) -> Sequence[str] | None:
        """Count a request, and hand on what came of it; returns what `succeeded` does.  Called without the lock."""
        if isinstance(outcome, ApiError):
            elapsed_seconds = outcome.elapsed_seconds if outcome.sent else None
            self._recorder.requested(self.name, elapsed_seconds, outcome.code, is_retry=is_retry)
            if not outcome.cured:
                self.failed(target, outcome)
        else:
            self._recorder.requested(self.name, outcome.elapsed_seconds, is_retry=is_retry)
            if outcome.value is not None:
                return self.succeeded(target, outcome.value)
        return None

    def configure(
        self, targets: Sequence[T], interval_seconds: float, real_seconds: float, *, now: float, now_unix: float
    ) -> None:
        """Ask about each of `targets` once per interval, or every `real_seconds` if that is longer."""
        self._interval = interval_seconds
        self.schedule.configure(targets, interval_seconds, real_seconds, now=now, now_unix=now_unix)
        keys = self.schedule.keys
        self.standing.configure(keys)
        self._spaces = len({key.cust_space_id for key in keys})
        if self.breaker.is_open:
            self.breaker.turn = OrderedDict.fromkeys((*(key for key in self.breaker.turn if key in keys), *keys))

    def next_at(self, now: float) -> float:
        """When to hand out the next request; infinity for never."""
        if self._is_given_up:
            return math.inf
        if self._to_go_on is not None:
            at = -math.inf
        elif self.breaker.is_open:
            at = self.breaker.probe_at(self._interval) if self._repeat else math.inf
        else:
            at = self.schedule.next_at()
        return max(at, self.limit.ready_at(now) - HAND_OUT_SECONDS)

    def take(self, now: float) -> Entry[T] | None:
        """What is asked about next, None if nothing may be; `ended` or `put_back` ends it."""
        self.taken_at = now
        if self._to_go_on is not None:
            entry, self._to_go_on = self._to_go_on, None
            return entry
        if not self.breaker.is_open:
            return self.schedule.take(now)
        key = self.breaker.probe(now, lambda each: self.schedule.is_free(each, now))
        return None if key is None else self.schedule.take_early(key, now)

    def put_back(self, entry: Entry[T], now: float, *, is_probe: bool) -> None:
        """The request was not sent."""
        self.schedule.put_back(entry, now)
        if is_probe:
            self.breaker.probe_again()

    def finished(self) -> bool:
        """Whether nothing is left to ask (`repeat=False`)."""
        is_done = self._to_go_on is None and (self.breaker.is_open or self.schedule.next_at() == math.inf)
        return is_done or self._is_given_up

    @property
    def _is_given_up(self) -> bool:
        return not self._repeat and self._throttles >= THROTTLES_ONCE

    @property
    def refused(self) -> Refused | None:
        """Why the API refuses it: by its last answer for want of permission, or as a whole; None if it does not."""
        if self.breaker.is_open:
            return self.breaker.reason
        return self.standing.down if self.standing.is_forbidden else None

    def may_wait(self, now: float, *, is_probe: bool) -> bool:
        """Whether a request may go on waiting for its slot."""
        if self.breaker.is_open and not is_probe:
            return False
        return self.limit.ready_at(now) - now <= 1 / self.limit.pace(now) + HAND_OUT_SECONDS

    def ended(self, entry: Entry[T], ended: Ended, now: float) -> bool:
        """A request ended.  Returns whether the operation came up, or went down."""
        error, key = ended.error, entry.target.key
        not_before = self._pause(error, ended.asked_at, now)
        changed = False
        if ended.is_current and entry.scheduled and not (error is not None and error.cured):
            self._learn(key, error, now)
            changed = self.standing.heard(key, error, is_whole=self.breaker.is_open)
        if ended.is_probe and error is not None and error.kind not in REFUSALS:
            self.breaker.probe_again()
        if ended.is_part:
            self._to_go_on = entry
            return changed
        is_refused = error is not None and error.kind in REFUSALS
        entry.failures = 0 if error is None or error.kind in DEFINITE else entry.failures + 1
        at = None if error is None else self._retry_at(error, entry, now)
        self.schedule.done(entry, at, refused=is_refused, not_before=not_before)
        if is_refused and not ended.is_current and entry.scheduled:
            self.schedule.requeue_refused(now, [key])
        return changed

    def credential_changed(self, now: float) -> None:
        """What was refused may be accepted with another credential."""
        self.breaker.probe_soon()
        self.schedule.requeue_refused(now)

    def _pause(self, error: ApiError | None, asked_at: float, now: float) -> float:
        """Wait as an answer asks; returns the instant before which only this number or space is not to be asked."""
        if error is None:
            self._throttles -= self._throttles > 0 and asked_at > self._throttled_at
        elif error.kind is Kind.THROTTLE:
            if asked_at > self._throttled_at:  # else it belongs to the throttle before
                self._throttled_at = now
                self._throttles += 1
            backoff_seconds = min(2.0 ** (min(self._throttles, 10) - 1), MAX_PAUSE_SECONDS)
            self.limit.throttled(now, asked_at, max(error.retry_after_seconds or 0.0, backoff_seconds))
        elif error.retry_after_seconds is not None:
            until = now + error.retry_after_seconds
            if error.kind in DEFINITE:
                return until
            self.limit.hold_until(until)
        return -math.inf

    def _learn(self, key: NumberKey, error: ApiError | None, now: float) -> None:
        """Open or close the circuit breaker."""
        if error is None or (error.kind is Kind.NUMBER and not error.guessed):
            self._refusals = 0
            self._refused_spaces.clear()
            if self.breaker.restore():
                self.schedule.requeue_refused(now)
        elif error.kind in REFUSALS:
            self._refusals += 1
            self._refused_spaces.add(key.cust_space_id)
            spaces = min(REFUSALS_TO_PROBE, self._spaces)
            is_whole = self._refusals >= REFUSALS_TO_PROBE and len(self._refused_spaces) >= spaces
            if (is_whole or not error.sent) and self.breaker.refuse(reason_of(key, error), now):
                self.breaker.turn = OrderedDict.fromkeys(_in_turn(self.schedule.keys))

    def _retry_at(self, error: ApiError, entry: Entry[T], now: float) -> float | None:
        """When to ask again ahead of the next regular request; None for not."""
        if error.cured:
            return now
        most = self.max_retries if self._repeat else MAX_RETRIES_ONCE
        if error.kind in DEFINITE or entry.retries >= most:
            return None
        longest = min(RETRY_SECONDS * 2.0 ** min(entry.failures - 1, 10), self._interval)
        return now + self._rng.uniform(longest / 2, longest)


def _in_turn(keys: Iterable[NumberKey]) -> list[NumberKey]:
    """One key of each space, then the next one of each: permission may come for one space."""
    by_space: defaultdict[str, list[NumberKey]] = defaultdict(list)
    for key in keys:
        by_space[key.cust_space_id].append(key)
    ranks = {key: rank for of_space in by_space.values() for rank, key in enumerate(of_space)}
    return sorted(ranks, key=ranks.__getitem__)
