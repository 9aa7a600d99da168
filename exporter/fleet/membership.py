"""Which numbers one account has.  Pure: time is an argument, in monotonic seconds.

- The numbers that the configuration and number files name are always among them.  Where a listing finds such a number
  too, its name and labels stay.
- A listing adds numbers, and takes one away only by the rules of `space`.  A space that is missing in the list of the
  account's spaces is listed as long as it has numbers.  They leave after `forget_after` if all that time the lists of
  spaces lack it and its own listings hold nothing.  An empty list of spaces changes nothing.
- At most `max_numbers` found numbers are polled: those that were found first stay.
- Of two numbers with one label in a space the first is polled: a named one before a found one.
- The configuration's word counts at once: a number that is excluded, or in a space that is not to be listed, leaves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from exporter.config.settings import DiscoverConfig
from exporter.fleet.space import Found, FoundSpace
from exporter.model import ListedNumber, Listing, NumberKey, PhoneNumber
from exporter.state.found import Absence


class Change(StrEnum):
    """What happened to a number, as the log says it."""

    FIRST = "numbers found by the first listings of their spaces"
    FOUND = "number found"
    UNLISTED = "configured number is not listed by its space"
    MISSING = "number no longer listed"
    BACK = "number is listed again"
    FORGOTTEN = "number forgotten: it was not listed for forget_after"
    LEFT = "number left: the configuration no longer finds it"

    @property
    def is_of_membership(self) -> bool:
        """Whether other numbers are to be polled now."""
        return self in {Change.FIRST, Change.FOUND, Change.FORGOTTEN, Change.LEFT}


@dataclass(frozen=True, slots=True)
class Members:
    """The numbers to poll, the named ones first; and those that are not polled because another one has their label."""

    numbers: tuple[PhoneNumber, ...]
    collided: tuple[PhoneNumber, ...] = ()


class Membership:
    """The numbers of one account.  Not thread-safe."""

    def __init__(self, account: str) -> None:
        self._account = account
        self._numbers: Sequence[PhoneNumber] = ()  # that the configuration and number files name
        self._typed: dict[NumberKey, PhoneNumber] = {}
        self._typed_in: dict[str, list[NumberKey]] = {}  # by space
        self._unlisted: set[NumberKey] = set()  # of `_typed`, those that their space does not list
        self._discover: DiscoverConfig | None = None
        self._labeller: Callable[[str], str] = str
        self._found: dict[NumberKey, Found] = {}  # in the order in which they were found
        self._only_found = 0  # of `_found`, those that are not in `_typed`
        self._spaces: dict[str, FoundSpace] = {}
        self._instances: dict[str, None] = {}  # the spaces in the last list of spaces
        self._instances_at: float | None = None
        self.changes: list[tuple[Change, PhoneNumber]] = []
        """What happened since the owner last emptied this list."""

    @property
    def spaces(self) -> tuple[str, ...]:
        """The spaces to list now."""
        return tuple(self._spaces)

    def space(self, cust_space_id: str) -> FoundSpace | None:
        """What is known of a space; None if it is not to be listed."""
        return self._spaces.get(cust_space_id)

    @property
    def left_out(self) -> int:
        """How many numbers are not polled because they are beyond `max_numbers`."""
        unwatched = (self._key(name, digits) for name, space in self._spaces.items() for digits in space.unwatched)
        return sum(key not in self._typed and self.may_be_found(key) for key in unwatched)

    def members(self) -> Members:
        """The numbers to poll."""
        if not self._found:
            return Members(tuple(self._numbers))
        seen = {(number.cust_space_id, number.label) for number in self._numbers}
        numbers = list(self._numbers)
        collided: list[PhoneNumber] = []
        for key, found in self._found.items():
            if key in self._typed:
                continue
            before = len(seen)
            seen.add((key.cust_space_id, found.number.label))
            (numbers if len(seen) > before else collided).append(found.number)
        return Members(tuple(numbers), tuple(collided))

    def listing(self, key: NumberKey) -> Listing | None:
        """What the listings of its space say about a number; None if nothing."""
        space = self._spaces.get(key.cust_space_id)
        if space is None or space.looked_at is None:
            return None
        found = self._found.get(key)
        if found is not None:
            seen_at = -math.inf if found.entry is None else found.seen_at
            return Listing(found.listed, space.looked_at, seen_at, found.entry)
        return None if key.phone_number in space.unwatched else Listing(False, space.looked_at)

    def configure(
        self, typed: Sequence[PhoneNumber], discover: DiscoverConfig | None, labeller: Callable[[str], str]
    ) -> None:
        """Take over a configuration; its word counts at once."""
        self._numbers = typed
        self._typed = {number.key: number for number in typed}
        self._typed_in = {}
        for key in self._typed:
            self._typed_in.setdefault(key.cust_space_id, []).append(key)
        self._unlisted &= self._typed.keys()
        self._discover, self._labeller = discover, labeller
        if discover is None or discover.spaces is not None:
            self._instances, self._instances_at = {}, None
        for found in self._found.values():
            found.number = _labelled(found.number, labeller)
        self.changes = [(what, _labelled(number, labeller)) for what, number in self.changes]
        for key, found in list(self._found.items()):
            if not self.may_be_found(key):
                self._drop(found, Change.LEFT)
        self._only_found = sum(key not in self._typed for key in self._found)
        if discover is not None:
            only_found = [found for key, found in self._found.items() if key not in self._typed]
            for found in only_found[discover.max_numbers :]:
                self._drop(found, Change.LEFT)
        if discover is None:  # nobody lists them: keep no more of them than the configuration does
            self._typed, self._typed_in, self._unlisted = {}, {}, set()
        self._settle_spaces()

    def spaces_listed(self, spaces: Sequence[str], now: float) -> None:
        """The account's spaces were listed as a whole."""
        if self._discover is None or self._discover.spaces is not None or not spaces:
            return
        passed = 0.0 if self._instances_at is None else max(0.0, now - self._instances_at)
        passed = min(passed, self._discover.refresh_interval_seconds)
        self._instances, self._instances_at = dict.fromkeys(spaces), now
        for name, space in self._spaces.items():
            space.gone_seconds = 0.0 if name in self._instances else space.gone_seconds + passed
            if space.gone_seconds >= self._discover.forget_after_seconds:
                for found in list(space.found.values()):
                    self._drop(found, Change.FORGOTTEN)
                space.unwatched = ()
        self._settle_spaces()

    def numbers_listed(self, cust_space_id: str, listed: Iterable[ListedNumber], now: float) -> list[NumberKey]:
        """A space was listed as a whole.  Returns the numbers, found or named, of which `listing` has something new."""
        space, discover = self._spaces.get(cust_space_id), self._discover
        entries = {entry.phone_number: entry for entry in listed}
        if space is None or discover is None or not space.believes(entries):
            return []
        wanted = {
            digits: entry for digits, entry in entries.items() if self.may_be_found(self._key(cust_space_id, digits))
        }
        back, missing = space.mark(wanted, now)
        self._note(Change.BACK, back)
        self._note(Change.MISSING, missing)
        passed = space.passed_seconds(now, discover.refresh_interval_seconds) if entries else 0.0
        forgotten = space.forgotten(passed, discover.forget_after_seconds)
        for found in forgotten:
            self._drop(found, Change.FORGOTTEN)
        for digits in sorted(wanted.keys() - space.found.keys()):
            self._add(space, cust_space_id, wanted[digits], now)
        space.looked_at, space.discovered = now, len(wanted)
        space.unwatched = entries.keys() - space.found.keys()
        if entries:
            space.gone_seconds = 0.0
        if forgotten:
            self._settle_spaces()
        typed = self._typed_in.get(cust_space_id, [])
        self._note_unlisted([key for key in typed if key not in self._found], typed)
        return [*typed, *(found.number.key for found in space.found.values() if found.number.key not in self._typed)]

    def may_be_found(self, key: NumberKey) -> bool:
        """Whether a listing may find this number."""
        discover = self._discover
        if discover is None or (discover.spaces is not None and key.cust_space_id not in discover.spaces):
            return False
        return key.phone_number not in discover.exclude or key in self._typed

    def heard(self, number: PhoneNumber, listing: Listing, missing_seconds: float) -> None:
        """Another replica found the number, or says something newer of it than is known here.

        When its space was listed is not taken over: of other numbers of the space nothing is known yet.
        """
        key = number.key
        known = self._found.get(key)
        if known is None:
            if not self.may_be_found(key) or not self._has_room(key):
                return
            found = Found(number, listing.seen_at, listing.entry, listing.listed, missing_seconds)
            self._keep(self._spaces.setdefault(key.cust_space_id, FoundSpace()), found)
            self._note(Change.FIRST, [found])
            return
        looked_at = self._spaces[key.cust_space_id].looked_at
        if looked_at is None or listing.looked_at > looked_at:
            known.listed, known.missing_seconds = listing.listed, missing_seconds
            if listing.entry is not None and listing.seen_at > known.seen_at:
                known.seen_at, known.entry = listing.seen_at, listing.entry

    def forgotten_elsewhere(self, key: NumberKey) -> None:
        """Another replica polls the number no more."""
        found = self._found.get(key)
        if found is not None:
            self._drop(found, Change.FORGOTTEN)
            self._settle_spaces()

    def absence(self, key: NumberKey) -> Absence | None:
        """For how long listings have lacked the number; None if none found it."""
        return self._absence(self._found[key]) if key in self._found else None

    def absences(self) -> dict[NumberKey, Absence]:
        """The same of all numbers that listings found, those with a name included."""
        return {key: self._absence(found) for key, found in self._found.items()}

    def restore(self, found: Found, looked_at: float | None, gone_seconds: float) -> None:
        """Take over a number that an earlier process had found, unless this process knows it."""
        key = found.number.key
        if key in self._found or not self.may_be_found(key) or not self._has_room(key):
            return
        space = self._spaces.setdefault(key.cust_space_id, FoundSpace())
        if space.looked_at is None:
            space.looked_at, space.gone_seconds = looked_at, gone_seconds
        self._keep(space, found)
        space.discovered += found.listed

    def _absence(self, found: Found) -> Absence:
        return Absence(found.missing_seconds, self._spaces[found.number.cust_space_id].gone_seconds)

    def _key(self, cust_space_id: str, digits: str) -> NumberKey:
        return NumberKey(self._account, cust_space_id, digits)

    def _has_room(self, key: NumberKey) -> bool:
        """Whether one more number that may be found may be polled."""
        return key in self._typed or (self._discover is not None and self._only_found < self._discover.max_numbers)

    def _add(self, space: FoundSpace, cust_space_id: str, entry: ListedNumber, now: float) -> None:
        """Poll a number that was just found, if there is room."""
        digits = entry.phone_number
        if not self._has_room(self._key(cust_space_id, digits)):
            return
        found = Found(PhoneNumber(self._account, cust_space_id, digits, self._labeller(digits), found=True), now, entry)
        self._keep(space, found)
        self._note(Change.FIRST if space.looked_at is None else Change.FOUND, [found])

    def _keep(self, space: FoundSpace, found: Found) -> None:
        key = found.number.key
        self._found[key] = space.found[key.phone_number] = found
        self._only_found += key not in self._typed

    def _drop(self, found: Found, why: Change) -> None:
        key = found.number.key
        space = self._spaces[key.cust_space_id]
        del self._found[key], space.found[key.phone_number]
        self._only_found -= key not in self._typed
        if found.listed:
            space.unwatched = {*space.unwatched, key.phone_number}
        self._note(why, [found])

    def _note(self, what: Change, those: Iterable[Found]) -> None:
        """Add to `changes`.  A number that the configuration names does not come and go with listings."""
        is_about_all = what in {Change.BACK, Change.MISSING}
        self.changes += [(what, each.number) for each in those if is_about_all or each.number.key not in self._typed]

    def _note_unlisted(self, unlisted: Sequence[NumberKey], typed: Sequence[NumberKey]) -> None:
        """Add to `changes` each configured number of a space that no listing has held, once."""
        self.changes += [(Change.UNLISTED, self._typed[key]) for key in unlisted if key not in self._unlisted]
        self._unlisted.difference_update(typed)
        self._unlisted.update(unlisted)

    def _settle_spaces(self) -> None:
        """Keep the spaces that are to be listed now, and no others."""
        discover = self._discover
        if discover is None:
            wanted: dict[str, None] = {}
        elif discover.spaces is not None:
            wanted = dict.fromkeys(discover.spaces)
        else:
            wanted = dict.fromkeys(self._typed_in)
            wanted |= self._instances
            wanted |= dict.fromkeys(name for name, space in self._spaces.items() if space.found)
        self._spaces = {name: self._spaces.get(name) or FoundSpace() for name in wanted}


def _labelled(number: PhoneNumber, labeller: Callable[[str], str]) -> PhoneNumber:
    """`number` with the label of now: the old one must not be shown any more."""
    label = labeller(number.phone_number)
    return number if label == number.label else replace(number, label=label)
