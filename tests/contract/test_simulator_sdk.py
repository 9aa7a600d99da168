"""Alibaba's own SDK, an independent client, gets from the simulator what it expects from the service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

# No part of the SDK has types.
from alibabacloud_cams20200606.models import (  # type: ignore[import-untyped]
    GetPhoneNumberVerificationStatusRequest,
)
from alibabacloud_tea_openapi.exceptions import (  # type: ignore[import-untyped]
    ClientException,
    ServerException,
    ThrottlingException,
)
from alibabacloud_tea_openapi.utils_models import (  # type: ignore[import-untyped]
    OpenApiRequest,
    Params,
)
from darabonba.runtime import RuntimeOptions  # type: ignore[import-untyped]

from exporter.simulator import Key, Refusal, Simulator, Throttle, faults
from tests.support.sdk import sdk
from tests.support.simulated import KEY, PHONE, SECRET, SPACE, care_world

# The SDK dates its requests with datetime.utcnow(), deprecated from Python 3.12 on.
pytestmark = pytest.mark.filterwarnings(r"ignore:datetime\.datetime\.utcnow\(\) is deprecated:DeprecationWarning")


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(care_world()) as running:
        yield running


def status_of(client: Any, phone_number: str = PHONE, space: str = SPACE) -> Any:
    """The body of the answer."""
    request = GetPhoneNumberVerificationStatusRequest(cust_space_id=space, phone_number=phone_number)
    return client.get_phone_number_verification_status(request).body


def test_the_sdk_gets_a_status(simulator: Simulator) -> None:
    body = status_of(sdk(simulator))
    assert (body.code, body.data.code_verification_status) == ("OK", "VERIFIED")
    assert (body.data.phone_number, body.data.id) == (PHONE, simulator.world.find_numbers(PHONE)[0].id)
    assert body.request_id


def test_a_space_with_characters_to_encode(simulator: Simulator) -> None:
    """If the SDK's encoding and the simulator's differed, the signature would not match."""
    space = "cams ~*+/=&%é你\U0001f4a3"
    simulator.world.add_number("care", space, PHONE, "EXPIRED")
    assert status_of(sdk(simulator), space=space).data.code_verification_status == "EXPIRED"


def test_the_sdk_gets_a_status_with_a_temporary_key(simulator: Simulator) -> None:
    simulator.world.set_key("care", KEY, Key(SECRET, "token"))
    assert status_of(sdk(simulator, security_token="token")).code == "OK"
    with pytest.raises(ClientException) as refused:
        status_of(sdk(simulator, security_token="older"))
    assert refused.value.code == "InvalidSecurityToken.Expired"


def test_the_sdk_gets_a_status_with_form_parameters(simulator: Simulator) -> None:
    """As older versions of it send them."""
    parameters = Params(
        action="GetPhoneNumberVerificationStatus",
        version="2020-06-06",
        protocol="HTTP",
        pathname="/",
        method="POST",
        auth_type="AK",
        style="RPC",
        req_body_type="formData",
        body_type="json",
    )
    request = OpenApiRequest(body={"CustSpaceId": SPACE, "PhoneNumber": PHONE})
    answer = sdk(simulator).call_api(parameters, request, RuntimeOptions())
    assert answer["body"]["Data"]["CodeVerificationStatus"] == "VERIFIED"


def test_the_sdk_gets_an_error(simulator: Simulator) -> None:
    with pytest.raises(ClientException) as refused:
        status_of(sdk(simulator), "12025550199")
    assert (refused.value.status_code, refused.value.code) == (400, "Unknown.ResourceOwnerId")
    assert refused.value.request_id


def test_the_sdk_with_a_wrong_secret_is_refused(simulator: Simulator) -> None:
    with pytest.raises(ClientException) as refused:
        status_of(sdk(simulator, secret="wrong"))
    assert refused.value.code == "SignatureDoesNotMatch"


def test_the_sdk_gets_a_servers_fault(simulator: Simulator) -> None:
    simulator.world.inject(faults.error(Refusal.INTERNAL.status, Refusal.INTERNAL.code))
    with pytest.raises(ServerException) as failed:
        status_of(sdk(simulator))
    assert (failed.value.status_code, failed.value.code) == (500, "InternalError")


def test_the_sdk_reads_the_pause_of_a_throttle(simulator: Simulator) -> None:
    account = simulator.world.accounts["care"]
    account.rate_limit = 0
    account.throttle = Throttle(pause_ms=2000)
    with pytest.raises(ThrottlingException) as throttled:
        status_of(sdk(simulator))
    assert (throttled.value.code, throttled.value.retry_after) == ("Throttling.User", 2000)
