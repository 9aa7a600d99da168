"""Our signature equals the official SDK's, for any request."""

from __future__ import annotations

from urllib.parse import quote

from alibabacloud_tea_openapi.utils import Utils  # type: ignore[import-untyped]  # the SDK has no types
from darabonba.request import DaraRequest  # type: ignore[import-untyped]  # the SDK has no types
from hypothesis import given
from hypothesis import strategies as st
from requests import Request

from exporter.cams.signing import sign
from exporter.model import Credential

names = st.from_regex(r"[A-Za-z][A-Za-z0-9._~-]{0,20}", fullmatch=True)
values = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
keys = st.from_regex(r"[!-~]{1,60}", fullmatch=True)
unix = st.integers(0, 4_102_444_800)


@given(st.dictionaries(names, values, max_size=6), keys, keys, st.just("") | keys, unix, st.binary(max_size=50))
def test_same_signature_as_the_sdk(
    query: dict[str, str], key_id: str, secret: str, token: str, moment: int, body: bytes
) -> None:
    """Every parameter, key, token, instant and body: the same Authorization header, byte for byte."""
    url = "https://cams.ap-southeast-1.aliyuncs.com/"
    if query:
        url += "?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
    ours = Request("POST", url, headers={"x-acs-action": "A", "x-acs-version": "V"}, data=body).prepare()
    ours.headers.pop("Content-Type", None)  # signed by neither
    sign(ours, Credential(key_id, secret, token), float(moment), lambda: "n")
    headers = ours.headers

    theirs = DaraRequest()
    theirs.method, theirs.pathname, theirs.query = "POST", "/", query
    theirs.headers = {
        name.lower(): value
        for name, value in headers.items()
        if name.lower() == "host" or name.lower().startswith("x-acs-")
    }
    payload = headers["x-acs-content-sha256"]
    assert Utils.get_authorization(theirs, "ACS3-HMAC-SHA256", payload, key_id, secret) == headers["authorization"]
