"""Finds, sorts and counts the numbers of the status page.  Pure.

Search and order use a number's label, never the number itself.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from exporter.model import EXPIRED, KNOWN_STATUSES, NOT_VERIFIED, UNKNOWN, VERIFIED, NumberKey
from exporter.state.store import NumberState, Snapshot
from exporter.web.ui.filters import Query, Sort

PAGE_NUMBERS = 100
"""Numbers on one page."""

MAX_STATUSES = 50
"""Maximum of unusual statuses in the list, so that a server with endless new statuses does not make the page grow."""

NextPolls = Callable[[Sequence[NumberKey]], Mapping[NumberKey, float | None]]
"""When numbers are polled next, in Unix seconds; None while one is being polled."""

_PLUS = re.compile(r"\+(?=[0-9])")
_UNUSUAL = 1
_RANKS = {NOT_VERIFIED: 0, UNKNOWN: 2, EXPIRED: 4, VERIFIED: 5}
_FAILING = 3


class Entry(NamedTuple):
    """A number, its status as in the metrics, and whether its last poll failed."""

    record: NumberState
    status: str
    failing: bool

    @property
    def rank(self) -> int:
        """The urgency, lowest first: not verified, unusual, unknown, failing, expired, verified."""
        rank = _RANKS.get(self.status, _UNUSUAL)
        return min(rank, _FAILING) if self.failing else rank


class Listing(NamedTuple):
    """One page of `found` matching numbers, of `total`.  `first` is the place of the first entry, counted from 1."""

    entries: tuple[Entry, ...]
    next_polls: Mapping[NumberKey, float | None]
    first: int
    found: int
    total: int
    page: int
    pages: int


class Counts(NamedTuple):
    """Numbers by status, in total and by account; `statuses` are those to show, the most urgent first."""

    by_status: Counter[str]
    by_account: Mapping[str, Counter[str]]
    failing: int
    statuses: tuple[str, ...]

    def of(self, account: str) -> Counter[str]:
        """An account's numbers by status."""
        return self.by_account.get(account, Counter())


def entries(snapshot: Snapshot) -> list[Entry]:
    """Every number, in the order of the configuration."""
    status = snapshot.status
    return [Entry(record, status(record), record.last_poll_success is False) for record in snapshot.numbers]


def counts(every: Iterable[Entry]) -> Counts:
    """Count the numbers."""
    by_account: dict[str, Counter[str]] = {}
    failing = 0
    for entry in every:
        account = entry.record.number.account
        if account not in by_account:
            by_account[account] = Counter()
        by_account[account][entry.status] += 1
        failing += entry.failing
    by_status = sum(by_account.values(), Counter[str]())
    unusual = sorted(by_status.keys() - set(KNOWN_STATUSES))[:MAX_STATUSES]
    statuses = sorted((*KNOWN_STATUSES, *unusual), key=lambda status: _RANKS.get(status, _UNUSUAL))
    return Counts(by_status, by_account, failing, tuple(statuses))


def listing(every: Sequence[Entry], query: Query, next_polls: NextPolls) -> Listing:
    """The page of `query`, or the last page if there are fewer."""
    found = [entry for entry in every if _matches(entry, query)] if query.filtered else list(every)
    if query.sort is Sort.NEXT:
        at = next_polls([entry.record.number.key for entry in found])
        found.sort(key=lambda entry: _instant(at.get(entry.record.number.key)), reverse=query.descending)
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


def _matches(entry: Entry, query: Query) -> bool:
    number = entry.record.number
    return (
        (not query.account or number.account == query.account)
        and (not query.status or entry.status == query.status)
        and (not query.failing or entry.failing)
        and (not query.text or _holds(entry.record, _PLUS.sub("", query.text).casefold().split()))
    )


def _holds(record: NumberState, words: Iterable[str]) -> bool:
    """Whether every word appears in the visible texts of a number."""
    number = record.number
    labels = "\n".join([f"{name}={value}" for name, value in number.labels])
    text = f"{number.label}\n{number.name}\n{number.cust_space_id}\n{record.phone_number_id}\n{labels}".casefold()
    return all(word in text for word in words)


def _instant(unix: float | None) -> float:
    return -math.inf if unix is None else unix


_KEYS: Mapping[Sort, Callable[[Entry], Any]] = {
    Sort.STATUS: lambda entry: (entry.rank, entry.status),
    Sort.NUMBER: lambda entry: entry.record.number.label,
    Sort.NAME: lambda entry: entry.record.number.name.casefold(),
    Sort.ACCOUNT: lambda entry: entry.record.number.account,
    Sort.SPACE: lambda entry: entry.record.number.cust_space_id,
    Sort.SINCE: lambda entry: _instant(entry.record.status_since_unix),
    Sort.SUCCESS: lambda entry: _instant(entry.record.success_unix),
    Sort.ERROR: lambda entry: -math.inf if entry.record.last_error is None else entry.record.last_error.unix,
}
