"""The sliding second: limits and counts the requests in it.  Pure; time is an argument.

A window is half open, ``(t - 1 s, t]``: two requests exactly one second apart are never in the same one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

WINDOW_SECONDS = 1.0


class SlidingSecond:
    """Accepts a limited number of requests in any sliding second.  Refused requests do not count."""

    def __init__(self) -> None:
        self._admitted: deque[float] = deque()

    def admit(self, now: float, limit: int) -> float:
        """Take a place and return 0, or return the seconds (above 0, at most 1) until a place may be free.

        `now` is monotonic and never goes back; `limit` may change from call to call.
        """
        while self._admitted and now - self._admitted[0] >= WINDOW_SECONDS:
            self._admitted.popleft()
        if len(self._admitted) < limit:
            self._admitted.append(now)
            return 0.0
        if limit < 1:
            return WINDOW_SECONDS
        return WINDOW_SECONDS - (now - self._admitted[-limit])


def busiest_second(instants: Sequence[float], since: Sequence[float] | None = None) -> int:
    """The maximum of instants (ascending, seconds) in any sliding second.

    If an instant may have been earlier, but not before its `since` (ascending too), only certain ones count.
    """
    held: deque[float] = deque()
    most = 0
    for instant, earliest in zip(instants, instants if since is None else since, strict=True):
        held.append(earliest)
        while held and instant - held[0] >= WINDOW_SECONDS:
            held.popleft()
        most = max(most, len(held))
    return most
