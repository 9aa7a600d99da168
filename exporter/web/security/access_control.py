"""Who may ask: the rate limit and the password of the web configuration in force, before any path is looked at."""

from __future__ import annotations

import time
from collections.abc import Callable

from aiohttp import web

from exporter.web.responses import plain
from exporter.web.security.basic_auth import CHALLENGE, BasicAuth
from exporter.web.security.config import WebConfig
from exporter.web.security.rate_limit import RateLimiter
from exporter.web.security.sources import network_of


class AccessControl:
    """Turns requests away; `start` before use."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._auth = BasicAuth()
        self._limiter: RateLimiter | None = None

    def start(self) -> None:
        """Get ready to check passwords."""
        self._auth.start()

    def stop(self) -> None:
        """No more passwords will be checked."""
        self._auth.stop()

    async def refusal(self, config: WebConfig, request: web.BaseRequest) -> web.Response | None:
        """The answer to a request that may not pass, else None."""
        if not self._within_limit(config):
            return plain(429, "429 Too Many Requests", {"Retry-After": "1"})
        if not config.users:
            return None
        header = request.headers.get("Authorization", "")
        admitted = await self._auth.admits(config.users, header, network_of(request.remote))
        return None if admitted else plain(401, "401 Unauthorized", {"WWW-Authenticate": CHALLENGE})

    def _within_limit(self, config: WebConfig) -> bool:
        limit = config.rate_limit
        if limit is None:
            self._limiter = None
            return True
        if self._limiter is None or self._limiter.limit != limit:
            self._limiter = RateLimiter(limit, self._monotonic())
        return self._limiter.allows(self._monotonic())
