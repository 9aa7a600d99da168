"""QueryChatappPhoneNumbers: all numbers of one space and their statuses.  It has no pages and no total.

Source: Alibaba Cloud API reference and the models of its SDK; Meta, "Messaging limits", for the tiers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

from exporter.cams.answers import Payload, as_text
from exporter.cams.operations.operation import Operation
from exporter.config.numbers import digits_of
from exporter.model import CONNECTED, LISTED_TEXTS, ListedNumber

MAX_LISTING_BYTES = 16 << 20
"""10,000 numbers of 1,670 bytes each.  An entry with two callback URLs of 200 characters has about 800 bytes; with
calling hours for each day and three holidays, about 1,600."""

MAX_ENTRIES = 50_000
"""A list with more entries is an error.  A body has room for fewer of the API's, or for 600,000 short ones, which take
six seconds to read."""

_NAMES = ("Status", "QualityRating", "MessagingLimitTier", "NameStatus", "CodeVerificationStatus", "VerifiedName")
"""What the API calls the `LISTED_TEXTS`."""

_TIER = re.compile(r"(?:TIER_)?([0-9]{1,9})([KM]?)", re.IGNORECASE)
_UNITS = {"": 1, "K": 1_000, "M": 1_000_000}


@dataclass(frozen=True, slots=True)
class NumberListing:
    """The numbers of one space, each once, in the order of the answer."""

    numbers: tuple[ListedNumber, ...]
    request_id: str
    elapsed_seconds: float


@dataclass(frozen=True, slots=True)
class QueryChatappPhoneNumbers(Operation[NumberListing]):
    """Asks for the numbers of a space.

    The list is refused if one of its entries has no phone number or a masked one: to skip it would leave a number out
    silently.  `hide` is for texts that may contain phone numbers.
    """

    name = "QueryChatappPhoneNumbers"
    parameters = (("CustSpaceId", attrgetter("cust_space_id")),)
    max_qps = 10.0
    max_body_bytes = MAX_LISTING_BYTES
    number = None
    cust_space_id: str
    hide: Callable[[str], str] | None = None

    def read(self, payload: Payload) -> NumberListing:
        """The numbers.  If one occurs twice, its first CONNECTED entry counts, or else its first entry."""
        payload.expect_success()
        found: dict[str, ListedNumber] = {}
        entries = payload.objects("PhoneNumbers")
        if len(entries) > MAX_ENTRIES:
            payload.refuse(f"the list has more than {MAX_ENTRIES // 1000} thousand entries")
        for entry in entries:
            listed = _listed(payload, entry)
            known = found.get(listed.phone_number)
            if known is None or (known.connection_status != CONNECTED and listed.connection_status == CONNECTED):
                found[listed.phone_number] = listed
        return NumberListing(tuple(found.values()), payload.request_id, payload.elapsed_seconds)


def listed_number(digits: str, texts: Sequence[str]) -> ListedNumber:
    """A number of a listing, from its `LISTED_TEXTS`."""
    named = dict(zip(LISTED_TEXTS, texts, strict=True))
    return ListedNumber(digits, messaging_limit=messaging_limit(named["messaging_limit_tier"]), **named)


def messaging_limit(tier: str) -> float | None:
    """Customers a day in a tier: 1000 for TIER_1K or TIER_1000, infinity for TIER_UNLIMITED, else None."""
    if tier.upper().removeprefix("TIER_") == "UNLIMITED":
        return math.inf
    number = _TIER.fullmatch(tier)
    return None if number is None else float(number[1]) * _UNITS[number[2].upper()]


def _listed(payload: Payload, entry: Mapping[str, object]) -> ListedNumber:
    text = as_text(entry.get("PhoneNumber"))
    digits = digits_of(text)
    if not digits:
        payload.refuse("the listing masks phone numbers" if "*" in text else "an entry has no phone number")
    return listed_number(digits, [payload.text(entry.get(name)) for name in _NAMES])
