"""Data for the pages: a real state that does not change, with given accounts and schedule."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html.parser import HTMLParser

from exporter.errors import ApiError, Kind
from exporter.model import AccountStatus, Answer, NumberKey, PhoneNumber
from exporter.state.store import Details, Snapshot, State
from exporter.web.ui.filters import Query
from exporter.web.ui.views import LandingInfo, Page, Site, numbers_page
from tests.support.clock import FakeClock

STALE_AFTER = 900.0
REQUEST_ID = "744C4B5C-79C9-4324-97A0-75BDFCA36BF5"


class ShownFleet:
    """Implements `exporter.web.handlers.pages.Fleet`."""

    def __init__(self, numbers: Iterable[PhoneNumber]) -> None:
        configured = list(numbers)
        names = list(dict.fromkeys(number.account for number in configured))
        self.clock = FakeClock()
        self.state = State(self.clock)
        self.state.configure(configured, dict.fromkeys(names, STALE_AFTER))
        self.accounts: Sequence[AccountStatus] = [
            AccountStatus(name, sum(n.account == name for n in configured), 60.0, 0.0, 5.0, 5.0, 0) for name in names
        ]
        self.due: dict[NumberKey, float | None] = {}
        self.error: Exception | None = None

    def succeed(self, number: PhoneNumber, status: str = "VERIFIED", request_id: str = REQUEST_ID) -> None:
        """A poll that brought a status, now."""
        self.state.succeeded(number, Answer(status, f"id-{number.phone_number[-3:]}", request_id, 0.25))

    def fail(self, number: PhoneNumber, code: str = "InternalError", message: str = "Something failed.") -> None:
        """A poll that failed, now."""
        self.state.failed(
            number,
            ApiError(
                code,
                Kind.TRANSIENT,
                message=message,
                http_status=500,
                request_id=REQUEST_ID.lower(),
                elapsed_seconds=0.5,
            ),
        )

    def view(self) -> tuple[Snapshot, Sequence[AccountStatus]]:
        if self.error is not None:
            raise self.error
        return self.state.snapshot(), self.accounts

    def details(self, key: NumberKey) -> Details | None:
        return self.state.details(key)

    def next_polls(self, keys: Sequence[NumberKey]) -> Mapping[NumberKey, float | None]:
        return {key: self.due.get(key, math.inf) for key in keys}

    def page(self, **parameters: str) -> Page:
        """The status page for an address's parameters."""
        return numbers_page(
            Site(LandingInfo(version="1.2.3"), "/metrics"),
            Query.of(parameters),
            self.view(),
            self.next_polls,
            self.clock.now_unix,
        )


class Reader(HTMLParser):
    """The content of a page: elements in order, links, text, and the numbers' table row by row."""

    def __init__(self, html: bytes) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.values: dict[str, str] = {}
        self.times: list[str] = []
        self.heads: dict[str, str | None] = {}
        self.rows: list[dict[str, str]] = []
        self._cell: str | None = None
        self._head: str | None = None
        self.feed(html.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append(tag)
        if "href" in attributes:
            self.links.append(attributes["href"] or "")
        if tag == "input":
            self.values[attributes.get("name") or ""] = attributes.get("value") or ""
        if tag == "time":
            self.times.append(attributes["datetime"] or "")
        if tag == "tr":
            self.rows.append({})
        if tag in {"td", "th"}:
            self._cell = attributes.get("data-label")
            if self._cell:
                self.rows[-1][self._cell] = ""
            self._head = attributes.get("aria-sort") if tag == "th" and not self._cell else None

    def handle_endtag(self, tag: str) -> None:
        if tag in {"td", "th"}:
            self._cell = self._head = None

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self._cell:
            row = self.rows[-1]
            row[self._cell] = f"{row[self._cell]} {data.strip()}".strip()
        if self._head and data.strip():
            self.heads[data.strip()] = self._head
            self._head = None  # the arrow follows

    @property
    def text(self) -> str:
        return "".join(self.words)

    @property
    def numbers(self) -> list[dict[str, str]]:
        """The rows of the table of numbers: column to text."""
        return [row for row in self.rows if "Number" in row]

    @property
    def labels(self) -> list[str]:
        """The numbers' labels, in the order shown."""
        return [row["Number"] for row in self.numbers]
