"""What goes from one holder of an account to the next, so that polling goes on as if there were only one.

Nothing waits here.  The holder before tells its pace; what it found is known from its answers, which are in the state.
Nothing is asked twice for that, and nothing waits for longer than its interval.
"""

from __future__ import annotations

import math

from exporter.cams.error_codes import kind_of
from exporter.model import AccountStatus, NumberKey, Pace, PhoneNumber, Right
from exporter.polling.budget import Budget
from exporter.polling.circuit_breaker import CircuitBreakers
from exporter.polling.errands import Errands
from exporter.polling.reaction import LastPoll, Reaction
from exporter.polling.schedule import Schedule
from exporter.state.store import State


class HandOver:
    """Hands over one account.  Not thread-safe: its poller holds the lock.  Instants are monotonic seconds."""

    def __init__(
        self,
        schedule: Schedule[PhoneNumber],
        budget: Budget,
        breakers: CircuitBreakers,
        reaction: Reaction,
        errands: Errands,
        state: State,
    ) -> None:
        self._schedule = schedule
        self._budget = budget
        self._breakers = breakers
        self._reaction = reaction
        self._errands = errands
        self._state = state

    def take_over(self, right: Right, status: AccountStatus | None, now: float) -> None:
        """Go on where another replica stopped: from its `status`, if that is known, and from what it found."""
        self._budget.left_elsewhere(right.slot_at)
        self._budget.remember(now, max(right.guard_seconds, self._budget.guard_seconds(now)))
        records, at, at_unix = self._state.look(self._schedule.keys)
        polls: dict[NumberKey, LastPoll] = {}
        checked_at: dict[NumberKey, float] = {}
        for key, record in records.items():
            if record.last_poll_unix is not None:
                error = None if record.last_poll_success else record.last_error
                failed = None if error is None else kind_of(error.code, error.http_status)
                polls[key] = LastPoll(at - max(0.0, at_unix - record.last_poll_unix), failed)
            if record.health is not None and record.health.tried_unix is not None:
                checked_at[key] = at - max(0.0, at_unix - record.health.tried_unix)
        if status is not None:
            self._budget.take_over(status.throttled)
            polled_at = {key: poll.at for key, poll in polls.items()}
            self._breakers.take_over(status.refused, status.refused_spaces, polled_at, now)
            for operation in status.operations:
                if operation.operation == self._reaction.standing.operation:
                    self._reaction.standing.take_over(operation)
        self._errands.take_over(() if status is None else status.operations, checked_at)
        self._reaction.ended_elsewhere(polls, now)
        held = {key for key in self._schedule.keys if self._breakers.is_held(key)}
        self._schedule.hold(held)
        self._schedule.resume(self._schedule.keys - held, now)

    def pace(self, now: float, *, is_sending: bool) -> Pace:
        """What to pass on to the next holder; a request that `is_sending` counts as leaving now."""
        last = self._budget.last_release
        slot_age = None if last == -math.inf else max(0.0, now - last)
        return Pace(self._budget.guard_seconds(now), self._budget.pause_seconds(now), 0.0 if is_sending else slot_age)
