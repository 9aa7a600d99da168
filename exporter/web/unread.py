"""Answers that their clients have not read yet.  Whoever reads slowest makes room when there is none.

Sending ends when the client has read what does not fit into the buffers between: one that never reads would keep its
place, and the memory of its answer, until the send deadline; forty of them would end all scraping for that long.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE_SECONDS = 1.0
"""An answer that is being sent for less than this is never given up for another."""


class Unread:
    """The connections on which an answer is being sent, the longest first.  Lives in one event loop."""

    def __init__(
        self, patience_seconds: float = PATIENCE_SECONDS, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._patience_seconds = patience_seconds
        self._monotonic = monotonic
        self._since: OrderedDict[asyncio.Transport, float] = OrderedDict()

    @contextmanager
    def sending(self, transport: asyncio.Transport | None) -> Iterator[None]:
        """While the block lasts an answer is being sent on this connection (None: it is gone already)."""
        if transport is not None:
            self._since[transport] = self._monotonic()
        try:
            yield
        finally:
            if transport is not None:
                self._since.pop(transport, None)

    def give_one_up(self) -> bool:
        """Cut the connection that takes longest; False where none has had its time."""
        if not self._since:
            return False
        transport, since = next(iter(self._since.items()))
        if self._monotonic() - since < self._patience_seconds:
            return False
        del self._since[transport]
        transport.abort()
        return True
