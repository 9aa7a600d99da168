"""The numbers of one account while it is polled: takes the listings from the poller, tells the state what they say.

Thread-safe.  The lock is held while the state is told, so that an older listing never replaces a newer one.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from exporter.cams.operations import NumberListing
from exporter.config import AccountConfig
from exporter.errors import ApiError
from exporter.fleet.membership import Change, Membership
from exporter.fleet.space import Found
from exporter.model import Clock, DiscoveryStatus, Listing, NumberKey, PhoneNumber, Refused, Space, SpaceStatus
from exporter.state.found import Absence, StoredFound
from exporter.state.store import CLOCK_STEP_SECONDS


class ListedState(Protocol):
    """What takes what listings say of numbers."""

    def listed(self, listings: Mapping[NumberKey, Listing]) -> None:
        """Record it for the numbers that are in force; others are ignored."""


@dataclass(frozen=True, slots=True)
class News:
    """What happened since the last look: changes, numbers whose label another one has, numbers beyond `max_numbers`."""

    changes: Sequence[tuple[Change, PhoneNumber]]
    collided: Sequence[PhoneNumber]
    left_out: int


@dataclass(slots=True)
class _Attempts:
    """How the listings of a space, or of the spaces, go.  The success has both times."""

    attempted: bool = False
    success: tuple[float, float] | None = None
    error: Refused | None = None


class AccountFleet:
    """The numbers of one account.  Calls `changed` when there are numbers to put in force, or news for the log."""

    def __init__(self, account: str, state: ListedState, clock: Clock, changed: Callable[[], None]) -> None:
        self._state = state
        self._clock = clock
        self._changed = changed
        self._lock = threading.Lock()
        self._membership = Membership(account)
        self._discovers = False
        self._lists_spaces = False
        self._listings: dict[str, _Attempts] = {}  # by space
        self._spaces_listing = _Attempts()
        self._in_force: frozenset[NumberKey] = frozenset()
        self._untold: Sequence[NumberKey] = ()  # of those, what listings say of them is not told yet
        self._collided: Sequence[PhoneNumber] = ()
        self._left_out = 0  # as of the last change; to count them takes long if they are many
        self._is_pending = False
        self.gone: frozenset[NumberKey] = frozenset()
        """The numbers that the last `take` took out of force."""

    def configure(self, account: AccountConfig, labeller: Callable[[str], str]) -> None:
        """Take over a configuration; `take` and `tell` put it in force."""
        discover = account.discover
        with self._lock:
            self._discovers = discover is not None
            self._lists_spaces = discover is not None and discover.spaces is None
            if not self._lists_spaces:
                self._spaces_listing = _Attempts()
            self._membership.configure(account.numbers, discover, labeller)
            self._noticed()

    def spaces(self) -> Sequence[str]:
        """The spaces to list now."""
        with self._lock:
            return self._membership.spaces

    def spaces_listed(self, spaces: Sequence[Space]) -> None:
        """The spaces of the account were listed as a whole."""
        with self._lock:
            self._spaces_listing = self._success()
            self._membership.spaces_listed([space.cust_space_id for space in spaces], self._clock.monotonic())
            self._noticed()

    def numbers_listed(self, cust_space_id: str, listing: NumberListing) -> None:
        """The numbers of a space were listed as a whole."""
        with self._lock:
            self._listings[cust_space_id] = self._success()
            keys = self._membership.numbers_listed(cust_space_id, listing.numbers, self._clock.monotonic())
            self._tell(keys)
            self._noticed()

    def listing_failed(self, cust_space_id: str | None, error: ApiError) -> None:
        """A listing failed, of the spaces if `cust_space_id` is None: no number changes."""
        with self._lock:
            if cust_space_id is None:
                attempts = self._spaces_listing
            else:
                attempts = self._listings.setdefault(cust_space_id, _Attempts())
            attempts.attempted, attempts.error = True, Refused(error.code, error.message, error.request_id)

    def absence(self, key: NumberKey) -> Absence | None:
        """For how long listings have lacked a number; None if none found it."""
        with self._lock:
            return self._membership.absence(key)

    def may_be_found(self, key: NumberKey) -> bool:
        """Whether a listing may find this number."""
        with self._lock:
            return self._membership.may_be_found(key)

    def heard(self, number: PhoneNumber, listing: Listing, absence: Absence) -> None:
        """Another replica says this of a number that it found."""
        with self._lock:
            self._membership.heard(number, listing, absence.missing_seconds)
            self._noticed()

    def forgotten_elsewhere(self, key: NumberKey) -> None:
        """Another replica polls the number no more."""
        with self._lock:
            self._membership.forgotten_elsewhere(key)
            self._noticed()

    def is_pending(self) -> bool:
        """Whether `take` would return other numbers than before."""
        with self._lock:
            return self._is_pending

    def take(self) -> tuple[PhoneNumber, ...]:
        """The numbers to put in force now; call `tell` when they are."""
        with self._lock:
            self._is_pending = False
            members = self._membership.members()
            self._collided = members.collided
            keys = [number.key for number in members.numbers] if self._discovers else []
            self._untold = [key for key in keys if key not in self._in_force]
            before, self._in_force = self._in_force, frozenset(keys)
            self.gone = before - self._in_force
            return members.numbers

    def put_back(self) -> None:
        """What was taken did not come in force: take it again."""
        with self._lock:
            self._is_pending = True

    def tell(self) -> None:
        """Tell the state what listings say of the numbers that are new in force."""
        with self._lock:
            self._tell(self._untold)

    def news(self) -> News:
        """What happened since the last call."""
        with self._lock:
            changes, self._membership.changes = self._membership.changes, []
            return News(changes, self._collided, self._left_out)

    def status(self) -> DiscoveryStatus | None:
        """How discovery goes; None without `discover`."""
        with self._lock:
            if not self._discovers:
                return None
            ahead = self._clock.unix() - self._clock.monotonic()
            spaces = {name: self._space_status(name, ahead) for name in self._membership.spaces}
            return DiscoveryStatus(spaces, self._left_out)

    def unlisted(self) -> int:
        """How many listings have not succeeded at their last attempt, or were not attempted."""
        with self._lock:
            listings = [self._listings.get(name, _Attempts()) for name in self._membership.spaces]
            if self._lists_spaces:
                listings.append(self._spaces_listing)
            return sum(not listing.attempted or listing.error is not None for listing in listings)

    def absences(self) -> Mapping[NumberKey, Absence]:
        """The found numbers, those with a name included, as they are to be stored."""
        with self._lock:
            return self._membership.absences()

    def restore(self, stored: Mapping[NumberKey, StoredFound], labeller: Callable[[str], str]) -> None:
        """Take over the numbers that an earlier process had found; `take` puts them in force.

        A number is taken over even if it is not known when its space was listed.
        """
        with self._lock:
            now, now_unix = self._clock.monotonic(), self._clock.unix()
            for key, (of, absence) in stored.items():
                number = PhoneNumber(*key, labeller(key.phone_number), found=True)
                seen_at = now if of.entry is None else of.seen_at
                looked_at = None if of.looked_at == -math.inf else of.looked_at
                found = Found(number, seen_at, of.entry, of.listed, absence.missing_seconds)
                self._membership.restore(found, looked_at, absence.gone_seconds)
                if looked_at is not None and self._membership.space(key.cust_space_id) is not None:
                    success = (looked_at, looked_at + now_unix - now)
                    self._listings.setdefault(key.cust_space_id, _Attempts(success=success))

    def _noticed(self) -> None:
        """Have new numbers put in force, and news logged."""
        spaces = self._membership.spaces
        if not self._listings.keys() <= set(spaces):
            self._listings = {name: self._listings[name] for name in spaces if name in self._listings}
        changes, left_out = self._membership.changes, self._membership.left_out
        if changes or left_out != self._left_out:
            self._left_out = left_out
            self._is_pending |= any(what.is_of_membership for what, _ in changes)
            self._changed()

    def _tell(self, keys: Sequence[NumberKey]) -> None:
        listings = {key: self._membership.listing(key) for key in keys if key in self._in_force}
        self._state.listed({key: listing for key, listing in listings.items() if listing is not None})

    def _success(self) -> _Attempts:
        return _Attempts(attempted=True, success=(self._clock.monotonic(), self._clock.unix()))

    def _space_status(self, name: str, ahead_seconds: float) -> SpaceStatus:
        space, attempts = self._membership.space(name), self._listings.get(name, _Attempts())
        success_unix = None
        if attempts.success is not None:
            at, success_unix = attempts.success
            if abs(at + ahead_seconds - success_unix) >= CLOCK_STEP_SECONDS:
                success_unix = at + ahead_seconds
        discovered = 0 if space is None else space.discovered
        return SpaceStatus(discovered, success_unix, attempts.attempted, attempts.error)
