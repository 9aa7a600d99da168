"""The signature, compared with the example that Alibaba Cloud publishes."""

from __future__ import annotations

import hashlib

from requests import PreparedRequest, Request

from exporter.cams.signing import new_nonce, sign
from exporter.model import Credential

VECTOR_UNIX = 1698315752.0  # 2023-10-26T10:22:32Z
VECTOR_NONCE = "3156853299f313e23d1673dc12e1703d"
CREDENTIAL = Credential("YourAccessKeyId", "YourAccessKeySecret")


def request(query: str = "", data: str | bytes | None = None, **headers: str) -> PreparedRequest:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("POST", f"https://ecs.cn-shanghai.aliyuncs.com/{query}", headers=named, data=data).prepare()


def signed(prepared: PreparedRequest, credential: Credential = CREDENTIAL) -> dict[str, str]:
    sign(prepared, credential, VECTOR_UNIX, lambda: VECTOR_NONCE)
    return dict(prepared.headers)


def test_alibabas_published_vector() -> None:
    prepared = request(
        "?RegionId=cn-shanghai&ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd",
        x_acs_action="RunInstances",
        x_acs_version="2014-05-26",
    )
    headers = signed(prepared)
    assert headers["x-acs-date"] == "2023-10-26T10:22:32Z"
    assert headers["authorization"] == (
        "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,"
        "SignedHeaders=host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version,"
        "Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
    )


def test_a_security_token_is_sent_and_signed() -> None:
    headers = signed(request(), Credential("id", "secret", "token"))
    assert headers["x-acs-security-token"] == "token"
    assert ";x-acs-security-token;" in headers["authorization"] or "x-acs-security-token," in headers["authorization"]


def test_no_token_no_header() -> None:
    assert "x-acs-security-token" not in signed(request())


def test_the_body_is_hashed() -> None:
    assert signed(request(data="täxt"))["x-acs-content-sha256"] == hashlib.sha256("täxt".encode()).hexdigest()
    assert signed(request(data=b"\xff"))["x-acs-content-sha256"] == hashlib.sha256(b"\xff").hexdigest()


def test_what_is_not_signed_may_change_on_the_way() -> None:
    """A proxy that rewrites the user agent must not break the signature."""
    assert signed(request(user_agent="a"))["authorization"] == signed(request(user_agent="b"))["authorization"]


def test_a_changed_parameter_changes_the_signature() -> None:
    assert signed(request("?PhoneNumber=1"))["authorization"] != signed(request("?PhoneNumber=2"))["authorization"]


def test_each_attempt_has_a_nonce_of_its_own() -> None:
    prepared, nonces = request(), set()
    for _ in range(100):
        sign(prepared, CREDENTIAL, VECTOR_UNIX)
        nonces.add(prepared.headers["x-acs-signature-nonce"])
    assert len(nonces) == 100
    assert len(new_nonce()) == 32


def test_no_secret_in_a_repr() -> None:
    credential = Credential("the-key-id", "the-secret", "the-token")
    for shown in (repr(credential), str(credential)):
        assert not any(word in shown for word in ("the-key-id", "the-secret", "the-token"))


def test_the_secret_is_in_no_header() -> None:
    prepared = request()
    assert all("YourAccessKeySecret" not in value for value in signed(prepared).values())
    assert "YourAccessKeySecret" not in (prepared.url or "")
