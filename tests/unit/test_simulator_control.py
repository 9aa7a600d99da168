"""The simulator's control surface."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter.simulator import (
    HEALTH,
    INSTANCES,
    PHONE_NUMBERS,
    STATUS,
    EntityHealth,
    Health,
    HealthError,
    Number,
    Refusal,
    Request,
    Simulator,
    Space,
    Steps,
    World,
    faults,
    listing_faults,
    phone_health,
)
from exporter.simulator.control import answer
from exporter.simulator.control import fields as changeable
from exporter.simulator.control.fields import FAULTS as NAMED_FAULTS
from exporter.simulator.gateway import decide
from tests.support.clock import FakeClock
from tests.support.simulated import PHONE, SECRET, SPACE, Call, Connection, ask_health, care_world


@pytest.fixture
def world() -> World:
    return care_world(clock=FakeClock())


def control(world: World, method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
    reply = answer(world, Request(method, path, {}, body))
    return reply.status, json.loads(reply.body)


def test_the_state_shows_accounts_and_numbers_as_they_are_now(world: World) -> None:
    decide(world, Call(unix=world.clock.unix()).request())
    decide(world, replace(ask_health(), unix=world.clock.unix()).request())
    account, number = world.accounts["care"], world.find_numbers(PHONE)[0]
    account.refusal, account.calls[HEALTH].refusal = Refusal.FORBIDDEN, Refusal.PERMISSION_DENIED
    account.calls[INSTANCES].masked = True
    account.calls[INSTANCES].fault = listing_faults.empty_listing()
    number.fault = faults.hang()
    number.quality_rating = Steps("RED", ((1.0, "GREEN"),))
    number.health = phone_health("BLOCKED", HealthError("141006"))
    status, state = control(world, "GET", "/_simulator/state")
    assert (status, state["elapsed_seconds"]) == (200, 0.0)
    (shown,) = state["accounts"]
    (space,), (shown_number,) = shown.pop("spaces"), shown.pop("numbers")
    operations = shown.pop("operations")
    assert shown == {
        "name": "care",
        "rate_limit": 10,
        "refusal": "Forbidden.RAM",
        "fault": None,
        "max_page_size": 100,
        "node_types": ["PHONE", "phone"],
        "busiest_second": 2,
        "outcomes": {"OK": 2},
    }
    assert list(operations) == [STATUS, INSTANCES, PHONE_NUMBERS, HEALTH]
    assert operations[HEALTH] == {
        "rate_limit": 5,
        "refusal": "Ram.PermissionDeny",
        "fault": None,
        "masked": False,
        "busiest_second": 1,
        "outcomes": {"OK": 1},
    }
    assert (operations[INSTANCES]["fault"], operations[INSTANCES]["masked"]) == ("empty_listing", True)
    assert space == {
        "id": SPACE,
        "cust_space_id": SPACE,
        "instance_id": SPACE,
        "name": f"instance {SPACE}",
        "exists": True,
        "listed": True,
        "channel_type": "WHATSAPP",
        "state": "published",
        "submit_time": "2023-12-12 00:00:00",
        "refusal": None,
        "fault": None,
    }
    assert shown_number["health"]["can_send"] == "BLOCKED"
    assert shown_number["health"]["phone_number"]["errors"][0]["code"] == "141006"
    del shown_number["health"]
    assert shown_number == {
        "cust_space_id": SPACE,
        "phone_number": PHONE,
        "status": "VERIFIED",
        "exists": True,
        "listed": True,
        "shown_as": None,
        "listed_status": None,
        "connection_status": "CONNECTED",
        "quality_rating": "RED",
        "messaging_limit_tier": "TIER_1K",
        "name_status": "Approval",
        "new_name_status": "NONE",
        "verified_name": "Simulated Ltd",
        "is_official": "N",
        "fault": "hang",
        "health_fault": None,
    }


def test_no_secret_is_shown(world: World) -> None:
    for page in ("state", "arrivals"):
        assert SECRET not in json.dumps(control(world, "GET", f"/_simulator/{page}"))


def test_arrivals_newest_last(world: World) -> None:
    decide(world, Call(unix=world.clock.unix()).request())
    decide(world, Call(unix=world.clock.unix(), secret="wrong").request())
    _, arrivals = control(world, "GET", "/_simulator/arrivals")
    assert [arrival["outcome"] for arrival in arrivals] == ["OK", "SignatureDoesNotMatch"]
    assert arrivals[0] == {
        "at": 1000.0,
        "unix": world.clock.unix(),
        "account": "care",
        "cust_space_id": SPACE,
        "phone_number": PHONE,
        "outcome": "OK",
        "since": 1000.0,
        "operation": STATUS,
    }


def test_a_status_is_set(world: World) -> None:
    status, numbers = control(world, "POST", f"/_simulator/numbers/{PHONE}", b'{"status": "EXPIRED"}')
    assert (status, numbers[0]["status"]) == (200, "EXPIRED")
    assert world.find_numbers(PHONE)[0].status == "EXPIRED"


def change(world: World, path: str, **body: Any) -> Any:
    """What a change that is taken answers."""
    status, document = control(world, "POST", f"/_simulator/{path}", json.dumps(body).encode())
    assert status == 200, document
    return document


def complaint(world: World, path: str, body: bytes) -> str:
    """What a change that is refused answers; it must change nothing."""
    before = control(world, "GET", "/_simulator/state")
    status, document = control(world, "POST", f"/_simulator/{path}", body)
    assert status == 400
    assert control(world, "GET", "/_simulator/state") == before
    return str(document["error"])


NUMBER_CHANGES = {
    "status": "EXPIRED",
    "exists": False,
    "listed": False,
    "shown_as": "4477009****",
    "listed_status": "VERIFIED",
    "connection_status": "BANNED",
    "quality_rating": "RED",
    "messaging_limit_tier": None,
    "name_status": "Rejected",
    "new_name_status": "Pending_Review",
    "verified_name": "Contoso",
    "is_official": "Y",
}

SPACE_CHANGES = {
    "exists": False,
    "listed": False,
    "cust_space_id": None,
    "instance_id": "instance-1",
    "name": "renamed",
    "channel_type": "VIBER",
    "state": "draft",
    "submit_time": None,
}


@pytest.mark.parametrize(("field", "value"), NUMBER_CHANGES.items(), ids=NUMBER_CHANGES)
def test_a_numbers_fields_are_set(world: World, field: str, value: Any) -> None:
    (number,) = change(world, f"numbers/{PHONE}", **{field: value})
    assert number[field] == value
    assert getattr(world.find_numbers(PHONE)[0], field) == value


@pytest.mark.parametrize(("field", "value"), SPACE_CHANGES.items(), ids=SPACE_CHANGES)
def test_a_spaces_fields_are_set(world: World, field: str, value: Any) -> None:
    assert change(world, f"accounts/care/spaces/{SPACE}", **{field: value})[field] == value
    assert getattr(world.accounts["care"].spaces[SPACE], field) == value


def test_every_field_of_a_number_and_a_space_can_be_set() -> None:
    """All but those that name it, and its latency."""
    assert {*NUMBER_CHANGES, "health", "fault", "health_fault"} == changeable.NUMBER.keys()
    numbers = {field.name for field in fields(Number)} - {"cust_space_id", "phone_number", "id", "latency_seconds"}
    assert numbers == changeable.NUMBER.keys()
    assert (
        {*SPACE_CHANGES, "refusal", "fault"}
        == changeable.SPACE.keys()
        == {field.name for field in fields(Space)} - {"id"}
    )


def test_a_value_for_now_and_others_for_later(world: World) -> None:
    """Seconds from the change on, not from the world's beginning."""
    clock = cast(FakeClock, world.clock)
    clock.advance(100)
    change(world, f"numbers/{PHONE}", quality_rating={"now": "GREEN", "then": [[10, "YELLOW"], [20, "RED"]]})
    seen = []
    for _ in range(3):
        (number,) = control(world, "GET", "/_simulator/state")[1]["accounts"][0]["numbers"]
        seen.append(number["quality_rating"])
        clock.advance(10)
    assert seen == ["GREEN", "YELLOW", "RED"]


