"""Pages of instances: what one says, and when all of them are one listing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from exporter.cams.operations import InstancePage, ListInstance, SpaceListing
from exporter.cams.operations.instances import MAX_ENTRIES, MAX_PAGES, PAGE_SIZE, SMALL_PAGE_SIZE
from exporter.config.numbers import redact
from exporter.errors import ApiError, Kind
from exporter.model import Space
from tests.support.apianswers import ELAPSED_SECONDS, NOT_OBJECTS, REQUEST_ID, Api, failure, success
from tests.support.listings import all_spaces

ENTRY = {
    "CustSpaceId": "cams-kei0001",
    "InstanceId": "cams-instance1",
    "InstanceName": "Support",
    "ChannelType": "WHATSAPP",
    "State": "published",
    "SubmitTime": "2023-12-12 00:00:00",
}


def page(*entries: Any, total: Any = 1) -> InstancePage:
    return Api({"Data": list(entries), "TotalCount": total}).called(lambda client: client.call(ListInstance(1)))


def refused(**fields: Any) -> ApiError:
    error = Api(fields).error(lambda client: client.call(ListInstance(1)))
    assert (error.code, error.kind, error.request_id) == ("invalid_response", Kind.TRANSIENT, REQUEST_ID)
    assert error.operation == "ListInstance"
    return error


def test_a_page() -> None:
    space = Space("cams-kei0001", "cams-instance1", "Support", "WHATSAPP", "published")
    assert page(ENTRY, total=7) == InstancePage((space,), 7, REQUEST_ID, ELAPSED_SECONDS)


def test_texts_hide_phone_numbers_and_ids_stay() -> None:
    ask = ListInstance(1, hide=redact)
    entry = {**ENTRY, "CustSpaceId": "104000123", "InstanceId": "204000123", "InstanceName": "+86 138-0000-0001"}
    (space,) = Api({"Data": [entry], "TotalCount": 1}).called(lambda client: client.call(ask)).spaces
    assert (space.cust_space_id, space.instance_id, space.name) == ("104000123", "204000123", "+861380*****01")
    error = Api(failure("Odd", "of +86 138-0000-0001")).error(lambda client: client.call(ask))
    assert error.message == "of +861380*****01"


def test_what_is_asked() -> None:
    api = Api({"Data": [], "TotalCount": 0})
    api.called(lambda client: client.call(ListInstance(3, 50)))
    assert api.asked == [("ListInstance", {"PageIndex": "3", "PageSize": "50"})]
    assert ListInstance.max_qps == 10.0


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ({"CustSpaceId": "a", "InstanceId": "b"}, "a"),
        ({"CustSpaceId": None, "InstanceId": "b"}, "b"),
        ({"CustSpaceId": "", "InstanceId": "b"}, "b"),
        ({"InstanceId": "b"}, "b"),
        ({"CustSpaceId": 104_000_123}, "104000123"),
        ({"CustSpaceId": "C0~!"}, "C0~!"),
    ],
)
def test_the_space_is_its_own_id_or_else_the_instances(ids: dict[str, Any], expected: str) -> None:
    (space,) = page(ids).spaces
    assert space.cust_space_id == expected


@pytest.mark.parametrize(
    "ids",
    [
        {},
        {"CustSpaceId": None, "InstanceId": None},
        {"CustSpaceId": ["a"]},
        {"CustSpaceId": True},
        {"CustSpaceId": 1.5},
        {"CustSpaceId": "cams-kei****"},
        {"CustSpaceId": "a\nb"},
        {"CustSpaceId": " a"},
        {"CustSpaceId": "\ud800"},
        {"CustSpaceId": "a" * 300},
    ],
)
def test_a_page_with_an_instance_that_cannot_be_asked_is_refused_as_a_whole(ids: dict[str, Any]) -> None:
    """Its numbers would be left out silently.  An ID is never cut: it would be another one's."""
    assert "no ID" in refused(Data=[ENTRY, ids], TotalCount=2).message


