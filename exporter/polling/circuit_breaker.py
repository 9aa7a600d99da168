"""What the API refuses, the account as a whole or single spaces of it, and when and by which number that is probed.

Pure: time is an argument.  The account and each of its spaces has a circuit breaker.  An open one holds back polls.

- The account's opens after three errors of the account in a row (key, subscription, clock), and at once where there is
  no credential.  A status, an error about the number and an error of permission each show that the key was accepted:
  they close it, and the count starts again.  A code that no table knows shows nothing.
- A space's opens when each of its numbers was last answered by an error of permission.  A status, or an error about the
  number itself, closes it.  Other errors (time-outs, throttles, the account's) say nothing of permission and change
  nothing; a number that was not asked yet keeps it closed.

An error of permission holds back nothing but a space of which every number is forbidden.  An *inconclusive* probe (a
time-out, a throttle) is repeated with backoff, at least once a minute.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable, KeysView, Mapping

from exporter.errors import ApiError, Kind
from exporter.model import NumberKey, Refused
from exporter.polling.standing import reason_of

ERRORS_TO_REFUSE = 3
MIN_PROBE_SECONDS = 10.0

MAX_REPEAT_SECONDS = 60.0
"""An inconclusive probe is repeated after at most this time, however long the scrape interval is."""

PROBE_SHARE = 0.1
"""Share of the budget that the probes of all refused spaces take at most."""


class CircuitBreaker:
    """The circuit breaker of one scope: a space, or the account where `space` is None.

    Open while the scope is refused: probes then ask about the numbers of `turn`, one after the other.  Instants are
    monotonic seconds.
    """

    def __init__(self, space: str | None = None) -> None:
        self.space = space
        self.is_open = False
        """Whether the scope is refused now."""
        self.reason: Refused | None = None
        """The error that opened it, or the last probe's; None while it is closed."""
        self.turn: OrderedDict[NumberKey, None] = OrderedDict()
        """The numbers to probe with, the next one first: a space's forbidden ones; of a refused account, all."""
        self._probed_at = -math.inf
        self._soon_seconds = math.inf  # from the last probe to the next, where that does not wait for the interval
        self._inconclusive = 0  # probes in a row

    def refuse(self, reason: Refused, now: float) -> bool:
        """The scope is refused; returns whether that is a change."""
        is_change = not self.is_open
        if is_change:
            self._probed_at = now
            self._soon_seconds = math.inf
        self._inconclusive = 0
        self.is_open, self.reason = True, reason
        return is_change

    def take_over(self, reason: Refused, probed_at: float) -> None:
        """Another replica found the scope refused, and asked about it last at `probed_at`."""
        self.refuse(reason, probed_at)
        self._probed_at = max(self._probed_at, probed_at)

    def restore(self) -> bool:
        """The scope is refused no more; returns whether that is a change."""
        is_change = self.is_open
        self.is_open, self.reason = False, None
        return is_change

    def probe_at(self, interval_seconds: float) -> float:
        """While open: the instant of the next probe, one per scrape interval and at most one in 10 s."""
        return self._probed_at + min(max(interval_seconds, MIN_PROBE_SECONDS), self._soon_seconds)

    def probe_soon(self) -> None:
        """Something changed that may have ended the refusal: the next probe does not wait for the interval."""
        self._soon_seconds = MIN_PROBE_SECONDS
        self._inconclusive = 0

    def probe_again(self) -> None:
        """The last probe was inconclusive: the next comes before the interval is over, but later each time."""
        self._soon_seconds = min(MIN_PROBE_SECONDS * 2.0 ** min(self._inconclusive, 10), MAX_REPEAT_SECONDS)
        self._inconclusive += 1

    def probe(self, now: float, is_free: Callable[[NumberKey], bool]) -> NumberKey | None:
        """The number to probe with at `now`: the next in turn that is free; None where none is."""
        self._probed_at = now
        self._soon_seconds = math.inf
        found = next((key for key in self.turn if is_free(key)), None)
        if found is not None:
            self.turn.move_to_end(found)
        return found