@pytest.mark.parametrize(
    ("value", "health"),
    [
        ("BLOCKED", phone_health("BLOCKED")),
        (
            {"phone_number": {"can_send": "LIMITED", "errors": [{"code": "1", "description": "d", "solution": "s"}]}},
            phone_health("LIMITED", HealthError("1", "d", "s")),
        ),
        ({"waba": {"can_send": "BLOCKED"}, "business": {}}, Health(waba=EntityHealth("BLOCKED"))),
        ({"can_send": "SOMETHING_NEW"}, Health(can_send="SOMETHING_NEW")),
    ],
)
def test_health_is_set(world: World, value: Any, health: Health) -> None:
    (number,) = change(world, f"numbers/{PHONE}", health=value)
    assert number["health"]["can_send"] == health.verdict
    assert world.find_numbers(PHONE)[0].health == health


def test_a_number_is_added_moved_and_taken_away(world: World) -> None:
    world.add_account("other", "other-key", "other-secret")
    new = "447700900002"
    added = change(
        world, "numbers", account="care", cust_space_id=SPACE, phone_number=new, quality_rating="YELLOW", exists=True
    )
    assert (added["phone_number"], added["quality_rating"]) == (new, "YELLOW")
    change(world, f"numbers/{new}", cust_space_id="cams-second")
    assert (*world.accounts["care"].numbers,) == ((SPACE, PHONE), ("cams-second", new))
    change(world, f"numbers/{new}", account="other", status="EXPIRED")
    assert world.accounts["other"].numbers["cams-second", new].status == "EXPIRED"
    change(world, f"numbers/{new}", exists=False)
    assert not world.find_numbers(new)[0].exists


