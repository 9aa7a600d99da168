"""Whether a number can send: the verdict, its reasons, and the node type's spelling."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from exporter.cams.client import Client
from exporter.cams.operations import GetWhatsappHealthStatus
from exporter.cams.operations.health import MAX_ERRORS, NodeType
from exporter.errors import ApiError, Kind
from exporter.model import Health, HealthError, PhoneNumber
from tests.support.apianswers import ELAPSED_SECONDS, REQUEST_ID, Api, failure
from tests.support.numbers import number

ERROR = {"ErrorCode": "141006", "ErrorDescription": "There is a payment error.", "PossibleSolution": "Pay."}
DATA = {
    "CanSendMessage": "BLOCKED",
    "Entities": [
        {"EntityType": "PHONE_NUMBER", "CanSendMessage": "AVAILABLE", "PhoneNumber": "861380000****"},
        {"EntityType": "WABA", "CanSendMessage": "BLOCKED", "WabaId": "1", "Errors": [ERROR]},
        {"EntityType": "BUSINESS", "CanSendMessage": "AVAILABLE", "BusinessId": "2", "Errors": []},
    ],
}
AVAILABLE = {"Data": {"CanSendMessage": "AVAILABLE"}}
BAD_TYPE = failure("InvalidParameter.NodeType")
MASKED = number(label="hidden-number")


def read(data: Any, who: PhoneNumber | None = None) -> Health:
    return Api({"Data": data}).called(lambda client: client.check_health(who or number()))


def spellings(api: Api) -> list[str]:
    return [parameters["NodeType"] for _, parameters in api.asked]


def test_a_verdict_with_its_reasons() -> None:
    error = HealthError("WABA", "141006", "There is a payment error.", "Pay.")
    assert read(DATA) == Health("BLOCKED", (error,), REQUEST_ID, ELAPSED_SECONDS)


def test_what_is_asked() -> None:
    api, who = Api({"Data": DATA}), number(7)
    api.called(lambda client: client.check_health(who))
    parameters = {"CustSpaceId": who.cust_space_id, "NodeType": "PHONE", "PhoneNumber": who.phone_number}
    assert api.asked == [("GetWhatsappHealthStatus", parameters)]
    assert GetWhatsappHealthStatus.max_qps == 5.0


@pytest.mark.parametrize("verdict", ["AVAILABLE", "LIMITED", "BLOCKED", "UNKNOWN", "BRAND_NEW"])
def test_a_verdict_is_open(verdict: str) -> None:
    assert read({"CanSendMessage": verdict}) == Health(verdict, (), REQUEST_ID, ELAPSED_SECONDS)


NO_VERDICTS: tuple[Any, ...] = (None, "", " \n", True, 1.5, ["BLOCKED"], {})


@pytest.mark.parametrize("data", [None, [], "AVAILABLE", {}, *({"CanSendMessage": verdict} for verdict in NO_VERDICTS)])
def test_an_answer_without_a_verdict_is_refused(data: Any) -> None:
    error = Api({"Data": data}).error(lambda client: client.check_health(number()))
    assert (error.code, error.kind, error.operation) == ("invalid_response", Kind.TRANSIENT, "GetWhatsappHealthStatus")
    assert error.request_id == REQUEST_ID


def test_a_success_that_says_it_is_none_is_refused() -> None:
    Api({"Success": False, "Data": DATA}).error(lambda client: client.check_health(number()))


@pytest.mark.parametrize(
    "entities",
    [None, "x", 1, {}, [None], ["x"], [[]], [{}], [{"Errors": 1}], [{"Errors": [None, "x", []]}]],
)
def test_reasons_that_cannot_be_read_do_not_hide_the_verdict(entities: Any) -> None:
    assert read({"CanSendMessage": "BLOCKED", "Entities": entities}).verdict == "BLOCKED"
    assert read({"CanSendMessage": "BLOCKED", "Entities": entities}).errors == ()


def test_a_code_may_be_a_number_and_a_field_may_be_left_out() -> None:
    data = {"CanSendMessage": "LIMITED", "Entities": [{"Errors": [{"ErrorCode": 131031}]}]}
    assert read(data).errors == (HealthError("", "131031"),)


def test_reasons_are_bounded_and_none_stands_twice() -> None:
    """Each is a series, so its entity and code must be its own."""
    errors = [{**ERROR, "ErrorCode": str(index % 40)} for index in range(1000)]
    entities = [{"EntityType": kind, "Errors": errors} for kind in ("PHONE_NUMBER", "PHONE_NUMBER", "WABA")]
    found = read({"CanSendMessage": "BLOCKED", "Entities": entities}).errors
    assert len(found) == len({(error.entity, error.code) for error in found}) == MAX_ERRORS


def test_texts_are_bounded_printable_and_name_neither_number_nor_credential() -> None:
    hostile = f"a\x00\n{MASKED.phone_number} the-token " + "x" * 1000
    error = {"ErrorCode": hostile, "ErrorDescription": hostile, "PossibleSolution": hostile}
    data = {"CanSendMessage": hostile, "Entities": [{"EntityType": hostile, "Errors": [error]}]}
    health = read(data, MASKED)
    shown = "a hidden-number *** " + "x" * 1000
    assert health.verdict == health.errors[0].entity == health.errors[0].code == shown[:128]
    assert health.errors[0].description == health.errors[0].solution == shown[:500]


# --- the node type


def outcomes(api: Api, calls: int) -> list[str | bool]:
    """Of so many calls of one client: the verdict, or whether the error is one that the next request may not have."""

    def ask(client: Any) -> list[str | bool]:
        found: list[str | bool] = []
        for index in range(calls):
            try:
                found.append(client.check_health(number(index)).verdict)
            except ApiError as error:
                found.append(error.cured)
        return found

    return api.called(ask)


def test_a_refused_spelling_is_turned_to_the_other_which_is_remembered() -> None:
    api = Api(BAD_TYPE, AVAILABLE)
    assert outcomes(api, 4) == [True, "AVAILABLE", "AVAILABLE", "AVAILABLE"]
    assert spellings(api) == ["PHONE", "phone", "phone", "phone"]


def test_another_client_begins_anew() -> None:
    api = Api(BAD_TYPE, AVAILABLE)
    outcomes(api, 2)
    outcomes(api, 1)
    assert spellings(api) == ["PHONE", "phone", "PHONE"]


def test_a_spelling_that_was_accepted_stays_whatever_is_wrong_with_a_number() -> None:
    api = Api(AVAILABLE, failure("InvalidParameter.PhoneNumber"), failure("Unknown.ResourceOwnerId"), AVAILABLE)
    assert outcomes(api, 4) == ["AVAILABLE", False, False, "AVAILABLE"]
    assert spellings(api) == ["PHONE"] * 4


def test_a_wrong_number_that_comes_first_does_not_settle_on_the_wrong_spelling() -> None:
    """Both spellings are refused for it: then the first is in use again."""
    wrong = failure("InvalidParameter.PhoneNumber")
    api = Api(wrong, wrong, AVAILABLE)
    assert outcomes(api, 4) == [True, False, "AVAILABLE", "AVAILABLE"]
    assert spellings(api) == ["PHONE", "phone", "PHONE", "PHONE"]


def test_a_spelling_that_is_refused_later_is_turned_to_the_other() -> None:
    api = Api(AVAILABLE, failure("Bad", "the specified parameter NodeType is not valid"), AVAILABLE)
    assert outcomes(api, 3) == ["AVAILABLE", True, "AVAILABLE"]
    assert spellings(api) == ["PHONE", "PHONE", "phone"]


@pytest.mark.parametrize(
    "code", ["System.LimitControl", "Ram.PermissionDeny", "InternalError", "SignatureDoesNotMatch"]
)
def test_an_error_of_another_kind_says_nothing_of_the_spelling(code: str) -> None:
    api = Api(failure(code), AVAILABLE)
    assert outcomes(api, 2) == [False, "AVAILABLE"]
    assert spellings(api) == ["PHONE", "PHONE"]


def test_requests_at_the_same_time_turn_it_once() -> None:
    """Both sent the first spelling: the second refusal must not turn back what the first turned."""
    node_type, error = NodeType(), ApiError("InvalidParameter.NodeType", Kind.NUMBER)
    refused = functools.partial(node_type.refused, error=error)
    assert [refused("PHONE"), refused("PHONE"), node_type.spelling] == [True, True, "phone"]


def test_the_spelling_that_was_accepted_is_used_even_if_another_request_turned_it_meanwhile() -> None:
    node_type, wrong_number = NodeType(), ApiError("InvalidParameter", Kind.NUMBER)
    node_type.refused("PHONE", wrong_number)
    node_type.accepted("PHONE")
    assert node_type.spelling == "PHONE"
    assert not node_type.refused("phone", wrong_number)
    assert node_type.spelling == "PHONE"


def test_reasons_and_errors_that_name_other_numbers_mask_them_where_numbers_are_hidden() -> None:
    text = "WABA of +86 139-0000-0007 has 131031"
    entities = [{"EntityType": "WABA", "Errors": [{"ErrorCode": 131031, "ErrorDescription": text}]}]
    data = {"CanSendMessage": "BLOCKED", "Entities": entities}
    for who, shown in ((MASKED, "WABA of +861390*****07 has ****31"), (number(), text)):
        (error,) = read(data, who).errors
        assert (error.code, error.description) == ("131031", shown)
        asked = GetWhatsappHealthStatus(who)
        failed = Api(failure("Odd", text)).error(functools.partial(Client.call, operation=asked))
        assert failed.message == shown
