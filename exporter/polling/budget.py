"""When an account's next request may go: even pacing, and what throttles teach.

Pure: time is an argument, nothing waits here.  The spacing is GCRA with a burst of one.  It is counted from the
*actual* release of the last request, not from its planned slot, so that no burst follows a late wake-up: n + 1 releases
in a row take at least n / pace seconds.  From the first to the last that leaves it is at most `LATE_SECONDS` less.

A throttle means one of two things.  If this account alone sent about `quota` requests in that second, the path delayed
some of them more than others, and they arrived closer together than they left.  Then the *guard* grows: `quota`
requests take a second and the guard.  Otherwise others spend the quota, or it is lower than configured.  Then the rate
halves and climbs back.
"""

from __future__ import annotations

import math
from collections import deque

from exporter.model import QPS_SHARE, QUOTA_SHARE, Throttled

LATE_SECONDS = 0.01
"""If a request leaves later than this after its slot, the next slot is counted from when it left."""

EDGE_SHARE = 0.9
"""A throttle is *at the edge* if this account's own requests were at least this share of `quota` in the second that the
server saw (1.35 s here, at the largest guard), and its rate this share of `qps`, or of what the guard leaves of `quota`
if that is less."""

EDGE_JITTER_SECONDS = 0.2
"""An account is not at the edge if its requests, so much closer together, would still be within `quota`: others call as
well."""

WIDENING_SECONDS = 0.008
MAX_WIDENING_SECONDS = 0.04
MAX_GUARD_SECONDS = 0.35
"""What a throttle at the edge adds to the guard: twice as much for each further one that follows at once.  If throttles
go on at the largest guard, the path is not their cause."""

AT_ONCE_SECONDS = 2.0
"""A throttle follows at once if its request left this soon after the pause of the one before."""

DOUBT_SECONDS = 60.0
"""Two throttles below the edge within this time mean that others call.  They take back what throttles at the edge
taught within this time before.  A single one may mean that this machine was frozen for a moment."""

FORGET_SECONDS = 400.0
FORGET_REQUESTS = 4000
"""The guard shrinks by `WIDENING_SECONDS` in this time (or that of so many requests, if that is longer), by twice as
much in the next, and so on.  On a path that does not change about one request in 4,000 is throttled."""

MIN_QPS = 0.1
"""Throttling never slows an account below one request in 10 s (or its `qps`, if that is lower)."""

RECOVERY_SECONDS = 100.0
"""After a throttle the rate climbs back evenly: by the whole `qps` in this time, by a tenth of it in 10 s."""

HOLD_SHARE = 0.96
SAME_RATE_SHARE = 0.05
HOLD_AGE_SHARE = 1 / 6
MIN_HOLD_SECONDS = 20.0
MAX_HOLD_SECONDS = 120.0
"""If throttles recur at the same rate (within `SAME_RATE_SHARE` of `qps`), that rate is a limit.  Then the rate stays
at `HOLD_SHARE` of the limit, for a sixth of the time since the limit was first met, before it climbs on."""

DEFAULT_PAUSE_SECONDS = 1.0
"""The pause if a throttling answer asks for none: the documented limit counts per second."""