def test_a_space_that_is_new_is_added(world: World) -> None:
    change(world, "accounts/care/spaces/cams%2Fsecond", state="draft")
    assert world.accounts["care"].spaces["cams/second"].state == "draft"


def test_an_accounts_and_an_operations_fields_are_set(world: World) -> None:
    account = world.accounts["care"]
    change(world, "accounts/care", refusal="Product.Unsubscript", max_page_size=2, node_types=["phone"], fault="close")
    assert (account.refusal, account.max_page_size) == (Refusal.UNSUBSCRIBED, 2)
    assert account.node_types == frozenset({"phone"})
    change(world, "accounts/care", refusal=None, fault=None)
    assert (account.refusal, account.fault) == (None, None)
    shown = change(
        world,
        f"accounts/care/operations/{HEALTH}",
        rate_limit=0,
        refusal="Ram.PermissionDeny",
        masked=True,
        fault="html",
    )
    assert (shown["rate_limit"], shown["refusal"], shown["masked"]) == (0, "Ram.PermissionDeny", True)
    assert shown["fault"] == "html_200"
    assert account.calls[HEALTH].rate_limit == 0
    assert account.calls[STATUS].rate_limit == 10


@pytest.mark.parametrize("name", NAMED_FAULTS)
def test_every_fault_has_its_name(world: World, name: str) -> None:
    """Some need arguments, and say so."""
    change(world, f"numbers/{PHONE}", fault={"name": "hang", "seconds": 5})
    needed: dict[str, dict[str, Any]] = {
        "error": {"status": 400, "code": "X"},
        "status": {"value": 1},
        "entries": {"changes": {"Status": 1}},
    }
    arguments = needed.get(name, {"megabytes": 1} if name in ("huge", "gzip_bomb") else {})
    (number,) = change(world, f"numbers/{PHONE}", fault={"name": name, **arguments})
    assert number["fault"] is not None
    if name in needed:
        body = json.dumps({"fault": name}).encode()
        assert "has no such arguments, or needs others" in complaint(world, f"numbers/{PHONE}", body)


@pytest.mark.parametrize("path", [f"numbers/{PHONE}", "numbers", "accounts/care", f"accounts/care/spaces/{SPACE}"])
@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"1", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_change_changes_nothing(world: World, path: str, body: bytes) -> None:
    assert "the body must be a JSON object" in complaint(world, path, body)


