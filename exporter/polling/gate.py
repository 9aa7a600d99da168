"""Where an account's requests wait for the budget: the one place in which a request is held back.

A poll comes here connected and ready to send.  Its slot is taken when it passes, and the next poll's turn begins only
when its request has left.  So requests stay evenly spaced even if a thread wakes late, a TLS handshake is slow, or the
machine stalls.

Where replicas share the account, a request leaves only while this one has the `right` to it, which is looked at last.

An *errand* is a request that is not a poll.  One waits at a time.  While polls want slots, it goes only after
`polls_first` of them since the last errand.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from exporter.errors import Stopped
from exporter.model import ALWAYS, Clock, Right, Wait
from exporter.polling.budget import Budget
from exporter.scrape_priority import ScrapePriority

QUEUE_SECONDS = 60.0
"""A poll that is not the first in the queue looks again at least this often; it is told when its turn comes."""


@dataclass(slots=True, eq=False, kw_only=True)
class Waiter:
    """What the gate knows of a poll, from the moment it is handed out.  Instants are monotonic seconds."""

    wanted_at: float
    """Since when nothing but the budget holds it back."""
    waits: bool = True
    """Whether it wants a slot: a poll whose connection was closed meanwhile takes a second one."""
    revoked: bool = False
    """Set by the owner where the poll may not go any more; `Gate.look_again` makes it leave the queue."""
    released_at: float | None = None
    """When it took its last slot."""
    waited_seconds: float = 0.0
    """How long it waited for its slots in total."""
    limit: Budget | None = None
    """Of an errand: the limit of its operation, besides the account's budget.  None for a poll."""


