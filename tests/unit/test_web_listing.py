"""Which numbers a page shows, in which order, and what a search can reveal."""

from __future__ import annotations

import math

import pytest

from exporter.model import PhoneNumber
from exporter.web.ui.entries import MAX_VALUES, Counts, Uses, counts, entries
from exporter.web.ui.filters import Query, Sort
from exporter.web.ui.listing import PAGE_NUMBERS, Listing, find, listing
from tests.support.numbers import number, numbers
from tests.support.shown import STALE_AFTER, ShownFleet


def listed(fleet: ShownFleet, query: Query | None = None) -> Listing:
    snapshot, accounts = fleet.view()
    return listing(entries(snapshot, Uses.of(accounts)), query or Query(), fleet.next_polls)


def counted(fleet: ShownFleet) -> Counts:
    snapshot, accounts = fleet.view()
    return counts(entries(snapshot, Uses.of(accounts)))


def places(fleet: ShownFleet, query: Query | None = None) -> list[int]:
    """The indices of the numbers shown, in their order."""
    return [int(entry.record.number.phone_number[-3:]) for entry in listed(fleet, query).entries]


def every_kind() -> ShownFleet:
    """Numbers 0 to 6, best first: verified, expired, failing, unknown, failing and unknown, unusual, not verified."""
    fleet = ShownFleet(numbers(7))
    every = numbers(7)
    for place, status in enumerate(["VERIFIED", "EXPIRED", "VERIFIED", "", "", "REVOKED", "NOT_VERIFIED"]):
        if status:
            fleet.succeed(every[place], status)
    fleet.fail(every[2])
    fleet.fail(every[4])
    return fleet


def test_the_worst_come_first() -> None:
    """Not verified, unusual, unknown, failing, expired, verified: the most urgent first."""
    assert places(every_kind()) == [6, 5, 3, 4, 2, 1, 0]


def test_a_stale_status_reads_and_sorts_as_unknown() -> None:
    fleet = every_kind()
    fleet.clock.advance(STALE_AFTER + 1)
    fleet.succeed(number(1), "EXPIRED")
    assert counted(fleet).by["status"] == {"UNKNOWN": 6, "EXPIRED": 1}
    assert places(fleet)[-1] == 1


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        (Query(status="VERIFIED"), {0, 2}),
        (Query(status="REVOKED"), {5}),
        (Query(status="verified"), set()),
        (Query(failing=True), {2, 4}),
        (Query(failing=True, status="VERIFIED"), {2}),
        (Query(account="main"), set(range(7))),
        (Query(account="other"), set()),
    ],
)
def test_filters_combine(query: Query, shown: set[int]) -> None:
    assert set(places(every_kind(), query)) == shown


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("8613800000001", True),
        ("+8613800000001", True),
        ("00001", True),
        ("line", True),
        ("SUPPORT line", True),
        ("line support", True),
        ("kei0001", True),
        ("team=care", True),
        ("care", True),
        ("id-001", True),
        ("main", False),
        ("support 0002", False),
        ("line\nsupport", True),
        ("+86 (138) 0000-0001", True),
        ("+86 138 0000-0002", False),
    ],
)
def test_a_search_finds_words_in_label_name_space_labels_and_id(text: str, found: bool) -> None:
    """In any case; every word must appear."""
    one = number(1, name="Support-Line", labels=(("team", "care"),))
    fleet = ShownFleet([one])
    fleet.succeed(one)
    assert (places(fleet, Query(text=text)) == [1]) is found


@pytest.mark.parametrize(
    "text", ["8613800000001", "+8613800000001", "86138000", "0000001", "8613800000001 ", "+86 138-000", "(0000) 001"]
)
def test_a_search_for_a_number_that_is_not_shown_finds_nothing(text: str) -> None:
    """Otherwise a search could reveal masked and hashed numbers digit by digit."""
    fleet = ShownFleet([number(1, label="861380*****01"), number(2, label="0f3ac9d214be")])
    assert places(fleet, Query(text=text)) == []


def test_no_order_tells_anything_of_a_number_that_is_not_shown() -> None:
    hidden = [number(index, label=label) for index, label in enumerate(["c", "a", "b"])]
    assert places(ShownFleet(hidden), Query(sort=Sort.NUMBER)) == [1, 2, 0]


