"""What is said where polls, listings and health checks do not fit: in the check and, of found numbers, in the log."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.crowding import FoundNumbers, crowded
from exporter.config.sections.credential_types import DEFAULT_CREDENTIALS
from exporter.config.settings import AccountConfig, DiscoverConfig, HealthConfig
from exporter.config.times import HEALTH_QPS
from tests.support.configs import loaded
from tests.support.numbers import numbers as numbers_of

QPS = "raise qps if the quota allows, or lengthen"
BOTH = "discover: {}, health: {}"


def said(folder: Path, account: str, numbers: int, spaces: int = 0, *, top: str = "") -> list[tuple[str, str]]:
    """What is said once discovery has found so many numbers."""
    config = loaded(folder, f"{top}\naccounts: [{{name: main, {account}}}]")
    assert config.warnings == ()
    (account_config,) = config.accounts
    times = account_config.times(numbers, spaces)
    return [(key, text) for _, key, text in crowded(account_config, times)]


def test_nothing_is_said_of_what_fits(tmp_path: Path) -> None:
    assert said(tmp_path, BOTH, 200, 20) == []


def test_checks_beyond_the_limit_of_the_api(tmp_path: Path) -> None:
    """Polls every hour leave more than that."""
    assert said(tmp_path, f"qps: 10, {BOTH}", 10_000, 500, top="scrape_interval: 1h") == [
        (
            "health",
            (
                "checking 10000 numbers every 5m takes 33.3 requests per second, and the API allows 5: each number is "
                "checked every 34m1s; lengthen health.interval"
            ),
        )
    ]


def test_polls_that_crowd_out_listing_and_checks(tmp_path: Path) -> None:
    assert said(tmp_path, BOTH, 10_000, 500) == [
        (
            "numbers",
            (
                "asking all numbers takes 37m7s, longer than scrape_interval (1m): each is polled that seldom; "
                f"{QPS} scrape_interval"
            ),
        ),
        (
            "discover",
            (
                "listing 500 spaces every 5m takes 1.67 requests per second, and there is room for 0.25: each space is "
                f"listed every 33m28s; {QPS} discover.refresh_interval"
            ),
        ),
        (
            "health",
            (
                "checking 10000 numbers every 5m takes 33.3 requests per second, and there is room for 0.25: each "
                f"number is checked every 11h8m; {QPS} health.interval"
            ),
        ),
    ]


def test_found_numbers_may_make_stale_after_too_short(tmp_path: Path) -> None:
    """Of numbers that are known the loader says it; see tests/unit/test_config.py."""
    polls, stale_after = said(tmp_path, "discover: {}", 10_000, top="stale_after: 15m")
    assert polls[0] == "numbers"
    assert stale_after == (
        "stale_after",
        (
            "stale_after of 15m is shorter than the time between two polls of a number (33m25s): it will read UNKNOWN "
            "between; write 1h40m16s, or remove the line"
        ),
    )


def test_checks_that_crowd_out_polls(tmp_path: Path) -> None:
    """59 polls a minute of 59.88 slots; listing and health take a tenth."""
    crowding, slow = said(tmp_path, "qps: 1, discover: {}, health: {interval: 10s}", 59, 0)
    assert crowding == (
        "health",
        (
            "listing and health take 0.0998 of 0.998 requests per second: each number is polled every 1m6s, not "
            f"every 1m; {QPS} health.interval"
        ),
    )
    assert slow[0] == "health"


def test_listings_that_crowd_out_polls(tmp_path: Path) -> None:
    crowding, slow = said(tmp_path, "qps: 1, discover: {refresh_interval: 10s}", 59, 10)
    assert crowding == (
        "discover",
        (
            "listing takes 0.0998 of 0.998 requests per second: each number is polled every 1m6s, not every 1m; "
            f"{QPS} discover.refresh_interval"
        ),
    )
    assert slow == (
        "discover",
        (
            "listing 10 spaces every 10s takes 1.1 requests per second, and there is room for 0.0998: each space is "
            f"listed every 1m50s; {QPS} discover.refresh_interval"
        ),
    )


@pytest.mark.parametrize("key", ["discover", "health"])
def test_what_is_known_when_the_configuration_is_read_is_a_warning_there(tmp_path: Path, key: str) -> None:
    spaces = [f"space-{index}" for index in range(60)]
    numbers = ", ".join(f'{{phone_number: "86138{i:08d}", cust_space_id: {space}}}' for i, space in enumerate(spaces))
    more = f"discover: {{spaces: [{', '.join(spaces)}], refresh_interval: 10s}}"
    more = more if key == "discover" else "health: {interval: 10s}"
    config = loaded(tmp_path, f"accounts:\n- name: main\n  {more}\n  numbers: [{numbers}]")
    (warning,) = config.warnings
    what = "listing 60 spaces" if key == "discover" else "checking 60 numbers"
    each = "space is listed" if key == "discover" else "number is checked"
    assert warning.startswith(f"{config.path}:3: accounts[0].{key}: {what} every 10s takes 6 requests per second, and ")
    assert f"there is room for 3.99: each {each} every 15s; raise qps" in warning


def test_numbers_of_files_that_take_too_long_are_warned_about_at_their_key(tmp_path: Path) -> None:
    rows = "".join(f"86138{index:08d},s\n" for index in range(400))
    (tmp_path / "fleet.csv").write_text(f"phone_number,cust_space_id\n{rows}")
    config = loaded(tmp_path, "accounts: [{name: main, discover: {}, number_files: [fleet.csv]}]")
    (warning,) = config.warnings
    assert "accounts[0].number_files: asking all numbers takes " in warning


def test_the_log_says_once_what_found_numbers_crowd_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Again if it fitted meanwhile; and not what the check says of the configuration alone."""
    config = loaded(tmp_path, "accounts: [{name: main, qps: 1, discover: {}, health: {}}]")
    (account,) = config.accounts
    found = FoundNumbers()
    counts: list[list[str]] = []
    for numbers in (10, 100, 101, 10, 100):
        caplog.clear()
        found.count(account, account.times(numbers, 1))
        counts.append([record.message.partition(", ")[0] for record in caplog.records])
        assert all(record.levelname == "WARNING" for record in caplog.records)
    polls, checks = "asking all numbers takes 1m51s", "checking 100 numbers every 5m takes 0.333 requests per second"
    assert counts == [[], [polls, checks], [], [], [polls, checks]]
    caplog.clear()
    FoundNumbers().count(replace(account, numbers=tuple(numbers_of(100))), account.times(101, 1))
    assert caplog.records == []