@pytest.mark.parametrize("data", NOT_OBJECTS)
def test_a_page_without_a_list_of_objects_is_refused(data: Any) -> None:
    assert "Data" in refused(Data=data, TotalCount=1).message


@pytest.mark.parametrize("total", [-1, 1.5, "seven", "", True, [], {}, 10**12, "٣"])
def test_a_total_that_is_no_count_is_refused(total: Any) -> None:
    assert refused(Data=[ENTRY], TotalCount=total).message == "TotalCount is not a count"


@pytest.mark.parametrize(("total", "count"), [(0, 0), ("12", 12), (12, 12), (None, None)])
def test_a_total_is_a_count_or_not_said(total: Any, count: int | None) -> None:
    assert page(total=total).total_count == count


def test_an_account_without_instances_may_leave_out_the_list() -> None:
    assert Api({"TotalCount": 0}).called(lambda client: client.call(ListInstance(1))).spaces == ()


def test_a_success_that_says_it_is_none_is_refused() -> None:
    assert "Success" in refused(Success=False, Data=[ENTRY], TotalCount=1).message
    assert page(ENTRY).spaces == (
        Api(success(Success=True, Data=[ENTRY], TotalCount=1))
        .called(lambda client: client.call(ListInstance(1)))
        .spaces
    )


def test_texts_are_bounded_printable_and_without_the_credential() -> None:
    entry = {**ENTRY, "InstanceName": "a\x00\nthe-token " + "x" * 500, "State": ["x"], "ChannelType": 5}
    (space,) = page(entry).spaces
    assert space.name == ("a *** " + "x" * 500)[:128]
    assert (space.state, space.channel) == ("", "5")


# --- from pages to a listing


def entries(count: int, start: int = 0, **more: Any) -> list[dict[str, Any]]:
    return [
        {"CustSpaceId": f"cams-{index:04}", "InstanceId": f"i-{index}", **more} for index in range(start, start + count)
    ]


def ids(count: int, start: int = 0) -> list[str]:
    return [f"cams-{index:04}" for index in range(start, start + count)]


def pages_of(*pages: Sequence[dict[str, Any]], total: Any) -> Api:
    return Api(*({"Data": list(found), "TotalCount": total} for found in pages))


def listed(api: Api, listing: SpaceListing | None = None) -> list[str]:
    return [space.cust_space_id for space in api.called(lambda client: all_spaces(client.call, listing))]


def listing_error(api: Api) -> ApiError:
    error = api.error(lambda client: all_spaces(client.call))
    assert (error.code, error.kind, error.operation) == ("invalid_response", Kind.TRANSIENT, "ListInstance")
    assert error.request_id == REQUEST_ID
    return error


def indexes(api: Api) -> list[int]:
    return [int(parameters["PageIndex"]) for _, parameters in api.asked]


