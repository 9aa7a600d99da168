"""The operations of discovery: the list of the account's spaces, and the list of each space's numbers."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from exporter.cams.operations import (
    InstancePage,
    ListInstance,
    NumberListing,
    QueryChatappPhoneNumbers,
    SpaceListing,
)
from exporter.errors import ApiError
from exporter.model import NumberKey, Slot, Space
from exporter.polling.client import Fetcher
from exporter.polling.errands.operation import OptionalOperation, Reply, V
from exporter.polling.recorder import Recorder


class Fleet(Protocol):
    """Which spaces discovery lists, and what becomes of the listings; thread-safe, called without a lock."""

    def spaces(self) -> Sequence[str]:
        """The spaces to list now."""

    def spaces_listed(self, spaces: Sequence[Space]) -> None:
        """All spaces of the account were listed; `spaces()` may differ afterwards."""

    def numbers_listed(self, cust_space_id: str, listing: NumberListing) -> None:
        """All numbers of a space were listed."""

    def listing_failed(self, cust_space_id: str | None, error: ApiError) -> None:
        """A space was not listed; with None, the account's spaces were not."""


@dataclass(frozen=True, slots=True)
class ToList:
    """A space whose numbers to list; with an empty `cust_space_id`, the account whose spaces to list."""

    account: str
    cust_space_id: str = ""
    key: NumberKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", NumberKey(self.account, self.cust_space_id, ""))


class _Listing(OptionalOperation[ToList, V]):
    """One of the two.  `hide` takes phone numbers that must not be shown out of a text."""

    def __init__(self, account: str, fleet: Fleet, recorder: Recorder, rng: random.Random, *, repeat: bool) -> None:
        super().__init__(account, recorder, rng, repeat=repeat)
        self.fleet = fleet
        self.hide: Callable[[str], str] | None = None

    def failed(self, target: ToList, error: ApiError) -> None:
        """What is missing is not known."""
        space = target.cust_space_id or None
        self._recorder.listing_failed(space, error)
        self.fleet.listing_failed(space, error)


class SpacesOperation(_Listing[tuple[Space, ...]]):
    """ListInstance.  Each page is a request of its own; the next one goes as soon as the limits allow."""

    operation = ListInstance
    _client: Fetcher | None = None

    def ask(self, client: Fetcher, _: ToList, gate: Callable[[], Slot]) -> Reply[tuple[Space, ...]]:
        """Ask for the next page; another client begins with the first one."""
        if client is not self._client:
            self._client, self._listing = client, SpaceListing()
        elapsed_seconds = 0.0

        def page(operation: ListInstance) -> InstancePage:
            nonlocal elapsed_seconds
            asked = client.call(replace(operation, hide=self.hide), gate)
            elapsed_seconds = asked.elapsed_seconds
            return asked

        return Reply(self._listing.step(page), elapsed_seconds)

    def succeeded(self, _: ToList, value: tuple[Space, ...]) -> Sequence[str]:
        """All pages are there."""
        self._recorder.listed(None)
        self.fleet.spaces_listed(value)
        return self.fleet.spaces()


class NumbersOperation(_Listing[NumberListing]):
    """QueryChatappPhoneNumbers."""

    operation = QueryChatappPhoneNumbers

    def ask(self, client: Fetcher, target: ToList, gate: Callable[[], Slot]) -> Reply[NumberListing]:
        """Ask for all numbers of a space."""
        listing = client.call(QueryChatappPhoneNumbers(target.cust_space_id, self.hide), gate)
        return Reply(listing, listing.elapsed_seconds)

    def succeeded(self, target: ToList, value: NumberListing) -> None:
        """The list is whole: it has no pages."""
        self._recorder.listed(target.cust_space_id)
        self.fleet.numbers_listed(target.cust_space_id, value)
