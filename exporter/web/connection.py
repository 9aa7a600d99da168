"""How this server treats one peer: its deadlines, and the answers it gives on the protocol level.

aiohttp's own answers name its version and Python's, quote what the peer sent, and log a traceback for each peer that
speaks no HTTP; and it waits for the end of a request's head as long as for the next request.  None of that here.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web

from exporter.logs import fields
from exporter.web.answers import plain

if TYPE_CHECKING:
    from exporter.web.door import Door, Peer

logger = logging.getLogger(__name__)

IDLE_SECONDS = 120.0
"""A connection without a request for this long is closed; longer than the usual scrape interval of a minute."""

HEAD_SECONDS = 10.0
"""The head of a request must be there this long after the connection, or after its own first byte."""

MAX_HEAD_BYTES = 64 * 1024
"""Of one request line with all its headers; Prometheus sends about 500."""

LINGER_SECONDS = 1.0
"""How long a request body, which no path here wants, is read and dropped so that the peer gets to see its answer."""

_END = b"\r\n\r\n"

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nServer: cams_exporter\r\n"
    b"Connection: close\r\nContent-Length: 0\r\n\r\n"
)


class Connection(web.RequestHandler):
    """One connection, with deadlines of its own and error answers that tell the peer nothing but the status."""

    __slots__ = ("_deadline", "_door", "_head_bytes", "_head_seconds", "_last_bytes", "_peer")

    def __init__(self, server: web.Server, peer: Peer, door: Door, head_seconds: float, **options: Any) -> None:
        super().__init__(server, **options)
        self._peer = peer
        self._door = door
        self._head_seconds = head_seconds
        self._head_bytes = 0  # of a head, or body, that has not ended
        self._last_bytes = b""
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def peer(self) -> Peer:
        """The connection as the door sees it."""
        return self._peer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The peer is there."""
        self._peer.connected(cast("asyncio.Transport", transport))
        super().connection_made(transport)
        self._arm()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The peer is gone."""
        self._disarm()
        self._door.left(self._peer)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes came: see whether they end a request's head, and how long one has been under way."""
        joined = self._last_bytes + data
        end = joined.rfind(_END)
        if end >= 0:
            self._disarm()
            self._head_bytes = len(joined) - end - len(_END)
        else:
            self._head_bytes += len(data)
        self._last_bytes = joined[1 - len(_END) :]
        if self._head_bytes > MAX_HEAD_BYTES and not self._peer.answering:
            self._refuse_head()
            return
        if self._head_bytes and self._deadline is None:
            self._arm()
        super().data_received(data)

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
        response = plain(status, f"{status} {HTTPStatus(status).phrase}")
        response.force_close()
        return response

    def _refuse_head(self) -> None:
        transport = self.transport
        if transport is not None:
            transport.write(_TOO_LARGE)
        self.force_close()

    def _arm(self) -> None:
        self._deadline = asyncio.get_running_loop().call_later(self._head_seconds, self._out_of_time)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _out_of_time(self) -> None:
        """The head has not come in time; while an earlier request is being answered the next one's may wait."""
        if self._peer.answering:
            self._arm()
        else:
            logger.debug("a request took too long to arrive")
            self._peer.cut()
