"""The server's check of ACS3-HMAC-SHA256."""

from __future__ import annotations

import pytest

from exporter.simulator import Request
from exporter.simulator.signature import (
    Authorization,
    canonical_query,
    is_valid,
    missing_headers,
    parse_authorization,
    sign,
    string_to_sign,
)

SIGNED = (
    "host",
    "x-acs-action",
    "x-acs-content-sha256",
    "x-acs-date",
    "x-acs-signature-nonce",
    "x-acs-version",
)
ALIBABA = Request(
    "POST",
    "/?RegionId=cn-shanghai&ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd",
    {
        "host": "ecs.cn-shanghai.aliyuncs.com",
        "x-acs-action": "RunInstances",
        "x-acs-content-sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "x-acs-date": "2023-10-26T10:22:32Z",
        "x-acs-signature-nonce": "3156853299f313e23d1673dc12e1703d",
        "x-acs-version": "2014-05-26",
    },
    b"",
)
SIGNATURE = "06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
AUTHORIZATION = Authorization("YourAccessKeyId", SIGNED, SIGNATURE)


def test_the_vector_that_alibaba_publishes() -> None:
    text = string_to_sign(ALIBABA, SIGNED)
    assert text == "ACS3-HMAC-SHA256\n7ea06492da5221eba5297e897ce16e55f964061054b7695beedaac1145b1e259"
    assert sign("YourAccessKeySecret", text) == SIGNATURE
    assert is_valid(ALIBABA, AUTHORIZATION, "YourAccessKeySecret")
    assert not is_valid(ALIBABA, AUTHORIZATION, "AnotherSecret")


@pytest.mark.parametrize(
    "changed",
    [
        Request("GET", ALIBABA.target, ALIBABA.headers, b""),
        Request("POST", ALIBABA.target + "&X=1", ALIBABA.headers, b""),
        Request("POST", ALIBABA.target, {**ALIBABA.headers, "host": "elsewhere"}, b""),
        Request("POST", ALIBABA.target, ALIBABA.headers, b"body"),
    ],
    ids=["method", "query", "header", "body"],
)
def test_nothing_of_the_request_can_change_under_its_signature(changed: Request) -> None:
    assert not is_valid(changed, AUTHORIZATION, "YourAccessKeySecret")


def test_the_query_is_sorted_and_encoded_after_rfc_3986() -> None:
    assert canonical_query("b=%7e%2a+x&a=%E4%BD%A0&c=") == "a=%E4%BD%A0&b=~%2A%20x&c="


def test_the_authorization_header_is_taken_apart() -> None:
    header = f"ACS3-HMAC-SHA256 Credential=key,SignedHeaders=host;x-acs-date,Signature={SIGNATURE}"
    assert parse_authorization(header) == Authorization("key", ("host", "x-acs-date"), SIGNATURE)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic dXNlcjpwYXNz",
        f"ACS3-RSA-SHA256 Credential=key,SignedHeaders=host,Signature={SIGNATURE}",
        "ACS3-HMAC-SHA256 Credential=key,SignedHeaders=host,Signature=short",
        f"ACS3-HMAC-SHA256 SignedHeaders=host,Signature={SIGNATURE}",
    ],
)
def test_any_other_authorization_is_refused(header: str) -> None:
    assert parse_authorization(header) is None


def test_every_x_acs_header_that_is_sent_must_be_signed() -> None:
    request = Request("POST", "/", {**ALIBABA.headers, "x-acs-extra": "1"}, b"")
    assert missing_headers(request, SIGNED) == ("x-acs-extra",)
    assert missing_headers(request, (*SIGNED, "x-acs-extra")) == ()


def test_a_required_header_that_is_named_but_not_sent_is_missing() -> None:
    headers = {name: value for name, value in ALIBABA.headers.items() if name != "x-acs-date"}
    assert missing_headers(Request("POST", "/", headers, b""), SIGNED) == ("x-acs-date",)
