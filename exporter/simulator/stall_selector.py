"""Finds the earliest instant at which a request may have arrived.  On a busy machine it may be read much later.

A loop on a `StallSelector` looks for input every few milliseconds.  Input that it did not see at the last look came
after that look.
"""

from __future__ import annotations

import selectors
from collections import deque
from collections.abc import Callable

LOOK_SECONDS = 0.005

LOOKS_BACK = 8
"""On a new connection a request may arrive before the loop accepts the connection.  It is handled up to six rounds of
the loop later: one round makes the connection, the next one reads, another one wakes the handler."""


class StallSelector(selectors.DefaultSelector):
    """A selector for an event loop that remembers the times of its last looks; `now` gives monotonic seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__()
        self._now = now
        self._looked = deque([now()] * (1 + LOOKS_BACK), maxlen=1 + LOOKS_BACK)

    @property
    def since(self) -> float:
        """A request that is handled now arrived after this instant."""
        return self._looked[0]

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Like the base class, but waits at most `LOOK_SECONDS`; the loop calls it again."""
        found = super().select(LOOK_SECONDS if timeout is None else min(timeout, LOOK_SECONDS))
        self._looked.append(self._now())
        return found
