"""Alibaba's own SDK asks for instances, numbers and health: its models hold all that the simulator answers."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

# No part of the SDK has types.
from alibabacloud_cams20200606.models import (  # type: ignore[import-untyped]
    GetPhoneNumberVerificationStatusRequest,
    GetWhatsappHealthStatusRequest,
    ListInstanceRequest,
    QueryChatappPhoneNumbersRequest,
)
from alibabacloud_tea_openapi.exceptions import (  # type: ignore[import-untyped]
    ClientException,
    ThrottlingException,
)

from exporter.simulator import (
    HEALTH,
    INSTANCES,
    PHONE_NUMBERS,
    STATUS,
    EntityHealth,
    Health,
    HealthError,
    Refusal,
    Simulator,
    World,
    faults,
    listing_faults,
)
from exporter.simulator.gateway import decide
from tests.support.sdk import sdk
from tests.support.simulated import PHONE, SPACE, Call, ask_health, care_world, list_instances, list_numbers

# The SDK dates its requests with datetime.utcnow(), deprecated from Python 3.12 on.
pytestmark = pytest.mark.filterwarnings(r"ignore:datetime\.datetime\.utcnow\(\) is deprecated:DeprecationWarning")


@pytest.fixture
def world() -> World:
    """The account's number is blocked for two reasons, so that no list in an answer is empty."""
    world = care_world()
    blocked = EntityHealth("BLOCKED", (HealthError("141006", "There is an error.", "Pay."), HealthError("131031")))
    world.find_numbers(PHONE)[0].health = Health(blocked, blocked, blocked)
    return world


@pytest.fixture
def client(world: World) -> Iterator[Any]:
    with Simulator(world) as simulator:
        yield sdk(simulator)


def instances(client: Any, **parameters: Any) -> Any:
    return client.list_instance(ListInstanceRequest(**parameters)).body


def numbers(client: Any, space: str = SPACE, **parameters: Any) -> Any:
    request = QueryChatappPhoneNumbersRequest(cust_space_id=space, **parameters)
    return client.query_chatapp_phone_numbers(request).body


def health(client: Any, phone_number: str = PHONE, node_type: str = "PHONE", space: str = SPACE) -> Any:
    request = GetWhatsappHealthStatusRequest(cust_space_id=space, node_type=node_type, phone_number=phone_number)
    return client.get_whatsapp_health_status(request).body


def status(client: Any) -> Any:
    request = GetPhoneNumberVerificationStatusRequest(cust_space_id=SPACE, phone_number=PHONE)
    return client.get_phone_number_verification_status(request).body


ASKED = {
    STATUS: (status, Call()),
    INSTANCES: (instances, list_instances()),
    PHONE_NUMBERS: (numbers, list_numbers()),
    HEALTH: (health, ask_health()),
}
"""Each operation as the SDK asks for it, and as a call of ours."""

UNSET = {
    STATUS: {"access_denied_detail"},
    INSTANCES: {"access_denied_detail"},
    PHONE_NUMBERS: {
        "access_denied_detail",
        "data",
        "phone_numbers.calling_configure.calling_callback_url",
        "phone_numbers.calling_configure.max_talk_time",
        "phone_numbers.calling_configure.calling.call_hours",
    },
    HEALTH: {
        "access_denied_detail",
        "data.entities.language",
        "data.entities.template_code",
        # each entity has the ID of its own kind alone; see the test of the entities
        "data.entities.business_id",
        "data.entities.phone_number",
        "data.entities.waba_id",
    },
}
"""Fields of the SDK's models that the simulator leaves out, by operation."""

SCALARS = {"str": str, "int": int, "bool": bool}


def fields(model: Any, path: str = "") -> Iterator[tuple[str, str, Any]]:
    """The path, type and value of each field of a model and of the models in it."""
    for name, parameter in list(inspect.signature(type(model).__init__).parameters.items())[1:]:
        value, place = getattr(model, name), f"{path}.{name}".lstrip(".")
        yield place, parameter.annotation, value
        for inner in value if isinstance(value, list) else [value]:
            if "main_models" in parameter.annotation and inner is not None:
                yield from fields(inner, place)


@pytest.mark.parametrize("operation", ASKED)
def test_the_sdks_models_hold_every_field_that_the_simulator_sends(world: World, client: Any, operation: str) -> None:
    """Nothing that a model does not know is in an answer: it would be missing here."""
    ask, call = ASKED[operation]
    held = ask(client).to_map()
    sent = json.loads(decide(world, replace(call, unix=world.clock.unix()).request()).reply.body)
    assert held.pop("RequestId") != sent.pop("RequestId")
    assert held == sent


@pytest.mark.parametrize("operation", ASKED)
def test_the_simulator_fills_every_field_of_the_sdks_models(client: Any, operation: str) -> None:
    """But for those that concern something else."""
    ask, _ = ASKED[operation]
    assert {place for place, _, value in fields(ask(client)) if value is None} == UNSET[operation]


