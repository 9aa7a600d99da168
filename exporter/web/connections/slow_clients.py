"""Answers that their clients have not read yet.  The slowest reader is cut off if another answer has no room.

A client that does not read keeps a place, and the memory of its answer, until the send deadline.  Without this module
forty such clients would stop all scraping for that time.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.web.responses import Pieces

if TYPE_CHECKING:
    import asyncio

PATIENCE_SECONDS = 1.0
"""A client is not cut off for another client's place before its answer has been sent for this long."""

TRIAL_SECONDS = 0.25
"""A client is not cut off for memory before its answer has been sent for this long: its speed is not known before."""

MAX_BYTES = 64 * 1024 * 1024
"""Of all answers that are being sent.  A single answer may be larger."""


@dataclass(slots=True, eq=False)
class _Sending:
    transport: asyncio.Transport
    since: float
    pieces: Pieces | None
    source: str

    def pace(self, now: float) -> float:
        """Bytes a second since it began; 0 if they are not counted."""
        return self.pieces.taken / max(now - self.since, 1e-3) if self.pieces is not None else 0.0


class SlowClients:
    """The answers that are being sent.  Lives in one event loop."""

    def __init__(
        self,
        patience_seconds: float = PATIENCE_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._patience_seconds = patience_seconds
        self._monotonic = monotonic
        self._max_bytes = max_bytes
        self._all: list[_Sending] = []  # the longest first

    @contextmanager
    def sending(
        self, transport: asyncio.Transport | None, pieces: Pieces | None = None, source: str = ""
    ) -> Iterator[None]:
        """While the block lasts an answer is being sent to `source` on this connection (None: it is closed already)."""
        if transport is None:
            yield
            return
        one = _Sending(transport, self._monotonic(), pieces, source)
        self._all.append(one)
        try:
            yield
        finally:
            if one in self._all:
                self._all.remove(one)

    def give_one_up(self, asker: str | None = None) -> bool:
        """Cut the connection that reads slowest; False if none has been sent for `patience_seconds`.

        `asker` is the source that needs a place.  A source that has more answers than `asker` would then have loses one
        at once, so that one source cannot keep out all others by opening connections fast.
        """
        if asker is not None:
            held = Counter(one.source for one in self._all)
            busiest, most = max(held.items(), key=lambda item: item[1], default=("", 0))
            if most > held[asker] + 1 and self._cut_slowest(0.0, busiest):
                return True
        return self._cut_slowest(self._patience_seconds)

    def make_room(self, others: Iterable[bytes]) -> bool:
        """Whether there is memory for one more answer beside the unread ones and `others`, which are sent next.

        Cuts off the slowest clients to get there.  False if their speed is not known yet.  An answer that several
        clients read is in memory once.
        """
        bodies = {id(body): len(body) for body in others}
        while self._is_full(bodies):
            if not self._cut_slowest(TRIAL_SECONDS):
                return False
        return True

    def _is_full(self, others: Mapping[int, int]) -> bool:
        sending = {id(one.pieces.body): len(one.pieces.body) for one in self._all if one.pieces is not None}
        bodies = {**others, **sending}
        return len(bodies) > 1 and sum(bodies.values()) > self._max_bytes

    def _cut_slowest(self, patience_seconds: float, source: str | None = None) -> bool:
        now = self._monotonic()
        tried = [
            one for one in self._all if now - one.since >= patience_seconds and (source is None or one.source == source)
        ]
        if not tried:
            return False
        slowest = min(tried, key=lambda one: one.pace(now))
        self._all.remove(slowest)
        slowest.transport.abort()
        return True
