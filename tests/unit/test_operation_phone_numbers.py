"""The listing of a space's numbers: whole or not at all."""

from __future__ import annotations

import math
from typing import Any

import pytest

from exporter.cams.operations import NumberListing, QueryChatappPhoneNumbers
from exporter.cams.operations.phone_numbers import MAX_ENTRIES, MAX_LISTING_BYTES, messaging_limit
from exporter.config.numbers import redact
from exporter.errors import ApiError, Kind
from exporter.model import ListedNumber
from tests.support.apianswers import ELAPSED_SECONDS, NOT_OBJECTS, REQUEST_ID, Api, failure

DIGITS = "8613800000001"
ENTRY = {
    "PhoneNumber": DIGITS,
    "Status": "CONNECTED",
    "QualityRating": "GREEN",
    "MessagingLimitTier": "TIER_1K",
    "NameStatus": "Approval",
    "NewNameStatus": "NONE",
    "CodeVerificationStatus": "EXPIRED",
    "VerifiedName": "Café 你",
    "IsOfficial": "N",
    "StatusCallbackUrl": "https://example.com/status",
    "StatusQueue": "Alicom-Queue-1234567890123456-ChatAppStatus",
    "UpQueue": "Alicom-Queue-1234567890123456-ChatAppInbound",
}
ASK = QueryChatappPhoneNumbers("cams-kei0001")


def read(*entries: Any) -> tuple[ListedNumber, ...]:
    return Api({"PhoneNumbers": list(entries)}).called(lambda client: client.call(ASK)).numbers


def refused(*entries: Any) -> ApiError:
    return refused_with(PhoneNumbers=list(entries))


def refused_with(**fields: Any) -> ApiError:
    error = Api(fields).error(lambda client: client.call(ASK))
    assert (error.code, error.kind, error.request_id) == ("invalid_response", Kind.TRANSIENT, REQUEST_ID)
    assert error.operation == "QueryChatappPhoneNumbers"
    return error


def test_a_listing() -> None:
    listed = ListedNumber(DIGITS, "CONNECTED", "GREEN", "TIER_1K", 1000.0, "Approval", "EXPIRED", "Café 你")
    found = Api({"Success": True, "PhoneNumbers": [ENTRY]}).called(lambda client: client.call(ASK))
    assert found == NumberListing((listed,), REQUEST_ID, ELAPSED_SECONDS)


def test_a_listing_of_more_numbers_than_any_space_has_is_refused() -> None:
    api = Api({"PhoneNumbers": [{"PhoneNumber": DIGITS}] * (MAX_ENTRIES + 1)})
    error = api.error(lambda client: client.call(QueryChatappPhoneNumbers("cams-kei0001", redact)))
    assert error.message == "the list has more than 50 thousand entries"


def test_what_is_asked() -> None:
    api = Api({"PhoneNumbers": []})
    api.called(lambda client: client.call(ASK))
    assert api.asked == [("QueryChatappPhoneNumbers", {"CustSpaceId": "cams-kei0001"})]
    assert QueryChatappPhoneNumbers.max_qps == 10.0


def test_an_empty_listing_is_a_listing() -> None:
    assert read() == ()


@pytest.mark.parametrize(
    "written",
    [
        DIGITS,
        f"+{DIGITS}",
        "+86 138 0000 0001",
        "86-138-0000-0001",
        "+86 (138) 0000-0001",
        "86\u00a0138\u202f0000 0001",
        8_613_800_000_001,
    ],
)
def test_a_number_is_its_digits(written: Any) -> None:
    (number,) = read({**ENTRY, "PhoneNumber": written})
    assert number.phone_number == DIGITS


@pytest.mark.parametrize(
    "written",
    [
        None,
        "",
        " ",
        "+",
        True,
        1.5,
        [DIGITS],
        {"digits": DIGITS},
        "861380000****",
        "8613800*****01",
        "08613800000001",
        "1234",
        "1" * 16,
        "８６１３８０００００００１",
        f"{DIGITS}\x00",
        f"x{DIGITS}",
    ],
)
def test_a_listing_with_an_entry_that_is_no_number_is_refused_as_a_whole(written: Any) -> None:
    """Which one it is nobody knows: it would be left out silently."""
    error = refused(ENTRY, {**ENTRY, "PhoneNumber": written})
    assert DIGITS not in error.message


def test_a_listing_that_masks_its_numbers_says_so() -> None:
    assert refused({**ENTRY, "PhoneNumber": "861380000****"}).message == "the listing masks phone numbers"


@pytest.mark.parametrize("value", NOT_OBJECTS)
def test_a_listing_without_a_list_of_objects_is_refused(value: Any) -> None:
    assert "PhoneNumbers" in refused_with(PhoneNumbers=value).message


def test_a_listing_that_is_left_out_is_refused() -> None:
    """It is not known to be empty."""
    refused_with()
    refused_with(Success=False, PhoneNumbers=[])


@pytest.mark.parametrize("value", [None, True, 1.5, [], {}, [["x"]]])
def test_a_value_of_a_wrong_type_is_one_that_is_not_said(value: Any) -> None:
    """The number itself is there: it must not be left out for that."""
    names = [name for name in ENTRY if name != "PhoneNumber"]
    assert read({**ENTRY, **dict.fromkeys(names, value)}) == (ListedNumber(DIGITS),)
    assert read({"PhoneNumber": DIGITS}) == (ListedNumber(DIGITS),)


