"""How this server treats one connection: what it reads of it, its deadlines, and the answers of the protocol level.

Reads one request's head at a time and hands it on whole; behind it nothing is read but a bounded rest.  Request bodies,
which no path here wants, are neither parsed nor decompressed: they are dropped, little of them is read, and the
connection is closed.  aiohttp alone would inflate and keep what a stranger sends, and log a traceback for what it
cannot parse.
"""

from __future__ import annotations

import asyncio
import logging
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from aiohttp import web

from exporter.logs import fields
from exporter.web.responses import TEXT, plain

if TYPE_CHECKING:
    from exporter.web.connections.acceptor import Acceptor, Peer

logger = logging.getLogger(__name__)

IDLE_SECONDS = 120.0
"""A connection without a request for this long is closed; longer than the usual scrape interval of a minute."""

HEAD_SECONDS = 10.0
"""The head of a request must be there this long after the connection, or after its own first byte."""

MAX_HEAD_BYTES = 64 * 1024
"""Of one request line with all its headers, and of what waits behind a request; Prometheus sends about 500."""

READ_BYTES = 16 * 1024
"""The most that one read brings."""

LINGER_SECONDS = 1.0
"""How long a body is dropped after the answer, so that the peer gets to see it: a reset could overtake it."""

MAX_DROPPED_BYTES = 256 * 1024
"""Of a body, after the answer; who sends more is cut off."""

_END = b"\r\n\r\n"

_REQUEST_LINE = re.compile(rb"[A-Z-]+ [^ ]+ HTTP/1\.[01]\r\n")
"""The beginning of what is handed on at all; aiohttp looks closer."""


class RequestHandler(web.RequestHandler):
    """aiohttp's side of a connection, with error answers that tell the peer nothing but the status."""

    __slots__ = ("connection",)

    connection: Connection

    def __init__(self, server: web.Server) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            logger=logger,
            access_log=None,  # type: ignore[arg-type] # aiohttp takes None for no log
            keepalive_timeout=IDLE_SECONDS,
            lingering_time=0,  # there is nothing to wait for: bodies are not handed on
            auto_decompress=False,
        )

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's text; it quotes what the peer sent
    ) -> web.StreamResponse:
        """The answer to a request that is not HTTP (`status` 400) or that a handler failed on (5xx)."""
        if request.writer.output_size > 0:
            raise ConnectionResetError("the answer has begun and cannot be taken back")
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            logger.error("request failed", exc_info=exc, extra=fields(path=request.path))
        else:
            logger.debug("not a valid request", extra=fields(remote=request.remote, error=type(exc).__name__))
        if exc is not None:
            exc.__traceback__ = None  # its frames hold the error and the head: a cycle, memory until a collector runs
        response = plain(status, f"{status} {HTTPStatus(status).phrase}")
        response.force_close()
        return response


class Connection(asyncio.BufferedProtocol):
    """One connection, between its transport and `handler`."""

    def __init__(self, handler: RequestHandler, peer: Peer, acceptor: Acceptor, head_seconds: float) -> None:
        self._handler: RequestHandler | None = handler
        handler.connection = self
        self.peer = peer
        self._acceptor = acceptor
        self._head_seconds = head_seconds
        self._transport: asyncio.Transport | None = None
        self._read = bytearray()
        self._received = bytearray()
        self._searched = 0  # of what was received, the bytes in which no head ends
        self._asked = False  # a head was handed on and its answer is not out
        self._dropped: int | None = None  # None: nothing is being dropped
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The peer is there."""
        self._transport = cast("asyncio.Transport", transport)
        self.peer.connected(self._transport)
        if self._handler is not None:
            self._handler.connection_made(transport)
        self._set_deadline()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The peer is gone."""
        self._clear_deadline()
        self._transport = None
        self._received = bytearray()
        self._acceptor.left(self.peer)
        handler, self._handler = self._handler, None  # each knows the other: a cycle, and memory until a collector runs
        if handler is not None:
            handler.connection_lost(exc)

    def pause_writing(self) -> None:
        """The peer does not read as fast as it is written to."""
        if self._handler is not None:
            self._handler.pause_writing()

    def resume_writing(self) -> None:
        """The peer has caught up."""
        if self._handler is not None:
            self._handler.resume_writing()

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002 - asyncio's signature
        """Where the next bytes go."""
        self._read = bytearray(READ_BYTES)
        return self._read

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes came."""
        read, self._read = self._read, bytearray()
        if self._dropped is None:
            self._received += read[:nbytes]
            self._proceed()
            return
        self._dropped += nbytes
        if self._dropped > MAX_DROPPED_BYTES and self._transport is not None:
            self._transport.abort()

    def began(self) -> None:
        """A request was seen in the head, and its answer is under way."""
        self._clear_deadline()

    def answered(self) -> None:
        """The answer is written; what waits behind it is looked at now."""
        self._asked = False
        if self._transport is not None:
            self._transport.resume_reading()
            self._proceed()

    async def drop_body(self) -> None:
        """Read and drop a body until the peer leaves, for `LINGER_SECONDS` at most; the connection is not used again.

        Whoever calls is cancelled when the peer leaves.
        """
        self._drop()
        await asyncio.sleep(LINGER_SECONDS)

    def _drop(self) -> None:
        self._dropped = 0
        self._received = bytearray()
        if self._transport is not None:
            self._transport.resume_reading()

    def _proceed(self) -> None:
        """Hand on the next head if it is there."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._asked:
            if len(self._received) > MAX_HEAD_BYTES:
                self._transport.pause_reading()
            return
        if self._deadline is None and self._received:
            self._set_deadline()
        if self._searched == 0:
            self._received = self._received.lstrip(b"\r\n")  # RFC 9112, 2.2: empty lines before a request are ignored
        if not self._received:
            return
        end = self._received.find(_END, max(0, self._searched - len(_END)))
        self._searched = len(self._received) if end < 0 else 0
        if not self._may_be_a_request():
            self._refuse(HTTPStatus.BAD_REQUEST)
        elif max(end, self._searched) > MAX_HEAD_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif end >= 0:
            self._hand_on(end + len(_END))

    def _may_be_a_request(self) -> bool:
        """Whether the first line, as far as it is there, is one."""
        if b"\n" in self._received[:MAX_HEAD_BYTES]:
            return _REQUEST_LINE.match(self._received) is not None
        return self._received[:1].isupper()

    def _hand_on(self, size: int) -> None:
        head = bytes(self._received[:size])
        del self._received[:size]
        self._asked = True
        self._set_deadline()  # aiohttp may see no request in it; what it does with one has limits of its own
        if self._handler is not None:
            self._handler.data_received(head)

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer in aiohttp's place, and close once the peer had time to read that."""
        if self._transport is None:
            return
        text = f"{status} {status.phrase}\n"
        self._transport.write(
            f"HTTP/1.1 {status} {status.phrase}\r\nServer: cams_exporter\r\nContent-Type: {TEXT}\r\n"
            f"Connection: close\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()
        )
        self._drop()
        self._clear_deadline()
        self._deadline = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._transport.close)

    def _set_deadline(self) -> None:
        self._clear_deadline()
        self._deadline = asyncio.get_running_loop().call_later(self._head_seconds, self._out_of_time)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _out_of_time(self) -> None:
        """The head has not come in time."""
        self._deadline = None
        logger.debug("a request took too long to arrive")
        self.peer.cut()
