"""``POST /-/reload``: put a changed configuration in force, and answer once it is.

Source: Prometheus's management API; for the Origin check RFC 6454 and the Fetch Metadata specification.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from aiohttp import web

from exporter.errors import ConfigError
from exporter.web.answers import Send, plain
from exporter.web.offload import Offload

Reload = Callable[[], None]
"""Blocks until the new configuration is in force; raises, having logged why: ConfigError where it is refused."""

_DEFAULT_PORTS = {"http": 80, "https": 443}


class Lifecycle:
    """Serves the reload; without a `reload` it is forbidden."""

    def __init__(self, reload: Reload | None) -> None:
        self._reload = reload
        self._offload = Offload(1, "reload")  # one thread: reloads come one after the other

    def start(self) -> None:
        """Start the thread that reloads."""
        self._offload.start()

    def stop(self) -> None:
        """End that thread."""
        self._offload.stop()

    async def serve(self, request: web.BaseRequest, send: Send) -> web.Response:
        """Answer a POST."""
        return await send(await self._answer(request))

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        if self._reload is None:
            return plain(403, "reloading over HTTP is off; --web.enable-lifecycle turns it on, SIGHUP works always")
        if is_cross_site(request):
            return plain(403, "a page of another site may not do this")
        try:
            await self._offload.run(self._reload)
        except ConfigError as error:
            return plain(500, "\n".join(("the configuration is refused, the old one stays in force:", *error.faults)))
        except Exception:  # noqa: BLE001 - whoever reloads has logged it
            return plain(500, "the reload failed, the old configuration stays in force; the exporter's log says why")
        return plain(200, "the configuration is in force")


def is_cross_site(request: web.BaseRequest) -> bool:
    """Whether a browser sent this request for a page of another origin; programs send neither header."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
        return True
    origin = request.headers.get("Origin")
    if origin is None:
        return False
    theirs = _host_and_port(origin)
    return theirs is None or theirs != _host_and_port(f"{origin.partition(':')[0]}://{request.host}")


def _host_and_port(url: str) -> tuple[str, int] | None:
    """What an origin names, but for the scheme: behind a proxy that ends TLS that may differ.  None for nonsense."""
    try:
        parts = urlsplit(url)
        default_port = _DEFAULT_PORTS[parts.scheme]
        port = parts.port or default_port
    except (ValueError, KeyError):
        return None
    return (parts.hostname, port) if parts.hostname else None
