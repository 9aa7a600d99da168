"""The ceiling of one operation: evenly paced, though its requests come late when polls take the slots.  Pure."""

from __future__ import annotations

import math
from collections import deque

from exporter.polling.budget import LATE_SECONDS, Budget

CREDIT_GAPS = 0.5
"""A request that is late by at most so many gaps does not delay the next one.  After a rest, which is more than a gap,
the next one is not early."""

WINDOW_SHARE = 0.99
"""For `qps` = 5, six requests take at least this share of five gaps: 1.01 s."""


class Ceiling(Budget):
    """A budget of `qps` for one operation, beside the account's.  In no sliding second there are more than `qps`.

    The account's budget counts from the last release.  Here that would lose up to a fifth of the rate, since a request
    waits for a slot of the account too: slots are counted from where they should have been.
    """

    def __init__(self, qps: float) -> None:
        super().__init__(qps, qps)
        self._planned_at = -math.inf  # where the last slot should have been
        self._last: deque[float] = deque(maxlen=max(1, int(qps)))

    def ready_at(self, now: float) -> float:
        """The instant of the next slot; at or before `now` means that a request may go at once."""
        gap_seconds = 1 / self.pace(now)
        at = max(self._planned_at + gap_seconds, self._paused_until)
        most = self._last.maxlen
        return max(at, self._last[0] + most * gap_seconds * WINDOW_SHARE) if most == len(self._last) else at

    def released(self, now: float) -> None:
        """A request may leave at `now`: the slot is taken."""
        gap_seconds = 1 / self.pace(now)
        planned_at = self._planned_at + gap_seconds
        is_late = now - planned_at <= gap_seconds
        self._planned_at = max(planned_at, now - CREDIT_GAPS * gap_seconds) if is_late else now
        self._last.append(now)
        super().released(now)

    def left(self, now: float) -> None:
        """The request that was released last left at `now`."""
        if now - self._last[-1] > LATE_SECONDS:
            self._planned_at = self._last[-1] = now
        super().left(now)
