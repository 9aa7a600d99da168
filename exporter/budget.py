"""When an account's next request may go: even pacing, a pause and a lower rate after a throttle.

Pure: time is an argument, nothing waits here.  The spacing is GCRA with a burst of one, counted from the *actual*
release of the last request and not from its planned slot, so that a late wake-up is never made up for by a burst: any
n + 1 releases in a row span at least n / pace seconds, and so do the moments at which they left, but for
`LATE_SECONDS` in all.
"""

from __future__ import annotations

import math

QUOTA_SHARE = 0.98
"""The pace stays at or below this share of the quota: 10 gaps of 9.8/s last 1.02 s, 20 ms more than the second in which
the server must not see an eleventh: half for leaving late (`LATE_SECONDS`), half for jitter on the path."""

QPS_SHARE = 0.998
"""The pace stays at or below this share of `qps`: a clock's rounding or a quick wake-up never squeezes one request too
many into a second."""

LATE_SECONDS = 0.01
"""A request that left by more than this after its slot was late: what follows is counted from when it left."""

MIN_QPS = 0.1
"""Throttling never slows an account below one request in 10 s (or its `qps`, where that is lower)."""

RECOVERY_SECONDS = 100.0
"""After a throttle the rate climbs back evenly, by the whole `qps` in this time: a tenth of it in 10 s."""

HOLD_SHARE = 0.95
SAME_RATE_SHARE = 0.05
FIRST_HOLD_SECONDS = 10.0
MAX_HOLD_SECONDS = 120.0
"""Where throttles recur at the same rate (within `SAME_RATE_SHARE` of `qps`) it is a limit, not an incident: the climb
rests at `HOLD_SHARE` of that rate, each time twice as long, before it tries to cross it again."""

DEFAULT_PAUSE_SECONDS = 1.0
"""The pause where a throttling answer asks for none: the documented limit counts per second."""

MAX_PAUSE_SECONDS = 60.0


def pace_qps(qps: float, quota: float) -> float:
    """Requests per second at which a budget of `qps` under an account limit of `quota` is really spent."""
    return min(qps * QPS_SHARE, quota * QUOTA_SHARE)


class Budget:
    """One account's budget.  Not thread-safe: its poller holds the lock.

    `now` is monotonic seconds throughout.
    """

    def __init__(self, qps: float, quota: float) -> None:
        self.qps = qps
        self.quota = quota
        self._last_release = -math.inf
        self._paused_until = -math.inf
        self._rate = math.inf  # requests per second at `_climbs_from`; infinite: never throttled, or recovered
        self._climbs_from = -math.inf
        self._throttled_at = -math.inf
        self._ceiling = math.inf  # the rate at which the last throttle came
        self._hold_seconds = 0.0

    def configure(self, qps: float, quota: float) -> None:
        """Take over new limits; they count from the next slot on, and what a throttle taught is kept."""
        self.qps = qps
        self.quota = quota

    def hold_until(self, instant: float) -> None:
        """Let no request go before `instant`."""
        self._paused_until = max(self._paused_until, instant)

    def ready_at(self, now: float) -> float:
        """The instant of the next slot; at or before `now` means that a request may go at once."""
        gap_seconds = 1 / pace_qps(self.effective_qps(now), self.quota)
        return max(self._last_release + gap_seconds, self._paused_until)

    def is_idle(self, now: float) -> bool:
        """Whether nothing that happened so far counts any more."""
        return self.ready_at(now) <= now and self.effective_qps(now) >= self.qps

    def released(self, now: float) -> None:
        """A request may leave at `now`: the slot is taken."""
        self._last_release = now

    def left(self, now: float) -> None:
        """What was released last had left at `now`.

        Between the two the machine may have stalled; counted from its slot, the next one would come too soon after it.
        """
        if now - self._last_release > LATE_SECONDS:
            self._last_release = now

    def throttled(self, now: float, released_at: float, pause_seconds: float | None) -> None:
        """An answer throttled the request that was released at `released_at`.

        The account pauses for `pause_seconds`, at most `MAX_PAUSE_SECONDS`.  Requests that were under way when a first
        throttle was heard of belong to the same event: they lengthen the pause and do not halve the rate again.
        """
        pause = DEFAULT_PAUSE_SECONDS if pause_seconds is None else min(max(pause_seconds, 0.0), MAX_PAUSE_SECONDS)
        self._paused_until = max(self._paused_until, now + pause)
        if released_at > self._throttled_at:
            rate = self.effective_qps(now)
            recurs = abs(rate - self._ceiling) <= self.qps * SAME_RATE_SHARE
            longer = min(max(FIRST_HOLD_SECONDS, self._hold_seconds * 2), MAX_HOLD_SECONDS)
            self._hold_seconds = longer if recurs else 0.0
            self._ceiling = min(rate, self._ceiling) if recurs else rate
            self._rate = max(rate / 2, min(MIN_QPS, self.qps))
            self._throttled_at = now
        self._climbs_from = self._paused_until

    def effective_qps(self, now: float) -> float:
        """What flow control leaves of `qps` now: all of it, unless a throttle was heard of lately."""
        if self._rate >= self.qps:
            return self.qps
        per_second = self.qps / RECOVERY_SECONDS
        climbed_seconds = max(0.0, now - self._climbs_from)
        rest = self._ceiling * HOLD_SHARE
        to_rest_seconds = max(0.0, (rest - self._rate) / per_second)
        if climbed_seconds > to_rest_seconds:  # above the resting place: the time spent resting did not climb
            climbed_seconds = max(to_rest_seconds, climbed_seconds - self._hold_seconds)
        rate = self._rate + climbed_seconds * per_second
        if rate >= self.qps:  # recovered: what the last throttles taught is void
            self._rate = self._ceiling = math.inf
            self._hold_seconds = 0.0
            return self.qps
        return rate
