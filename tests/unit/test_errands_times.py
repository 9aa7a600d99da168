"""The shares and times that the configuration computes are the real ones: pollers in virtual time."""

from __future__ import annotations

import pytest

from exporter.config.sections.credential_types import DEFAULT_CREDENTIALS
from exporter.config.settings import AccountConfig, DiscoverConfig, HealthConfig
from exporter.model import OPERATION
from tests.support.asked import HEALTH, NUMBERS, SPACES, Asked, FakeFleet
from tests.support.numbers import numbers

FIVE_PERCENT = 0.05


@pytest.mark.parametrize(
    ("qps", "interval", "count", "spaces", "refresh", "check"),
    [
        pytest.param(5.0, 60.0, 60, 10, 60.0, 60.0, id="everything fits"),
        pytest.param(1.0, 60.0, 40, 0, None, 300.0, id="polls take two thirds, and health fits"),
        pytest.param(10.0, 600.0, 100, 0, None, 10.0, id="health wants more than the API allows"),
        pytest.param(1.0, 60.0, 15, 0, None, 10.0, id="health takes what polls leave"),
        pytest.param(1.0, 60.0, 33, 0, None, 10.0, id="polls take a little more than half, and health what they leave"),
        pytest.param(1.0, 60.0, 50, 0, None, 10.0, id="polls take most, and health what they leave"),
        pytest.param(1.0, 60.0, 59, 0, None, 10.0, id="health crowds out polls"),
        pytest.param(1.0, 60.0, 59, 60, 60.0, None, id="listing crowds out polls"),
        pytest.param(1.0, 60.0, 100, 0, None, 60.0, id="polls crowd out health"),
        pytest.param(1.0, 60.0, 100, 20, 60.0, 60.0, id="polls crowd out listing and health"),
        pytest.param(1.0, 60.0, 100, 3, 60.0, 60.0, id="polls crowd out health, and listing fits"),
        pytest.param(1.0, 60.0, 20, 60, 60.0, 10.0, id="listing and health want more than polls leave"),
        pytest.param(1.0, 60.0, 20, 6, 60.0, 10.0, id="health takes what polls and listing leave"),
    ],
)
def test_polls_listings_and_checks_get_the_shares_that_are_computed(
    qps: float, interval: float, count: int, spaces: int, refresh: float | None, check: float | None
) -> None:
    """In the long run, to 5 %."""
    listed = tuple(f"space-{index}" for index in range(spaces))
    discover = DiscoverConfig(listed, refresh) if refresh else None
    health = HealthConfig(check) if check else None
    account = AccountConfig(
        "main",
        qps,
        10.0,
        900.0,
        DEFAULT_CREDENTIALS,
        (),
        discover=discover,
        health=health,
        scrape_interval_seconds=interval,
    )
    times = account.times(count)
    asked = Asked(numbers(count), interval, qps, discover=discover, health=health, fleet=FakeFleet(listed))
    asked.run(300.0)
    seconds = 600.0
    sent = asked.run(seconds)
    for operation, expected_qps in zip((OPERATION, NUMBERS, HEALTH), times.shares, strict=True):
        requests = len(asked.of(operation, sent))
        assert requests == pytest.approx(expected_qps * seconds, rel=FIVE_PERCENT, abs=2), operation
    assert asked.of(SPACES, sent) == []
    asked.stop()
