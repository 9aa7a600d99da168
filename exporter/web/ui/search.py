"""Finds what a person types in the texts that a page shows.  Pure.

Signs in a phone number do not count: ``+86 (138) 0000-0001`` finds ``8613800000001``.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

_SIGNS = "+-()./\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
_INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
"""Address books put these around a number that is copied."""

_WITHOUT_SIGNS = dict.fromkeys(map(ord, f" \t\u00a0{_SIGNS}{_INVISIBLE}"))


class Search(NamedTuple):
    """What to find: `words`, and `numbers` as digits with the words that they were typed in."""

    words: tuple[str, ...]
    numbers: tuple[tuple[str, tuple[str, ...]], ...]

    @classmethod
    def of(cls, text: str) -> Search:
        """The search for a typed text.  Words that hold digits and signs only are one number if they stand together."""
        words: list[str] = []
        numbers: list[tuple[str, tuple[str, ...]]] = []
        for is_number, group in groupby(text.casefold().split(), lambda word: _digits(word) is not None):
            together = tuple(group)
            digits = "".join(_digits(word) or "" for word in together) if is_number else ""
            if digits:
                numbers.append((digits, together))
            else:
                words += together
        return cls(tuple(words), tuple(numbers))

    def finds(self, texts: Sequence[str]) -> bool:
        """Whether every word and every number is in one of `texts`, in any case."""
        text = "\n".join(texts).casefold()
        if not all(word in text for word in self.words):
            return False
        plain = text.translate(_WITHOUT_SIGNS) if self.numbers else ""
        return all(digits in plain or all(word in text for word in words) for digits, words in self.numbers)


def _digits(word: str) -> str | None:
    """The ASCII digits of a word, which may be of full width; None if it holds more than digits and signs."""
    plain = unicodedata.normalize("NFKC", word).translate(_WITHOUT_SIGNS)
    return plain if not plain or (plain.isascii() and plain.isdigit()) else None