class Gate:
    """Lets requests through one at a time, each at a slot of `budget`: polls in the order in which they came.

    `lock` guards all this and the budgets.  No slot is taken while `priority` makes polls wait for a scrape.  `room` is
    called, with the lock held, when half of the polls that may wait have passed, or an errand: it is time to hand out
    more.
    """

    def __init__(
        self,
        budget: Budget,
        lock: threading.Lock,
        clock: Clock,
        wait: Wait,
        room: Callable[[], None],
        priority: ScrapePriority | None = None,
    ) -> None:
        self._budget = budget
        self._lock = lock
        self._clock = clock
        self._wait = wait
        self._room = room
        self._priority = priority or ScrapePriority(clock)
        self._polls: deque[threading.Condition] = deque()  # one each: when one passes, only the next wakes
        self._errands: list[tuple[threading.Condition, Budget]] = []
        self._sending: threading.Condition | None = None  # of the one that has a slot and has not sent yet
        self._polls_in_a_row = 0  # since the last errand
        self._sent = threading.Condition(lock)  # no request is between its slot and its leaving
        self.right: Right = ALWAYS
        """When requests may leave at all.  Set with the lock held."""
        self._most_waiting = 1
        self._polls_first = 1
        self.waiting = 0
        """Requests that were handed out and want a slot, those that still connect included."""
        self.errands_waiting = 0
        """Those of them that are errands."""

    def configure(self, most_waiting: int, polls_first: int = 1) -> None:
        """Take over how many polls may wait, and how many go between two errands.  The lock is held."""
        self._most_waiting, self._polls_first = most_waiting, polls_first

    def expect(self, waiter: Waiter) -> None:
        """It is handed out: it will come.  The lock is held."""
        self.waiting += 1
        self.errands_waiting += waiter.limit is not None

    def gone(self, waiter: Waiter) -> None:
        """It wanted a slot and ended without one.  The lock is held."""
        self.waiting -= 1
        self.errands_waiting -= waiter.limit is not None
        self._wake_next()  # an errand may have waited for this poll to go first

    @property
    def errand_is_next(self) -> bool:
        """Whether an errand may go before a poll.  The lock is held."""
        return self._polls_in_a_row >= self._polls_first

    def slot_at(self, now: float) -> float:
        """When a poll that is handed out now gets its slot; infinity while no more may wait.  The lock is held."""
        if self.waiting - self.errands_waiting >= self._most_waiting:
            return math.inf
        return self._budget.slot_at(now, self.waiting)

    def errand_slot_at(self, now: float, *, polls_are_due: bool) -> float:
        """When an errand that is handed out now gets its slot; infinity while another one waits.  The lock is held."""
        if self.errands_waiting:
            return math.inf
        polls_want = polls_are_due or self.waiting > 0
        return self._budget.slot_at(now, max(0, self._polls_first - self._polls_in_a_row) if polls_want else 0)

    @contextlib.contextmanager
    def slot(self, waiter: Waiter) -> Iterator[None]:
        """Wait for the next slot and take it; the request leaves inside the block, or it does not leave.

        Raises Stopped, without a slot, as soon as the waiter is revoked.
        """
        turn = threading.Condition(self._lock)
        with self._lock:
            if not waiter.waits:  # it had a slot, which goes unused
                waiter.waits = True
                self.expect(waiter)
            if waiter.limit is None:
                self._polls.append(turn)
            else:
                self._errands.append((turn, waiter.limit))
            try:
                self._pass(waiter, self._slot_taken(turn, waiter))
            except BaseException:
                self._leave(turn, waiter)
                raise
        try:
            yield
        finally:
            with self._lock:
                now = self._clock.monotonic()
                self._budget.left(now)
                if waiter.limit is not None:
                    waiter.limit.left(now)
                self._leave(turn, waiter)

    @property
    def is_sending(self) -> bool:
        """Whether a request has its slot and has not left yet.  The lock is held."""
        return self._sending is not None

    def wait_sent(self, until: float) -> None:
        """Wait until no request is between its slot and its leaving, at most until `until`.  The lock is held."""
        while self._sending is not None and (seconds := until - self._clock.monotonic()) > 0:
            self._wait(self._sent, seconds)

    def look_again(self) -> None:
        """The pace has changed, or waiters were revoked.  The lock is held."""
        for turn in (*self._polls, *(turn for turn, _ in self._errands)):
            turn.notify()

    def _slot_taken(self, turn: threading.Condition, waiter: Waiter) -> float:
        """Wait for the slot; returns its instant."""
        while not waiter.revoked:
            wait_seconds = QUEUE_SECONDS
            now = self._clock.monotonic()
            following = self._next(now)
            if following is turn:
                ready_at = max(self._budget.ready_at(now), self.right.from_at)
                if waiter.limit is not None:
                    ready_at = max(ready_at, waiter.limit.ready_at(now))
                if ready_at <= now and self._priority.polls_wait:
                    self._let_scrape_go_first()
                    continue  # the clock went on, and the poll may be revoked
                if ready_at <= now < self.right.until_at:
                    self._released(turn, waiter, now)
                    return now
                if ready_at > now:
                    wait_seconds = min(ready_at - now, QUEUE_SECONDS)
            elif following is not None:
                following.notify()  # the turn changes with time: nobody may have told it
            self._wait(turn, wait_seconds)
        raise Stopped

    def _next(self, now: float) -> threading.Condition | None:
        """Whose turn it is; None while an errand waits for a poll that still connects."""
        if self._sending is not None:
            return self._sending
        if self._errands:
            turn, limit = self._errands[0]
            polls_want = self.waiting > self.errands_waiting
            if not polls_want or (self.errand_is_next and limit.ready_at(now) <= max(now, self._budget.ready_at(now))):
                return turn
        return self._polls[0] if self._polls else None

    def _released(self, turn: threading.Condition, waiter: Waiter, now: float) -> None:
        self._sending = turn
        self._budget.released(now)
        if waiter.limit is None:
            self._polls_in_a_row += 1
        else:
            self._polls_in_a_row = 0
            waiter.limit.released(now)

    def _let_scrape_go_first(self) -> None:
        """Wait without the lock: a scrape needs it."""
        self._lock.release()
        try:
            self._priority.wait()
        finally:
            self._lock.acquire()

    def _pass(self, waiter: Waiter, now: float) -> None:
        waiter.waited_seconds += max(0.0, now - waiter.wanted_at)
        waiter.wanted_at = waiter.released_at = now
        waiter.waits = False
        self.waiting -= 1
        self.errands_waiting -= waiter.limit is not None
        if waiter.limit is not None or self.waiting - self.errands_waiting == self._most_waiting // 2:
            self._room()

    def _leave(self, turn: threading.Condition, waiter: Waiter) -> None:
        if waiter.limit is None:
            self._polls.remove(turn)
        else:
            self._errands.remove((turn, waiter.limit))
        if self._sending is turn:
            self._sending = None
            self._sent.notify_all()
        self._wake_next()

    def _wake_next(self) -> None:
        turn = self._next(self._clock.monotonic())
        if turn is not None:
            turn.notify()
