"""Which numbers an account has: the rules by which listings add them and take them away."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import pytest

from exporter.config.settings import DiscoverConfig
from exporter.fleet.membership import Change, Membership
from exporter.fleet.space import Found
from exporter.model import ListedNumber, Listing, NumberKey, PhoneNumber
from exporter.state.found import Absence
from tests.support.numbers import number

REFRESH = 300.0
FORGET = 3 * REFRESH
ONE, TWO, THREE, FOUR = "8613800000001", "8613800000002", "8613800000003", "8613800000004"


def discover(**more: object) -> DiscoverConfig:
    return DiscoverConfig(refresh_interval_seconds=REFRESH, forget_after_seconds=FORGET, **more)  # type: ignore[arg-type] # tests pass what fits


def key(digits: str, space: str = "a") -> NumberKey:
    return NumberKey("main", space, digits)


def typed(digits: str, space: str = "a", name: str = "desk") -> PhoneNumber:
    return PhoneNumber("main", space, digits, digits, name, (("team", "care"),))


class Account:
    """An account whose spaces are listed once per refresh interval."""

    def __init__(
        self,
        *,
        numbers: Iterable[PhoneNumber] = (),
        labeller: Callable[[str], str] = str,
        **more: object,
    ) -> None:
        self.membership = Membership("main")
        self.now = 1000.0
        self.labeller = labeller
        self.configure(numbers, **more)

    def configure(self, numbers: Iterable[PhoneNumber] = (), **more: object) -> None:
        self.membership.configure(tuple(numbers), discover(**more), self.labeller)

    def spaces(self, *spaces: str, after: float = REFRESH) -> None:
        self.now += after
        self.membership.spaces_listed(spaces, self.now)

    def listed(self, *digits: str, space: str = "a", after: float = REFRESH) -> list[NumberKey]:
        self.now += after
        return self.membership.numbers_listed(space, [ListedNumber(each, "CONNECTED") for each in digits], self.now)

    @property
    def numbers(self) -> list[str]:
        return [each.phone_number for each in self.membership.members().numbers]

    def listing(self, digits: str, space: str = "a") -> Listing | None:
        return self.membership.listing(key(digits, space))

    def is_listed(self, digits: str) -> bool:
        listing = self.listing(digits)
        assert listing is not None
        return listing.listed

    def changes(self) -> list[tuple[Change, str]]:
        taken, self.membership.changes = self.membership.changes, []
        return [(what, each.phone_number) for what, each in taken]


def found_in_a(*digits: str, **more: object) -> Account:
    """An account with the space `a`, in which these numbers were found."""
    account = Account(**more)  # type: ignore[arg-type] # tests pass what fits
    account.spaces("a")
    account.listed(*digits, after=0)
    return account


def test_a_number_that_is_listed_is_found() -> None:
    account = found_in_a(ONE)
    (member,) = account.membership.members().numbers
    assert (member.key, member.found, member.name) == (key(ONE), True, "")
    assert account.listing(ONE) == Listing(True, account.now, account.now, ListedNumber(ONE, "CONNECTED"))
    assert account.changes() == [(Change.FIRST, ONE)]
    account.listed(ONE, TWO)
    assert account.changes() == [(Change.FOUND, TWO)]


def test_spaces_to_list_are_those_of_the_api_and_of_configured_numbers() -> None:
    account = Account(numbers=[typed(ONE, "typed")])
    assert list(account.membership.spaces) == ["typed"]
    account.spaces("a", "b")
    assert list(account.membership.spaces) == ["typed", "a", "b"]


def test_named_spaces_are_the_only_ones_to_list() -> None:
    account = Account(numbers=[typed(ONE, "typed")], spaces=("a",))
    account.spaces("b")
    account.listed(TWO, space="b")
    account.listed(THREE, space="a")
    assert account.membership.spaces == ("a",)
    assert account.numbers == [ONE, THREE]


def test_a_configured_number_keeps_its_name_and_labels_where_a_listing_finds_it() -> None:
    account = found_in_a(ONE, TWO, numbers=[typed(ONE)])
    first, second = account.membership.members().numbers
    assert (first, first.found) == (typed(ONE), False)
    assert (second.phone_number, second.found) == (TWO, True)
    assert account.is_listed(ONE)
    assert account.changes() == [(Change.FIRST, TWO)]


def test_a_number_that_leaves_the_configuration_is_found_from_then_on() -> None:
    """A reload that takes the entry away must not unwatch what a listing holds; nor does one that names a found one."""
    account = found_in_a(ONE, numbers=[typed(ONE)])
    account.configure([])
    (member,) = account.membership.members().numbers
    assert (member.key, member.found, member.name, member.labels) == (key(ONE), True, "", ())
    account.configure([typed(ONE)])
    assert account.membership.members().numbers == (typed(ONE),)


def test_a_configured_number_that_its_space_does_not_list_is_not_listed() -> None:
    """A typo is found before an incident is.  It stays, and the log says it once."""
    account = found_in_a(ONE, numbers=[typed(TWO)])
    assert not account.is_listed(TWO)
    assert account.listing(TWO) == Listing(False, account.now)
    account.listed(ONE)
    assert account.changes() == [(Change.FIRST, ONE), (Change.UNLISTED, TWO)]
    assert account.numbers == [TWO, ONE]


def test_nothing_is_said_of_a_configured_number_before_its_space_was_listed() -> None:
    account = Account(numbers=[typed(ONE)])
    assert account.listing(ONE) is None


def test_a_number_that_is_no_longer_listed_is_polled_on_and_leaves_after_forget_after() -> None:
    account = found_in_a(ONE, TWO)
    seen_at = account.now
    account.changes()
    for _ in range(2):
        account.listed(TWO)
        assert account.numbers == [ONE, TWO]
        assert account.listing(ONE) == Listing(False, account.now, seen_at, ListedNumber(ONE, "CONNECTED"))
    account.listed(TWO)
    assert account.numbers == [TWO]
    assert account.changes() == [(Change.MISSING, ONE), (Change.FORGOTTEN, ONE)]


def test_a_number_that_is_listed_again_begins_anew() -> None:
    account = found_in_a(ONE, TWO)
    account.listed(TWO)
    account.listed(TWO)
    account.changes()
    account.listed(ONE, TWO)
    assert account.is_listed(ONE)
    assert account.changes() == [(Change.BACK, ONE)]
    account.listed(TWO)
    account.listed(TWO)
    assert account.numbers == [ONE, TWO]


@pytest.mark.parametrize("outage", [REFRESH, FORGET, 100 * FORGET])
def test_an_outage_forgets_nothing(outage: float) -> None:
    """A listing counts for one refresh interval at most: during an outage nobody knows what was listed."""
    account = found_in_a(ONE, TWO)
    account.listed(TWO, after=outage)
    account.listed(TWO, after=outage)
    assert account.numbers == [ONE, TWO]
    account.listed(TWO, after=outage)
    assert account.numbers == [TWO]


def test_listings_in_quick_succession_forget_nothing_early() -> None:
    account = found_in_a(ONE, TWO)
    for _ in range(10):
        account.listed(TWO, after=FORGET / 10.001)
        assert account.numbers == [ONE, TWO]
    account.listed(TWO, after=1.0)
    assert account.numbers == [TWO]


def test_an_empty_listing_is_believed_the_third_time_and_forgets_nothing() -> None:
    account = found_in_a(ONE, numbers=[typed(TWO)])
    before = account.listing(ONE)
    for _ in range(2):
        assert account.listed() == []
        assert account.listing(ONE) == before
    space = account.membership.space("a")
    assert space is not None
    assert space.discovered == 1
    for _ in range(20):
        account.listed()
        assert account.numbers == [TWO, ONE]
        assert not account.is_listed(ONE)
        assert space.discovered == 0


def test_empty_listings_count_only_in_a_row() -> None:
    account = found_in_a(ONE)
    for _ in range(3):
        account.listed()
        account.listed()
        assert account.is_listed(ONE)
        account.listed(ONE)


def test_the_time_of_empty_listings_does_not_count_later() -> None:
    account = found_in_a(ONE, TWO)
    for _ in range(10):
        account.listed()
    for _ in range(2):
        account.listed(TWO)
        assert account.numbers == [ONE, TWO]
    account.listed(TWO)
    assert account.numbers == [TWO]


def test_the_first_listing_of_a_space_may_be_empty() -> None:
    """It had no numbers, so this is no error: a configured number there is a typo."""
    account = found_in_a(numbers=[typed(ONE)])
    assert not account.is_listed(ONE)


def test_an_excluded_number_is_not_found() -> None:
    account = found_in_a(ONE, TWO, exclude=frozenset({ONE}))
    assert account.numbers == [TWO]
    space = account.membership.space("a")
    assert space is not None
    assert space.discovered == 1
    assert account.membership.left_out == 0


def test_an_excluded_number_leaves_at_once_by_a_reload_and_a_configured_one_stays() -> None:
    account = found_in_a(ONE, TWO)
    account.changes()
    account.configure([typed(TWO)], exclude=frozenset({ONE, TWO}))
    assert account.numbers == [TWO]
    assert account.changes() == [(Change.LEFT, ONE)]
    account.listed(ONE, TWO)
    assert account.numbers == [TWO]
    assert account.is_listed(TWO)
    account.configure([typed(TWO), typed(ONE)], exclude=frozenset({ONE}))
    assert account.listing(ONE) is None  # its space lists it: it must not read 0 until the next listing


def test_numbers_beyond_max_numbers_are_left_out_and_those_watched_stay() -> None:
    account = found_in_a(TWO, max_numbers=2)
    account.listed(THREE, ONE, TWO, FOUR)
    assert account.numbers == [TWO, ONE]
    assert account.membership.left_out == 2
    account.listed(FOUR, THREE, TWO)  # ONE leaves later, and until then there is no room
    assert account.numbers == [TWO, ONE]
    account.listed(FOUR, THREE, TWO)
    account.listed(FOUR, THREE, TWO)
    assert account.numbers == [TWO, THREE]
    assert account.membership.left_out == 1


def test_configured_numbers_need_no_room() -> None:
    account = found_in_a(ONE, TWO, THREE, numbers=[typed(ONE), typed(TWO)], max_numbers=1)
    assert account.numbers == [ONE, TWO, THREE]
    assert account.membership.left_out == 0


def test_a_smaller_max_numbers_keeps_those_that_were_found_first() -> None:
    account = found_in_a(TWO)
    account.listed(ONE, TWO, THREE)
    account.configure([typed(THREE)], max_numbers=1)
    assert account.numbers == [THREE, TWO]
    assert account.membership.left_out == 1
    account.configure([typed(ONE), typed(THREE)], max_numbers=1)
    assert account.membership.left_out == 0
    assert account.listing(ONE) is None  # not 0: its space lists it


def test_a_space_that_vanishes_is_listed_as_long_as_it_has_numbers() -> None:
    account = found_in_a(ONE)
    for _ in range(10):
        account.spaces("b")
        account.listed(ONE, after=0)
        assert account.membership.spaces == ("b", "a")
        assert account.numbers == [ONE]
    for _ in range(3):
        account.listed(TWO)
    for _ in range(3):
        account.spaces("b")
    assert account.numbers == []
    assert account.membership.spaces == ("b",)


def test_the_numbers_of_a_vanished_space_leave_if_its_own_listing_says_nothing() -> None:
    """Its listing fails, or is empty.  The time since the space was first missing counts, as far as lists lack it."""
    account = found_in_a(ONE)
    account.changes()
    account.spaces("b")
    account.spaces("b", after=100 * FORGET)
    assert account.numbers == [ONE]
    account.spaces("a", "b")
    account.spaces("b")
    account.listed(after=0)
    account.spaces("b")
    assert account.numbers == [ONE]
    account.spaces("b")
    assert account.numbers == []
    assert account.changes() == [(Change.FORGOTTEN, ONE)]


def test_an_empty_list_of_spaces_changes_nothing() -> None:
    account = found_in_a(ONE)
    account.spaces("a", "b")
    for _ in range(20):
        account.spaces()
    assert account.membership.spaces == ("a", "b")
    assert account.numbers == [ONE]


def test_a_space_without_numbers_that_vanishes_is_not_listed_any_more() -> None:
    account = found_in_a()
    account.spaces("b")
    assert account.membership.spaces == ("b",)
    assert account.listed(ONE) == []  # the answer to an earlier request
    assert account.numbers == []


def test_a_number_in_two_spaces_is_polled_in_both() -> None:
    account = Account()
    account.spaces("a", "b")
    account.listed(ONE, space="a", after=0)
    account.listed(ONE, space="b", after=0)
    assert [each.key for each in account.membership.members().numbers] == [key(ONE), key(ONE, "b")]
    for _ in range(3):
        account.listed(TWO, space="a", after=REFRESH)
        account.listed(ONE, space="b", after=0)
    assert [each.key for each in account.membership.members().numbers] == [key(ONE, "b"), key(TWO)]


def test_only_one_of_two_numbers_with_one_label_in_a_space_is_polled() -> None:
    """The hash may collide: two series with the same labels would break every scrape."""
    account = found_in_a(ONE, TWO, labeller=lambda _: "hash")
    members = account.membership.members()
    assert [each.phone_number for each in members.numbers] == [ONE]
    assert [each.phone_number for each in members.collided] == [TWO]
    account.configure([PhoneNumber("main", "a", THREE, "hash", "desk")])
    assert account.numbers == [THREE]
    account.listed(FOUR, space="a")
    account.spaces("a", "b")
    account.listed(ONE, space="b")
    assert account.membership.members().numbers[-1].key == key(ONE, "b")


def test_labels_of_found_numbers_follow_the_configuration() -> None:
    account = found_in_a(ONE)
    account.listed(TWO)
    account.labeller = lambda digits: f"<{digits[-2:]}>"
    account.configure(exclude=frozenset({TWO}))
    assert [each.label for each in account.membership.members().numbers] == ["<01>"]
    labels = {number.label for _, number in account.membership.changes}  # the log has not said them yet
    assert labels == {"<01>", "<02>"}


def test_found_numbers_leave_with_discover() -> None:
    account = found_in_a(ONE, numbers=[typed(TWO)])
    account.membership.configure([typed(TWO)], None, str)
    assert account.numbers == [TWO]
    assert account.membership.spaces == ()
    assert account.listing(TWO) is None
    assert account.membership.left_out == 0


def test_numbers_of_a_space_that_the_configuration_no_longer_names_leave_at_once() -> None:
    account = Account(spaces=("a", "b"))
    account.listed(ONE, space="a")
    account.listed(TWO, space="b")
    account.configure(spaces=("b",))
    assert account.numbers == [TWO]
    account.configure(spaces=None)
    assert account.numbers == [TWO]
    assert account.membership.spaces == ("b",)


def test_a_listing_tells_of_which_numbers_it_has_news() -> None:
    account = found_in_a(ONE, numbers=[typed(TWO), typed(THREE, "b"), typed(FOUR)])
    assert set(account.listed(ONE, FOUR)) == {key(ONE), key(TWO), key(FOUR)}
    assert account.listed(space="unknown") == []


def test_restored_numbers_are_there_before_any_listing_and_are_forgotten_on_time() -> None:
    account = Account()
    account.membership.restore(Found(number(label=ONE), 500.0, None), None, 0.0)
    one = PhoneNumber("main", "a", ONE, ONE, found=True)
    entry = ListedNumber(ONE, "BANNED")
    account.membership.restore(
        Found(one, 500.0, entry, listed=False, missing_seconds=FORGET - REFRESH), account.now - REFRESH, 0.0
    )
    assert account.numbers == [number().phone_number, ONE]
    assert account.membership.spaces == ("cams-kei0001", "a")
    assert account.listing(ONE) == Listing(False, account.now - REFRESH, 500.0, entry)
    assert account.listing(number().phone_number, "cams-kei0001") is None
    account.listed(TWO, after=0)
    assert account.numbers == [number().phone_number, TWO]


def test_a_restored_number_whose_entry_is_not_known_has_none() -> None:
    account = Account()
    account.membership.restore(Found(PhoneNumber("main", "a", ONE, ONE), 500.0, None), 900.0, 0.0)
    assert account.listing(ONE) == Listing(True, 900.0, -math.inf, None)


def test_restored_numbers_respect_the_configuration() -> None:
    account = Account(exclude=frozenset({TWO}), max_numbers=1, spaces=("a",))
    for digits, space in [(ONE, "b"), (TWO, "a"), (THREE, "a"), (FOUR, "a")]:
        account.membership.restore(Found(PhoneNumber("main", space, digits, digits), 0.0, None), 0.0, 0.0)
    assert account.numbers == [THREE]


def test_without_discover_the_configurations_own_list_is_polled() -> None:
    """Not a copy: ten thousand numbers are in memory once."""
    account, numbers = Account(), (typed(ONE), typed(TWO))
    account.membership.configure(numbers, None, str)
    assert account.membership.members().numbers is numbers


def hear(account: Account, digits: str, *, listed: bool = True, seen: float = 0.0, looked: float = 0.0) -> None:
    """Another replica says this of a number; instants are seconds from now."""
    at = Listing(listed, account.now + looked, account.now + seen, ListedNumber(digits, "CONNECTED"))
    account.membership.heard(PhoneNumber(*key(digits), digits, found=True), at, 100.0)


def test_a_number_that_another_replica_found_is_polled_and_its_space_listed() -> None:
    """What nothing is known of, the other numbers of the space, stays unsaid."""
    account = Account(numbers=[typed(ONE)])
    hear(account, TWO)
    assert account.numbers == [ONE, TWO]
    assert account.membership.spaces == ("a",)
    assert account.listing(ONE) is None
    assert account.changes() == [(Change.FIRST, TWO)]


def test_a_later_word_of_another_replica_counts_and_an_earlier_one_does_not() -> None:
    account = found_in_a(ONE)
    hear(account, ONE, listed=False, looked=-1.0)
    assert account.is_listed(ONE)
    hear(account, ONE, listed=False, seen=-5.0, looked=1.0)
    assert not account.is_listed(ONE)
    assert account.membership.absence(key(ONE)) == Absence(100.0)
    account.listed(TWO)  # held by this replica now: the time goes on
    account.listed(TWO)
    account.listed(TWO)
    assert account.numbers == [TWO]


def test_other_replicas_find_neither_what_is_excluded_nor_more_than_max_numbers() -> None:
    account = Account(max_numbers=1, exclude=frozenset({ONE}))
    for digits in (ONE, TWO, THREE):
        hear(account, digits)
    assert account.numbers == [TWO]


def test_a_number_that_another_replica_forgot_is_polled_no_more_unless_it_is_typed() -> None:
    account = found_in_a(ONE, TWO, numbers=[typed(ONE)])
    account.membership.forgotten_elsewhere(key(ONE))
    account.membership.forgotten_elsewhere(key(TWO))
    account.membership.forgotten_elsewhere(key(THREE))
    assert account.numbers == [ONE]
