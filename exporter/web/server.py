"""The web server: scrapes, health and readiness, the landing page.

Runs in one event loop; a scrape is rendered on a thread of its own, so that a health probe never waits for one.
Knows nothing of numbers and accounts: what it serves comes through `Exposer` and `Health`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol

from aiohttp import web

from exporter.exposition import Format
from exporter.logs import fields
from exporter.web import paths
from exporter.web.answers import answer, plain
from exporter.web.connection import IDLE_SECONDS, LINGER_SECONDS, Connection
from exporter.web.listen import BACKLOG, listen_all, parse_listen_address, url_of
from exporter.web.negotiation import accepts_gzip, negotiate_format
from exporter.web.offload import Offload
from exporter.web.pages import CONTENT_TYPE, LandingInfo, landing_page

logger = logging.getLogger(__name__)

SCRAPE_THREADS = 2
"""Rendering holds the interpreter's lock: more threads make no scrape faster, and delay the probes."""

SEND_SECONDS = 30.0
"""A scrape's answer must be read within this time; a client that does not read would keep its place for ever."""

STOP_SECONDS = 0.25
"""What requests under way get to finish in when the server stops; spent twice at worst."""

_Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Exposer(Protocol):
    """Where a scrape comes from."""

    def scrape(self, fmt: Format, *, gzip: bool, names: frozenset[str]) -> bytes:
        """The exposition, of the samples in `names` only unless that is empty.  May block; called on any thread."""


class Health(Protocol):
    """Whether the exporter is well; called in the event loop, so neither method may block."""

    def unhealthy(self) -> tuple[str, ...]:
        """What does not work, a line each; empty when all does."""

    def not_ready(self) -> tuple[str, ...]:
        """What is still missing, a line each; empty when nothing is."""


class WebServer:
    """Serves `exposer` at `telemetry_path`, and the rest at the paths of `exporter.web.paths`.

    `addresses` are listen addresses (``HOST:PORT``); `max_requests` scrapes are served at once, any number if it is 0.
    `send_seconds` bounds how long a client may take to read a scrape.  Raises ValueError for a bad address or path.
    One object serves once: after `stop` a new one is needed.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        telemetry_path: str,
        max_requests: int,
        exposer: Exposer,
        health: Health,
        landing: LandingInfo,
        *,
        send_seconds: float = SEND_SECONDS,
    ) -> None:
        self._addresses = [parse_listen_address(address) for address in addresses]
        self._max_requests = max_requests
        self._exposer = exposer
        self._health = health
        self._send_seconds = send_seconds
        self._landing = landing_page(landing, paths.parse_telemetry_path(telemetry_path))
        self._routes: dict[str, _Handler] = {
            paths.LANDING: self._serve_landing,
            paths.HEALTHY: self._serve_healthy,
            paths.READY: self._serve_ready,
            telemetry_path: self._serve_scrape,  # last: at "/" the landing page gives way
        }
        self._scrapes = 0
        self._offload = Offload(SCRAPE_THREADS, "scrape")
        self._listeners: list[asyncio.Server] = []
        self._server: web.Server | None = None

    async def start(self) -> list[str]:
        """Listen at every address and serve; the URLs really bound, in the order of the addresses.

        OSError, with a text for the user, where one address cannot be had; then none is kept.
        """
        loop = asyncio.get_running_loop()
        sockets = listen_all(self._addresses)
        server = web.Server(self._dispatch, handler_cancellation=True)  # a client that left needs no scrape
        connection = partial(
            Connection,
            server,
            loop=loop,
            logger=logger,
            access_log=None,  # type: ignore[arg-type] # aiohttp's way to turn it off, missing in its types
            keepalive_timeout=IDLE_SECONDS,
            lingering_time=LINGER_SECONDS,
        )
        self._server = server
        self._offload.start()
        self._listeners = [await loop.create_server(connection, sock=bound, backlog=BACKLOG) for bound in sockets]
        return [url_of(bound) for bound in sockets]

    async def stop(self) -> None:
        """Stop listening and close every connection, within twice `STOP_SECONDS`; a scrape that hangs is abandoned."""
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        server, self._server = self._server, None
        if server is not None:
            server.pre_shutdown()
            await server.shutdown(STOP_SECONDS)
            self._offload.stop()

    async def _dispatch(self, request: web.BaseRequest) -> web.StreamResponse:
        handler = self._routes.get(request.path)
        if handler is None:
            return plain(404, "404 Not Found")
        if request.method not in {"GET", "HEAD"}:
            return plain(405, "405 Method Not Allowed", {"Allow": "GET, HEAD"})
        return await handler(request)

    async def _serve_scrape(self, request: web.BaseRequest) -> web.StreamResponse:
        if 0 < self._max_requests <= self._scrapes:
            return plain(
                503, f"{self._scrapes} scrapes are being served already, the limit that --web.max-requests sets"
            )
        self._scrapes += 1
        try:
            response = await self._scrape(request)
            await self._send(request, response)  # still counted: an answer nobody reads holds its memory
        finally:
            self._scrapes -= 1
        return response

    async def _scrape(self, request: web.BaseRequest) -> web.Response:
        fmt = negotiate_format(",".join(request.headers.getall("Accept", ())))
        gzip = accepts_gzip(",".join(request.headers.getall("Accept-Encoding", ())))
        names = frozenset(request.query.getall("name[]", ()))
        try:
            body = await self._offload.run(partial(self._exposer.scrape, fmt, gzip=gzip, names=names))
        except Exception:  # whatever the exposer raises: the client learns that it failed, the log why
            logger.exception("scrape failed", extra=fields(path=request.path))
            return plain(500, "the scrape failed; the exporter's log says why")
        headers = {"Vary": "Accept, Accept-Encoding"}
        if gzip:
            headers["Content-Encoding"] = "gzip"
        return answer(200, body, fmt.content_type, headers)

    async def _send(self, request: web.BaseRequest, response: web.Response) -> None:
        """Write a response out; TimeoutError, and the connection cut, where the client is too slow to read it."""
        try:
            async with asyncio.timeout(self._send_seconds):
                await response.prepare(request)
                await response.write_eof()
        except TimeoutError:
            logger.debug("scrape abandoned, the client does not read it", extra=fields(remote=request.remote))
            if request.transport is not None:
                request.transport.abort()
            raise

    async def _serve_landing(self, _request: web.BaseRequest) -> web.StreamResponse:
        return answer(200, self._landing.html, CONTENT_TYPE, dict(self._landing.headers))

    async def _serve_healthy(self, _request: web.BaseRequest) -> web.StreamResponse:
        return _probe("healthy", "unhealthy", self._health.unhealthy())

    async def _serve_ready(self, _request: web.BaseRequest) -> web.StreamResponse:
        return _probe("ready", "not ready", self._health.not_ready())


def _probe(well: str, unwell: str, reasons: tuple[str, ...]) -> web.Response:
    if reasons:
        return plain(503, "\n".join((unwell, *reasons)))
    return plain(200, well)