accounts = st.builds(
    lambda qps, interval, discover, health: AccountConfig(
        "main",
        qps,
        max(qps, 10.0),
        900.0,
        DEFAULT_CREDENTIALS,
        (),
        discover=discover,
        health=health,
        scrape_interval_seconds=interval,
    ),
    st.floats(0.01, 100.0),
    st.floats(1.0, 1e5),
    st.none()
    | st.builds(DiscoverConfig, st.just(("space",)), st.floats(10.0, 1e5))
    | st.builds(DiscoverConfig, st.none(), st.floats(10.0, 1e5)),
    st.none() | st.builds(HealthConfig, st.floats(10.0, 1e5)),
)


@given(accounts, st.integers(0, 20_000), st.integers(0, 1000))
def test_nothing_gets_more_than_there_is_and_nothing_starves(account: AccountConfig, numbers: int, spaces: int) -> None:
    times, interval = account.times(numbers, spaces), account.scrape_interval_seconds
    polls, listing, health = times.shares
    pace, wanted = account.pace_qps, numbers / interval
    assert polls + listing + health <= pace * (1 + 1e-9)
    assert min(polls, listing, health) >= 0
    assert health <= HEALTH_QPS
    assert listing + health <= max(pace / 10, pace - wanted) * (1 + 1e-9)
    assert polls >= min(wanted, pace * 0.9) * (1 - 1e-9)
    assert not spaces or account.discover is None or listing > 0
    assert not numbers or account.health is None or health > 0
    assert times.poll_seconds >= interval
    assert times.poll_seconds >= times.pass_seconds * (1 - 1e-9)
    assert times.stale_after_seconds >= 3 * times.poll_seconds


@given(accounts)
def test_the_room_is_exactly_what_fits(account: AccountConfig) -> None:
    room = account.room()
    if room > 0:
        assert crowded(account, account.times(room)) == []
    assert crowded(account, account.times(room + 1)) != []
