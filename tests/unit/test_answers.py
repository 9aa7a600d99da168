"""From one HTTP answer to a status or an error.

`responses` answers in place of the adapter: no socket is opened.  Network faults are in test_adapter.
"""

from __future__ import annotations

import json

import pytest
from requests import PreparedRequest
from responses import POST, RequestsMock

from exporter.cams.attempt import MAX_BODY_BYTES
from exporter.errors import ApiError, Kind
from exporter.model import Answer, Credential, PhoneNumber
from tests.support.clients import FixedCredentials, client_of
from tests.support.clock import FakeClock
from tests.support.numbers import number
from tests.support.rawserver import ANSWER

NOW = 1698315752.0
"""Thu, 26 Oct 2023 10:22:32 GMT."""

MASKED = number(label="hidden-number")


URL = "http://127.0.0.1:1/"
CREDENTIALS = FixedCredentials(Credential("", "the-secret", "the-token"))


def read(body: object, status: int = 200, who: PhoneNumber | None = None, **headers: str) -> Answer:
    """The client's result for an answer that comes after 0.25 s, at `NOW`."""
    clock = FakeClock(now_unix=NOW - 0.25)
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def answers(_: PreparedRequest) -> tuple[int, dict[str, str], bytes]:
        clock.advance(0.25)
        return status, named, raw

    with (
        RequestsMock(target="exporter.cams.adapter.GatedAdapter.send") as api,
        client_of(URL, credentials=CREDENTIALS, clock=clock) as client,
    ):
        api.add_callback(POST, URL, answers)
        return client.fetch(who or number())


def error(body: object, status: int = 200, who: PhoneNumber | None = None, **headers: str) -> ApiError:
    with pytest.raises(ApiError) as caught:
        read(body, status, who, **headers)
    assert caught.value.elapsed_seconds == 0.25
    assert caught.value.http_status == status
    assert caught.value.sent
    return caught.value


def answer(**data: object) -> dict[str, object]:
    return {**ANSWER, "Data": {"CodeVerificationStatus": "VERIFIED", "Id": "1", **data}}


def test_a_success() -> None:
    assert read(ANSWER) == Answer("VERIFIED", "2224342624", "90E63D28-E31D-1EB2-8939-A94866411B2D", 0.25)


@pytest.mark.parametrize("status", [200, 201, 299])
def test_any_2xx_will_do(status: int) -> None:
    assert read(ANSWER, status).status == "VERIFIED"


@pytest.mark.parametrize("status", ["REVOKED", "MORE_INFORMATION_REQUESTED", "verified", "日本", ' "\n\\', "UNKNOWN"])
def test_an_unforeseen_status_is_kept_verbatim(status: str) -> None:
    assert read(answer(CodeVerificationStatus=status)).status == status


def test_a_status_is_bounded_and_can_be_encoded() -> None:
    assert read(answer(CodeVerificationStatus="X" * 1000)).status == "X" * 128
    assert read(b'{"Code":"OK","Data":{"CodeVerificationStatus":"\\ud800A"}}').status == "?A"


@pytest.mark.parametrize(
    ("number_id", "kept"),
    [
        ("2224", "2224"),
        (2224, "2224"),
        (None, ""),
        (True, ""),
        (["2"], ""),
        ({}, ""),
        (1.5, ""),
        ("7" * 200, "7" * 128),
    ],
)
def test_the_id_is_a_text_or_nothing(number_id: object, kept: str) -> None:
    assert read(answer(Id=number_id)).phone_number_id == kept


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "VERIFIED",
        {},
        {"CodeVerificationStatus": None},
        {"CodeVerificationStatus": ""},
        {"CodeVerificationStatus": " \t\n"},
        {"CodeVerificationStatus": 1},
        {"CodeVerificationStatus": True},
        {"CodeVerificationStatus": ["VERIFIED"]},
        {"CodeVerificationStatus": {"VERIFIED": 1}},
        {"codeVerificationStatus": "VERIFIED"},
    ],
)
def test_ok_without_a_status_is_no_success(data: object) -> None:
    """Only a non-blank string Data.CodeVerificationStatus is a status."""
    failed = error({**ANSWER, "Data": data})
    assert (failed.code, failed.kind) == ("invalid_response", Kind.TRANSIENT)
    assert failed.request_id == ANSWER["RequestId"]


