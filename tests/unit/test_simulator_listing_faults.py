"""What each fault of a listing makes of an honest answer."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest

from exporter.simulator import Simulator, listing_faults
from exporter.simulator.faults import Fault
from exporter.simulator.messages import Reply, failure, success
from exporter.simulator.wire import Wire
from tests.support.simulated import Call, Connection, care_world, list_instances, list_numbers

PAGES = [[{"CustSpaceId": name} for name in names] for names in ("abc", "def", "g")]


async def play(fault: Fault, reply: Reply) -> Any:
    """The document that the fault makes of a reply; it needs no connection for that."""
    altered = await fault.play(cast(Wire, None), reply)
    assert altered is not None
    assert altered.status == reply.status
    return json.loads(altered.body)


def played(fault: Fault, fields: dict[str, Any]) -> Any:
    """The document that the fault makes of an answer with those fields."""
    document = asyncio.run(play(fault, success("id", fields)))
    assert document["Code"] == "OK"
    return document


def instances(fault: Fault, page: int = 0) -> tuple[list[Any], Any]:
    document = played(fault, {"TotalCount": 7, "Data": PAGES[page]})
    return document["Data"], document["TotalCount"]


@pytest.mark.parametrize(
    ("fault", "entries", "total"),
    [
        (listing_faults.empty_listing(), [], 0),
        (listing_faults.empty_listing(keeps_total=True), [], 7),
        (listing_faults.partial_page(), PAGES[0][:2], 7),
        (listing_faults.partial_page(5), [], 7),
        (listing_faults.wrong_total(), PAGES[0], 1_000_000),
        (listing_faults.wrong_total("seven"), PAGES[0], "seven"),
        (listing_faults.wrong_total(None), PAGES[0], None),
        (listing_faults.repeated_entries(), [PAGES[0][0]] * 2 + [PAGES[0][1]] * 2 + [PAGES[0][2]] * 2, 7),
        (listing_faults.entries({"State": 1}), [{**entry, "State": 1} for entry in PAGES[0]], 7),
        (listing_faults.no_list(), None, 7),
        (listing_faults.no_list("abc"), "abc", 7),
    ],
)
def test_a_page_of_instances(fault: Fault, entries: Any, total: Any) -> None:
    assert instances(fault) == (entries, total)


def test_a_page_that_repeats() -> None:
    """The second page is the first again, and so on for ever."""
    fault = listing_faults.repeated_page()
    assert [instances(fault, page)[0] for page in range(3)] == [PAGES[0]] * 3


def test_a_listing_of_numbers_gets_no_total() -> None:
    fields = {"PhoneNumbers": [{"PhoneNumber": "1"}, {"PhoneNumber": "2"}]}
    assert "TotalCount" not in played(listing_faults.wrong_total(), fields)
    assert played(listing_faults.partial_page(), fields)["PhoneNumbers"] == [{"PhoneNumber": "1"}]


ALL = (
    listing_faults.empty_listing(),
    listing_faults.partial_page(),
    listing_faults.repeated_page(),
    listing_faults.repeated_entries(),
    listing_faults.entries({"Status": 1}),
    listing_faults.no_list(),
)


@pytest.mark.parametrize("fault", ALL, ids=lambda fault: fault.name)
def test_an_answer_without_a_list_stays_as_it_is(fault: Fault) -> None:
    """The health call's `Data` is an object; a refused request has none."""
    data = {"CanSendMessage": "AVAILABLE"}
    assert played(fault, {"Data": data})["Data"] == data
    refused = failure("id", 400, "System.LimitControl", "no")
    assert asyncio.run(play(fault, refused)) == json.loads(refused.body)


def test_on_the_wire() -> None:
    world = care_world()
    world.inject(listing_faults.empty_listing(), operation="QueryChatappPhoneNumbers")
    with Simulator(world) as simulator, Connection(simulator.url) as connection:

        def ask(call: Call) -> Any:
            return connection.call(Call(call.query, action=call.action, host=connection.host)).document

        assert ask(list_instances())["TotalCount"] == 1
        assert ask(list_numbers())["PhoneNumbers"] == []
        assert len(ask(list_numbers())["PhoneNumbers"]) == 1
    assert [arrival.outcome for arrival in world.arrivals()] == ["OK", "empty_listing", "OK"]