@pytest.mark.parametrize("operation", ASKED)
def test_every_field_has_the_type_that_the_sdk_gives_it(client: Any, operation: str) -> None:
    ask, _ = ASKED[operation]
    scalars = [(annotation, value) for _, annotation, value in fields(ask(client)) if annotation in SCALARS]
    assert len(scalars) >= 3
    assert all(type(value) is SCALARS[annotation] for annotation, value in scalars if value is not None)


@pytest.mark.parametrize("size", [1, 7, 10, 50])
def test_the_sdk_pages_through_all_instances(world: World, client: Any, size: int) -> None:
    expected = [SPACE, *(f"cams-{place:02}" for place in range(22))]
    for space in expected:
        world.add_space("care", space)
    world.accounts["care"].calls[INSTANCES].rate_limit = 100
    found: list[str] = []
    for index in range(1, 100):
        page = instances(client, page_index=index, page_size=size)
        assert page.total_count == 23
        if not page.data:
            break
        found += [instance.cust_space_id for instance in page.data]
    assert found == expected


def test_the_sdk_filters_by_channel(world: World, client: Any) -> None:
    world.add_space("care", "cams-viber").channel_type = "VIBER"
    assert [instance.cust_space_id for instance in instances(client, channel_type="viber").data] == ["cams-viber"]
    assert [instance.cust_space_id for instance in instances(client, channel_type="whatsapp").data] == [SPACE]


def test_the_sdk_lists_the_numbers_of_a_space_with_characters_to_encode(world: World, client: Any) -> None:
    space = "cams ~*+/=&%é你\U0001f4a3"
    number = world.add_number("care", space, "447700900002")
    number.connection_status, number.quality_rating, number.verified_name = "BANNED", "RED", "Café 你"
    (listed,) = numbers(client, space).phone_numbers
    assert (listed.phone_number, listed.status, listed.quality_rating) == ("447700900002", "BANNED", "RED")
    assert listed.verified_name == "Café 你"
    assert numbers(client, space, status="CONNECTED").phone_numbers == []


def test_the_sdk_learns_what_keeps_a_number_from_sending(client: Any) -> None:
    data = health(client).data
    assert data.can_send_message == "BLOCKED"
    phone, waba, business = data.entities
    assert (phone.entity_type, phone.phone_number) == ("PHONE_NUMBER", PHONE)
    assert waba.entity_type == "WABA"
    assert waba.waba_id
    assert business.entity_type == "BUSINESS"
    assert business.business_id
    assert (phone.errors[0].error_code, phone.errors[0].possible_solution) == ("141006", "Pay.")


def test_the_sdk_gets_an_empty_list_of_errors_for_a_healthy_number(world: World, client: Any) -> None:
    world.find_numbers(PHONE)[0].health = Health()
    data = health(client).data
    assert data.can_send_message == "AVAILABLE"
    assert [entity.errors for entity in data.entities] == [[], [], []]


@pytest.mark.parametrize("operation", ASKED)
def test_the_sdk_is_refused_one_operation_and_gets_the_others(world: World, client: Any, operation: str) -> None:
    world.accounts["care"].calls[operation].refusal = Refusal.PERMISSION_DENIED
    for name, (ask, _) in ASKED.items():
        if name == operation:
            with pytest.raises(ClientException) as refused:
                ask(client)
            assert (refused.value.status_code, refused.value.code) == (400, "Ram.PermissionDeny")
        else:
            assert ask(client).code == "OK"


@pytest.mark.parametrize("operation", ASKED)
def test_the_sdk_is_throttled_in_one_operation_and_gets_the_others(world: World, client: Any, operation: str) -> None:
    world.accounts["care"].calls[operation].rate_limit = 0
    for name, (ask, _) in ASKED.items():
        if name == operation:
            with pytest.raises((ClientException, ThrottlingException)) as throttled:
                ask(client)
            assert throttled.value.code == ("Throttling.User" if operation == STATUS else "System.LimitControl")
        else:
            assert ask(client).code == "OK"


def test_the_sdk_is_refused_a_node_type_in_the_wrong_spelling(world: World, client: Any) -> None:
    world.accounts["care"].node_types = frozenset({"phone"})
    with pytest.raises(ClientException) as refused:
        health(client)
    assert refused.value.code == "InvalidParameter.NodeType"
    assert health(client, node_type="phone").code == "OK"


@pytest.mark.parametrize("ask", [numbers, health])
def test_the_sdk_is_refused_a_space_of_somebody_else(client: Any, ask: Any) -> None:
    with pytest.raises(ClientException) as refused:
        ask(client, space="cams-other")
    assert refused.value.code == "Unknown.ResourceOwnerId"


def test_the_sdk_takes_a_listing_that_is_wrong_for_one_that_is_right(world: World, client: Any) -> None:
    """An empty list, a wrong total and an error in HTTP 200 pass it in silence: no yardstick for those."""
    world.inject(listing_faults.empty_listing(), operation=PHONE_NUMBERS)
    assert numbers(client).phone_numbers == []
    world.inject(listing_faults.wrong_total(-1), operation=INSTANCES)
    assert instances(client).total_count == -1
    world.inject(faults.error(200, "System.LimitControl"), operation=PHONE_NUMBERS)
    refused = numbers(client)
    assert (refused.code, refused.phone_numbers) == ("System.LimitControl", [])