BOMB = b'{"Code":"OK","Data":' + b"[" * 100_000
NOT_JSON = {
    "empty": b"",
    "html": b"<html><body>OK</body></html>",
    "cut off": json.dumps(ANSWER).encode()[:-1],
    "more after it": json.dumps(ANSWER).encode() + b"{}",
    "invalid utf-8": b'{"Code":"OK","Data":{"CodeVerificationStatus":"\xff"}}',
    "utf-16": json.dumps(ANSWER).encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf" + json.dumps(ANSWER).encode(),
    "deep": BOMB,
    "NaN": b'{"Code":"OK","X":NaN,"Data":{"CodeVerificationStatus":"VERIFIED"}}',
    "huge integer": b'{"Code":"OK","X":' + b"9" * 10_000 + b',"Data":{"CodeVerificationStatus":"VERIFIED"}}',
    "key twice": b'{"Code":"OK","Data":{"CodeVerificationStatus":"EXPIRED","CodeVerificationStatus":"VERIFIED"}}',
    "a list": b'[{"Code":"OK"}]',
    "a string": b'"OK"',
    "null": b"null",
    "a number": b"1",
    "too long": json.dumps(ANSWER).encode() + b" " * MAX_BODY_BYTES,
    "no Code": b'{"Data":{"CodeVerificationStatus":"VERIFIED"}}',
    "Code of another type": b'{"Code":200,"Data":{"CodeVerificationStatus":"VERIFIED"}}',
    "blank Code": b'{"Code":" \\u0000 ","Data":{"CodeVerificationStatus":"VERIFIED"}}',
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON)
def test_what_is_not_the_apis_answer_is_refused(body: bytes) -> None:
    assert error(body).code == "invalid_response"


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON)
def test_an_http_error_without_a_code_goes_by_its_status(body: bytes) -> None:
    failed = error(body, 502)
    assert (failed.code, failed.kind) == ("http_502", Kind.TRANSIENT)


def test_ok_in_an_http_error_is_an_error() -> None:
    assert error(ANSWER, 500).code == "http_500"


@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_redirect_is_refused(status: int) -> None:
    assert error(b"", status, Location="https://evil.example/").code == f"http_{status}"


KINDS = {
    "Product.Unsubscript": Kind.ACCOUNT,
    "InvalidAccessKeyId.NotFound": Kind.ACCOUNT,
    "InvalidTimeStamp.Expired": Kind.ACCOUNT,
    "Forbidden.RAM": Kind.PERMISSION,
    "System.LimitControl": Kind.THROTTLE,
    "Throttling.User": Kind.THROTTLE,
    "InvalidParameter.PhoneNumber": Kind.NUMBER,
    "InternalError": Kind.TRANSIENT,
}
HEADERS: dict[str, tuple[dict[str, str], float | None]] = {
    "none": ({}, None),
    "seconds": ({"Retry_After": "7"}, 7.0),
    "milliseconds": ({"x_acs_retry_after": "1500"}, 1.5),
    "an hour": ({"Retry_After": "3600"}, 60.0),
    "nonsense": ({"Retry_After": "soon", "x_acs_retry_after": "-1"}, None),
    "an encoding": ({"Retry_After": "7", "Content_Encoding": "identity"}, 7.0),
}


@pytest.mark.parametrize("status", [200, 400, 403, 404, 429, 500, 503])
@pytest.mark.parametrize(("code", "kind"), KINDS.items(), ids=KINDS)
@pytest.mark.parametrize(("headers", "wait"), HEADERS.values(), ids=HEADERS)
def test_a_code_means_the_same_in_any_status_and_with_any_headers(
    status: int, code: str, kind: Kind, headers: dict[str, str], wait: float | None
) -> None:
    failed = error({"Code": code, "Message": "no", "RequestId": "R"}, status, None, **headers)
    assert (failed.code, failed.kind, failed.retry_after_seconds, failed.request_id) == (code, kind, wait, "R")


@pytest.mark.parametrize("status", [200, 400, 403, 500, 503])
def test_the_code_goes_before_the_http_status(status: int) -> None:
    failed = error({"Code": "Ram.PermissionDeny", "Message": "no", "RequestId": "R"}, status)
    assert (failed.code, failed.kind, failed.message, failed.request_id) == (
        "Ram.PermissionDeny",
        Kind.PERMISSION,
        "no",
        "R",
    )


@pytest.mark.parametrize("code", [" OK", "OK ", "\n OK ", "OK\x00", "\u202eOK"])
def test_only_ok_itself_is_ok(code: str) -> None:
    """The code is compared unchanged; a code that only looks like OK is not used to count errors."""
    assert error({**ANSWER, "Code": code}).code == "invalid_response"
    assert error({**ANSWER, "Code": code}, 400).code == "http_400"


def test_a_code_is_bounded_and_one_line() -> None:
    assert error({"Code": "A\n" + "b" * 500}).code == ("A " + "b" * 500)[:128]
    assert error(b'{"Code":"A\\udfffB"}').code == "A?B"


@pytest.mark.parametrize("message", [None, 5, ["x"], {"a": 1}])
def test_a_message_of_another_type_is_ignored(message: object) -> None:
    assert error({"Code": "X", "Message": message}).message == ""


