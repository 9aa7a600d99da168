"""When a request may have arrived at the earliest, although it was read later: machines stall, ours more than most.

A loop on a `StallSelector` looks for input every few milliseconds.  What it had not seen when it last looked came after
that.
"""

from __future__ import annotations

import selectors
from collections import deque
from collections.abc import Callable

LOOK_SECONDS = 0.005

LOOKS_BACK = 8
"""On a new connection a request may be there before the round of the loop that accepts it, and is handled up to six
rounds later: a task makes the connection, the next round reads from it, another one wakes who handles it."""


class StallSelector(selectors.DefaultSelector):
    """The selector of an event loop, with a memory of when it last looked; `now` gives monotonic seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__()
        self._now = now
        self._looked = deque([now()] * (1 + LOOKS_BACK), maxlen=1 + LOOKS_BACK)

    @property
    def since(self) -> float:
        """No request that is handled now arrived before this instant."""
        return self._looked[0]

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As the selector's own, but no longer than `LOOK_SECONDS`: the loop asks again."""
        found = super().select(LOOK_SECONDS if timeout is None else min(timeout, LOOK_SECONDS))
        self._looked.append(self._now())
        return found
