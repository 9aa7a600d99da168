"""The parameters of the status page's address."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.ui.filters import CHOICES, MAX_CHARACTERS, Query, Sort


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
    }
    assert Query.of(asked) == Query(
        "a", "EXPIRED", "x y", True, Sort.NAME, True, 3, "BLOCKED", "BANNED", "RED", "250", "found", "no"
    )


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
        {"q": "  "},
        {"colour": "red"},
    ],
)
def test_what_is_not_understood_counts_as_not_asked_for(asked: dict[str, str]) -> None:
    assert Query.of(asked) == Query()


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


def test_a_form_of_filters_carries_the_order_along_but_not_the_page() -> None:
    query = Query(sort=Sort.SINCE, descending=False, page=4)
    assert query.order_fields() == {"sort": "since", "order": "asc"}
