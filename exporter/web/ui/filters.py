"""The parameters of the status page's address: filters, order and page.

Unknown and invalid parameters are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from urllib.parse import urlencode

MAX_CHARACTERS = 256
"""Longer parameters are cut off.  No name, space or status is longer."""

MAX_PAGE_DIGITS = 9


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


@dataclass(frozen=True, slots=True)
class Query:
    """Filters (empty: none), order and page, counted from 1."""

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

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> Query:
        """The query of an address's parameters."""
        sort = _sort(parameters.get("sort", ""))
        order = parameters.get("order", "")
        page = parameters.get("page", "")
        chosen = {name: parameters.get(name, "")[:MAX_CHARACTERS] for name in CHOICES}
        return cls(
            **chosen,
            text=parameters.get("q", "")[:MAX_CHARACTERS].strip(),
            failing=parameters.get("failing", "") == "1",
            sort=sort,
            descending={"asc": False, "desc": True}.get(order, sort.begins_descending),
            page=max(1, int(page)) if page.isascii() and page.isdigit() and len(page) <= MAX_PAGE_DIGITS else 1,
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
        only = Query(sort=self.sort, descending=self.descending, failing=failing)
        return replace(only, **chosen)  # type: ignore[arg-type] # names of CHOICES

    def at_page(self, page: int) -> Query:
        """The same query, another page."""
        return replace(self, page=page)

    def order_fields(self) -> dict[str, str]:
        """The parameters of the order, for hidden fields of the form."""
        fields = {}
        if self.sort is not Sort.URGENCY:
            fields["sort"] = self.sort.value
        if self.descending is not self.sort.begins_descending:
            fields["order"] = "desc" if self.descending else "asc"
        return fields

    def parameters(self) -> str:
        """The part of the address after the question mark, without defaults."""
        fields = {
            **self.chosen(),
            "q": self.text,
            "failing": "1" if self.failing else "",
            **self.order_fields(),
            "page": str(self.page) if self.page > 1 else "",
        }
        return urlencode({name: value for name, value in fields.items() if value}, errors="replace")


def _sort(text: str) -> Sort:
    try:
        return Sort(text)
    except ValueError:
        return Sort.URGENCY
