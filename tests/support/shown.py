"""Data for the pages: a real state that does not change, with given accounts and schedule."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from html.parser import HTMLParser

from exporter.errors import ApiError, Kind
from exporter.model import (
    AccountStatus,
    Answer,
    ClusterStatus,
    DiscoveryStatus,
    Health,
    HealthError,
    ListedNumber,
    Listing,
    NumberKey,
    PhoneNumber,
    SpaceStatus,
)
from exporter.state.store import Details, Snapshot, State
from exporter.web.ui.filters import Query
from exporter.web.ui.views import LandingInfo, Page, Site, number_page, numbers_page
from tests.support.clock import FakeClock

STALE_AFTER = 900.0
LISTING_COUNTS = 6 * 3600.0
HEALTH_COUNTS = 900.0
REQUEST_ID = "744C4B5C-79C9-4324-97A0-75BDFCA36BF5"


class ShownFleet:
    """Implements `exporter.web.handlers.pages.Fleet`."""

    def __init__(self, numbers: Iterable[PhoneNumber]) -> None:
        configured = list(numbers)
        names = list(dict.fromkeys(number.account for number in configured))
        self.clock = FakeClock()
        self.state = State(self.clock)
        self.state.configure(
            configured,
            dict.fromkeys(names, STALE_AFTER),
            listing_seconds=dict.fromkeys(names, LISTING_COUNTS),
            health_seconds=dict.fromkeys(names, HEALTH_COUNTS),
        )
        self.accounts: Sequence[AccountStatus] = [
            AccountStatus(name, sum(n.account == name for n in configured), 60.0, 0.0, 5.0, 5.0, 0) for name in names
        ]
        self.due: dict[NumberKey, float | None] = {}
        self.error: Exception | None = None
        self.config = b"accounts: []\n"
        self.replicas: ClusterStatus | None = None

    def config_yaml(self) -> bytes:
        return self.config

    def discover(self, *accounts: str) -> None:
        """These accounts have `discover`."""
        found = DiscoveryStatus({"cams-kei0001": SpaceStatus(3, self.clock.now_unix, attempted=True)})
        self.accounts = [
            replace(account, discovery=found) if account.account in accounts else account for account in self.accounts
        ]

    def check(self, *accounts: str) -> None:
        """These accounts have `health`."""
        self.accounts = [
            replace(account, health_seconds=300.0) if account.account in accounts else account
            for account in self.accounts
        ]

    def listed(
        self,
        number: PhoneNumber,
        connection: str = "CONNECTED",
        quality: str = "GREEN",
        limit: float | None = 1000.0,
        tier: str = "TIER_1K",
        name_status: str = "APPROVED",
        verified_name: str = "",
    ) -> None:
        """A listing that holds the number, now."""
        entry = ListedNumber(
            number.phone_number, connection, quality, tier, limit, name_status, verified_name=verified_name
        )
        self.state.listed({number.key: Listing(True, self.clock.now, self.clock.now, entry)})

    def unlisted(self, number: PhoneNumber) -> None:
        """A listing that does not hold the number, now."""
        record = self.state.get(number.key)
        before = record.listing if record is not None else None
        gone = Listing(False, self.clock.now)
        self.state.listed(
            {number.key: gone if before is None else replace(before, listed=False, looked_at=self.clock.now)}
        )

    def checked(self, number: PhoneNumber, verdict: str = "AVAILABLE", *errors: HealthError) -> None:
        """A health check that brought a verdict, now."""
        self.state.checked(number, Health(verdict, errors, REQUEST_ID))

    def check_failed(self, number: PhoneNumber, code: str, message: str = "") -> None:
        """A health check that failed, now."""
        error = ApiError(code, Kind.PERMISSION, message=message, http_status=400, request_id=REQUEST_ID.lower())
        self.state.check_failed(number, error)

    def health_refused(self, accounts: Collection[str]) -> None:
        """These accounts may not ask about health."""
        self.state.set_health({}, accounts)

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

    def throttle(self, number: PhoneNumber) -> None:
        """A poll that failed because the account sends too much, now."""
        self.state.failed(
            number,
            ApiError("System.LimitControl", Kind.THROTTLE, message="Flow control.", http_status=400, request_id="T-1"),
        )

    def view(self) -> tuple[Snapshot, Sequence[AccountStatus]]:
        if self.error is not None:
            raise self.error
        return self.state.snapshot(), self.accounts

    def details(self, key: NumberKey) -> Details | None:
        return self.state.details(key)

    def next_polls(self, keys: Sequence[NumberKey]) -> Mapping[NumberKey, float | None]:
        return {key: self.due.get(key, math.inf) for key in keys}

    def cluster(self) -> ClusterStatus | None:
        return self.replicas

    def page(self, **parameters: str) -> Page:
        """The status page for an address's parameters."""
        return numbers_page(
            Site(LandingInfo(version="1.2.3"), "/metrics"),
            Query.of(parameters),
            self.view(),
            self.next_polls,
            self.clock.now_unix,
            self.cluster(),
        )

    def number_page(self, number: PhoneNumber, site: Site | None = None, refresh: int = 0) -> Page:
        """The page of one number."""
        snapshot, accounts = self.view()
        details = self.details(number.key)
        assert details is not None
        account = next(account for account in accounts if account.account == number.account)
        next_poll = self.next_polls([number.key])[number.key]
        site = site or Site(LandingInfo(version="1.2.3"), "/metrics")
        return number_page(site, details, snapshot, account, next_poll, self.clock.now_unix, refresh)


