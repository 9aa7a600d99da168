"""The web server: which path is answered by what, and how an answer is sent.

Runs in one event loop.  Calls that take time run on threads, so a health probe never waits for a scrape.  The probes
answer everyone; access control guards everything else.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from aiohttp import web

from exporter.errors import ConfigError
from exporter.logs import fields
from exporter.metrics.catalogue import Refusal
from exporter.web import routes
from exporter.web.connections.acceptor import Acceptor, max_connections
from exporter.web.connections.connection import HEAD_SECONDS, LINGER_SECONDS, MAX_HEAD_BYTES, Connection
from exporter.web.connections.listen import listen_all, parse_listen_address, url_of
from exporter.web.connections.refusals import Refusals
from exporter.web.connections.slow_clients import PATIENCE_SECONDS, SlowClients
from exporter.web.handlers.metrics import Exposer, Scrapes, Scraping
from exporter.web.handlers.pages import Fleet, Pages
from exporter.web.handlers.reload import RELOAD_SECONDS, Reload, ReloadEndpoint
from exporter.web.responses import Send, not_allowed, plain
from exporter.web.security.access_control import AccessControl
from exporter.web.security.config import WebConfig
from exporter.web.security.reloader import WebSecurity
from exporter.web.ui.views import LandingInfo

logger = logging.getLogger(__name__)

_MALFORMED = logging.getLogger(f"{__name__}.malformed")
_MALFORMED.addFilter(lambda record: "Error handling request" not in record.msg)
"""Where aiohttp logs.  Without the requests that it cannot parse: it would log a traceback for each."""

IDLE_SECONDS = 120.0
"""A connection without a request for this long is closed; longer than the usual scrape interval of a minute."""

STOP_SECONDS = 0.25
"""The time that requests have to finish when the server stops; it may pass twice."""

_READ = "GET, HEAD"

_Handler = Callable[[web.BaseRequest, Send], Awaitable[web.Response]]


class Health(Protocol):
    """Whether the exporter works.  Called in the event loop, so no method may block."""

    def unhealthy(self) -> tuple[str, ...]:
        """What does not work, a line each; empty if everything works."""

    def not_ready(self) -> tuple[str, ...]:
        """What is still missing, a line each; empty if nothing is."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may take: seconds, and numbers of connections (0: as the file descriptors allow).

    A client must read its answer within `send_seconds`, or within `patience_seconds` if another client needs the place.
    """

    connections: int = 0
    head_seconds: float = HEAD_SECONDS
    send_seconds: float = 30.0
    reload_seconds: float = RELOAD_SECONDS
    patience_seconds: float = PATIENCE_SECONDS


class WebServer:
    """Serves `exposer` at `telemetry_path`, and probes and pages about `fleet` at the paths of `exporter.web.routes`.

    `addresses` are listen addresses (``HOST:PORT``), or sockets that listen already and do not block; `max_requests`
    scrapes are served at once, any number if it is 0; each is served inside `scraping`.  `reload` serves ``/-/reload``,
    which is forbidden without it; `count_refusal` counts refused connections by reason.  Raises ValueError for a bad
    address or path.
    One object serves once: after `stop` a new one is needed.
    """

    def __init__(
        self,
        addresses: Sequence[str] | Sequence[socket.socket],
        telemetry_path: str,
        max_requests: int,
        exposer: Exposer,
        health: Health,
        landing: LandingInfo,
        *,
        fleet: Fleet,
        scraping: Scraping,
        security: WebSecurity | None = None,
        reload: Reload | None = None,
        limits: Limits | None = None,
        count_refusal: Callable[[Refusal], object] = str,
    ) -> None:
        self._addresses = [parse_listen_address(address) for address in addresses if isinstance(address, str)]
        self._sockets = [address for address in addresses if not isinstance(address, str)]
        self._health = health
        self._limits = limits or Limits()
        self._security = security or WebSecurity(None)
        self._access_control = AccessControl()
        self._slow_clients = SlowClients(self._limits.patience_seconds)
        self._scrapes = Scrapes(exposer, max_requests, SlowClients(self._limits.patience_seconds), scraping)
        self._reload = ReloadEndpoint(reload, self._limits.reload_seconds)
        self._pages = Pages(landing, routes.parse_telemetry_path(telemetry_path), fleet)
        self._routes: dict[str, tuple[str, _Handler]] = {
            routes.LANDING: (_READ, self._pages.serve_landing),
            routes.CONFIG: (_READ, self._pages.serve_config),
            routes.NUMBERS: (_READ, self._pages.serve_numbers),
            routes.NUMBER: (_READ, self._pages.serve_number),
            routes.HEALTHY: (_READ, self._serve_healthy),
            routes.READY: (_READ, self._serve_ready),
            routes.RELOAD: ("POST, PUT", self._reload.serve),
            telemetry_path: (_READ, self._scrapes.serve),  # last: at "/" it replaces the landing page
        }
        self._count_refusal = count_refusal
        self._threads = (*self._access_control.threads, self._scrapes.threads, self._pages.threads)
        self._acceptor: Acceptor | None = None
        self._watching: asyncio.Task[None] | None = None
        self._server: web.Server | None = None

    async def start(self) -> list[str]:
        """Listen at every address and serve.  Returns the URLs that are bound, in the order of the addresses.

        Raises OSError, with a text for the user, if one address cannot be bound; then none stays bound.
        """
        sockets = [*self._sockets, *listen_all(self._addresses)]
        self._server = web.Server(
            self._dispatch,
            handler_cancellation=True,  # a client that left needs no scrape
            logger=_MALFORMED,
            access_log=None,
            keepalive_timeout=IDLE_SECONDS,
            lingering_time=0,  # there is nothing to wait for: bodies are not handed on
            auto_decompress=False,
            max_line_size=MAX_HEAD_BYTES,
            max_field_size=MAX_HEAD_BYTES,
        )
        self._acceptor = Acceptor(
            self._security,
            self._server,
            self._limits.connections or max_connections(),
            self._slow_clients,
            Refusals(self._count_refusal),
            self._limits.head_seconds,
        )
        for threads in self._threads:
            threads.start()
        self._acceptor.open(sockets)
        self._watching = asyncio.create_task(self._security.watch())
        return [url_of(bound, "https" if self._security.tls else "http") for bound in sockets]

    async def stop(self) -> None:
        """Stop listening and close every connection, within twice `STOP_SECONDS`.  A scrape that hangs is abandoned."""
        server, self._server = self._server, None
        if server is None or self._acceptor is None or self._watching is None:
            return
        self._watching.cancel()
        await self._acceptor.close()
        await server.shutdown(STOP_SECONDS)
        for threads in self._threads:
            threads.stop()

    async def _dispatch(self, request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(0)  # between pipelined requests other clients have their turn
        connection = _connection_of(request)
        with connection.answering():
            try:
                response = await self._answer(request)
            except ConnectionError:  # the client is gone, or was too slow
                raise
            except Exception:  # of any kind: the client is told that it failed, the log why
                logger.exception("request failed", extra=fields(path=request.path))
                response = plain(500, "500 Internal Server Error")
                response.force_close()
                return response
        if _is_last(request):
            await asyncio.sleep(LINGER_SECONDS)
        else:
            connection.answered()
        return response

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        config = self._config()
        send = partial(self._send, request, config)
        if request.path not in {routes.HEALTHY, routes.READY}:
            refusal = await self._refusal(config, request)
            if refusal is not None:
                return await send(refusal)
        return await self._route(request, send)

    def _config(self) -> WebConfig | None:
        """The web configuration in force; None while it is broken."""
        try:
            return self._security.current()
        except ConfigError:
            return None

    async def _refusal(self, config: WebConfig | None, request: web.BaseRequest) -> web.Response | None:
        if config is None:
            return plain(500, "the web configuration is broken; the exporter's log says how")
        with _connection_of(request).idle():  # else wrong passwords could take every place while they are checked
            return await self._access_control.refusal(config, request)

    async def _route(self, request: web.BaseRequest, send: Send) -> web.Response:
        methods, handler = self._routes.get(request.path, ("", None))
        if handler is None:
            return await send(self._elsewhere(request))
        if request.method not in methods.split(", "):
            return await send(not_allowed(methods))
        return await handler(request, send)

    def _elsewhere(self, request: web.BaseRequest) -> web.Response:
        """The answer where nothing is served: a page with a slash too many redirects to the page."""
        path, query = request.path.removesuffix("/"), request.rel_url.raw_query_string
        if path == request.path or path not in routes.PAGES or request.method not in _READ.split(", "):
            return plain(404, "404 Not Found")
        place = f"../{path.rpartition('/')[2]}"  # relative: a proxy may add a prefix
        return plain(308, "308 Permanent Redirect", {"Location": f"{place}?{query}" if query else place})

    async def _send(self, request: web.BaseRequest, config: WebConfig | None, response: web.Response) -> web.Response:
        """Send a response.  If the client is too slow, cuts the connection and raises ConnectionError."""
        if config is not None:
            response.headers.update(config.headers)
        if _is_last(request) or (config is not None and _has_old_tls(config, request)):
            response.force_close()
        try:
            async with asyncio.timeout(self._limits.send_seconds):
                with self._slow_clients.sending(request.transport):
                    await response.prepare(request)
                    await response.write_eof()
        except TimeoutError:
            logger.debug("answer abandoned, the client does not read it", extra=fields(remote=request.remote))
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionAbortedError("the client does not read its answer") from None
        return response

    async def _serve_healthy(self, request: web.BaseRequest, send: Send) -> web.Response:
        return await send(await self._probe(request, "healthy", "unhealthy", self._health.unhealthy()))

    async def _serve_ready(self, request: web.BaseRequest, send: Send) -> web.Response:
        return await send(await self._probe(request, "ready", "not ready", self._health.not_ready()))

    async def _probe(self, request: web.BaseRequest, well: str, unwell: str, reasons: tuple[str, ...]) -> web.Response:
        """The answer of a probe.  The reasons name accounts, so only a client with a password gets them."""
        if not reasons:
            return plain(200, well)
        if await self._may_see_all(request):
            return plain(503, "\n".join((unwell, *reasons)))
        return plain(503, f"{unwell}\nthe reasons are shown to those who give a password")

    async def _may_see_all(self, request: web.BaseRequest) -> bool:
        config = self._config()
        if config is None or (config.users and "Authorization" not in request.headers):
            return False
        return not config.users or await self._refusal(config, request) is None


def _connection_of(request: web.BaseRequest) -> Connection:
    connection = request.transport.get_protocol() if request.transport is not None else None
    if not isinstance(connection, Connection):
        raise ConnectionResetError("the client is gone")
    return connection


def _has_old_tls(config: WebConfig, request: web.BaseRequest) -> bool:
    """Whether the connection began with TLS settings that are no longer in force: the client must shake hands anew."""
    transport = request.transport
    return (
        config.tls is not None
        and transport is not None
        and transport.get_extra_info("sslcontext") is not config.tls.context
    )


def _is_last(request: web.BaseRequest) -> bool:
    """Whether the connection ends with this request: what follows its head is a body, or another protocol."""
    headers = request.headers
    has_body = headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in headers  # however aiohttp reads it
    return has_body or request.body_exists or "Upgrade" in headers
