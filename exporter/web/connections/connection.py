"""One HTTP connection, between its transport and aiohttp: its deadlines, and how much of it is read.

Hands one request's head at a time to aiohttp.  Behind a head no more than `MAX_HEAD_BYTES` are read until it is
answered.  Request bodies, which no path here wants, are neither parsed nor decompressed: the connection is closed
after the answer.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import cast

from exporter.metrics.catalogue import Refusal
from exporter.web.connections.open_connections import OpenConnections
from exporter.web.responses import TEXT

HEAD_SECONDS = 10.0
"""The TLS handshake and the head of the first request must be over this long after the connection was accepted, each
later head this long after its first byte."""

MAX_HEAD_BYTES = 64 * 1024
"""Of one request line with all its headers, and of what waits behind a request; Prometheus sends about 500."""

MAX_UNREAD_BYTES = 4 * 1024 * 1024
"""TLS itself answers some messages, such as key updates: a client that sends them and reads nothing is cut off here."""

LINGER_SECONDS = 1.0
"""How long a connection that is to be closed stays open after the answer: closing it while the client still sends is a
reset, which may destroy an answer that it has not read yet."""

READ_BUFFER = memoryview(bytearray(16 * 1024))
"""What one read brings, for all connections: each takes its bytes out before another one reads."""

_END = b"\r\n\r\n"

_HEAD = re.compile(rb"[A-Z-]+ [^\s]+ HTTP/1\.[01]\r\n([\w!#$%&'*+.^`|~-]+:[^\x00-\x08\n-\x1f\x7f]*\r\n)*\r\n", re.ASCII)
"""What a head looks like; aiohttp looks closer.  aiohttp's answer to what it cannot parse names its version."""


class Connection(asyncio.BufferedProtocol):
    """One client's connection, one of those in `others`; `serve` makes aiohttp's protocol for it."""

    def __init__(
        self, serve: Callable[[], asyncio.Protocol], others: OpenConnections, head_seconds: float = HEAD_SECONDS
    ) -> None:
        self._serve = serve
        self._http: asyncio.Protocol | None = None
        self._others = others
        self._head_seconds = head_seconds
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._is_busy = False  # a head was handed on and its answer is not out
        self._deadline: asyncio.TimerHandle | None = None
        self._start_deadline()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there, and encrypted if it is to be."""
        self._transport = cast("asyncio.Transport", transport)
        self._http = self._serve()
        self._http.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection, or the attempt to encrypt it, has ended."""
        self._stop_deadline()
        self._received.clear()
        self._others.remove(self)
        http, self._http, self._transport = self._http, None, None  # no reference cycle is left for the collector
        if http is not None:
            http.connection_lost(exc)

    def refuse(self, reason: Refusal, detail: object) -> None:
        """Count and log that this connection is refused before it can ask for anything."""
        self._others.refuse(self, reason, detail)

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        if self._http is not None:
            self._http.pause_writing()

    def resume_writing(self) -> None:
        """The client has read what was waiting."""
        if self._http is not None:
            self._http.resume_writing()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Where the next bytes go."""
        return READ_BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes came."""
        self.data_received(READ_BUFFER[:nbytes])

    def data_received(self, data: bytes | memoryview) -> None:
        """These bytes came."""
        self._received += data
        self._proceed()

    @contextmanager
    def answering(self) -> Iterator[None]:
        """While the block lasts a request is being answered: the connection has no deadline and is not idle."""
        self._stop_deadline()
        self._others.left_idle(self)
        try:
            yield
        finally:
            self._others.became_idle(self)

    @contextmanager
    def idle(self) -> Iterator[None]:
        """While the block, in `answering`, lasts the connection may have to make room after all."""
        self._others.became_idle(self)
        try:
            yield
        finally:
            self._others.left_idle(self)

    def answered(self) -> None:
        """The answer is written: go on with the next request."""
        self._is_busy = False
        if self._transport is not None:
            self._transport.resume_reading()
            self._proceed()

    def _proceed(self) -> None:
        """Hand on the next head if it is there."""
        if self._transport is None or self._http is None or self._transport.is_closing():
            return
        if self._is_busy:
            if len(self._received) > MAX_HEAD_BYTES:
                self._transport.pause_reading()
            return
        if self._received and self._deadline is None:
            self._start_deadline()
        self._received = self._received.lstrip(b"\r\n")  # RFC 9112, 2.2: empty lines before a request are ignored
        head, end, _ = bytes(self._received).partition(_END)
        if len(head) > MAX_HEAD_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif head and (not head[:1].isupper() or b"\n\n" in head or (end and not _HEAD.fullmatch(head + end))):
            self._refuse(HTTPStatus.BAD_REQUEST)
        elif end:
            del self._received[: len(head + end)]
            self._is_busy = True
            self._start_deadline()  # `answering` stops it; aiohttp may see no request in this head
            self._http.data_received(head + end)

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer in aiohttp's place, and close once the client had time to read that."""
        if self._transport is not None:
            self._transport.write(error_answer(status, f"{status} {status.phrase}"))
            self._is_busy = True
            self._stop_deadline()
            self._deadline = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._transport.close)

    def _start_deadline(self) -> None:
        self._stop_deadline()
        self._deadline = asyncio.get_running_loop().call_later(self._head_seconds, self._end_late)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end_late(self) -> None:
        """The handshake or the head has not come in time."""
        if self._http is None:
            late = f"not over after {self._head_seconds:g} s"
            self.refuse(Refusal.HANDSHAKE_TIMEOUT, late)
        self._others.cut(self)


def error_answer(status: int, text: str) -> bytes:
    """A whole answer, after which the connection is closed."""
    return (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nServer: cams_exporter\r\nContent-Type: {TEXT}\r\n"
        f"Connection: close\r\nContent-Length: {len(text) + 1}\r\n\r\n{text}\n"
    ).encode()
