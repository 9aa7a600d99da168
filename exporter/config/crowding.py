"""What is said of an account whose polls, listings and health checks do not fit its budget or the API's limits.

`--config.check` says it as warnings.  While the exporter runs, the log says the same when numbers are found or number
files change.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import NamedTuple

from exporter.config.durations import approximately, format_duration
from exporter.config.settings import AccountConfig, DiscoverConfig, HealthConfig, default_stale_after_seconds
from exporter.config.times import HEALTH_QPS, ROUNDING, Times
from exporter.logs import fields

logger = logging.getLogger(__name__)

QPS_CURE = "raise qps if the quota allows, or lengthen"


class Crowded(NamedTuple):
    """One thing that happens less often than it should.

    `what` tells polls, listings and checks apart, and a `stale_after` that is too short for the polls.  `key` is what
    it concerns, of the account or the top; ``numbers`` also stands for numbers that come from elsewhere.  `said` is
    ``what is wrong; what to write``.
    """

    what: str
    key: str
    said: str


def crowded(account: AccountConfig, times: Times) -> list[Crowded]:
    """Everything that takes longer than its interval, if `times` are those of `account`."""
    found = [
        _polls(account, times),
        _stale_after(times),
        _listing(account.discover, times),
        _health(account.health, times),
    ]
    return [each for each in found if each is not None]


def log_news(account: str, before: Collection[Crowded], now: Collection[Crowded]) -> None:
    """Log what is crowded now and was not `before`."""
    known = {each.what for each in before}
    for each in now:
        if each.what not in known:
            logger.warning(each.said, extra=fields(account=account))


class FoundNumbers:
    """Logs what becomes crowded as numbers are found.  For one thread at a time."""

    def __init__(self) -> None:
        self._last: dict[str, list[Crowded]] = {}

    def count(self, account: AccountConfig, times: Times) -> None:
        """`times` are those of `account` with all numbers.  What holds without found numbers is said elsewhere."""
        now = crowded(account, times)
        log_news(account.name, [*self._last.get(account.name, ()), *crowded(account, account.times())], now)
        self._last[account.name] = now


def _polls(account: AccountConfig, times: Times) -> Crowded | None:
    interval = account.scrape_interval_seconds
    if times.poll_seconds <= interval:
        return None
    every, wanted = approximately(times.poll_seconds), format_duration(interval)
    if times.pass_seconds > interval:
        what = f"asking all numbers takes {every}, longer than scrape_interval ({wanted}): each is polled that seldom"
        return Crowded("polls", "numbers", f"{what}; {QPS_CURE} scrape_interval")
    _, listing, health = times.shares
    key, cure = ("health", "health.interval") if health > listing else ("discover", "discover.refresh_interval")
    others = "listing and health take" if listing and health else f"{'listing' if listing else 'health'} takes"
    take = f"{others} {_rate(listing + health)} of {_rate(account.pace_qps)} requests per second"
    return Crowded("polls", key, f"{take}: each number is polled every {every}, not every {wanted}; {QPS_CURE} {cure}")


def _stale_after(times: Times) -> Crowded | None:
    if times.stale_after_seconds >= times.poll_seconds:
        return None
    stale_after, every = format_duration(times.stale_after_seconds), approximately(times.poll_seconds)
    default = approximately(default_stale_after_seconds(times.poll_seconds))
    what = (
        f"{stale_after} is shorter than the time between two polls of a number ({every}): it will read UNKNOWN between"
    )
    return Crowded("stale_after", "stale_after", f"stale_after of {what}; write {default}, or remove the line")


def _listing(discover: DiscoverConfig | None, times: Times) -> Crowded | None:
    if discover is None or times.refresh_seconds is None or times.refresh_seconds <= discover.refresh_interval_seconds:
        return None
    interval = discover.refresh_interval_seconds
    requests = times.spaces + (discover.spaces is None)
    work = _work(f"listing {times.spaces} spaces", interval, requests / interval)
    room = f"and there is room for {_rate(times.shares.listing)}"
    every = approximately(times.refresh_seconds)
    cure = f"{QPS_CURE} discover.refresh_interval"
    return Crowded("listings", "discover", f"{work}, {room}: each space is listed every {every}; {cure}")


def _health(health: HealthConfig | None, times: Times) -> Crowded | None:
    if health is None or times.health_seconds is None or times.health_seconds <= health.interval_seconds:
        return None
    interval = health.interval_seconds
    work = _work(f"checking {times.numbers} numbers", interval, times.numbers / interval)
    is_at_limit = times.shares.health * ROUNDING >= HEALTH_QPS
    room = "and the API allows 5" if is_at_limit else f"and there is room for {_rate(times.shares.health)}"
    every = approximately(times.health_seconds)
    cure = f"{'lengthen' if is_at_limit else QPS_CURE} health.interval"
    return Crowded("checks", "health", f"{work}, {room}: each number is checked every {every}; {cure}")


def _work(what: str, interval: float, qps: float) -> str:
    return f"{what} every {format_duration(interval)} takes {_rate(qps)} requests per second"


def _rate(qps: float) -> str:
    return f"{qps:.3g}"
