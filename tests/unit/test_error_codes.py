"""The meaning of each error code, as in the API reference."""

from __future__ import annotations

import re

import pytest

from exporter.cams.error_codes import DOCUMENTED_CODES, INTERNAL_ERROR, advice, http_code, kind_of
from exporter.cams.operations import GetWhatsappHealthStatus, ListInstance, QueryChatappPhoneNumbers
from exporter.errors import Kind
from exporter.metrics.counters import MAX_CODES

TABLE = [
    (400, "Product.Unsubscript", Kind.ACCOUNT),
    (400, "Ram.PermissionDeny", Kind.PERMISSION),
    (400, "System.LimitControl", Kind.THROTTLE),
    (400, "Unknown.ResourceOwnerId", Kind.NUMBER),
    (400, "Throttling", Kind.THROTTLE),
    (429, "Throttling.User", Kind.THROTTLE),
    (503, "Throttling.Api.Rate", Kind.THROTTLE),
    (503, "Rejected.Throttling", Kind.THROTTLE),
    (404, "InvalidAccessKeyId.NotFound", Kind.ACCOUNT),
    (400, "InvalidAccessKeyId.Inactive", Kind.ACCOUNT),
    (404, "InvalidAccessKeyId", Kind.ACCOUNT),
    (400, "SignatureDoesNotMatch", Kind.ACCOUNT),
    (403, "IncompleteSignature", Kind.ACCOUNT),
    (400, "InvalidTimeStamp.Expired", Kind.ACCOUNT),
    (400, "SignatureNonceUsed", Kind.ACCOUNT),
    (403, "InvalidSecurityToken.Expired", Kind.ACCOUNT),
    (400, "InvalidSecurityToken.MismatchWithAccessKey", Kind.ACCOUNT),
    (403, "Forbidden.RAM", Kind.PERMISSION),
    (403, "NoPermission", Kind.PERMISSION),
    (403, "Authentication.NoAuth", Kind.PERMISSION),
    (400, "InvalidParameter.PhoneNumber", Kind.NUMBER),
    (400, "InvalidParameter", Kind.NUMBER),
    (400, "MissingPhoneNumber", Kind.NUMBER),
    (400, "MissingParameter.CustSpaceId", Kind.NUMBER),
    (500, "InternalError", Kind.TRANSIENT),
    (503, "ServiceUnavailable", Kind.TRANSIENT),
    (500, "UnknownError", Kind.TRANSIENT),
    (None, "timeout", Kind.TRANSIENT),
    (None, "connection_error", Kind.TRANSIENT),
    (None, "tls_error", Kind.TRANSIENT),
    (200, "invalid_response", Kind.TRANSIENT),
    (None, "credentials_error", Kind.ACCOUNT),
    (None, "internal_error", Kind.TRANSIENT),
    (502, "http_502", Kind.TRANSIENT),
    (429, "http_429", Kind.THROTTLE),
]


@pytest.mark.parametrize(("status", "code", "kind"), TABLE)
def test_a_documented_code_has_its_kind_whatever_the_http_status(status: int | None, code: str, kind: Kind) -> None:
    """The Code decides; the HTTP status counts only if the code is unknown."""
    assert kind_of(code, status) is kind
    assert kind_of(code, 200) is kind


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("Brand.New", 400, Kind.NUMBER),
        ("Brand.New", 200, Kind.NUMBER),
        ("Brand.New", None, Kind.NUMBER),
        ("Brand.New", 429, Kind.THROTTLE),
        ("Brand.New", 500, Kind.TRANSIENT),
        ("Brand.New", 599, Kind.TRANSIENT),
        ("ThrottlingIsFun", 400, Kind.NUMBER),
        ("InvalidAccessKeyIdentity", 400, Kind.NUMBER),
        ("throttling", 400, Kind.NUMBER),
    ],
)
def test_an_unknown_code_goes_by_the_http_status(code: str, status: int | None, kind: Kind) -> None:
    """A family is `X` or begins with `X.`; a code that only begins with the same letters is not a member."""
    assert kind_of(code, status) is kind


@pytest.mark.parametrize("status", [302, 403, 404, 407])
def test_an_http_error_without_a_code_says_nothing_about_the_number(status: int) -> None:
    """An error from a proxy proves nothing about a number or a refused account."""
    assert kind_of(http_code(status), status) is Kind.TRANSIENT


def test_the_documented_codes_leave_room_for_others() -> None:
    """They start at 0, and must leave room in the limit of `code` values per account."""
    assert len(DOCUMENTED_CODES) == len(set(DOCUMENTED_CODES)) < 48 < MAX_CODES


def test_a_bug_of_ours_counts_from_0_too() -> None:
    assert INTERNAL_ERROR in DOCUMENTED_CODES


def test_every_documented_code_is_concrete_and_has_advice_of_its_own() -> None:
    unknown = advice("Brand.New")
    for code in DOCUMENTED_CODES:
        assert re.fullmatch(r"[A-Za-z]+(\.[A-Za-z]+)?|[a-z]+_[a-z0-9]+", code)
        assert advice(code) not in {"", unknown}


def test_every_code_of_the_table_that_is_no_family_is_documented() -> None:
    literal = {code for _, code, _ in TABLE} - {
        "Throttling.Api.Rate",
        "InvalidAccessKeyId",
        "InvalidParameter",
        "MissingParameter.CustSpaceId",
        "http_429",
    }
    assert literal <= set(DOCUMENTED_CODES)


def test_the_advice_for_a_permission_names_the_action_of_the_operation() -> None:
    assert "Grant cams:GetPhoneNumberVerificationStatus to" in advice("Ram.PermissionDeny")
    for operation in (ListInstance, QueryChatappPhoneNumbers, GetWhatsappHealthStatus):
        assert f"Grant cams:{operation.name} to" in advice("Ram.PermissionDeny", operation.name)
    assert not any("{" in advice(code) for code in DOCUMENTED_CODES)
