"""``POST`` or ``PUT /-/reload``: reload the configuration, and answer once it is in force.

Source: Prometheus's management API; for the Origin check RFC 6454 and the Fetch Metadata specification.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from urllib.parse import urlsplit

from aiohttp import web

from exporter.errors import ConfigError
from exporter.web.responses import Send, plain

Reload = Callable[[], "Future[Exception | None]"]
"""Requests a reload.  The result is None once the new configuration is in force, else the error, which is logged
already.  It is a ConfigError if the configuration is refused."""

RELOAD_SECONDS = 30.0
"""The client gets an answer after this time, even if the mount of the file hangs."""

_DEFAULT_PORTS = {"http": 80, "https": 443}


class ReloadEndpoint:
    """Serves ``/-/reload``; without a `reload` it is forbidden."""

    def __init__(self, reload: Reload | None, wait_seconds: float = RELOAD_SECONDS) -> None:
        self._reload = reload
        self._wait_seconds = wait_seconds

    async def serve(self, request: web.BaseRequest, send: Send) -> web.Response:
        """Answer a POST or PUT."""
        return await send(await self._answer(request))

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        if self._reload is None:
            return plain(403, "reloading over HTTP is off; --web.enable-lifecycle turns it on, SIGHUP works always")
        if is_cross_site(request):
            return plain(403, "a page of another site may not do this")
        try:
            async with asyncio.timeout(self._wait_seconds):
                error = await asyncio.shield(asyncio.wrap_future(self._reload()))  # others may wait for this reload
        except TimeoutError:
            return plain(500, "the configuration is still being read; the exporter's log will say how it ended")
        if isinstance(error, ConfigError):
            return plain(500, "\n".join(("the configuration is refused, the old one stays in force:", *error.faults)))
        if error is not None:
            return plain(500, "the reload failed, the old configuration stays in force; the exporter's log says why")
        return plain(200, "the configuration is in force")


def is_cross_site(request: web.BaseRequest) -> bool:
    """Whether a browser sent this request for a page of another origin.  Other programs do not send these headers."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
        return True
    origin = request.headers.get("Origin")
    if origin is None:
        return False
    theirs = _host_and_port(origin)
    return theirs is None or theirs != _host_and_port(f"{origin.partition(':')[0]}://{request.host}")


def _host_and_port(url: str) -> tuple[str, int] | None:
    """Host and port of an origin; None if it is invalid.  Behind a proxy that ends TLS the scheme may differ."""
    try:
        parts = urlsplit(url)
        default_port = _DEFAULT_PORTS[parts.scheme]
        port = parts.port or default_port
    except (ValueError, KeyError):
        return None
    return (parts.hostname, port) if parts.hostname else None
