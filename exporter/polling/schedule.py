"""Which number of an account is polled next, and from which instant on.

Pure: time is an argument, nothing waits here.  A number has a phase, its place in the interval on the wall clock.  The
phases of an account's numbers are evenly spaced, in the order of their keys, so they are the same after a restart.

- In the first pass numbers are *eager*: they are polled before they are due, in the order of their phases, as fast as
  the budget allows.
- After that a number is due at its phase, once per interval, and at the earliest half an interval after its last poll:
  after a late poll the next one does not follow at once.
- If a pass does not fit the interval, a number is due one interval after its last poll.  Polling is then continuous,
  and all numbers lag alike.
- A retry goes only when no number is due.  The number's next regular poll replaces it.
- A number that is *held* is polled only by its key, until it is resumed.
- Numbers are *refused* if their last poll failed because of the key or of permission.  When they are requeued they are
  eager again: numbers that are due go first.
"""

from __future__ import annotations

import heapq
import math
import zlib
from collections.abc import Callable, Iterable, KeysView, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Generic, Protocol, TypeVar

from exporter.model import NumberKey

MIN_GAP_SHARE = 0.5
"""Share of the interval that passes at least between two regular polls of a number."""


class Target(Protocol):
    """What a schedule asks about: a number, or a space, which has the key of a number without digits."""

    @property
    def key(self) -> NumberKey:
        """Its identity, which gives it its phase."""


T = TypeVar("T", bound=Target)


@dataclass(slots=True, eq=False)
class Entry(Generic[T]):
    """One number in the schedule; all instants are monotonic seconds."""

    target: T
    phase: float
    due_at: float
    retry_at: float = math.inf
    wanted_at: float = math.inf  # of the poll under way: the instant it was due, a retry's included
    taken_at: float = -math.inf  # the last regular poll
    retries: int = 0  # since the last regular poll
    failures: int = 0  # in a row, of a kind that may pass
    not_before: float = -math.inf  # the API asked not to be asked before
    attempted: bool = False
    refused: bool = False  # the last poll failed because of the key or of permission: another key may help
    held: bool = False
    eager_at: float = math.inf  # while it is eager: when it was due
    waiting: bool = True  # False while a poll of the number is under way
    scheduled: bool = True  # False once the number left the configuration

    @property
    def may_go(self) -> bool:
        """Whether it is in the configuration, no poll of it is under way, and it is not held."""
        return self.scheduled and self.waiting and not self.held

    def __lt__(self, other: Entry[T]) -> bool:
        """Whether it goes first if both are due at one instant."""
        return self.phase < other.phase


class _Queue(Generic[T]):
    """Numbers in the order of one of their instants; infinity stands for none.

    An entry whose instant has changed, or that may not go, is dropped when it comes first: heaps cannot delete from the
    middle.
    """

    def __init__(self, instant: Callable[[Entry[T]], float]) -> None:
        self._instant = instant
        self._heap: list[tuple[float, Entry[T]]] = []

    def push(self, entry: Entry[T]) -> None:
        """Put the number in, at its instant as it is now."""
        if entry.scheduled and (at := self._instant(entry)) < math.inf:
            heapq.heappush(self._heap, (at, entry))

    def first_at(self) -> float:
        """The earliest instant; infinity for none."""
        while self._heap:
            at, entry = self._heap[0]
            if entry.may_go and at == self._instant(entry):
                return at
            heapq.heappop(self._heap)
        return math.inf

    def pop(self) -> Entry[T]:
        """Take out the first, of which `first_at` told."""
        return heapq.heappop(self._heap)[1]


