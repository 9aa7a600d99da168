"""Checks a soak by its observations.  Pure; runs nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.harness import median

MAX_SCRAPE_SECONDS = 0.250

RSS_SHARE, RSS_MIB = 0.08, 5.0
"""Maximum growth of the resident set from the first quarter after the warm-up to the last: share, and MiB."""

THREADS_SHARE, THREADS = 0.25, 10
"""The same for threads: a burst of hanging answers needs more threads for half a minute."""


@dataclass(frozen=True, slots=True)
class Moment:
    """An observation, `at` seconds after the warm-up."""

    at: float
    rss_mib: float
    threads: int
    scrape_seconds: float


@dataclass(frozen=True, slots=True)
class Seen:
    """A whole soak.

    `moments` are those after the warm-up, in order.  `busiest` maps an account to the maximum of requests in any
    sliding second at the server.  `silent` are the numbers that were not polled for too long.  `throttled` counts
    answers that the server's own limit refused.
    """

    moments: Sequence[Moment]
    busiest: dict[str, int]
    quota: int
    silent: Sequence[str]
    throttled: int


@dataclass(frozen=True, slots=True)
class Check:
    """One check and its result."""

    what: str
    wanted: str
    found: str
    ok: bool


def judge(seen: Seen) -> list[Check]:
    """All checks.  With less than four moments, or without a request, a check without data fails."""
    rss = _level(seen.moments, lambda moment: moment.rss_mib)
    threads = _level(seen.moments, lambda moment: float(moment.threads))
    slowest = max((moment.scrape_seconds for moment in seen.moments), default=float("inf"))
    most = max(seen.busiest.values(), default=0)
    return [
        _is_level("RSS, MiB", rss, RSS_SHARE, RSS_MIB),
        _is_level("threads", threads, THREADS_SHARE, THREADS),
        Check(
            "slowest scrape",
            f"≤ {MAX_SCRAPE_SECONDS * 1e3:.0f} ms",
            f"{slowest * 1e3:.0f} ms of {len(seen.moments)}",
            slowest <= MAX_SCRAPE_SECONDS,
        ),
        Check("numbers not asked lately", "none", f"{len(seen.silent)} {' '.join(seen.silent[:3])}", not seen.silent),
        Check("most requests of an account in a second", f"1 to {seen.quota}", str(most), 0 < most <= seen.quota),
        Check("requests over the server's limit", "none", str(seen.throttled), seen.throttled == 0),
    ]


def _level(moments: Sequence[Moment], value: Callable[[Moment], float]) -> tuple[float, float]:
    """The median in the first quarter, and in the last; NaN where there are too few moments."""
    quarter = len(moments) // 4
    first, last = moments[:quarter], moments[-quarter:] if quarter else ()
    return median([value(moment) for moment in first]), median([value(moment) for moment in last])


def _is_level(what: str, found: tuple[float, float], share: float, least: float) -> Check:
    first, last = found
    limit = first + max(first * share, least)
    return Check(what, f"{first:.1f} → ≤ {limit:.1f}", f"{last:.1f}", last <= limit)