@pytest.mark.parametrize("total", [None, MAX_ENTRIES + 1, 10 * MAX_ENTRIES])
def test_a_server_with_spaces_without_end_is_an_error(total: int | None) -> None:
    """Also if the entries are on one page: the page size is a wish."""
    api = pages_of(entries(MAX_ENTRIES // 2), entries(MAX_ENTRIES // 2 + 1, MAX_ENTRIES // 2), total=total)
    assert listing_error(api).message == f"the listing has more than {MAX_ENTRIES} entries"


def test_the_pages_end_when_they_have_all_that_the_total_says() -> None:
    api = pages_of(entries(3), entries(3, 3), entries(1, 6), total=7)
    assert listed(api) == ids(7)
    assert indexes(api) == [1, 2, 3]


def test_without_a_total_the_pages_end_with_an_empty_one() -> None:
    api = pages_of(entries(3), entries(1, 3), [], total=None)
    assert listed(api) == ids(4)
    assert indexes(api) == [1, 2, 3]


def test_a_total_that_is_too_small_is_not_believed() -> None:
    """Entries beyond it show that it is wrong: the pages go on to an empty one."""
    api = pages_of(entries(3), entries(3, 3), [], total=2)
    assert listed(api) == ids(6)


def test_an_account_without_spaces_has_none() -> None:
    assert listed(pages_of([], total=0)) == []
    assert listed(pages_of([], total=None)) == []


@pytest.mark.parametrize("pages", [[entries(3), []], [entries(2), entries(4, 3), []], [[]]])
def test_fewer_entries_than_the_total_are_an_error(pages: list[list[dict[str, Any]]]) -> None:
    """A partial listing changes nothing."""
    error = listing_error(pages_of(*pages, total=7))
    assert error.message == f"the pages have {sum(map(len, pages))} entries, TotalCount is 7"


def test_a_page_that_repeats_is_an_error_and_does_not_loop() -> None:
    api = pages_of(entries(3), total=7)
    assert listing_error(api).message == "page 2 has only entries of earlier pages"
    assert len(api.asked) == 2


def test_entries_that_stand_twice_count_once() -> None:
    assert listed(pages_of(entries(3) + entries(3), entries(1, 3), total=4)) == ids(4)


def test_a_total_that_changes_on_the_way_is_an_error() -> None:
    """A space that leaves while the pages are read moves the others up: one of them would be on no page."""
    api = Api({"Data": entries(3), "TotalCount": 7}, {"Data": entries(3, 4), "TotalCount": 6})
    assert listing_error(api).message == "TotalCount was 7 and is 6 on page 2"


def test_the_number_of_pages_is_bounded() -> None:
    api = Api(*({"Data": entries(1, index)} for index in range(MAX_PAGES + 5)))
    assert listing_error(api).message == f"the listing has more than {MAX_PAGES} pages"
    assert len(api.asked) == MAX_PAGES


def test_an_error_of_any_page_is_the_listings() -> None:
    api = Api({"Data": entries(3), "TotalCount": 7}, failure("System.LimitControl"))
    error = api.error(lambda client: all_spaces(client.call))
    assert (error.code, error.kind, error.operation) == ("System.LimitControl", Kind.THROTTLE, "ListInstance")


def test_several_instances_of_one_space_are_one_space() -> None:
    twice = [{**entry, "InstanceId": f"{entry['InstanceId']}-viber", "ChannelType": "viber"} for entry in entries(2)]
    assert listed(pages_of(twice + entries(3), total=5)) == ids(3)


@pytest.mark.parametrize(
    ("channel", "may_have_numbers"),
    [
        ("WHATSAPP", True),
        ("whatsapp", True),
        ("", True),
        (None, True),
        ("BRAND_NEW", True),
        ("VIBER", False),
        ("messenger", False),
        ("Instagram", False),
    ],
)
def test_a_space_of_another_channel_is_left_out_and_one_that_is_not_known_is_not(
    channel: str | None, may_have_numbers: bool
) -> None:
    assert listed(pages_of(entries(1, ChannelType=channel), total=1)) == (ids(1) if may_have_numbers else [])


def test_a_page_size_that_is_refused_is_made_smaller_and_stays_so() -> None:
    """The reference does not say how large a page may be."""
    listing = SpaceListing()
    api = Api(failure("InvalidParameter.PageSize"), {"Data": entries(2), "TotalCount": 2})
    assert listed(api, listing) == ids(2)
    assert [parameters["PageSize"] for _, parameters in api.asked] == [str(PAGE_SIZE), str(SMALL_PAGE_SIZE)]
    again = pages_of(entries(2), total=2)
    assert listed(again, listing) == ids(2)
    assert [parameters["PageSize"] for _, parameters in again.asked] == [str(SMALL_PAGE_SIZE)]


@pytest.mark.parametrize("code", ["Ram.PermissionDeny", "System.LimitControl", "InternalError", "InvalidAccessKeyId"])
def test_any_other_refusal_is_not_asked_again(code: str) -> None:
    api = Api(failure(code))
    assert api.error(lambda client: all_spaces(client.call)).code == code
    assert len(api.asked) == 1


def test_a_small_page_that_is_refused_is_an_error() -> None:
    api = Api(failure("InvalidParameter.PageSize"))
    assert api.error(lambda client: all_spaces(client.call)).code == "InvalidParameter.PageSize"
    assert len(api.asked) == 2
