"""Which request of an account goes next, a poll or an errand, and which requests are under way.

Pure: time is an argument, nothing waits here.  A poll that is due goes first, but for an errand whose turn it is at the
gate.  At most half of the requests under way are errands: errands that hang do not hold back polls.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

from exporter.model import NEVER, PhoneNumber
from exporter.polling.budget import Budget
from exporter.polling.circuit_breaker import CircuitBreakers
from exporter.polling.client import CurrentClient, Fetcher
from exporter.polling.errands import Errand, Errands
from exporter.polling.gate import Gate, Waiter
from exporter.polling.in_flight import HAND_OUT_SECONDS
from exporter.polling.schedule import Entry, Schedule

NOT_READY_SECONDS = 0.05
"""How often to look whether the first credential is there."""


@dataclass(slots=True, eq=False, kw_only=True)
class Poll(Waiter):
    """One poll under way; `credential` says which one signs, as a number."""

    entry: Entry[PhoneNumber]
    client: Fetcher
    credential: int
    is_probe: bool


Request = Poll | Errand
R = TypeVar("R", Poll, Errand)


class HandOut:
    """Hands out the requests of one account.  Not thread-safe: its poller holds the lock."""

    def __init__(
        self,
        schedule: Schedule[PhoneNumber],
        errands: Errands,
        budget: Budget,
        gate: Gate,
        breakers: CircuitBreakers,
        current: CurrentClient,
        *,
        repeat: bool,
    ) -> None:
        self._schedule = schedule
        self._errands = errands
        self._budget = budget
        self._gate = gate
        self._breakers = breakers
        self._current = current
        self._repeat = repeat
        self.under_way: set[Request] = set()
        """The requests that were handed out and did not end yet."""
        self._errands_under_way = 0
        self._most_under_way = 1
        self._interval = math.inf
        self._is_held = False  # by something other than the budget
        self._free_since = -math.inf  # when it last was not any more: before that no poll waited for the budget
        self._stopped = False

    def configure(self, interval_seconds: float, most_under_way: int) -> None:
        """Take over a configuration."""
        self._interval, self._most_under_way = interval_seconds, most_under_way

    def stop(self) -> None:
        """Hand out nothing more."""
        self._stopped = True
        self.revoke(-math.inf)

    def next(self, now: float) -> tuple[Request | None, float]:
        """The request that goes now, if one does, and the instant at which to look for the next one."""
        probe_at = self._probe_at(now)
        at = self._held_until(now, probe_at)
        errand_at = math.inf
        if at is not None:
            self._is_held = True
        else:
            if self._is_held:
                self._is_held, self._free_since = False, now
            wanted_at = min(self._schedule.next_at(), probe_at)
            at = max(wanted_at, self._gate.slot_at(now) - HAND_OUT_SECONDS)
            if self._errands.in_use:
                errand_at = self._errand_at(now, polls_are_due=wanted_at <= now)
        if errand_at <= now and (at > now or self._gate.errand_is_next):
            errand = self._errands.take(now, self._current.client, self._current.credential)
            self._errands_under_way += errand is not None
            return self._handed_out(errand), now
        if at > now:
            return None, min(at, errand_at)
        if probe_at <= now:
            key = self._breakers.probe(now, self._interval, lambda each: self._schedule.is_free(each, now))
            entry = None if key is None else self._schedule.take_early(key, now)
            return self._handed_out(self._poll(entry, now, is_probe=True)), now
        return self._handed_out(self._poll(self._schedule.take(now), self._free_since, is_probe=False)), now

    def gone(self, request: Request) -> None:
        """It ended."""
        self.under_way.discard(request)
        self._errands_under_way -= isinstance(request, Errand)
        if request.waits:
            self._gate.gone(request)

    def revoke(self, now: float) -> None:
        """Turn back at the gate the requests that may not go any more.

        Those are the requests of a client that was replaced, of an account that another replica holds and, except for
        probes, of what is refused.
        """
        account_is_refused = self._breakers.account.is_open
        may_not_go = self._stopped or self._gate.right is NEVER
        for request in self.under_way:
            if may_not_go or not request.entry.scheduled or request.client is not self._current.client:
                request.revoked = True
            elif isinstance(request, Errand):
                request.revoked |= account_is_refused or not self._errands.may_wait(request, now)
            elif not request.is_probe:
                request.revoked |= account_is_refused or self._breakers.is_held(request.entry.target.key)
        self._gate.look_again()

    def _probe_at(self, now: float) -> float:
        """The instant of the next probe of what is refused."""
        if not self._repeat or not (self._breakers.account.is_open or self._breakers.open_spaces):
            return math.inf
        return self._breakers.probe_at(self._interval, self._budget.pace(now))

    def _held_until(self, now: float, probe_at: float) -> float | None:
        """When to look again where it is not the budget that holds requests back; None where nothing else does."""
        if self._stopped or len(self.under_way) >= self._most_under_way:
            return math.inf
        right = self._gate.right
        if now >= right.until_at or now < right.from_at - HAND_OUT_SECONDS:
            return math.inf if now >= right.until_at else right.from_at - HAND_OUT_SECONDS
        if not self._current.is_ready:
            return now + NOT_READY_SECONDS
        if self._breakers.account.is_open:
            return math.inf if self.under_way else probe_at
        return None

    def _errand_at(self, now: float, *, polls_are_due: bool) -> float:
        """When to hand out the next errand."""
        if not self._errands.in_use or self._errands_under_way >= max(1, self._most_under_way // 2):
            return math.inf
        at = self._errands.next_at(now)
        if at == math.inf:
            return at
        return max(at, self._gate.errand_slot_at(now, polls_are_due=polls_are_due) - HAND_OUT_SECONDS)

    def _poll(self, entry: Entry[PhoneNumber] | None, free_since: float, *, is_probe: bool) -> Poll | None:
        if entry is None:
            return None
        return Poll(
            wanted_at=max(entry.wanted_at, free_since),
            entry=entry,
            client=self._current.client,
            credential=self._current.credential,
            is_probe=is_probe,
        )

    def _handed_out(self, request: R | None) -> R | None:
        if request is not None:
            self.under_way.add(request)
            self._gate.expect(request)
        return request
