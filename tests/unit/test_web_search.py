"""The search of the status page: which texts it finds, and what it can reveal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.ui.search import Search

NUMBER = "8613800001234"
SIGNS = [" ", "+", "-", "(", ")", ".", "/", "\u00a0", "\u2011", "\u2013", "\uff0b", "\uff08", "\uff09", "\u202a"]


@pytest.mark.parametrize(
    "typed",
    [
        "+86 138 0000 1234",
        "+86-138-0000-1234",
        "(+86) 138 0000-1234",
        "86 (138) 0000 1234",
        "86.138.0000.1234",
        "+86 138 - 0000 - 1234",
        "\u202a+86 138 0000 1234\u202c",
        "\uff0b\uff18\uff16 138\uff0d0000\uff0d1234",
        "138 0000",
        "-1234",
        "(0000)",
        "care +86 138 0000 1234",
        "+86 138 0000 1234 care",
        "1234 care 138-00",
    ],
)
def test_a_number_is_found_however_it_is_spelled(typed: str) -> None:
    assert Search.of(typed).finds([NUMBER, "care desk"])


@pytest.mark.parametrize("typed", ["+86 138 0000 1235", "+86 138 0000 1234 sales", "-sales", "+ 9"])
def test_another_number_or_word_is_not_found(typed: str) -> None:
    assert not Search.of(typed).finds([NUMBER, "care desk"])


@given(st.lists(st.sampled_from(SIGNS), min_size=len(NUMBER) + 1, max_size=len(NUMBER) + 1))
def test_signs_before_between_and_after_the_digits_do_not_count(signs: list[str]) -> None:
    typed = signs[0] + "".join(digit + sign for digit, sign in zip(NUMBER, signs[1:], strict=True))
    assert Search.of(typed).finds([NUMBER])


@pytest.mark.parametrize("shown", ["line +86 138-0000-1234", "+86 (138) 0000 1234"])
def test_a_number_that_a_name_spells_with_signs_is_found(shown: str) -> None:
    assert Search.of("8613800001234").finds(["0f3ac9d214be", shown])


@pytest.mark.parametrize(
    ("typed", "found"),
    [("line-001", True), ("LINE-00", True), ("line 001", True), ("001 002", False), ("7 2", True), ("-", True)],
)
def test_words_and_several_short_numbers_are_found_as_they_are(typed: str, found: bool) -> None:
    assert Search.of(typed).finds(["line-001", "shift 7, floor 2"]) is found


def test_digits_are_not_put_together_over_the_end_of_a_text() -> None:
    assert not Search.of("8613800").finds(["861", "3800"])


@pytest.mark.parametrize("label", ["861380*****34", "0f3ac9d214be", "86138*******4"])
@given(
    start=st.integers(0, 12),
    length=st.integers(1, 13),
    signs=st.lists(st.sampled_from(["", *SIGNS]), min_size=13, max_size=13),
)
def test_a_search_finds_nothing_but_what_the_label_shows(label: str, start: int, length: int, signs: list[str]) -> None:
    """Whatever part of the hidden number is typed, and however: it is found only if those digits are to be read."""
    part = NUMBER[start : start + length]
    typed = "".join(digit + sign for digit, sign in zip(part, signs, strict=False))
    words = typed.split()
    assert Search.of(typed).finds([label]) <= (
        part in label or all(word.strip("".join(SIGNS)) in label for word in words)
    )