@pytest.mark.parametrize("status", ["BANNED", "RATE_LIMITED", "BRAND_NEW", "connected", "日本"])
def test_enums_are_open(status: str) -> None:
    entry = {**ENTRY, "Status": status, "QualityRating": status, "NameStatus": status, "CodeVerificationStatus": status}
    (number,) = read(entry)
    assert number.connection_status == number.quality_rating == number.name_status == status
    assert number.code_verification_status == status


def test_texts_are_bounded_printable_and_without_the_credential() -> None:
    entry = {**ENTRY, "VerifiedName": "a\x00\u202e\ud800 the-secret " + "x" * 500, "Status": "A\n" * 200}
    (number,) = read(entry)
    assert number.verified_name == ("a ? *** " + "x" * 500)[:128]
    assert number.connection_status == "A " * 64


def test_texts_that_name_phone_numbers_are_redacted_where_those_must_not_be_shown() -> None:
    ask = QueryChatappPhoneNumbers("cams-kei0001", hide=redact)
    api = Api({"PhoneNumbers": [{**ENTRY, "VerifiedName": f"call +{DIGITS}"}]}, failure("Bad", f"no {DIGITS}"))
    (number,) = api.called(lambda client: client.call(ask)).numbers
    assert number.phone_number == DIGITS
    assert number.verified_name == "call +861380*****01"
    assert api.error(lambda client: client.call(ask)).message == "no 861380*****01"
    assert DIGITS not in repr(number)


def test_the_request_id_that_support_needs_stays_if_it_is_a_uuid() -> None:
    """Most UUIDs have digits that look like a phone number."""
    ask = QueryChatappPhoneNumbers("cams-kei0001", hide=redact)
    uuid = "9FE62E10-2480-424F-8966-03E621A04322"
    refused = Api(*({"Code": "Bad", "RequestId": given} for given in (uuid, f"{uuid} {DIGITS}")))
    assert refused.error(lambda client: client.call(ask)).request_id == uuid
    assert DIGITS not in refused.error(lambda client: client.call(ask)).request_id


def test_a_number_that_stands_twice_is_the_one_that_is_connected() -> None:
    """A number that moved between two business accounts stands in both for a while."""
    gone, here = {**ENTRY, "Status": "MIGRATED"}, {**ENTRY, "PhoneNumber": f"+{DIGITS}"}
    other = {**ENTRY, "Status": "BANNED", "PhoneNumber": "8613800000002"}
    for entries in ([gone, other, here], [here, other, gone], [here, here, other]):
        assert [(number.phone_number, number.connection_status) for number in read(*entries)] == [
            (DIGITS, "CONNECTED"),
            ("8613800000002", "BANNED"),
        ]
    (number,) = read(here, {**here, "QualityRating": "RED"})
    assert number.quality_rating == "GREEN"
    (number,) = read(gone, {**gone, "Status": "DELETED"})
    assert number.connection_status == "MIGRATED"


@pytest.mark.parametrize(
    ("tier", "customers"),
    [
        ("TIER_50", 50),
        ("TIER_250", 250),
        ("TIER_1K", 1000),
        ("TIER_1000", 1000),
        ("TIER_2K", 2000),
        ("TIER_10K", 10_000),
        ("TIER_100K", 100_000),
        ("TIER_1M", 1_000_000),
        ("1000", 1000),
        ("tier_10k", 10_000),
        ("TIER_UNLIMITED", math.inf),
        ("UNLIMITED", math.inf),
        ("unlimited", math.inf),
        ("TIER_NOT_SET", None),
        ("TIER_", None),
        ("", None),
        ("NA", None),
        ("TIER_1KK", None),
        ("TIER_-1", None),
        ("TIER_١", None),
        ("TIER_" + "9" * 30, None),
    ],
)
def test_a_tier_is_customers_a_day_or_no_number(tier: str, customers: float | None) -> None:
    assert messaging_limit(tier) == customers
    (number,) = read({**ENTRY, "MessagingLimitTier": tier})
    assert (number.messaging_limit_tier, number.messaging_limit) == (tier, customers)


def test_ten_thousand_numbers_with_all_that_the_models_have_fit_into_one_listing() -> None:
    """With callback URLs of 200 characters, calling hours of every day, and three holidays."""
    hours = [{"DayOfWeek": "WEDNESDAY", "OpenTime": "0900", "CloseTime": "1700"}] * 7
    holidays = [{"Date": "2026-12-25", "StartTime": "0000", "EndTime": "2359"}] * 3
    calling = {"Status": "ENABLED", "CallHours": {"WeeklyOperatingHours": hours, "HolidaySchedule": holidays}}
    url = "https://example.com/" + "x" * 180
    heavy = {**ENTRY, "StatusCallbackUrl": url, "UpCallbackUrl": url, "CallingConfigure": {"Calling": calling}}
    found = read(*({**heavy, "PhoneNumber": f"86138{index:08}"} for index in range(10_000)))
    assert len(found) == len({number.phone_number for number in found}) == 10_000


def test_a_listing_that_is_too_long_is_refused() -> None:
    error = Api((200, b" " * (MAX_LISTING_BYTES + 1))).error(lambda client: client.call(ASK))
    assert (error.code, error.message) == ("invalid_response", "the answer is longer than 16 MiB")
