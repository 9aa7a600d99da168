"""Every answer of the API reference, over a real socket, signed and in the documented form."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from exporter.errors import Kind
from exporter.model import Answer, Credential
from tests.support.clients import FixedCredentials, client_of, error_of
from tests.support.numbers import number
from tests.support.rawserver import ANSWER, RawServer, answering, http, ok

REQUEST_ID = "90E63D28-E31D-1EB2-8939-A94866411B2D"


def recorded(status: str, code: str) -> bytes:
    """A gateway's error, as the reference shows it."""
    body = {
        "RequestId": REQUEST_ID,
        "HostId": "cams.ap-southeast-1.aliyuncs.com",
        "Code": code,
        "Message": "Specified parameter is not valid.",
        "Recommend": "https://next.api.aliyun.com/troubleshoot?q=" + code,
    }
    return http(json.dumps(body).encode(), status, Content_Type="application/json;charset=utf-8")


@pytest.mark.parametrize("status", ["VERIFIED", "NOT_VERIFIED", "EXPIRED", "REVOKED", "REJECTED"])
def test_a_recorded_success(status: str) -> None:
    data = {"PhoneNumber": "861390000****", "Id": "222434****", "CodeVerificationStatus": status}
    with RawServer(answering(ok({**ANSWER, "Data": data}))) as server, client_of(server.url) as client:
        answer = client.fetch(number())
    assert answer == Answer(status, "222434****", REQUEST_ID, answer.elapsed_seconds)
    assert answer.elapsed_seconds > 0


@pytest.mark.parametrize("detail", ["x", {"AuthAction": "cams:Get"}, None])
def test_access_denied_detail_changes_nothing(detail: object) -> None:
    payload = {**ANSWER, "AccessDeniedDetail": detail}
    with RawServer(answering(ok(payload))) as server, client_of(server.url) as client:
        assert client.fetch(number()).status == "VERIFIED"


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        ("400 Bad Request", "Product.Unsubscript", Kind.ACCOUNT),
        ("400 Bad Request", "Ram.PermissionDeny", Kind.PERMISSION),
        ("400 Bad Request", "System.LimitControl", Kind.THROTTLE),
        ("400 Bad Request", "Unknown.ResourceOwnerId", Kind.NUMBER),
        ("400 Bad Request", "Throttling.User", Kind.THROTTLE),
        ("503 Service Unavailable", "Throttling.Api", Kind.THROTTLE),
        ("429 Too Many Requests", "Rejected.Throttling", Kind.THROTTLE),
        ("404 Not Found", "InvalidAccessKeyId.NotFound", Kind.ACCOUNT),
        ("400 Bad Request", "SignatureDoesNotMatch", Kind.ACCOUNT),
        ("400 Bad Request", "InvalidTimeStamp.Expired", Kind.ACCOUNT),
        ("403 Forbidden", "InvalidSecurityToken.Expired", Kind.ACCOUNT),
        ("403 Forbidden", "Forbidden.RAM", Kind.PERMISSION),
        ("400 Bad Request", "InvalidParameter.PhoneNumber", Kind.NUMBER),
        ("400 Bad Request", "MissingPhoneNumber", Kind.NUMBER),
        ("500 Internal Server Error", "InternalError", Kind.TRANSIENT),
        ("503 Service Unavailable", "ServiceUnavailable", Kind.TRANSIENT),
        ("200 OK", "Product.Unsubscript", Kind.ACCOUNT),
    ],
)
def test_a_recorded_error(status: str, code: str, kind: Kind) -> None:
    """Also in an HTTP 200, which the official SDK accepts."""
    with RawServer(answering(recorded(status, code))) as server, client_of(server.url) as client:
        error = error_of(client)
    assert (error.code, error.kind, error.http_status, error.request_id) == (code, kind, int(status[:3]), REQUEST_ID)
    assert error.message == "Specified parameter is not valid."


def test_a_throttle_says_how_long_to_pause() -> None:
    body = json.dumps({"Code": "Throttling.User"}).encode()
    answer = http(body, "400 Bad Request", X_RateLimit_User_API="Limit:1,Remain:0,TimeLeft:2000,Reset:1234")
    with RawServer(answering(answer)) as server, client_of(server.url) as client:
        assert error_of(client).retry_after_seconds == 2.0


def test_the_request_is_the_documented_one() -> None:
    """RPC style: POST with the parameters in the query and nothing in the body."""
    credentials = FixedCredentials(Credential("LTAIexample", "secret", "sts/token+="))
    space = "cams kei~*/&=ü"
    with (
        RawServer(answering(ok())) as server,
        client_of(server.url, credentials=credentials) as client,
    ):
        client.fetch(number(7, space=space))
    (head,) = server.requests
    first, *lines = head.decode("ascii").split("\r\n")
    method, target, version = first.split(" ")
    headers = dict(line.split(": ", 1) for line in lines)
    assert (method, version) == ("POST", "HTTP/1.1")
    assert urlsplit(target).path == "/"
    assert parse_qs(urlsplit(target).query) == {"CustSpaceId": [space], "PhoneNumber": ["8613800000007"]}
    assert headers["host"] == f"127.0.0.1:{server.port}"
    assert headers["x-acs-action"] == "GetPhoneNumberVerificationStatus"
    assert headers["x-acs-version"] == "2020-06-06"
    assert headers["x-acs-security-token"] == "sts/token+="
    assert headers["accept"] == "application/json"
    assert headers["accept-encoding"] == "identity"
    assert headers["content-length"] == "0"
    assert headers["user-agent"].startswith("cams-exporter/")
    assert headers["authorization"].startswith(
        "ACS3-HMAC-SHA256 Credential=LTAIexample,SignedHeaders="
        "host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-security-token;x-acs-signature-nonce;x-acs-version,"
    )
    assert len(headers) == len(lines) == 12
