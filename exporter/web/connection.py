"""How this server treats one peer, and the answers it gives on the protocol level.

aiohttp's own answers name its version and Python's, quote what the peer sent, and log a traceback for each peer that
speaks no HTTP.  None of that here.
"""

from __future__ import annotations

import logging
from http import HTTPStatus

from aiohttp import web

from exporter.logs import fields
from exporter.web.answers import plain

logger = logging.getLogger(__name__)

IDLE_SECONDS = 120.0
"""A connection without a request for this long is closed; longer than the usual scrape interval of a minute."""

LINGER_SECONDS = 1.0
"""How long a request body, which no path here wants, is read and dropped so that the peer gets to see its answer."""


class Connection(web.RequestHandler):
    """One connection, with error answers that tell the peer nothing but the status."""

    __slots__ = ()

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