def spread() -> tuple[ShownFleet, list[PhoneNumber]]:
    """Three numbers that differ in every column: 0 < 1 < 2; number 2 has no times."""
    every = [number(i, account="abc"[i], space=f"s{i}", name="xYz"[i]) for i in range(3)]
    fleet = ShownFleet(every)
    for place, status in ((0, "EXPIRED"), (1, "VERIFIED")):
        fleet.fail(every[place])
        fleet.succeed(every[place], status)
        fleet.clock.advance(10)
    fleet.due = {every[0].key: 5.0, every[1].key: 7.0, every[2].key: None}
    return fleet, every


@pytest.mark.parametrize(
    ("sort", "ascending"),
    [
        (Sort.NUMBER, [0, 1, 2]),
        (Sort.NAME, [0, 1, 2]),
        (Sort.ACCOUNT, [0, 1, 2]),
        (Sort.SPACE, [0, 1, 2]),
        (Sort.STATUS, [2, 0, 1]),
        (Sort.SINCE, [2, 0, 1]),
        (Sort.SUCCESS, [2, 0, 1]),
        (Sort.ERROR, [2, 0, 1]),
        (Sort.NEXT, [2, 0, 1]),
    ],
)
def test_every_column_sorts_both_ways(sort: Sort, ascending: list[int]) -> None:
    """A number without a time counts as the oldest; a number that is being polled is next."""
    fleet, _ = spread()
    assert places(fleet, Query(sort=sort)) == ascending
    assert places(fleet, Query(sort=sort, descending=True)) == ascending[::-1]


@pytest.mark.parametrize("sort", Sort)
def test_the_pages_together_show_each_number_once(sort: Sort) -> None:
    fleet = ShownFleet(numbers(2 * PAGE_NUMBERS + 5))
    pages = [listed(fleet, Query(sort=sort, page=page)) for page in (1, 2, 3)]
    shown = [entry.record.number for page in pages for entry in page.entries]
    assert [(len(page.entries), page.first) for page in pages] == [(100, 1), (100, 101), (5, 201)]
    assert {(page.found, page.total, page.pages) for page in pages} == {(205, 205, 3)}
    assert len(set(shown)) == 205


def test_a_page_beyond_the_last_is_the_last() -> None:
    fleet = ShownFleet(numbers(PAGE_NUMBERS + 1))
    assert listed(fleet, Query(page=10**9)).page == 2
    assert len(listed(fleet, Query(page=10**9)).entries) == 1


def test_no_number_at_all_is_one_empty_page() -> None:
    empty = listed(ShownFleet([]))
    assert (empty.entries, empty.first, empty.found, empty.total, empty.page, empty.pages) == ((), 0, 0, 0, 1, 1)


def test_next_polls_are_told_for_the_numbers_shown() -> None:
    fleet = ShownFleet(numbers(PAGE_NUMBERS + 50))
    shown = listed(fleet)
    assert shown.next_polls == {entry.record.number.key: math.inf for entry in shown.entries}


def test_numbers_are_counted_by_status_and_account() -> None:
    every = [*numbers(2), *numbers(1, account="other")]
    fleet = ShownFleet(every)
    fleet.succeed(every[0], "EXPIRED")
    fleet.fail(every[2])
    found = counted(fleet)
    assert found.by["status"] == {"EXPIRED": 1, "UNKNOWN": 2}
    assert (found.of("main"), found.of("other")) == ({"EXPIRED": 1, "UNKNOWN": 1}, {"UNKNOWN": 1})
    assert found.of("nobody") == {}
    assert found.failing == 1


def test_statuses_that_a_server_makes_up_do_not_make_the_page_grow() -> None:
    every = numbers(3 * MAX_VALUES)
    fleet = ShownFleet(every)
    for index, one in enumerate(every):
        fleet.succeed(one, f"ODD_{index}")
    assert len(counted(fleet).values("status")) == 4 + MAX_VALUES


def test_a_number_is_found_by_account_space_and_label_and_by_nothing_less() -> None:
    hidden = number(1, label="861380*****01")
    snapshot, _ = ShownFleet([number(0), hidden]).view()
    found = find(snapshot, "main", "cams-kei0001", "861380*****01")
    assert found is not None
    assert found.number is hidden
    for account, space, label in (
        ("main", "cams-kei0001", hidden.phone_number),
        ("main", "cams-kei0001", ""),
        ("main", "other", hidden.label),
        ("other", "cams-kei0001", hidden.label),
    ):
        assert find(snapshot, account, space, label) is None
