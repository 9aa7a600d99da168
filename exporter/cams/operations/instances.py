"""ListInstance: the instances of an account, in pages.  Each instance has a space of numbers.

Source: Alibaba Cloud API reference and the models of its SDK.  Two facts are not documented: the largest page, and
which ID is the space's.  Here it is `CustSpaceId`, or `InstanceId` if there is no `CustSpaceId`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Never

from exporter.cams.answers import MAX_TEXT, Payload, Redaction, as_text
from exporter.cams.error_codes import INVALID_RESPONSE, kind_of
from exporter.cams.operations.operation import Operation
from exporter.config.numbers import parse_space_id
from exporter.errors import ApiError, Kind
from exporter.model import Space

PAGE_SIZE = 100
SMALL_PAGE_SIZE = 10
"""In use after the API refused `PAGE_SIZE`."""

MAX_PAGES = 1_000
MAX_ENTRIES = 10_000
"""A list with more pages or entries is an error: each space is listed, and has series."""

OTHER_CHANNELS = frozenset({"instagram", "messenger", "viber"})
"""Channels without WhatsApp numbers, in lower case.  An unknown channel may have some."""


@dataclass(frozen=True, slots=True)
class InstancePage:
    """One page.  `total_count` is the number of entries on all pages; None if the API does not say it."""

    spaces: tuple[Space, ...]
    total_count: int | None
    request_id: str
    elapsed_seconds: float


@dataclass(frozen=True, slots=True)
class ListInstance(Operation[InstancePage]):
    """Asks for one page; the first is page 1.  A page is refused if one of its entries has no usable ID.

    `hide` is for texts that may contain phone numbers.  IDs stay as they are: spaces are told apart by them.
    """

    name = "ListInstance"
    parameters = (
        ("PageIndex", attrgetter("page_index")),
        ("PageSize", attrgetter("page_size")),
    )
    max_qps = 10.0
    number = None
    page_index: int
    page_size: int = PAGE_SIZE
    hide: Callable[[str], str] | None = None

    def read(self, payload: Payload) -> InstancePage:
        """The page.  Only an account without instances may lack the list."""
        payload.expect_success()
        total = payload.fields.get("TotalCount")
        total_text = as_text(total)
        if total is not None and not (total_text.isascii() and total_text.isdigit() and len(total_text) < 10):
            payload.refuse("TotalCount is not a count")
        entries = [] if total_text == "0" and payload.fields.get("Data") is None else payload.objects("Data")
        return InstancePage(
            spaces=tuple(_space(payload, entry) for entry in entries),
            total_count=None if total is None else int(total_text),
            request_id=payload.request_id,
            elapsed_seconds=payload.elapsed_seconds,
        )


def _space(payload: Payload, entry: Mapping[str, object]) -> Space:
    instance_id = as_text(entry.get("InstanceId"))
    try:
        space_id = parse_space_id(as_text(entry.get("CustSpaceId")) or instance_id)
    except ValueError:
        payload.refuse("an instance has no ID by which its numbers can be asked for")
    return Space(
        cust_space_id=space_id,
        instance_id=Redaction(None).line(instance_id, MAX_TEXT),
        name=payload.text(entry.get("InstanceName")),
        channel=payload.text(entry.get("ChannelType")),
        state=payload.text(entry.get("State")),
    )


class SpaceListing:
    """Lists all spaces of one account, page by page.  Keeps the page size that the API accepts.  Not thread-safe."""

    def __init__(self) -> None:
        self._page_size = PAGE_SIZE
        self._begin()

    def step(self, ask: Callable[[ListInstance], InstancePage]) -> tuple[Space, ...] | None:
        """Ask for the next page by `ask`, which makes one request.

        Returns the spaces that may have WhatsApp numbers, each once, if that was the last page; else None.  The last
        page is the one that completes `TotalCount`, or an empty one.  Raises what `ask` raises; the error is `cured` if
        the next request has smaller pages.  Raises an ApiError of its own if the pages are not one whole list: fewer
        entries than `TotalCount`, a page without new entries, a `TotalCount` that changes, too many pages.  After an
        error the listing begins anew.
        """
        try:
            is_last = self._add(self._ask(ask))
        except BaseException:
            self._begin()
            raise
        if not is_last:
            return None
        wanted = [space for space in self._entries if space.channel.lower() not in OTHER_CHANNELS]
        self._begin()
        return tuple({space.cust_space_id: space for space in wanted}.values())

    def _begin(self) -> None:
        self._asked = 0
        self._total: int | None = None
        self._entries: dict[Space, None] = {}

    def _ask(self, ask: Callable[[ListInstance], InstancePage]) -> InstancePage:
        try:
            return ask(ListInstance(self._asked + 1, self._page_size))
        except ApiError as error:
            if error.kind is Kind.NUMBER and self._asked == 0 and self._page_size == PAGE_SIZE:
                self._page_size, error.cured = SMALL_PAGE_SIZE, True  # nothing else can be wrong with that request
            raise

    def _add(self, page: InstancePage) -> bool:
        """Take over a page; returns whether it is the last one."""
        self._asked += 1
        if self._asked == 1:
            self._total = page.total_count
        if page.total_count != self._total:
            _refuse(page, f"TotalCount was {self._total} and is {page.total_count} on page {self._asked}")
        before = len(self._entries)
        self._entries |= dict.fromkeys(page.spaces)
        if page.spaces and len(self._entries) == before:
            _refuse(page, f"page {self._asked} has only entries of earlier pages")
        if len(self._entries) > MAX_ENTRIES:
            _refuse(page, f"the listing has more than {MAX_ENTRIES} entries")
        if page.spaces and len(self._entries) != self._total:
            if self._asked == MAX_PAGES:
                _refuse(page, f"the listing has more than {MAX_PAGES} pages")
            return False
        if self._total is not None and len(self._entries) < self._total:
            _refuse(page, f"the pages have {len(self._entries)} entries, TotalCount is {self._total}")
        return True


def _refuse(page: InstancePage, why: str) -> Never:
    raise ApiError(
        INVALID_RESPONSE,
        kind_of(INVALID_RESPONSE, None),
        message=why,
        request_id=page.request_id,
        elapsed_seconds=page.elapsed_seconds,
        operation=ListInstance.name,
    )
