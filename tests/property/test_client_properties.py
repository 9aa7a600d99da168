"""For any answer, a fetch ends with an Answer or an ApiError, bounded and safe to show."""

from __future__ import annotations

import io
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from requests import Response
from requests.structures import CaseInsensitiveDict

from exporter.cams.answers import Redaction, read_payload
from exporter.cams.client import Client
from exporter.cams.operations import GetPhoneNumberVerificationStatus
from exporter.errors import ApiError
from exporter.model import Answer
from tests.support.clients import client_of
from tests.support.numbers import number
from tests.support.rawserver import ANSWER, Peer, RawServer

NUMBER = number(label="hidden")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
texts = st.text(st.characters()) | st.sampled_from(["OK", "", " ", NUMBER.phone_number, "Throttling.User"])
lookalikes = st.fixed_dictionaries(
    {},
    optional={
        "Code": texts | json_values,
        "Message": texts | json_values,
        "RequestId": texts | json_values,
        "Data": st.fixed_dictionaries(
            {}, optional={"CodeVerificationStatus": texts | json_values, "Id": texts | json_values}
        )
        | json_values,
    },
).map(lambda payload: json.dumps(payload).encode())


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A success with a few bytes changed."""
    data = bytearray(json.dumps(ANSWER).encode())
    for _ in range(draw(st.integers(1, 4))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data)


bodies = st.binary(max_size=300) | lookalikes | damaged()
header_names = st.sampled_from(
    ["retry-after", "x-acs-retry-after", "x-ratelimit-user", "x-acs-request-id", "date", "location", "etag"]
)
headers = st.dictionaries(header_names, st.text(max_size=60), max_size=6)


def check(result: Answer | ApiError) -> None:
    texts = (
        [result.status, result.phone_number_id, result.request_id]
        if isinstance(result, Answer)
        else [result.code, result.message, result.request_id, str(result)]
    )
    assert texts[0].strip()
    for text in texts:
        assert len(text) <= 1000
        assert NUMBER.phone_number not in text
        text.encode()  # no lone surrogate: it will be written to the exposition
    if isinstance(result, ApiError):
        assert len(result.code) <= 128
        assert len(result.message) <= 500
        assert result.retry_after_seconds is None or 0 <= result.retry_after_seconds <= 60


@given(st.integers(100, 999), headers, bodies)
def test_any_status_any_headers_any_bytes(status: int, named: dict[str, str], body: bytes) -> None:
    response = Response()
    response.status_code, response.headers, response.raw = status, CaseInsensitiveDict(named), io.BytesIO(body)
    try:
        payload = read_payload(response, Redaction(NUMBER, ("secret",)), 1 << 20, 0.0, 0.0)
        result: Answer | ApiError = GetPhoneNumberVerificationStatus(NUMBER).read(payload)
    except ApiError as error:
        result = error
    check(result)
    if isinstance(result, Answer):
        parsed: Any = json.loads(body)
        assert 200 <= status < 300
        assert parsed["Code"] == "OK"
        assert parsed["Data"]["CodeVerificationStatus"].strip()


class Echo:
    """A client of a server that sends given bytes and closes the connection."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.data = b""

    def ask(self) -> Answer | ApiError:
        try:
            return self._client.fetch(NUMBER)
        except ApiError as error:
            return error


@pytest.fixture(scope="module")
def echo() -> Iterator[Echo]:
    def script(peer: Peer) -> None:
        while peer.read_request():
            peer.send(told.data)
            peer.sock.shutdown(socket.SHUT_WR)

    with RawServer(script) as server, client_of(server.url, timeout_seconds=10) as client:
        told = Echo(client)
        yield told


raw_heads = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 20\r\n",
        b"HTTP/1.1 999 \r\n",
        b"HTTP/1.1 -1 x\r\n",
        b"HTTP/0.9 200\r\n",
        b"",
    ]
)
raw_tails = st.binary(max_size=200) | st.sampled_from(
    [b"\r\n-1\r\nx", b"\r\n0x10\r\n", b"\r\nffffffffffffffff\r\nx", b"\r\n1_0\r\nx", b"\r\n\r\n\r\n", b"X" * 70_000]
)


@settings(max_examples=150)
@given(raw_heads, raw_tails)
def test_any_bytes_at_all_on_the_wire(echo: Echo, head: bytes, tail: bytes) -> None:
    """Also bytes that are not HTTP; and no thread is lost."""
    threads = threading.active_count()
    echo.data = head + tail
    check(echo.ask())
    assert threading.active_count() <= threads + 2
