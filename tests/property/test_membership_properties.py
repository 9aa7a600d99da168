"""Random listings, failures, outages, reloads and restarts: no number leaves without a reason, none is there twice."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from exporter.config.settings import DiscoverConfig
from exporter.fleet.membership import Membership
from exporter.model import ListedNumber, NumberKey, PhoneNumber

REFRESH = 300.0
FORGET = 900.0
SPACES = ("a", "b", "c")
DIGITS = tuple(f"861380000000{index}" for index in range(6))

History = list[tuple[float, frozenset[str]]]
"""When each listing was, and what it held."""

spaces = st.sampled_from(SPACES)
some_digits = st.frozensets(st.sampled_from(DIGITS))
discovers = st.builds(
    DiscoverConfig,
    spaces=st.none() | st.lists(spaces, min_size=1, unique=True).map(tuple),
    refresh_interval_seconds=st.just(REFRESH),
    exclude=st.frozensets(st.sampled_from(DIGITS), max_size=1),
    max_numbers=st.sampled_from([3, 100]),
    forget_after_seconds=st.just(FORGET),
)
typed_numbers = st.lists(st.tuples(spaces, st.sampled_from(DIGITS)), unique=True, max_size=3)


def label(digits: str) -> str:
    """Two of the numbers have the same one."""
    return digits.replace("5", "4")


class Fleet(RuleBasedStateMachine):
    """One account, with the history of its whole listings: those of each space, and those of the spaces."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.membership = Membership("main")
        self.typed: list[PhoneNumber] = []
        self.discover: DiscoverConfig | None = DiscoverConfig()
        self.whole: dict[str, History] = {space: [] for space in SPACES}
        self.lists: History = []
        self.before: set[NumberKey] = set()

    @initialize(typed=typed_numbers, discover=discovers)
    def begins(self, typed: list[tuple[str, str]], discover: DiscoverConfig) -> None:
        self.reload(typed, discover)

    @rule(typed=typed_numbers, discover=st.none() | discovers)
    def reload(self, typed: list[tuple[str, str]], discover: DiscoverConfig | None) -> None:
        labels = {(space, label(digits)): (space, digits) for space, digits in typed}  # as the loader makes sure
        self.typed = [PhoneNumber("main", space, digits, label(digits), "desk") for space, digits in labels.values()]
        self.discover = discover
        self.membership.configure(self.typed, discover, label)
        self.before = self.found()

    @rule(seconds=st.sampled_from([0.0, 1.0, REFRESH / 2, REFRESH, 2 * REFRESH, FORGET, 50 * FORGET]))
    def time_passes(self, seconds: float) -> None:
        """Listings may fail meanwhile, which nobody tells the membership."""
        self.now += seconds

    @rule(space=spaces, digits=some_digits, after=st.sampled_from([1.0, REFRESH, REFRESH, FORGET]))
    def a_space_is_listed(self, space: str, digits: frozenset[str], after: float) -> None:
        self.now += after
        self.membership.numbers_listed(space, [ListedNumber(each) for each in digits], self.now)
        self.whole[space].append((self.now, digits))
        self.check_those_that_left()
        self.check_those_that_are_listed(space, digits)

    @rule(listed=st.frozensets(spaces), after=st.sampled_from([1.0, REFRESH, REFRESH, FORGET]))
    def the_spaces_are_listed(self, listed: frozenset[str], after: float) -> None:
        self.now += after
        self.membership.spaces_listed(sorted(listed), self.now)
        self.lists.append((self.now, listed))
        self.check_those_that_left()

    @rule()
    def restart(self) -> None:
        old = self.membership
        self.membership = Membership("main")
        self.membership.configure(self.typed, self.discover, label)
        for key in old.absences():
            space = old.space(key.cust_space_id)
            assert space is not None
            self.membership.restore(replace(space.found[key.phone_number]), space.looked_at, space.gone_seconds)
        assert self.found() == self.before

    def found(self) -> set[NumberKey]:
        return set(self.membership.absences())

    def check_those_that_left(self) -> None:
        now = self.found()
        for key in self.before - now:
            lacking = missing_seconds(self.whole[key.cust_space_id], key.phone_number)
            gone = missing_seconds(self.lists, key.cust_space_id)
            assert max(lacking, gone) >= FORGET, key
        self.before = now

    def check_those_that_are_listed(self, space: str, digits: frozenset[str]) -> None:
        """What the last listing held is watched, unless the configuration says otherwise."""
        discover = self.discover
        if discover is None or space not in self.membership.spaces:
            return
        keys = {NumberKey("main", space, each) for each in digits - discover.exclude}
        if keys - self.found():
            typed = {number.key for number in self.typed}
            assert len(self.found() - typed) == discover.max_numbers
            assert self.membership.left_out >= len(keys - self.found() - typed)
        for key in keys & self.found():
            listing = self.membership.listing(key)
            assert listing is not None
            assert listing.listed
            assert listing.looked_at == listing.seen_at == self.now

    @invariant()
    def configured_numbers_are_there(self) -> None:
        members = self.membership.members().numbers
        assert members[: len(self.typed)] == tuple(self.typed)

    @invariant()
    def nothing_is_there_twice(self) -> None:
        members = self.membership.members()
        assert max(Counter((n.cust_space_id, n.label) for n in members.numbers).values(), default=1) == 1
        polled = {number.key for number in members.numbers}
        collided = {number.key for number in members.collided}
        assert polled | collided == self.found() | {number.key for number in self.typed}
        assert not polled & collided

    @invariant()
    def the_configuration_is_obeyed(self) -> None:
        typed, discover = {number.key for number in self.typed}, self.discover
        found = self.found()
        if discover is None:
            assert not found
            assert not self.membership.spaces
            return
        assert len(found - typed) <= discover.max_numbers
        assert all(key.phone_number not in discover.exclude for key in found - typed)
        allowed = discover.spaces or SPACES
        assert {key.cust_space_id for key in found} <= set(self.membership.spaces) <= set(allowed)

    @invariant()
    def a_listing_is_never_from_the_future(self) -> None:
        for number in self.membership.members().numbers:
            listing = self.membership.listing(number.key)
            if listing is not None:
                assert -math.inf <= listing.seen_at <= self.now
                assert listing.looked_at <= self.now
                assert (listing.entry is None) == (listing.seen_at == -math.inf)


def missing_seconds(history: History, what: str) -> float:
    """For how long the last listings of `history` lack `what`.  One counts for a refresh interval at most.

    Empty listings say nothing.
    """
    seconds = 0.0
    said = [(at, held) for at, held in history if held]
    for (earlier, _), (at, held) in zip(said[-2::-1], said[:0:-1], strict=True):
        if what in held:
            break
        seconds += min(at - earlier, REFRESH)
    return seconds


Fleet.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestFleet = Fleet.TestCase
