"""Who may ask: the rate limit and the password of the web configuration in force, before any path is looked at.

Source: exporter-toolkit's `rate_limit`, which is golang.org/x/time/rate with one token a request.
"""

from __future__ import annotations

import ipaddress
import time

from aiohttp import web

from exporter.web.responses import plain
from exporter.web.security.basic_auth import CHALLENGE, BasicAuth
from exporter.web.security.config import RateLimit, WebConfig


class AccessControl:
    """Refuses requests; `threads` check passwords."""

    def __init__(self) -> None:
        self._auth = BasicAuth()
        self.threads = self._auth.threads
        self._limiter: RateLimiter | None = None

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
            self._limiter = RateLimiter(limit, time.monotonic())
        return self._limiter.allows(time.monotonic())


class RateLimiter:
    """A token bucket: lets `burst` requests through at once and one per `interval_seconds` in the long run."""

    def __init__(self, limit: RateLimit, now: float) -> None:
        self.limit = limit
        self._tokens = float(limit.burst)
        self._at = now

    def allows(self, now: float) -> bool:
        """Whether a request at the instant `now` (monotonic seconds) may pass; takes a token if so."""
        gained = max(0.0, now - self._at) / self.limit.interval_seconds
        self._tokens = min(float(self.limit.burst), self._tokens + gained)
        self._at = max(self._at, now)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


def network_of(address: str | None) -> str:
    """What one subscriber has: an IPv4 address, or the first half of an IPv6 address; empty where there is none."""
    try:
        found = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return ""
    if isinstance(found, ipaddress.IPv6Address):
        return str(found.ipv4_mapped or found.exploded[:19])
    return str(found)
