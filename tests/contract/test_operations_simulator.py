"""The listings and the health call against the simulator over real sockets, and held against the SDK's own models."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

# No part of the SDK has types.
from alibabacloud_cams20200606 import models  # type: ignore[import-untyped]

from exporter.cams.client import Client
from exporter.cams.operations import (
    GetPhoneNumberVerificationStatus,
    GetWhatsappHealthStatus,
    ListInstance,
    NumberListing,
    Operation,
    QueryChatappPhoneNumbers,
)
from exporter.cams.operations.phone_numbers import MAX_LISTING_BYTES
from exporter.errors import ApiError, Kind
from exporter.model import Credential, Health, HealthError, ListedNumber, PhoneNumber
from exporter.simulator import (
    HEALTH,
    INSTANCES,
    PHONE_NUMBERS,
    STATUS,
    EntityHealth,
    Refusal,
    Simulator,
    World,
    faults,
    listing_faults,
    phone_health,
)
from exporter.simulator import Health as SimulatedHealth
from exporter.simulator import HealthError as SimulatedError
from exporter.simulator.faults import Fault
from tests.support.clients import FixedCredentials, client_of, gated, kept
from tests.support.listings import all_spaces
from tests.support.numbers import number
from tests.support.rawserver import Peer, RawServer
from tests.support.sdk import sdk
from tests.support.simulated import KEY, PHONE, SECRET, SPACE, care_world

# The SDK dates its requests with datetime.utcnow(), deprecated from Python 3.12 on.
pytestmark = pytest.mark.filterwarnings(r"ignore:datetime\.datetime\.utcnow\(\) is deprecated:DeprecationWarning")

WHO = PhoneNumber("care", SPACE, PHONE, PHONE)

CALLS: dict[str, Callable[[Client], Any]] = {
    STATUS: lambda client: client.fetch(WHO),
    INSTANCES: lambda client: client.call(ListInstance(1)),
    PHONE_NUMBERS: lambda client: client.call(QueryChatappPhoneNumbers(SPACE)),
    HEALTH: lambda client: client.check_health(WHO),
}


@pytest.fixture
def world() -> World:
    world = care_world()
    for calls in world.accounts["care"].calls.values():
        calls.rate_limit = 1000
    return world


@pytest.fixture
def simulator(world: World) -> Iterator[Simulator]:
    with Simulator(world) as running:
        yield running


@pytest.fixture
def client(simulator: Simulator) -> Iterator[Client]:
    with client_of(simulator.url, credentials=FixedCredentials(Credential(KEY, SECRET))) as made:
        yield made


def error_of(client: Client, operation: str) -> ApiError:
    with pytest.raises(ApiError) as caught:
        CALLS[operation](client)
    assert caught.value.operation == operation
    return caught.value


def test_a_listing_of_numbers(world: World, client: Client) -> None:
    (mine,) = world.find_numbers(PHONE)
    mine.connection_status, mine.quality_rating, mine.messaging_limit_tier = "BANNED", "RED", "TIER_10K"
    mine.name_status, mine.listed_status, mine.verified_name = "DECLINED", "EXPIRED", "Café 你"
    world.add_number("care", SPACE, "447700900002").shown_as = "+44 7700-900002"
    found = client.call(QueryChatappPhoneNumbers(SPACE))
    assert found.numbers == (
        ListedNumber(PHONE, "BANNED", "RED", "TIER_10K", 10_000.0, "DECLINED", "EXPIRED", "Café 你"),
        ListedNumber("447700900002", "CONNECTED", "GREEN", "TIER_1K", 1000.0, "Approval", "VERIFIED", "Simulated Ltd"),
    )
    assert found.request_id
    assert found.elapsed_seconds > 0


def test_a_space_with_characters_to_encode(world: World, client: Client) -> None:
    """Signed and sent must be the same."""
    space = "cams ~*+/=&%é你\U0001f4a3"
    world.add_number("care", space, "447700900002")
    (listed,) = client.call(QueryChatappPhoneNumbers(space)).numbers
    assert listed.phone_number == "447700900002"
    health = client.check_health(PhoneNumber("care", space, "447700900002", "447700900002"))
    assert (health.verdict, health.errors) == ("AVAILABLE", ())


def test_what_keeps_a_number_from_sending(world: World, client: Client) -> None:
    blocked = EntityHealth(
        "BLOCKED", (SimulatedError("141006", "There is an error.", "Pay."), SimulatedError("131031"))
    )
    world.find_numbers(PHONE)[0].health = SimulatedHealth(blocked, EntityHealth("LIMITED"), blocked)
    health = client.check_health(WHO)
    error = HealthError("PHONE_NUMBER", "141006", "There is an error.", "Pay.")
    assert (health.verdict, health.errors[0]) == ("BLOCKED", error)
    assert [(each.entity, each.code) for each in health.errors[1:]] == [
        ("PHONE_NUMBER", "131031"),
        ("BUSINESS", "141006"),
        ("BUSINESS", "131031"),
    ]


@pytest.mark.parametrize("size", [1, 7, 10, 23, 100])
def test_all_spaces_in_pages(world: World, client: Client, size: int) -> None:
    for place in range(22):
        world.add_space("care", f"cams-{place:02}")
    world.add_space("care", "cams-viber").channel_type = "VIBER"
    world.accounts["care"].max_page_size = size
    found = [space.cust_space_id for space in all_spaces(client.call)]
    assert found == [SPACE, *(f"cams-{place:02}" for place in range(22))]
    assert len(world.arrivals()) == -(-24 // size)


LISTING_FAULTS: dict[str, tuple[Fault, str]] = {
    "empty": (listing_faults.empty_listing(keeps_total=True), "the pages have 0 entries, TotalCount is 11"),
    "partial": (listing_faults.partial_page(), "the pages have 8 entries, TotalCount is 11"),
    "total too large": (listing_faults.wrong_total(12), "the pages have 11 entries, TotalCount is 12"),
    "total of another type": (listing_faults.wrong_total([11]), "TotalCount is not a count"),
    "repeated": (listing_faults.repeated_page(), "page 2 has only entries of earlier pages"),
    "no list": (listing_faults.no_list(), "the answer has no list Data"),
    "an entry of another type": (listing_faults.entries({"CustSpaceId": None, "InstanceId": []}), "no ID"),
    "masked": (listing_faults.entries({"CustSpaceId": "cams-kei****"}), "no ID"),
}


@pytest.mark.parametrize(("fault", "message"), LISTING_FAULTS.values(), ids=LISTING_FAULTS)
def test_a_listing_of_spaces_that_is_not_whole_is_an_error(
    fault: Fault, message: str, world: World, client: Client
) -> None:
    for place in range(10):
        world.add_space("care", f"cams-{place:02}")
    world.accounts["care"].max_page_size = 4
    world.accounts["care"].calls[INSTANCES].fault = fault
    with pytest.raises(ApiError) as caught:
        all_spaces(client.call)
    assert (caught.value.code, caught.value.operation) == ("invalid_response", INSTANCES)
    assert message in caught.value.message


@pytest.mark.parametrize("fault", [listing_faults.repeated_entries(), listing_faults.wrong_total(None)])
def test_a_listing_of_spaces_that_is_odd_but_whole_is_one(fault: Fault, world: World, client: Client) -> None:
    for place in range(10):
        world.add_space("care", f"cams-{place:02}")
    world.accounts["care"].max_page_size = 4
    world.accounts["care"].calls[INSTANCES].fault = fault
    assert len(all_spaces(client.call)) == 11


@pytest.mark.parametrize(
    "fault",
    [
        listing_faults.no_list(),
        listing_faults.no_list("abc"),
        listing_faults.entries({"PhoneNumber": None}),
        listing_faults.entries({"PhoneNumber": "861380000****"}),
        faults.html(200),
        faults.huge(),
        faults.nested(),
        faults.invalid_utf8(),
    ],
    ids=lambda fault: fault.name,
)
def test_a_listing_of_numbers_that_is_not_whole_is_an_error(fault: Fault, world: World, client: Client) -> None:
    world.add_number("care", SPACE, "447700900002")
    world.inject(fault, operation=PHONE_NUMBERS)
    assert error_of(client, PHONE_NUMBERS).code == "invalid_response"
    assert len(client.call(QueryChatappPhoneNumbers(SPACE)).numbers) == 2


@pytest.mark.parametrize("operation", CALLS)
def test_masked_answers_are_a_status_and_a_health_but_no_listing(world: World, client: Client, operation: str) -> None:
    """A status and a health are of the number that was asked about, whatever the answer calls it."""
    world.accounts["care"].calls[operation].masked = True
    if operation in (STATUS, HEALTH):
        assert CALLS[operation](client)
    else:
        assert error_of(client, operation).code == "invalid_response"


FAILURES: dict[str, tuple[Fault, str]] = {
    "reset": (faults.reset(), "connection_error"),
    "truncated": (faults.truncated(), "connection_error"),
    "html 502": (faults.html(502), "http_502"),
    "codeless 500": (faults.codeless(500), "http_500"),
    "redirect": (faults.redirect(), "http_302"),
    "error in 200": (faults.error(200, "Product.Unsubscript"), "Product.Unsubscript"),
}


@pytest.mark.parametrize("operation", CALLS)
@pytest.mark.parametrize(("fault", "code"), FAILURES.values(), ids=FAILURES)
def test_a_fault_has_the_same_code_in_every_operation(
    operation: str, fault: Fault, code: str, world: World, client: Client
) -> None:
    world.inject(fault, operation=operation)
    assert error_of(client, operation).code == code
    assert CALLS[operation](client)


@pytest.mark.parametrize("operation", CALLS)
def test_a_refusal_and_a_throttle_are_that_operations_only(world: World, client: Client, operation: str) -> None:
    calls = world.accounts["care"].calls[operation]
    calls.refusal = Refusal.PERMISSION_DENIED
    assert error_of(client, operation).kind is Kind.PERMISSION
    calls.refusal, calls.rate_limit = None, 0
    assert error_of(client, operation).kind is Kind.THROTTLE
    for name, call in CALLS.items():
        if name != operation:
            assert call(client)


@pytest.mark.parametrize("operation", CALLS)
def test_a_wrong_clock_costs_one_request_of_any_operation(world: World, client: Client, operation: str) -> None:
    world.clock_skew_seconds = 3600.0
    error = error_of(client, operation)
    assert (error.kind, error.cured) == (Kind.ACCOUNT, True)
    for call in CALLS.values():
        assert call(client)


@pytest.mark.parametrize("operation", CALLS)
def test_without_a_credential_no_operation_is_sent(simulator: Simulator, world: World, operation: str) -> None:
    with client_of(simulator.url, credentials=FixedCredentials(None)) as client:
        error = error_of(client, operation)
    assert (error.code, error.sent) == ("credentials_error", False)
    assert world.outcomes() == {}


@pytest.mark.parametrize("accepted", ["PHONE", "phone"])
def test_the_node_type_in_either_spelling(world: World, client: Client, accepted: str) -> None:
    """A refused spelling costs one request; the other one stays in use."""
    world.accounts["care"].node_types = frozenset({accepted})
    if accepted == "phone":
        assert error_of(client, HEALTH).cured
    for _ in range(3):
        assert client.check_health(WHO).verdict == "AVAILABLE"
    assert world.outcomes() == {"OK": 3} | ({"InvalidParameter.NodeType": 1} if accepted == "phone" else {})


def test_a_node_type_that_is_accepted_in_neither_spelling_is_an_error_of_each_request(
    world: World, client: Client
) -> None:
    world.accounts["care"].node_types = frozenset({"number"})
    assert [error_of(client, HEALTH).cured for _ in range(4)] == [True, False, True, False]


def test_every_operation_leaves_inside_its_slot_and_shares_the_connections(
    simulator: Simulator, client: Client
) -> None:
    slots: list[str] = []
    for operation, _ in REQUESTS.values():
        assert client.call(operation, gated(functools.partial(slots.append, operation.name)))
    assert slots == [STATUS, INSTANCES, PHONE_NUMBERS, HEALTH]
    assert simulator.connections == 1


# --- ten thousand numbers in one space


def test_ten_thousand_numbers_of_one_space(world: World, client: Client) -> None:
    for index in range(10_000):
        world.add_number("care", "cams-large", f"86138{index:08}")
    found = client.call(QueryChatappPhoneNumbers("cams-large")).numbers
    assert [listed.phone_number for listed in found] == [f"86138{index:08}" for index in range(10_000)]
    assert len(kept(client)) == 1


def test_a_listing_in_small_chunks() -> None:
    """The allowance of the wire has room for the framing of a listing as large as may be."""
    entries = [{"PhoneNumber": f"86138{index:08}", "VerifiedName": "x" * 1500} for index in range(10_000)]
    body = json.dumps({"Code": "OK", "PhoneNumbers": entries}).encode()
    assert MAX_LISTING_BYTES * 0.9 < len(body) < MAX_LISTING_BYTES

    def script(peer: Peer) -> None:
        peer.read_request()
        size = 64
        chunks = [
            b"%x\r\n%b\r\n" % (len(part), part) for at in range(0, len(body), size) if (part := body[at : at + size])
        ]
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(chunks) + b"0\r\n\r\n")

    with RawServer(script) as server, client_of(server.url) as client:
        assert len(client.call(QueryChatappPhoneNumbers(SPACE)).numbers) == 10_000


@pytest.mark.parametrize(
    ("operation", "mebibytes"),
    [(QueryChatappPhoneNumbers(SPACE), 16), (ListInstance(1), 1)],
    ids=lambda it: f"{it}"[:12],
)
def test_a_body_that_is_too_long_is_not_read_to_its_end(operation: Operation[Any], mebibytes: int) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        with contextlib.suppress(OSError):
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 << 20))
            for _ in range(64):
                peer.send(b" " * (1 << 20))

    with RawServer(script) as server, client_of(server.url) as client:
        with pytest.raises(ApiError) as caught:
            client.call(operation)
        assert kept(client) == []
    assert caught.value.message == f"the answer is longer than {mebibytes} MiB"


# --- the SDK as the yardstick of shapes and names

REQUESTS: dict[str, tuple[Operation[Any], Any]] = {
    STATUS: (
        GetPhoneNumberVerificationStatus(WHO),
        models.GetPhoneNumberVerificationStatusRequest(cust_space_id=SPACE, phone_number=PHONE),
    ),
    INSTANCES: (ListInstance(2, 50), models.ListInstanceRequest(page_index=2, page_size=50)),
    PHONE_NUMBERS: (
        QueryChatappPhoneNumbers(SPACE),
        models.QueryChatappPhoneNumbersRequest(cust_space_id=SPACE),
    ),
    HEALTH: (
        GetWhatsappHealthStatus(WHO),
        models.GetWhatsappHealthStatusRequest(cust_space_id=SPACE, node_type="PHONE", phone_number=PHONE),
    ),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_the_parameters_are_those_of_the_sdks_requests(name: str) -> None:
    operation, request = REQUESTS[name]
    assert operation.name == name
    asked = {key: value_of(operation) for key, value_of in operation.parameters}
    assert asked == request.to_map()


def test_the_listings_say_what_the_sdk_says(world: World, simulator: Simulator, client: Client) -> None:
    world.add_space("care", "cams-second").name = "Second"
    world.find_numbers(PHONE)[0].quality_rating = "YELLOW"
    theirs = sdk(simulator)
    page = theirs.list_instance(models.ListInstanceRequest(page_index=1)).body
    ours = client.call(ListInstance(1))
    assert ours.total_count == page.total_count
    assert [(s.cust_space_id, s.instance_id, s.name, s.channel, s.state) for s in ours.spaces] == [
        (i.cust_space_id, i.instance_id, i.instance_name, i.channel_type, i.state) for i in page.data
    ]
    request = models.QueryChatappPhoneNumbersRequest(cust_space_id=SPACE)
    (number_of_theirs,) = theirs.query_chatapp_phone_numbers(request).body.phone_numbers
    assert client.call(QueryChatappPhoneNumbers(SPACE)).numbers == (_listed(number_of_theirs),)


def test_the_health_says_what_the_sdk_says(world: World, simulator: Simulator, client: Client) -> None:
    world.find_numbers(PHONE)[0].health = phone_health("LIMITED", SimulatedError("1", "two", "three"))
    request = models.GetWhatsappHealthStatusRequest(cust_space_id=SPACE, node_type="PHONE", phone_number=PHONE)
    data = sdk(simulator).get_whatsapp_health_status(request).body.data
    errors = tuple(
        HealthError(entity.entity_type, each.error_code, each.error_description, each.possible_solution)
        for entity in data.entities
        for each in entity.errors or []
    )
    ours = client.check_health(WHO)
    assert ours == Health(data.can_send_message, errors, ours.request_id, ours.elapsed_seconds)
    assert errors


def test_every_field_that_is_read_is_one_of_the_sdks_models() -> None:
    """What a model of the SDK writes is read as what was put into it: no name is mistyped."""
    space, digits = "cams-1", number().phone_number
    instance = models.ListInstanceResponseBodyData(
        cust_space_id=space, instance_id="i", instance_name="n", channel_type="WHATSAPP", state="s"
    )
    listed = models.QueryChatappPhoneNumbersResponseBodyPhoneNumbers(
        phone_number=digits,
        status="A",
        quality_rating="B",
        messaging_limit_tier="TIER_250",
        name_status="D",
        code_verification_status="E",
        verified_name="F",
    )
    error = models.GetWhatsappHealthStatusResponseBodyDataEntitiesErrors(
        error_code="1", error_description="2", possible_solution="3"
    )
    entity = models.GetWhatsappHealthStatusResponseBodyDataEntities(entity_type="E", errors=[error])
    data = models.GetWhatsappHealthStatusResponseBodyData(can_send_message="V", entities=[entity])
    page = _answered(
        ListInstance(1), models.ListInstanceResponseBody(code="OK", data=[instance], success=True, total_count=1)
    )
    assert [(s.cust_space_id, s.instance_id, s.name, s.channel, s.state) for s in page.spaces] == [
        (space, "i", "n", "WHATSAPP", "s")
    ]
    assert page.total_count == 1
    body = models.QueryChatappPhoneNumbersResponseBody(code="OK", phone_numbers=[listed], success=True)
    found: NumberListing = _answered(QueryChatappPhoneNumbers(space), body)
    assert found.numbers == (ListedNumber(digits, "A", "B", "TIER_250", 250.0, "D", "E", "F"),)
    health: Health = _answered(
        GetWhatsappHealthStatus(number()), models.GetWhatsappHealthStatusResponseBody(code="OK", data=data)
    )
    assert (health.verdict, health.errors) == ("V", (HealthError("E", "1", "2", "3"),))


def _answered(operation: Operation[Any], body: Any) -> Any:
    raw = json.dumps(body.to_map()).encode()

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(raw), raw))

    with RawServer(script) as server, client_of(server.url) as client:
        return client.call(operation)


def _listed(theirs: Any) -> ListedNumber:
    return ListedNumber(
        phone_number=theirs.phone_number,
        connection_status=theirs.status,
        quality_rating=theirs.quality_rating,
        messaging_limit_tier=theirs.messaging_limit_tier,
        messaging_limit=1000.0,
        name_status=theirs.name_status,
        code_verification_status=theirs.code_verification_status,
        verified_name=theirs.verified_name,
    )
