"""A token bucket over all requests.  Pure: time is an argument.

Source: exporter-toolkit's `rate_limit`, which is golang.org/x/time/rate with one token a request.
"""

from __future__ import annotations

from exporter.web.security.config import RateLimit


class RateLimiter:
    """Lets `burst` requests through at once and one per `interval_seconds` in the long run."""

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