class CircuitBreakers:
    """The standing of one account and its spaces.  Not thread-safe: its poller holds the lock."""

    def __init__(self) -> None:
        self.account = CircuitBreaker()
        self.spaces: tuple[str, ...] = ()
        """The account's spaces."""
        self._keys: KeysView[NumberKey] = {}.keys()
        self._counts: Counter[str] = Counter()  # numbers, by space
        self._forbidden: dict[str, CircuitBreaker] = {}  # spaces of which a number is
        self.open_spaces: dict[str, CircuitBreaker] = {}
        """The spaces that are refused, the one that was probed longest ago first."""
        self._again: dict[str, CircuitBreaker] = {}
        """Spaces whose last probe was inconclusive: their next one may come before others'."""
        self._errors_in_a_row = 0
        self._last_success: NumberKey | None = None
        self._last_forbidden: Refused | None = None
        self._space_probed_at = -math.inf

    def configure(self, keys: KeysView[NumberKey]) -> None:
        """Take over the account's numbers; those that stay keep their turn."""
        self._keys = keys
        self._counts = Counter(key.cust_space_id for key in keys)
        self.spaces = tuple(self._counts)
        for breaker in (self.account, *self._forbidden.values()):
            breaker.turn = OrderedDict.fromkeys(key for key in breaker.turn if key in keys)
        if self.account.is_open:
            self.account.turn.update(dict.fromkeys(keys))
        if not keys:  # no poll is left that could end the refusal
            self._accepted()
        for space in self._forbidden.keys() - self._counts.keys():
            del self._forbidden[space]
            self.open_spaces.pop(space, None)
            self._again.pop(space, None)

    def take_over(
        self,
        reason: Refused | None,
        spaces: Mapping[str, Refused],
        polled_at: Mapping[NumberKey, float],
        now: float,
    ) -> None:
        """Go on from what another replica found: why the account is refused, and which of its spaces are.

        `polled_at` is when it asked about each number last: its probes go on at the same distance.
        """
        probed_at: dict[str, float] = {}
        for key, at in polled_at.items():
            probed_at[key.cust_space_id] = max(at, probed_at.get(key.cust_space_id, -math.inf))
        if reason is None or self._counts.keys() <= spaces.keys():
            self._accepted()
        else:
            self._errors_in_a_row = ERRORS_TO_REFUSE
            self.account.take_over(reason, min(now, max(probed_at.values(), default=now)))
            self.account.turn = OrderedDict.fromkeys(self._keys)
        for space in self.open_spaces.keys() - spaces.keys():
            del self.open_spaces[space], self._forbidden[space]
            self._again.pop(space, None)
        for space in spaces.keys() & self._counts.keys():
            self._last_forbidden = spaces[space]
            breaker = self.open_spaces[space] = self._forbidden.setdefault(space, CircuitBreaker(space))
            breaker.take_over(spaces[space], min(now, probed_at.get(space, now)))
        for key in self._keys if spaces else ():
            if key.cust_space_id in self.open_spaces:
                self.open_spaces[key.cust_space_id].turn.setdefault(key)

    @property
    def refused_spaces(self) -> Mapping[str, Refused]:
        """The spaces that are refused, and why."""
        return {space: breaker.reason for space, breaker in self.open_spaces.items() if breaker.reason is not None}

    @property
    def reason(self) -> Refused | None:
        """Why the account is down: it is refused, or each of its spaces is; None where neither is so."""
        if self.spaces and len(self.open_spaces) == len(self.spaces):
            return self.account.reason or self._last_forbidden
        return self.account.reason

    def heard(self, key: NumberKey, error: ApiError | None, now: float) -> list[CircuitBreaker]:
        """The API answered about a number, by a status where `error` is None; returns the breakers that changed."""
        changed = []
        if error is None:
            self._last_success = key
        if error is None or (error.kind is Kind.NUMBER and not error.guessed):
            changed = [self._accepted(), self._permitted(key)]
        elif error.kind is Kind.PERMISSION:
            changed = [self._accepted(), self._is_forbidden(key, error, now)]
        elif error.kind is Kind.ACCOUNT:
            changed = [self._rejected(key, error, now)]
        return [breaker for breaker in changed if breaker is not None]

    def is_held(self, key: NumberKey) -> bool:
        """Whether the number's space is refused, and it with it: only probes ask about it."""
        space = self.open_spaces.get(key.cust_space_id)
        return space is not None and key in space.turn

    def probe_soon(self) -> None:
        """The credential has changed: what is refused is probed without waiting for the interval."""
        for breaker in (self.account, *self.open_spaces.values()):
            breaker.probe_soon()

    def probe_again(self, key: NumberKey) -> None:
        """A probe by this number was inconclusive, or was not sent."""
        space = self.open_spaces.get(key.cust_space_id)
        if self.account.is_open:
            self.account.probe_again()
        elif space is not None:
            space.probe_again()
            self._again[key.cust_space_id] = space

    def probe_at(self, interval_seconds: float, pace: float) -> float:
        """While something is refused: the instant of the next probe, of the account if that is, else of a space.

        `pace` is the budget in requests per second; the probes of all spaces share `PROBE_SHARE` of it.
        """
        if self.account.is_open:
            return self.account.probe_at(interval_seconds)
        name = self._next_space(interval_seconds)
        return max(self.open_spaces[name].probe_at(interval_seconds), self._space_probed_at + 1 / (pace * PROBE_SHARE))

    def probe(self, now: float, interval_seconds: float, is_free: Callable[[NumberKey], bool]) -> NumberKey | None:
        """The number to probe with at `now`; None where none is free."""
        if self.account.is_open:
            return self.account.probe(now, is_free)
        name = self._next_space(interval_seconds)
        space = self.open_spaces[name] = self.open_spaces.pop(name)
        self._again.pop(name, None)
        found = space.probe(now, is_free)
        if found is not None:
            self._space_probed_at = now
        return found

    def _next_space(self, interval_seconds: float) -> str:
        """The refused space that is probed next; not searched for among all, of which there may be thousands."""
        return min(
            (next(iter(self.open_spaces)), *self._again),
            key=lambda name: self.open_spaces[name].probe_at(interval_seconds),
        )

    def _accepted(self) -> CircuitBreaker | None:
        """The key was accepted."""
        self._errors_in_a_row = 0
        return self.account if self.account.restore() else None

    def _rejected(self, key: NumberKey, error: ApiError, now: float) -> CircuitBreaker | None:
        """An error of the account."""
        self._errors_in_a_row += 1
        is_certain = self._errors_in_a_row >= ERRORS_TO_REFUSE or not error.sent  # there is no credential to send with
        if not is_certain or not self.account.refuse(reason_of(key, error), now):
            return None
        self.account.turn = OrderedDict.fromkeys(self._keys)
        if self._last_success is not None and self._last_success in self.account.turn:
            self.account.turn.move_to_end(self._last_success, last=False)
        return self.account

    def _permitted(self, key: NumberKey) -> CircuitBreaker | None:
        """The account may ask about the number."""
        name = key.cust_space_id
        space = self._forbidden.get(name)
        if space is None:
            return None
        space.turn.pop(key, None)
        if not space.turn:
            del self._forbidden[name]
        self.open_spaces.pop(name, None)
        self._again.pop(name, None)
        return space if space.restore() else None

    def _is_forbidden(self, key: NumberKey, error: ApiError, now: float) -> CircuitBreaker | None:
        """The account may not ask about the number."""
        name = key.cust_space_id
        space = self._forbidden.setdefault(name, CircuitBreaker(name))
        space.turn.setdefault(key)
        self._last_forbidden = reason = reason_of(key, error)
        if (not space.is_open and len(space.turn) < self._counts[name]) or not space.refuse(reason, now):
            return None
        self.open_spaces[name] = space
        return space