def test_a_message_is_one_printable_line_of_bounded_length() -> None:
    assert error({"Code": "X", "Message": ' a\r\n\tb\x00\x1b[31m "c"\u202e\ud800 '}).message == 'a b [31m "c" ?'
    assert error({"Code": "X", "Message": "long " * 200_000}).message == ("long " * 100)[:500]


def test_the_number_is_shown_by_its_label_only() -> None:
    """Also if the cut would leave a part of it."""
    digits = MASKED.phone_number
    failed = error(
        {"Code": f"Bad.{digits}", "Message": f"{'x' * 495} {digits}", "RequestId": f"R-{digits}"}, 400, MASKED
    )
    shown = f"{failed.code} {failed.message} {failed.request_id} {failed}"
    assert digits[:7] not in shown
    assert failed.code == f"Bad.{MASKED.label}"
    got = read({**answer(CodeVerificationStatus=digits, Id=digits), "RequestId": digits}, who=MASKED)
    assert got == Answer(MASKED.label, MASKED.label, MASKED.label, 0.25)


def test_no_cut_leaves_a_part_of_a_number() -> None:
    """Redacted first, then cut, for any limit."""
    digits = MASKED.phone_number
    for before in range(100, 130):
        padded = "x" * before + digits
        assert digits[:3] not in read(answer(CodeVerificationStatus=padded, Id=padded), who=MASKED).status[before:]
    for before in range(1980, 2010):
        assert digits[:3] not in error({"Code": "X", "Message": " " * before + digits}, 400, MASKED).message[:3]
        assert error({"Code": "X", "Message": " " * before + digits}, 400, MASKED).message in MASKED.label[:13]


def test_a_number_that_may_be_shown_is_shown() -> None:
    assert number().phone_number in error({"Code": "X", "Message": f"no {number().phone_number}"}).message


def test_an_echoed_credential_is_not_kept() -> None:
    """The server's string to sign contains the token."""
    failed = error({"Code": "SignatureDoesNotMatch", "Message": "x-acs-security-token:the-token the-secret"})
    assert failed.message == "x-acs-security-token:*** ***"


def test_the_request_id_of_the_body_goes_before_the_headers() -> None:
    assert error({"Code": "X", "RequestId": "B"}, x_acs_request_id="H").request_id == "B"
    assert error({"Code": "X"}, x_acs_request_id="H").request_id == "H"
    assert error({"Code": "X", "RequestId": 7}, x_acs_request_id="H").request_id == "H"
    assert error(b"<html>", 502, x_acs_request_id="H" * 300).request_id == "H" * 128
    assert read(answer() | {"RequestId": None}, x_acs_request_id="H").request_id == "H"
    assert error(b"").request_id == ""


@pytest.mark.parametrize(("code", "guessed"), [("AccessDenied", True), ("InvalidParameter.New", False), ("", False)])
def test_an_error_says_whether_its_kind_is_a_guess(code: str, guessed: bool) -> None:
    """An unknown code in a 4xx is handled as an error about the number, but it is only a guess."""
    assert error({"Code": code}, 403).guessed is guessed


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"Code": "Throttling.User"}, 400),
        ({"Code": "InternalError"}, 500),
        ({"Code": "InternalError"}, 200),
        ({"Code": "InvalidParameter.PhoneNumber"}, 400),
        ({"Code": "Forbidden.RAM"}, 403),
        ({"Code": "Brand.New"}, 400),
        (b"<html>Too Many Requests</html>", 429),
        (b"<html>Service Unavailable</html>", 503),
        (b"", 302),
        (b"<html>Welcome</html>", 200),
    ],
)
def test_any_error_may_ask_to_wait(body: object, status: int) -> None:
    """For any code, and without a code; the poller decides what to do."""
    assert error(body, status, Retry_After="30").retry_after_seconds == 30.0
    assert error(body, status, Retry_After="Thu, 26 Oct 2023 10:22:52 GMT").retry_after_seconds == 20.0
    assert error(body, status, x_acs_retry_after="1500").retry_after_seconds == 1.5
    assert error(body, status).retry_after_seconds is None


def test_the_rest_of_a_window_is_a_wait_only_in_a_throttle() -> None:
    """Older gateways may say it with every answer."""
    left = "Limit:10,Remain:5,TimeLeft:2000,Reset:1234"
    assert error({"Code": "Throttling.User"}, 400, x_ratelimit_user=left).retry_after_seconds == 2.0
    assert error({"Code": "InternalError"}, 500, x_ratelimit_user=left).retry_after_seconds is None


def test_an_error_tells_the_servers_time() -> None:
    assert error(b"", 500, Date="Thu, 26 Oct 2023 10:22:32 GMT").server_unix == 1698315752.0
    assert error(b"", 500).server_unix is None
