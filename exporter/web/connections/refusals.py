"""Why connections are refused or cut off to make room: counted, and logged without letting a flood fill the log."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import Counter
from collections.abc import Callable

from exporter.logs import fields
from exporter.metrics.catalogue import Refusal

logger = logging.getLogger(__name__)

SILENT_SECONDS = 10.0
"""Between two log lines for the same reason."""


class Refusals:
    """Counts refusals by reason with `count`, and logs them.  Lives in one event loop."""

    def __init__(self, count: Callable[[Refusal], object]) -> None:
        self._count = count
        self._silent_until: dict[str, float] = {}
        self._left_out: Counter[str] = Counter()

    def refuse(self, remote: str | None, reason: Refusal, detail: object) -> None:
        """A connection from `remote` is refused, or cut off."""
        self._count(reason)
        self.log(logging.INFO, reason.value, "connection refused", remote=remote, reason=reason.value, detail=detail)

    def log(self, level: int, kind: str, message: str, **details: object) -> None:
        """Log, unless something of this kind was logged within `SILENT_SECONDS`; says how often it was not logged."""
        now = asyncio.get_running_loop().time()
        if now < self._silent_until.get(kind, 0.0):
            self._left_out[kind] += 1
            return
        self._silent_until[kind] = now + SILENT_SECONDS
        logger.log(level, message, extra=fields(**details, not_logged_before=self._left_out.pop(kind, 0)))


def reason_of(error: ssl.SSLError) -> Refusal:
    """The reason of a handshake that failed."""
    said = error.reason or ""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Refusal.CERTIFICATE_INVALID
    if said == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
        return Refusal.CERTIFICATE_MISSING
    return Refusal.REFUSED_BY_CLIENT if "ALERT" in said else Refusal.HANDSHAKE_FAILED
