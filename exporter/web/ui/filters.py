"""The parameters of the status page's address: filters, order, page, and how often the browser asks again.

What is not understood is ignored, and is a `Fault` of the query.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NamedTuple
from urllib.parse import urlencode

MAX_CHARACTERS = 256
"""Longer parameters are cut off.  No name, space or status is longer."""

MAX_PAGE = 10**9 - 1
MIN_REFRESH_SECONDS, MAX_REFRESH_SECONDS = 5, 3600

MAX_FAULTS = 10
"""More are left out, so that an address with endless parameters does not make the page grow."""

FORMAT = "format"
"""The parameter that asks for the page or for its JSON twin; the caller reads it."""

CHOICES = ("account", "status", "verdict", "connection", "quality", "limit", "source", "listed")
"""The filters by one value: each is a parameter of the address, a field of `Query`, and a field of `entries.Entry`."""


class Sort(StrEnum):
    """What to sort by; the value stands in the address.  All but `URGENCY` are columns."""

    URGENCY = "urgency"
    STATUS = "status"
    NUMBER = "number"
    NAME = "name"
    ACCOUNT = "account"
    SPACE = "space"
    SINCE = "since"
    SUCCESS = "success"
    ERROR = "error"
    NEXT = "next"
    VERDICT = "verdict"
    CONNECTION = "connection"
    QUALITY = "quality"
    LIMIT = "limit"

    @property
    def begins_descending(self) -> bool:
        """Whether the first click sorts in descending order, so that the latest change or error is first."""
        return self in {Sort.SINCE, Sort.ERROR}


class Fault(NamedTuple):
    """A parameter that is ignored, its value, and what to write."""

    name: str
    value: str
    cure: str


@dataclass(frozen=True, slots=True)
class Query:
    """Filters (empty: none), order and page, counted from 1.

    The browser asks again after `refresh_seconds`; never if it is 0.
    """

    account: str = ""
    status: str = ""
    text: str = ""
    failing: bool = False
    sort: Sort = Sort.URGENCY
    descending: bool = False
    page: int = 1
    verdict: str = ""
    connection: str = ""
    quality: str = ""
    limit: str = ""
    source: str = ""
    listed: str = ""
    refresh_seconds: int = 0
    faults: tuple[Fault, ...] = field(default=(), compare=False)

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> Query:
        """The query of an address's parameters."""
        given = _Parameters(parameters)
        chosen = {name: given.text(name) for name in CHOICES}
        sort = Sort(given.one_of("sort", [sort.value for sort in Sort]) or Sort.URGENCY)
        order = given.one_of("order", ("asc", "desc"))
        return cls(
            **chosen,
            text=given.text("q").strip(),
            failing=given.one_of("failing", ("1", "0")) == "1",
            sort=sort,
            descending=order == "desc" if order else sort.begins_descending,
            page=given.number("page", 1, MAX_PAGE) or 1,
            refresh_seconds=given.number("refresh", MIN_REFRESH_SECONDS, MAX_REFRESH_SECONDS) or 0,
            faults=(*given.faults, *given.unknown())[:MAX_FAULTS],
        )

    @property
    def filtered(self) -> bool:
        """Whether any filter is set."""
        return bool(self.chosen() or self.text or self.failing)

    def chosen(self) -> dict[str, str]:
        """The filters by one value that are set."""
        return {name: value for name in CHOICES if (value := getattr(self, name))}

    def sorted_by(self, sort: Sort) -> Query:
        """The query after a click on a column's head: sorted by it, or reversed if it was already."""
        descending = not self.descending if sort is self.sort else sort.begins_descending
        return replace(self, sort=sort, descending=descending, page=1)

    def only(self, *, failing: bool = False, **chosen: str) -> Query:
        """The same order with only these filters."""
        bare = Query(refresh_seconds=self.refresh_seconds)
        return bare.but(sort=self.sort, descending=self.descending, failing=failing, **chosen)

    def without(self, name: str) -> Query:
        """The same query without one of its filters, on its first page."""
        return self.but(page=1, **{name: False if name == "failing" else ""})

    def but(self, **changes: Any) -> Query:
        """The same query with other values of these fields."""
        return replace(self, **changes)

    def kept_fields(self) -> dict[str, str]:
        """The parameters of the order and of the refresh, for hidden fields of the form."""
        fields = {}
        if self.sort is not Sort.URGENCY:
            fields["sort"] = self.sort.value
        if self.descending is not self.sort.begins_descending:
            fields["order"] = "desc" if self.descending else "asc"
        if self.refresh_seconds:
            fields["refresh"] = str(self.refresh_seconds)
        return fields

    def parameters(self) -> str:
        """The part of the address after the question mark, without defaults."""
        fields = {
            **self.chosen(),
            "q": self.text,
            "failing": "1" if self.failing else "",
            **self.kept_fields(),
            "page": str(self.page) if self.page > 1 else "",
        }
        return urlencode({name: value for name, value in fields.items() if value}, errors="replace")


PARAMETERS = (*CHOICES, "q", "failing", "sort", "order", "page", "refresh", FORMAT)
"""All that are understood."""


class _Parameters:
    """Reads parameters; `faults` are those that were not understood.  An empty one is not given."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given
        self.faults: list[Fault] = []

    def text(self, name: str) -> str:
        """Any text."""
        return self._given.get(name, "")[:MAX_CHARACTERS]

    def one_of(self, name: str, values: Collection[str]) -> str:
        """One of `values`, else empty."""
        value = self.text(name)
        if value in {"", *values}:
            return value
        self.faults.append(Fault(name, value, f"write one of {', '.join(values)}"))
        return ""

    def number(self, name: str, least: int, most: int) -> int | None:
        """A whole number from `least` to `most`, else None."""
        value = self.text(name)
        if value.isascii() and value.isdigit() and least <= int(value) <= most:
            return int(value)
        if value:
            self.faults.append(Fault(name, value, f"write a whole number from {least} to {most}"))
        return None

    def unknown(self) -> Iterator[Fault]:
        """The parameters with a name that nobody knows, and those that are given more than once."""
        for name, count in Counter(name for name, _ in self._given.items()).items():
            if name not in PARAMETERS:
                yield Fault(name[:MAX_CHARACTERS], self.text(name), f"the parameters are {', '.join(PARAMETERS)}")
            elif count > 1:
                yield Fault(name, self.text(name), "write it once: only the first one counts")