class Schedule(Generic[T]):
    """The polls of one account.  Not thread-safe: its poller holds the lock.

    `repeat=False` polls each number once, with its retries; `next_at` is infinite after that.
    """

    def __init__(self, account: str, *, repeat: bool = True) -> None:
        self.offset_share = zlib.crc32(account.encode()) / 2**32
        """Where in its interval the account's first phase lies: accounts do not all ask at the same instants."""
        self._repeat = repeat
        self._interval = math.inf
        self._fits = True
        self._entries: dict[NumberKey, Entry[T]] = {}
        self._eager = _Queue[T](attrgetter("eager_at"))
        self._due = _Queue[T](attrgetter("due_at"))
        self._retry = _Queue[T](attrgetter("retry_at"))
        self.unattempted = 0
        """Numbers whose first poll has not ended yet."""

    def configure(
        self,
        numbers: Sequence[T],
        interval_seconds: float,
        pass_seconds: float,
        *,
        now: float,
        now_unix: float,
    ) -> None:
        """Take over a configuration: numbers that stay keep their phase and due instant, new ones are eager.

        The phases of new numbers lie in the widest gaps between the others, so that numbers that are added one by one
        are spread as evenly as possible, and none that stays is moved.
        """
        same_interval = interval_seconds == self._interval
        self._interval = interval_seconds
        self._fits = pass_seconds <= interval_seconds
        old, self._entries = self._entries, {}
        ordered = sorted(numbers, key=lambda n: n.key)
        kept = [old[n.key].phase / interval_seconds for n in ordered if n.key in old] if same_interval else []
        start = self.offset_share + (now - now_unix) / interval_seconds
        shares = iter(gap_fillers(kept, len(ordered) - len(kept)) if kept else ())
        for rank, number in enumerate(ordered):
            entry = old.pop(number.key, None)
            if entry is None:
                share = next(shares) if kept else start + rank / len(ordered)
                phase = share * interval_seconds
                entry = Entry(number, phase, self._next_phase(phase, now))
                self._push_eager(entry)
                self.unattempted += 1
            else:
                entry.target = number
                if not same_interval:
                    self._rephase(entry, (start + rank / len(ordered)) * interval_seconds, now)
            self._entries[number.key] = entry
        for entry in old.values():
            entry.scheduled = False
            self.unattempted -= not entry.attempted

    @property
    def keys(self) -> KeysView[NumberKey]:
        """The numbers, as the last `configure` gave them."""
        return self._entries.keys()

    def unattempted_keys(self) -> list[NumberKey]:
        """The numbers whose first poll has not ended yet."""
        return [key for key, entry in self._entries.items() if not entry.attempted] if self.unattempted else []

    def next_at(self) -> float:
        """The earliest instant at which a poll may go; minus infinity while the first pass lasts, infinity for none."""
        if self._eager.first_at() < math.inf:
            return -math.inf
        return min(self._due.first_at(), self._retry.first_at())

    def take(self, now: float) -> Entry[T] | None:
        """Take the poll that goes next, or None if none may go yet; `done` or `put_back` ends it."""
        due_at, eager_at = self._due.first_at(), self._eager.first_at()
        if eager_at < math.inf and min(eager_at, now) < due_at:  # else a number fell due before the eager one
            entry = self._eager.pop()
            return self._taken(entry, now, entry.due_at)
        if due_at <= now:
            return self._taken(self._due.pop(), now, due_at)
        if eager_at == math.inf and self._retry.first_at() <= now:
            entry = self._retry.pop()
            entry.retries += 1
            entry.wanted_at, entry.retry_at, entry.waiting = entry.retry_at, math.inf, False
            return entry
        return None

    def is_free(self, key: NumberKey, now: float) -> bool:
        """Whether a poll of the number may be taken at `now`, due or not."""
        entry = self._entries[key]
        return entry.waiting and entry.not_before <= now

    def take_early(self, key: NumberKey, now: float) -> Entry[T]:
        """Take the regular poll of a number that `is_free`, even if it is not due or is held."""
        return self._taken(self._entries[key], now, now)

    def done(
        self,
        entry: Entry[T],
        retry_at: float | None = None,
        *,
        refused: bool = False,
        held: bool = False,
        not_before: float = -math.inf,
    ) -> None:
        """The poll of `entry` ended; it is retried at `retry_at`, unless its next regular poll comes first.

        `refused` marks a number that `requeue_refused` requeues, until another poll of it ends; `held` one that only
        `take_early` takes.  No poll goes before `not_before`.
        """
        entry.refused, entry.held, entry.not_before = refused, held, not_before
        if not entry.attempted:
            entry.attempted = True
            self.unattempted -= entry.scheduled
        entry.due_at = self._next_due(entry, not_before)
        self._push(entry, retry_at if retry_at is not None and retry_at < entry.due_at else math.inf)

    def done_elsewhere(
        self,
        key: NumberKey,
        done_at: float,
        retry_at: float | None = None,
        *,
        retries: int = 0,
        failures: int = 0,
        refused: bool = False,
    ) -> None:
        """The last poll of the number was another process's, and ended at `done_at`; the rest is as for `done`.

        The phases of the other process may differ: the next poll comes at most one interval after that one.
        """
        entry = self._entries[key]
        if done_at <= entry.taken_at or not entry.waiting:
            return
        entry.taken_at, entry.eager_at, entry.retries, entry.failures = done_at, math.inf, retries, failures
        self.done(entry, retry_at, refused=refused, held=entry.held, not_before=entry.not_before)
        latest = max(done_at + self._interval, entry.not_before)
        if entry.due_at > latest:
            entry.due_at = latest
            self._due.push(entry)

    def put_back(self, entry: Entry[T], now: float) -> None:
        """The poll of `entry` was not sent: it is still due, as the regular poll or the retry that it was."""
        if entry.retries:
            entry.retries -= 1
            self._push(entry, now)
        else:
            entry.due_at = min(entry.due_at, now)
            self._push(entry)

    def hold(self, keys: Iterable[NumberKey]) -> None:
        """Let only `take_early` take the numbers."""
        for key in keys:
            self._entries[key].held = True

    def resume(self, keys: Iterable[NumberKey], now: float) -> None:
        """The numbers are due at their phases again, from `now` on."""
        for key in keys:
            entry = self._entries[key]
            if entry.held and entry.waiting:
                entry.due_at = self._next_due(entry, max(entry.not_before, now))
                self._due.push(entry)
            entry.held = False

    def requeue_refused(self, now: float, keys: Iterable[NumberKey] | None = None) -> None:
        """Poll the refused numbers of `keys`, or of all, as soon as nothing else is due.

        If a pass does not fit the interval, something always is: then they are due now, like the others.  A number that
        must not be polled before some instant is due at that instant.
        """
        entries = self._entries.values() if keys is None else map(self._entries.__getitem__, keys)
        for entry in entries:
            if entry.refused and entry.may_go and entry.due_at > now:
                entry.refused = False
                if self._fits and entry.not_before <= now:
                    self._push_eager(entry)
                else:
                    entry.due_at = min(entry.due_at, max(entry.not_before, now))
                    self._due.push(entry)

    def lag_seconds(self, now: float) -> float:
        """How late the most overdue number is; 0 on schedule."""
        return max(0.0, now - min(self._due.first_at(), self._eager.first_at()))

    def next_poll_at(self, key: NumberKey) -> float | None:
        """When the number is polled next: infinity for never, and for a number that is held.

        None while a poll of it is under way.
        """
        entry = self._entries.get(key)
        if entry is None or not entry.waiting:
            return None
        return math.inf if entry.held else min(entry.due_at, entry.retry_at)

    @staticmethod
    def _taken(entry: Entry[T], now: float, wanted_at: float) -> Entry[T]:
        """Take the regular poll of `entry`, also in place of a retry that still waits."""
        entry.taken_at, entry.wanted_at, entry.retries = now, wanted_at, 0
        entry.retry_at = entry.eager_at = math.inf
        entry.waiting = False
        return entry

    def _push(self, entry: Entry[T], retry_at: float = math.inf) -> None:
        """No poll of `entry` is under way any more: it waits for its next one."""
        entry.waiting, entry.wanted_at, entry.retry_at = True, math.inf, retry_at
        self._due.push(entry)
        self._retry.push(entry)

    def _push_eager(self, entry: Entry[T]) -> None:
        entry.eager_at = entry.due_at
        self._eager.push(entry)

    def _rephase(self, entry: Entry[T], phase: float, now: float) -> None:
        entry.phase = phase
        if entry.taken_at == -math.inf or not entry.waiting:
            return  # still eager, or `done` will reckon with the new interval
        earliest = max(now, entry.taken_at + self._interval * MIN_GAP_SHARE)
        entry.due_at = self._next_phase(phase, earliest)
        self._due.push(entry)

    def _next_due(self, entry: Entry[T], not_before: float) -> float:
        """The instant of the number's next regular poll."""
        if not self._repeat:
            return math.inf
        if self._fits:
            return self._next_phase(entry.phase, max(entry.taken_at + self._interval * MIN_GAP_SHARE, not_before))
        return max(entry.taken_at + self._interval, not_before)

    def _next_phase(self, phase: float, not_before: float) -> float:
        """The first instant at `phase`, modulo the interval, that is not before `not_before`."""
        return phase + math.ceil((not_before - phase) / self._interval) * self._interval


def gap_fillers(taken: Sequence[float], count: int) -> list[float]:
    """`count` instants in a cycle of length 1, each in the middle of the widest gap that `taken` and the others leave.

    `taken` are any numbers, of which the fraction counts; there is at least one.
    """
    places = sorted(share % 1.0 for share in taken)
    gaps = [(here - there, here) for here, there in zip(places, (*places[1:], places[0] + 1.0), strict=True)]
    heapq.heapify(gaps)  # the widest first: widths are negative
    found = []
    for _ in range(count):
        width, start = gaps[0]
        half = width / 2
        heapq.heapreplace(gaps, (half, start))
        heapq.heappush(gaps, (half, start - half))
        found.append((start - half) % 1.0)
    return found
