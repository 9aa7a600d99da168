"""Finds and sorts the numbers of the status page.  Pure.

Search and order use a number's label, never the number itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from exporter.model import AccountStatus, NumberKey
from exporter.state.store import NumberState, Snapshot
from exporter.web.ui.entries import Counts, Entry, Uses, counts, entries, value_order
from exporter.web.ui.filters import CHOICES, Query, Sort
from exporter.web.ui.search import Search

PAGE_NUMBERS = 100
"""Numbers on one page."""

NextPolls = Callable[[Sequence[NumberKey]], Mapping[NumberKey, float | None]]
"""When numbers are polled next, in Unix seconds; None while one is being polled."""


class Listing(NamedTuple):
    """One page of `found` matching numbers, of `total`.  `first` is the place of the first entry, counted from 1."""

    entries: tuple[Entry, ...]
    next_polls: Mapping[NumberKey, float | None]
    first: int
    found: int
    total: int
    page: int
    pages: int


class Selection(NamedTuple):
    """All numbers counted, and the page of a query.  `choices` are the values of each filter.

    `foreign` are the chosen values that no number has, of those filters.
    """

    uses: Uses
    counts: Counts
    listing: Listing
    choices: Mapping[str, Sequence[str]]
    foreign: Mapping[str, str]

    @classmethod
    def of(
        cls, query: Query, snapshot: Snapshot, accounts: Sequence[AccountStatus], next_polls: NextPolls
    ) -> Selection:
        """The selection of `query` from all numbers."""
        uses = Uses.of(accounts)
        every = entries(snapshot, uses)
        counted = counts(every)
        choices = {name: counted.values(name) for name in CHOICES} | {"account": [one.account for one in accounts]}
        foreign = {name: value for name, value in query.chosen().items() if value not in choices[name]}
        return cls(uses, counted, listing(every, query, next_polls), choices, foreign)


def listing(every: Sequence[Entry], query: Query, next_polls: NextPolls) -> Listing:
    """The page of `query`, or the last page if there are fewer."""
    found = _matching(every, query)
    if query.sort is Sort.NEXT:
        at = next_polls([entry.record.number.key for entry in found])
        found.sort(key=lambda entry: _or_least(at.get(entry.record.number.key)), reverse=query.descending)
    else:
        found.sort(key=_KEYS[query.sort], reverse=query.descending)
    pages = max(1, math.ceil(len(found) / PAGE_NUMBERS))
    page = min(query.page, pages)
    start = (page - 1) * PAGE_NUMBERS
    shown = tuple(found[start : start + PAGE_NUMBERS])
    at = next_polls([entry.record.number.key for entry in shown])
    return Listing(shown, at, start + 1 if shown else 0, len(found), len(every), page, pages)


def find(snapshot: Snapshot, account: str, space: str, label: str) -> NumberState | None:
    """The number with this label in this space."""
    return next(
        (
            record
            for record in snapshot.numbers
            if record.number.label == label
            and record.number.cust_space_id == space
            and record.number.account == account
        ),
        None,
    )


def _matching(every: Sequence[Entry], query: Query) -> list[Entry]:
    found = list(every)
    for name, value in query.chosen().items():
        found = [entry for entry in found if getattr(entry, name) == value]
    if query.failing:
        found = [entry for entry in found if entry.failing]
    if query.text:
        search = Search.of(query.text)
        found = [entry for entry in found if search.finds(_texts(entry))]
    return found


def _texts(entry: Entry) -> Sequence[str]:
    """The visible texts of a number that a search looks at."""
    number = entry.record.number
    labels = [f"{name}={value}" for name, value in number.labels]
    return (number.label, entry.name, number.cust_space_id, entry.record.phone_number_id, *labels)


def _or_least(value: float | None) -> float:
    return -math.inf if value is None else value


_KEYS: Mapping[Sort, Callable[[Entry], Any]] = {
    Sort.URGENCY: lambda entry: (entry.urgency, entry.status),
    Sort.STATUS: lambda entry: value_order("status", entry.status),
    Sort.NUMBER: lambda entry: entry.record.number.label,
    Sort.NAME: lambda entry: entry.name.casefold(),
    Sort.ACCOUNT: lambda entry: entry.record.number.account,
    Sort.SPACE: lambda entry: entry.record.number.cust_space_id,
    Sort.SINCE: lambda entry: _or_least(entry.record.status_since_unix),
    Sort.SUCCESS: lambda entry: _or_least(entry.record.success_unix),
    Sort.ERROR: lambda entry: -math.inf if entry.record.last_error is None else entry.record.last_error.unix,
    Sort.VERDICT: lambda entry: value_order("verdict", entry.verdict),
    Sort.CONNECTION: lambda entry: value_order("connection", entry.connection),
    Sort.QUALITY: lambda entry: value_order("quality", entry.quality),
    Sort.LIMIT: lambda entry: _or_least(entry.customers_a_day),
}
