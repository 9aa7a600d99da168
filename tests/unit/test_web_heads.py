"""The bytes that go to aiohttp: one whole head at a time, never a body, never more than the bound."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from exporter.web.connections.connection import MAX_HEAD_BYTES, READ_BUFFER, Connection
from exporter.web.connections.open_connections import OpenConnections
from exporter.web.connections.refusals import Refusals

READ_BYTES = len(READ_BUFFER)
GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n"


class FakeTransport(asyncio.Transport):
    """Records calls."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = True
        self.written = b""
        self.cut = False

    def is_closing(self) -> bool:
        return self.cut

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def abort(self) -> None:
        self.cut = True


class FakeHttp(asyncio.Protocol):
    """Records the bytes for aiohttp."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        self.heads.append(data)


class Met:
    """A connection without a server behind it."""

    def __init__(self) -> None:
        self.http, self.transport = FakeHttp(), FakeTransport()
        others = OpenConnections(Refusals(str))
        self.connection = Connection(lambda: self.http, others)
        self.connection.connection_made(self.transport)
        others.add(self.connection, self.transport)

    def send(self, data: bytes, piece: int = READ_BYTES) -> int:
        """Send bytes as the kernel would deliver them; returns how many were read."""
        sent = 0
        while sent < len(data) and self.transport.reading and not self.transport.cut:
            buffer = self.connection.get_buffer(-1)
            chunk = data[sent : sent + min(piece, len(buffer))]
            buffer[: len(chunk)] = chunk
            self.connection.buffer_updated(len(chunk))
            sent += len(chunk)
        return sent

    @property
    def heads(self) -> list[bytes]:
        return self.http.heads


def met(use: Callable[[Met], object]) -> None:
    """Use a connection in a loop, because deadlines need one."""

    async def run() -> None:
        connected = Met()
        use(connected)
        connected.connection.connection_lost(None)

    asyncio.run(run())


@pytest.mark.parametrize("piece", [1, 2, 3, 5, 1000])
def test_heads_reach_aiohttp_whole_and_one_by_one_for_any_segments(piece: int) -> None:
    def use(peer: Met) -> None:
        peer.send(b"\r\n\r\n" + GET + GET + POST, piece)
        assert peer.heads == [GET]
        peer.connection.answered()
        assert peer.heads == [GET, GET]
        peer.connection.answered()
        assert peer.heads == [GET, GET, POST]

    met(use)


@pytest.mark.parametrize("behind", [b"y" * 1000, b"\r\n\r\n" * 1000, GET * 1000, b"5\r\nhello\r\n" * 1000])
def test_while_an_answer_is_under_way_no_more_than_the_bound_is_read(behind: bytes) -> None:
    def use(peer: Met) -> None:
        peer.send(GET)
        assert peer.send(behind * 1000) <= MAX_HEAD_BYTES + READ_BYTES
        assert peer.heads == [GET]
        assert not peer.transport.reading

    met(use)


def test_what_waited_is_read_on_after_the_answer() -> None:
    """A client that sends requests before the answers gets all answers."""

    def use(peer: Met) -> None:
        requests, sent = GET * 10_000, 0
        while sent < len(requests):
            sent += peer.send(requests[sent:])
            peer.connection.answered()
        while len(peer.heads) < 10_000:
            peer.connection.answered()
        assert set(peer.heads) == {GET}

    met(use)


def test_of_a_body_no_more_than_the_bound_is_read() -> None:
    def use(peer: Met) -> None:
        assert peer.send(POST + b"here it begins" + (b"5\r\nhello\r\n" + GET) * 100_000) < 2 * MAX_HEAD_BYTES
        assert peer.heads == [POST]

    met(use)


def test_after_a_refusal_nothing_more_is_read() -> None:
    def use(peer: Met) -> None:
        assert peer.send(b"GET / HTTP/1.1\r\nX: " + b"y" * 10_000_000) < 2 * MAX_HEAD_BYTES
        assert peer.transport.written.startswith(b"HTTP/1.1 431 ")
        assert peer.transport.written.count(b"HTTP/1.1") == 1
        assert peer.heads == []

    met(use)


@pytest.mark.parametrize(
    "said",
    [
        b"\x16\x03\x01\x02\x00",
        b"get / HTTP/1.1\r\n",
        b" GET / HTTP/1.1\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nX : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\rY: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\nY: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: \x00\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
)
def test_an_invalid_request_is_refused(said: bytes) -> None:
    def use(peer: Met) -> None:
        peer.send(said)
        assert peer.transport.written.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert peer.heads == []

    met(use)