_VOID = {"meta", "link", "input", "br", "hr", "img"}


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
        self.columns: list[str] = []
        self.looks: dict[str, set[str]] = {}
        """The CSS classes in which each text of a status is shown."""
        self.rows: list[dict[str, str]] = []
        self.facts: dict[str, str] = {}
        """The lists of facts: each term with its description."""
        self._term = ""
        self._open: list[tuple[str, str | None]] = []  # elements that are open, with the cell that each begins
        self._order: str | None = None
        self._head: str | None = None
        self._look: str | None = None
        self.feed(html.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append(tag)
        if tag not in _VOID:
            self._open.append((tag, attributes.get("data-label")))
        if "href" in attributes:
            self.links.append(attributes["href"] or "")
        if tag == "input":
            self.values[attributes.get("name") or ""] = attributes.get("value") or ""
        if tag == "time":
            self.times.append(attributes["datetime"] or "")
        if tag == "tr":
            self.rows.append({})
        if attributes.get("data-label"):
            self.rows[-1][attributes["data-label"] or ""] = ""
        if tag == "th":
            self._order = attributes.get("aria-sort")
        if tag == "a" and self._order and "aria-current" in attributes:
            self._head = self._order
        classes = (attributes.get("class") or "").split()
        self._look = " ".join(classes[1:]) if classes[:1] == ["status"] else None

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass
        if tag == "th":
            self._order = None

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        cell = next((label for _, label in reversed(self._open) if label), None)
        if cell:
            row = self.rows[-1]
            row[cell] = f"{row[cell]} {data.strip()}".strip()
        if data.strip() and any(tag == "dt" for tag, _ in self._open):
            self._term = data.strip()
            self.facts[self._term] = ""
        elif data.strip() and any(tag == "dd" for tag, _ in self._open):
            self.facts[self._term] = f"{self.facts[self._term]} {data.strip()}".strip()
        if data.strip() and self._look is not None:
            self.looks.setdefault(data, set()).add(self._look)
        if data.strip() and not cell and self._open[-2:-1] and self._open[-2][0] == "th":
            self.columns.append(data.strip())
        if self._head and data.strip():
            self.heads[data.strip()] = self._head
            self._head = None  # the arrow follows

    @property
    def text(self) -> str:
        return "".join(self.words)

    @property
    def plain(self) -> str:
        """The text, with single spaces."""
        return " ".join(self.text.split())

    @property
    def numbers(self) -> list[dict[str, str]]:
        """The rows of the table of numbers: column to text."""
        return [row for row in self.rows if "Number" in row]

    @property
    def labels(self) -> list[str]:
        """The numbers' labels, in the order shown."""
        return [row["Number"] for row in self.numbers]