class Budget:
    """One account's budget.  Not thread-safe: its poller holds the lock.

    `now` is monotonic seconds throughout.
    """

    def __init__(self, qps: float, quota: float) -> None:
        self._last_release = -math.inf
        self._paused_until = -math.inf
        self._throttled_at = -math.inf
        self._guard, self._guard_at = 0.0, -math.inf  # seconds, and when it was that
        self._guard_before = math.inf  # what is not in doubt
        self._widening = WIDENING_SECONDS
        self._edge_since = math.inf  # every release since was at the edge
        self._rate = math.inf  # requests per second at `_climbs_from`; infinite: never throttled, or recovered
        self._climbs_from = -math.inf
        self._ceiling = math.inf  # the rate at which the last throttle came
        self._ceiling_since = -math.inf
        self._hold_seconds = 0.0
        self._recent: deque[float] = deque()  # releases of the last second and the largest guard
        self.configure(qps, quota)

    def configure(self, qps: float, quota: float) -> None:
        """Take over new limits; they count from the next slot on.  What throttles taught is kept."""
        self.qps = qps
        self.quota = quota

    def hold_until(self, instant: float) -> None:
        """Let no request go before `instant`."""
        self._paused_until = max(self._paused_until, instant)

    def left_elsewhere(self, instant: float) -> None:
        """A request of another process left at `instant`: the next slot comes after it, as after one of its own."""
        self._last_release = max(self._last_release, instant)

    def throttled_state(self, now: float) -> Throttled:
        """What throttles left of the rate; the same until a throttle or the end of it changes that."""
        is_over = self._climbed(now) >= self.qps
        return (
            Throttled(self._paused_until) if is_over else Throttled(self._paused_until, self._rate, self._climbs_from)
        )

    def take_over(self, throttled: Throttled) -> None:
        """Go on with what throttles left of the rate of another process."""
        self.hold_until(throttled.until)
        if throttled.qps < self.qps:
            self._rate, self._climbs_from = throttled.qps, throttled.climbs_from

    def pause_seconds(self, now: float) -> float:
        """What remains of a pause."""
        return max(0.0, self._paused_until - now)

    @property
    def last_release(self) -> float:
        """When the last request left, or will have left elsewhere; minus infinity for never."""
        return self._last_release

    def ready_at(self, now: float) -> float:
        """The instant of the next slot; at or before `now` means that a request may go at once."""
        return max(self._last_release + 1 / self.pace(now), self._paused_until)

    def slot_at(self, now: float, ahead: int) -> float:
        """The instant of the slot that comes after those of `ahead` other requests."""
        return max(now, self.ready_at(now)) + ahead / self.pace(now)

    def is_idle(self, now: float) -> bool:
        """Whether nothing that happened so far matters any more."""
        return self.ready_at(now) <= now and self.effective_qps(now) >= self.qps and not self.guard_seconds(now)

    def released(self, now: float) -> None:
        """A request may leave at `now`: the slot is taken."""
        self._last_release = now
        self._recent.append(now)
        while now - self._recent[0] > 1 + MAX_GUARD_SECONDS:
            self._recent.popleft()
        sent_so_many = len(self._recent) >= self.quota * EDGE_SHARE
        as_fast = self._climbed(now) >= min(self.qps, self.quota / (1 + self.guard_seconds(now))) * EDGE_SHARE
        may_be_path = self.qps * (1 + EDGE_JITTER_SECONDS) >= self.quota
        self._edge_since = min(self._edge_since, now) if sent_so_many and as_fast and may_be_path else math.inf

    def left(self, now: float) -> None:
        """The request that was released last left at `now`.

        The machine may have stalled between the two: counted from the slot, the next request would come too soon.
        """
        if now - self._last_release > LATE_SECONDS:
            self._last_release = now

    def throttled(self, now: float, released_at: float, pause_seconds: float | None) -> None:
        """An answer throttled the request that was released at `released_at`.

        The account pauses for `pause_seconds`, which `cams.retry_after` bounds.  Throttles of requests that were under
        way when the first throttle came belong to the same event: they can only lengthen the pause.
        """
        pause = DEFAULT_PAUSE_SECONDS if pause_seconds is None else pause_seconds
        follows_at_once = released_at <= self._paused_until + AT_ONCE_SECONDS
        self._paused_until = max(self._paused_until, now + pause)
        at_edge = released_at >= self._edge_since
        guard = max(self.guard_seconds(now), self._slack_seconds)
        widens = at_edge and guard + WIDENING_SECONDS <= MAX_GUARD_SECONDS
        if released_at > self._throttled_at:
            self._throttled_at = now
            if now - self._guard_at > DOUBT_SECONDS:
                self._guard_before = self.guard_seconds(now)
            self._widening = min(self._widening * 2, MAX_WIDENING_SECONDS) if follows_at_once else WIDENING_SECONDS
            if widens:
                self.remember(now, guard + self._widening)
            else:
                if at_edge or now - self._climbs_from <= DOUBT_SECONDS:
                    self.remember(now, min(guard, self._guard_before))
                self._halve(now)
        if not widens:
            self._climbs_from = self._paused_until

    def guard_seconds(self, now: float) -> float:
        """How much later than another a request may arrive, as throttles taught, beyond what `QUOTA_SHARE` bears."""
        doublings = (now - self._guard_at) / max(FORGET_SECONDS, FORGET_REQUESTS / self.quota)
        return max(0.0, self._guard - WIDENING_SECONDS * (2 ** min(doublings, 10.0) - 1))

    def remember(self, now: float, guard_seconds: float) -> None:
        """Take over a guard, learnt by this process or an earlier one."""
        self._guard, self._guard_at = min(max(0.0, guard_seconds), MAX_GUARD_SECONDS), now

    def effective_qps(self, now: float) -> float:
        """What is left of `qps` now: all of it, unless throttles taught a lower rate or a guard."""
        return min(self._climbed(now), self.quota / (1 + self.guard_seconds(now)))

    def pace(self, now: float) -> float:
        """Requests per second at which slots follow each other now."""
        return min(self._climbed(now) * QPS_SHARE, self.quota / (1 + self.guard_seconds(now)) * QUOTA_SHARE)

    @property
    def _slack_seconds(self) -> float:
        """The largest guard that does not slow `qps` down: an account throttled at that pace needs a larger one."""
        return max(0.0, self.quota * QUOTA_SHARE / (self.qps * QPS_SHARE) - 1)

    def _halve(self, now: float) -> None:
        rate = self.effective_qps(now)
        recurs = abs(rate - self._ceiling) <= self.qps * SAME_RATE_SHARE
        if not recurs:
            self._ceiling, self._ceiling_since = rate, now
        self._ceiling = min(rate, self._ceiling)
        hold_seconds = (now - self._ceiling_since) * HOLD_AGE_SHARE
        self._hold_seconds = min(max(MIN_HOLD_SECONDS, hold_seconds), MAX_HOLD_SECONDS) if recurs else 0.0
        self._rate = max(rate / 2, min(MIN_QPS, self.qps))

    def _climbed(self, now: float) -> float:
        """`qps`, or the rate to which the account has climbed back since it was halved."""
        if self._rate >= self.qps:
            return self.qps
        per_second = self.qps / RECOVERY_SECONDS
        climbed_seconds = max(0.0, now - self._climbs_from)
        to_hold_seconds = max(0.0, (self._ceiling * HOLD_SHARE - self._rate) / per_second)
        if climbed_seconds > to_hold_seconds:  # above the hold: the time spent there did not climb
            climbed_seconds = max(to_hold_seconds, climbed_seconds - self._hold_seconds)
        rate = self._rate + climbed_seconds * per_second
        if rate >= self.qps:  # recovered: what the last throttles taught is void
            self._rate = self._ceiling = math.inf
            self._hold_seconds = 0.0
            return self.qps
        return rate