@pytest.mark.parametrize(
    ("path", "body", "why"),
    [
        (f"numbers/{PHONE}", {"status": 1}, "status: write a string"),
        (f"numbers/{PHONE}", {"status": "EXPIRED", "exists": "no"}, "exists: write true or false"),
        (f"numbers/{PHONE}", {"colour": "red"}, "there is no field 'colour'; write any of status, "),
        (f"numbers/{PHONE}", {"health": {"phone": {}}}, 'health: write "BLOCKED", or {'),
        (f"numbers/{PHONE}", {"health": {"waba": {"errors": [{"number": "1"}]}}}, "health: write"),
        (f"numbers/{PHONE}", {"health": 1}, "health: write"),
        (f"numbers/{PHONE}", {"fault": "unheard"}, "fault: write null, NAME or"),
        (f"numbers/{PHONE}", {"fault": {"name": "html", "colour": 1}}, "fault: the fault 'html' has no such arguments"),
        (
            f"numbers/{PHONE}",
            {"fault": {"name": "html", "status": "1"}},
            "fault: the fault 'html' has no such arguments",
        ),
        (f"numbers/{PHONE}", {"fault": {"name": "entries", "changes": 1}}, "has no such arguments, or needs others"),
        (f"numbers/{PHONE}", {"status": {"now": "A", "then": 1}}, 'status: write {"now": VALUE'),
        (f"numbers/{PHONE}", {"status": {"now": "A", "then": [[9, "B"], [1, "C"]]}}, "must ascend"),
        (f"numbers/{PHONE}", {"account": "nobody", "status": "EXPIRED"}, "there is no account 'nobody'"),
        ("numbers", {"account": "care", "cust_space_id": SPACE}, "phone_number: write a string"),
        ("numbers", {"account": "care", "cust_space_id": SPACE, "phone_number": PHONE}, "has that number"),
        ("numbers", {"account": "nobody", "cust_space_id": "s", "phone_number": "1"}, "no account 'nobody'"),
        ("accounts/care", {"max_page_size": -1}, "max_page_size: write a whole number"),
        ("accounts/care", {"max_page_size": True}, "max_page_size: write a whole number"),
        ("accounts/care", {"node_types": "phone"}, "node_types: write a list"),
        ("accounts/care", {"refusal": "Unheard.Of"}, "refusal: write null or one of InvalidAction.NotFound"),
        ("accounts/care/spaces/cams-new", {"exists": 1}, "exists: write true or false"),
        (f"accounts/care/operations/{HEALTH}", {"rate_limit": "5"}, "rate_limit: write a whole number"),
    ],
)
def test_a_faulty_change_says_what_to_write_and_changes_nothing(
    world: World, path: str, body: dict[str, Any], why: str
) -> None:
    assert why in complaint(world, path, json.dumps(body).encode())


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(sorted(NAMED_FAULTS.keys() - {"gzip_bomb"})),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["now", "then", "name", "waba", "errors", "code", "can_send"]), inner)
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(
    path=st.sampled_from(
        [f"numbers/{PHONE}", "numbers", "accounts/care", "accounts/care/spaces/x", f"accounts/care/operations/{HEALTH}"]
    ),
    body=st.dictionaries(
        st.sampled_from(
            sorted({*changeable.NUMBER, *changeable.SPACE, *changeable.OPERATION, *changeable.ACCOUNT, "account"})
        ),
        JSON,
    ),
)
def test_any_body_is_taken_or_refused(path: str, body: dict[str, Any]) -> None:
    """And the state can be shown after it."""
    world = care_world(clock=FakeClock())
    assert control(world, "POST", f"/_simulator/{path}", json.dumps(body).encode())[0] in (200, 400)
    assert control(world, "GET", "/_simulator/state")[0] == 200


def test_of_a_number_in_two_spaces_both_change_and_none_moves(world: World) -> None:
    world.add_number("care", "cams-second", PHONE)
    assert [number["status"] for number in change(world, f"numbers/{PHONE}", status="EXPIRED")] == 2 * ["EXPIRED"]
    assert "which one moves" in complaint(world, f"numbers/{PHONE}", b'{"cust_space_id": "cams-third"}')


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/_simulator/numbers/000"),
        ("POST", "/_simulator/state"),
        ("GET", f"/_simulator/numbers/{PHONE}"),
        ("GET", "/_simulator/"),
        ("POST", "/_simulator/accounts/nobody"),
        ("POST", "/_simulator/accounts/care/operations/SendSms"),
        ("POST", "/_simulator/accounts/care/spaces/"),
        ("POST", "/_simulator/accounts/care/colours/red"),
        ("POST", "/_simulator/accounts"),
    ],
)
def test_there_is_nothing_else(world: World, method: str, path: str) -> None:
    assert control(world, method, path)[0] == 404


def test_a_served_world_is_watched_and_changed_without_counting_as_a_request() -> None:
    with Simulator(care_world(), with_control=True) as simulator, Connection(simulator.url) as connection:
        connection.send("POST", f"/_simulator/numbers/{PHONE}", body=b'{"status": "EXPIRED"}')
        assert connection.send("GET", "/_simulator/arrivals").document == []
        answered = connection.call(Call(host=connection.host)).document
        assert answered["Data"]["CodeVerificationStatus"] == "EXPIRED"
        assert len(connection.send("GET", "/_simulator/arrivals").document) == 1
