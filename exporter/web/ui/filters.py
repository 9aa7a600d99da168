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


class Sort(StrEnum):
    """A column to sort by; the value stands in the address."""

    STATUS = "status"
    NUMBER = "number"
    NAME = "name"
    ACCOUNT = "account"
    SPACE = "space"
    SINCE = "since"
    SUCCESS = "success"
    ERROR = "error"
    NEXT = "next"

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
    sort: Sort = Sort.STATUS
    descending: bool = False
    page: int = 1

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> Query:
        """The query of an address's parameters."""
        sort = _sort(parameters.get("sort", ""))
        order = parameters.get("order", "")
        page = parameters.get("page", "")
        return cls(
            account=parameters.get("account", "")[:MAX_CHARACTERS],
            status=parameters.get("status", "")[:MAX_CHARACTERS],
            text=parameters.get("q", "")[:MAX_CHARACTERS].strip(),
            failing=parameters.get("failing", "") == "1",
            sort=sort,
            descending={"asc": False, "desc": True}.get(order, sort.begins_descending),
            page=max(1, int(page)) if page.isascii() and page.isdigit() and len(page) <= MAX_PAGE_DIGITS else 1,
        )

    @property
    def filtered(self) -> bool:
        """Whether any filter is set."""
        return bool(self.account or self.status or self.text or self.failing)

    def sorted_by(self, sort: Sort) -> Query:
        """The query after a click on a column's head: sorted by it, or reversed if it was already."""
        descending = not self.descending if sort is self.sort else sort.begins_descending
        return replace(self, sort=sort, descending=descending, page=1)

    def only(self, *, account: str = "", status: str = "", failing: bool = False) -> Query:
        """The same order with only these filters."""
        return replace(self, account=account, status=status, text="", failing=failing, page=1)

    def at_page(self, page: int) -> Query:
        """The same query, another page."""
        return replace(self, page=page)

    def order_fields(self) -> dict[str, str]:
        """The parameters of the order, for hidden fields of the form."""
        fields = {}
        if self.sort is not Sort.STATUS:
            fields["sort"] = self.sort.value
        if self.descending is not self.sort.begins_descending:
            fields["order"] = "desc" if self.descending else "asc"
        return fields

    def parameters(self) -> str:
        """The part of the address after the question mark, without defaults."""
        fields = {
            "account": self.account,
            "status": self.status,
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
        return Sort.STATUS
