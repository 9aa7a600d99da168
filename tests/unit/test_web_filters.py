"""The parameters of the status page's address."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict

from exporter.web.ui.filters import CHOICES, MAX_CHARACTERS, MAX_FAULTS, PARAMETERS, Fault, Query, Sort


def test_no_parameters_ask_for_the_first_page_of_all_numbers_worst_first() -> None:
    assert Query.of({}) == Query(sort=Sort.URGENCY, descending=False, page=1)
    assert Query.of({}).parameters() == ""


def test_every_parameter_is_understood() -> None:
    asked = {
        "account": "a",
        "status": "EXPIRED",
        "q": " x y ",
        "failing": "1",
        "sort": "name",
        "order": "desc",
        "page": "3",
        "verdict": "BLOCKED",
        "connection": "BANNED",
        "quality": "RED",
        "limit": "250",
        "source": "found",
        "listed": "no",
        "refresh": "30",
    }
    assert Query.of(asked) == Query(
        "a", "EXPIRED", "x y", True, Sort.NAME, True, 3, "BLOCKED", "BANNED", "RED", "250", "found", "no", 30
    )
    assert Query.of(asked).faults == ()


def test_only_these_filters_are_kept_and_the_order() -> None:
    query = Query(account="a", text="b", failing=True, quality="RED", sort=Sort.LIMIT, descending=True, page=3)
    assert query.only(verdict="BLOCKED") == Query(verdict="BLOCKED", sort=Sort.LIMIT, descending=True)
    assert query.only(failing=True) == Query(failing=True, sort=Sort.LIMIT, descending=True)


@pytest.mark.parametrize(
    "asked",
    [
        {"sort": "nonsense"},
        {"sort": "STATUS"},
        {"order": "up"},
        {"page": "0"},
        {"page": "-1"},
        {"page": "1e9"},
        {"page": "٣"},
        {"page": "²"},
        {"page": "9" * 5000},
        {"failing": "yes"},
        {"refresh": "4"},
        {"refresh": "3601"},
        {"refresh": "1m"},
        {"colour": "red"},
    ],
)
def test_what_is_not_understood_counts_as_not_asked_for_and_is_a_fault(asked: dict[str, str]) -> None:
    query = Query.of(asked)
    assert query == Query()
    ((name, value, cure),) = query.faults
    assert {name: value} == {name: text[:MAX_CHARACTERS] for name, text in asked.items()}
    assert cure


def test_a_fault_says_what_to_write() -> None:
    asked = {"sort": "nonsense", "page": "0", "refresh": "1", "statsu": "EXPIRED"}
    cures = {fault.name: fault.cure for fault in Query.of(asked).faults}
    assert cures["sort"].startswith("write one of urgency, status, number,")
    assert cures["page"] == "write a whole number from 1 to 999999999"
    assert cures["refresh"] == "write a whole number from 5 to 3600"
    assert cures["statsu"].startswith("the parameters are account, status,")


def test_a_parameter_that_is_given_twice_is_a_fault() -> None:
    query = Query.of(MultiDict([("status", "EXPIRED"), ("status", "VERIFIED")]))
    assert query == Query(status="EXPIRED")
    assert query.faults == (Fault("status", "EXPIRED", "write it once: only the first one counts"),)


@pytest.mark.parametrize(
    "asked", [dict.fromkeys(PARAMETERS, ""), {"q": "  "}, {"failing": "0"}, {"format": "json"}, {"page": "1"}]
)
def test_an_empty_parameter_asks_for_nothing_and_is_no_fault(asked: dict[str, str]) -> None:
    """A form sends every field."""
    query = Query.of(asked)
    assert query == Query()
    assert query.faults == ()


def test_endless_parameters_make_few_faults() -> None:
    assert len(Query.of({f"x{index}": "" for index in range(1000)}).faults) == MAX_FAULTS


def test_a_text_of_any_length_is_cut() -> None:
    query = Query.of(dict.fromkeys(("q", *CHOICES), "x" * 100000))
    assert {len(text) for text in (query.text, *query.chosen().values())} == {MAX_CHARACTERS}
    assert query.chosen().keys() == set(CHOICES)


@given(
    st.builds(
        Query,
        account=st.text(max_size=20),
        status=st.text(max_size=20),
        text=st.text(max_size=20).map(str.strip),
        failing=st.booleans(),
        sort=st.sampled_from(Sort),
        descending=st.booleans(),
        page=st.integers(1, 10**9 - 1),
        verdict=st.text(max_size=20),
        connection=st.text(max_size=20),
        quality=st.text(max_size=20),
        limit=st.text(max_size=20),
        source=st.text(max_size=20),
        listed=st.text(max_size=20),
        refresh_seconds=st.just(0) | st.integers(5, 3600),
    )
)
def test_the_address_of_a_query_asks_for_that_query(query: Query) -> None:
    """Links keep filter, order and page."""
    assert Query.of(dict(parse_qsl(query.parameters(), keep_blank_values=True))) == query


@pytest.mark.parametrize("sort", Sort)
def test_a_click_on_a_column_sorts_by_it_and_the_next_one_the_other_way(sort: Sort) -> None:
    other = Sort.NAME if sort is not Sort.NAME else Sort.SPACE
    first = Query(sort=other, page=7, text="kept").sorted_by(sort)
    assert (first.sort, first.descending, first.page, first.text) == (sort, sort.begins_descending, 1, "kept")
    assert first.sorted_by(sort).descending is not first.descending


def test_a_form_of_filters_carries_the_order_and_the_refresh_along_but_not_the_page() -> None:
    query = Query(sort=Sort.SINCE, descending=False, page=4, refresh_seconds=60)
    assert query.kept_fields() == {"sort": "since", "order": "asc", "refresh": "60"}


def test_the_refresh_is_switched_without_a_change_to_filters_order_and_page() -> None:
    query = Query(text="a", status="EXPIRED", sort=Sort.NAME, page=3)
    assert query.but(refresh_seconds=30) == Query(
        text="a", status="EXPIRED", sort=Sort.NAME, page=3, refresh_seconds=30
    )
    assert query.but(refresh_seconds=30).but(refresh_seconds=0) == query
    assert query.but(refresh_seconds=30).only().refresh_seconds == 30


def test_one_filter_is_taken_away_and_the_others_stay() -> None:
    query = Query(status="EXPIRED", text="a", failing=True, page=2)
    assert query.without("status") == Query(text="a", failing=True)
    assert query.without("text") == Query(status="EXPIRED", failing=True)
    assert query.without("failing") == Query(status="EXPIRED", text="a")
    assert query.but(page=1, status="VERIFIED") == Query(status="VERIFIED", text="a", failing=True)
