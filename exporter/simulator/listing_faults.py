"""Wrong listings: incomplete or contradictory answers of ListInstance and QueryChatappPhoneNumbers.

An answer without a list stays unchanged, for example an error.  For other changes use `faults.edited`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from exporter.simulator import faults
from exporter.simulator.faults import Fault

_LISTS = ("PhoneNumbers", "Data")

_TOTAL = "TotalCount"


def _listing(name: str, change: Callable[[list[Any]], Any], total: Callable[[Any], Any] | None = None) -> Fault:
    """The list, changed by `change`, and TotalCount, if the answer has it, changed by `total`."""

    def edit(document: dict[str, Any]) -> None:
        for field in _LISTS:
            if isinstance(document.get(field), list):
                document[field] = change(document[field])
        if total and _TOTAL in document:
            document[_TOTAL] = total(document[_TOTAL])

    return faults.edited(name, edit)


def empty_listing(*, keeps_total: bool = False) -> Fault:
    """An empty list; TotalCount is 0, or stays unchanged."""
    return _listing("empty_listing", lambda _entries: [], None if keeps_total else lambda _total: 0)


def partial_page(missing: int = 1) -> Fault:
    """A list without its last entries; TotalCount still counts them."""
    return _listing("partial_page", lambda entries: entries[: max(0, len(entries) - missing)])


def wrong_total(total: Any = 1_000_000) -> Fault:
    """Any JSON value as TotalCount."""
    return _listing("wrong_total", lambda entries: entries, lambda _total: total)


def repeated_page() -> Fault:
    """The first page that this fault sees, as the answer to every request."""
    first: list[Any] = []

    def change(entries: list[Any]) -> list[Any]:
        first.extend(() if first else entries)
        return list(first)

    return _listing("repeated_page", change)


def repeated_entries() -> Fault:
    """Each entry twice; TotalCount counts it once."""
    return _listing("repeated_entries", lambda entries: [entry for entry in entries for _ in range(2)])


def entries(changes: Mapping[str, Any]) -> Fault:
    """Every entry with these fields, which may have any JSON value."""
    return _listing("entries", lambda found: [{**entry, **changes} for entry in found])


def no_list(value: Any = None) -> Fault:
    """Any JSON value in place of the list."""
    return _listing("no_list", lambda _entries: value)
