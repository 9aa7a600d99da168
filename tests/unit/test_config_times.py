"""How long polls, listings and health checks take that share one budget, and how long their results count."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from exporter.cams.operations import GetWhatsappHealthStatus, ListInstance, QueryChatappPhoneNumbers
from exporter.config.times import HEALTH_QPS, LISTING_QPS, Times
from exporter.model import pace_qps
from tests.support.configs import NUMBER, loaded


def times(
    folder: Path, numbers: int, spaces: int | None = None, *, top: str = "", account: str = "qps: 10, discover: {}"
) -> Times:
    """The times of an account in whose configuration one number of one space stands."""
    config = loaded(folder, f"{top}\naccounts: [{{name: main, {account}, numbers: [{NUMBER}]}}]")
    return config.accounts[0].times(numbers, spaces)


BOTH = "qps: 10, discover: {}, health: {}"


def test_without_discovery_and_health_only_polls_take_time(tmp_path: Path) -> None:
    got = times(tmp_path, 98, account="qps: 10")
    assert (got.numbers, got.spaces, got.poll_seconds, got.stale_after_seconds) == (98, 0, 60, 900)
    assert got.pass_seconds == pytest.approx(10)
    assert got.refresh_seconds is got.listing_valid_seconds is got.health_seconds is got.health_valid_seconds is None


def test_by_default_the_numbers_of_the_configuration_count(tmp_path: Path) -> None:
    """And of the spaces those that `spaces` or the numbers name."""
    config = loaded(tmp_path, f"accounts: [{{name: main, discover: {{spaces: [a, b]}}, numbers: [{NUMBER}]}}]")
    assert config.accounts[0].times().spaces == 2
    config = loaded(tmp_path, f"accounts: [{{name: main, discover: {{}}, numbers: [{NUMBER}]}}]")
    got = config.accounts[0].times()
    assert (got.numbers, got.spaces) == (1, 1)


def test_where_everything_fits_it_happens_at_its_intervals(tmp_path: Path) -> None:
    """200 polls a minute, 11 listings and 200 checks in 5 minutes: 4.04 requests per second of 9.8."""
    got = times(tmp_path, 200, 10, account=BOTH)
    assert (got.poll_seconds, got.refresh_seconds, got.health_seconds) == (60, 300, 300)
    assert got.shares == pytest.approx((200 / 60, 11 / 300, 200 / 300))


def test_found_numbers_count_for_the_pass_and_the_default_of_stale_after(tmp_path: Path) -> None:
    got = times(tmp_path, 9800, 0)
    assert got.pass_seconds == pytest.approx(1000)
    assert got.poll_seconds == pytest.approx(9800 / (9.8 - 1 / 300))
    assert got.stale_after_seconds == pytest.approx(3 * got.poll_seconds)
    assert times(tmp_path, 9800, 0, top="stale_after: 20m").stale_after_seconds == 1200


def test_health_stays_below_its_ceiling(tmp_path: Path) -> None:
    """10,000 numbers every 5m need 33 per second; the API allows 5.  Polls have an hour here."""
    got = times(tmp_path, 10_000, 500, top="scrape_interval: 1h", account=BOTH)
    assert got.health_seconds == pytest.approx(10_000 / 4.9)
    assert (got.poll_seconds, got.refresh_seconds) == (3600, 300)
    assert got.health_valid_seconds == max(got.stale_after_seconds, 3 * 10_000 / 4.9)


def test_where_polls_do_not_fit_the_rest_gets_a_tenth_of_the_slots(tmp_path: Path) -> None:
    got = times(tmp_path, 10_000, 99, account=BOTH)
    assert got.shares == pytest.approx((8.82, 100 / 300, 0.98 - 100 / 300))
    assert got.poll_seconds == pytest.approx(10_000 / 8.82)
    assert got.refresh_seconds == 300
    assert got.health_seconds == pytest.approx(10_000 / (0.98 - 100 / 300))


def test_listing_and_health_that_both_want_more_get_a_half_each(tmp_path: Path) -> None:
    got = times(tmp_path, 10_000, 500, account=BOTH)
    assert got.shares == pytest.approx((8.82, 0.49, 0.49))
    assert got.refresh_seconds == pytest.approx(501 / 0.49)


def test_what_polls_leave_is_for_listing_and_health(tmp_path: Path) -> None:
    """A quarter of the slots goes to polls, so three quarters are free."""
    got = times(tmp_path, 15, account="qps: 1, health: {interval: 10s}")
    assert got.shares == pytest.approx((0.25, 0, 0.998 - 0.25))
    assert got.health_seconds == pytest.approx(15 / (0.998 - 0.25))


def test_polls_that_take_most_slots_keep_their_interval(tmp_path: Path) -> None:
    got = times(tmp_path, 45, account="qps: 1, health: {interval: 10s}")
    assert got.shares == pytest.approx((0.75, 0, 0.248))
    assert got.poll_seconds == 60


def test_polls_that_take_nearly_all_slots_are_slowed_by_health_by_a_tenth(tmp_path: Path) -> None:
    """They fit the interval alone."""
    got = times(tmp_path, 59, account="qps: 1, health: {interval: 10s}")
    assert got.shares == pytest.approx((0.8982, 0, 0.0998))
    assert got.poll_seconds == pytest.approx(59 / 0.8982)


@pytest.mark.parametrize("numbers", [29, 30, 53, 54, 59, 60])
def test_one_number_more_takes_no_jump(tmp_path: Path, numbers: int) -> None:
    """Neither where polls begin to take more than half of the slots, nor where they no longer fit the interval."""
    before, after = (
        times(tmp_path, count, account="qps: 1, health: {interval: 10s}") for count in (numbers, numbers + 1)
    )
    assert after.poll_seconds <= before.poll_seconds * (1 + 1.1 / numbers)
    assert before.shares.health - after.shares.health <= 1.1 / 60


def test_an_account_without_numbers_takes_no_time(tmp_path: Path) -> None:
    got = times(tmp_path, 0, 0, account=BOTH)
    assert (got.pass_seconds, got.poll_seconds, got.refresh_seconds, got.health_seconds) == (0, 60, 300, 300)


@pytest.mark.parametrize(
    ("top", "account", "seconds"),
    [
        ("", "discover: {}", 6 * 3600),
        ("stale_after: 7h", "discover: {}", 7 * 3600),
        ("", "discover: {refresh_interval: 3h}", 9 * 3600),
    ],
)
def test_a_listing_counts_for_6h_or_as_long_as_a_status_or_three_listings(
    tmp_path: Path, top: str, account: str, seconds: float
) -> None:
    assert times(tmp_path, 1, top=top, account=account).listing_valid_seconds == seconds


@pytest.mark.parametrize(
    ("top", "account", "seconds"),
    [
        ("", "health: {}", 900),
        ("stale_after: 20m", "health: {}", 1200),
        ("", "health: {interval: 1h}", 3 * 3600),
    ],
)
def test_a_verdict_counts_as_long_as_a_status_or_three_checks(
    tmp_path: Path, top: str, account: str, seconds: float
) -> None:
    assert times(tmp_path, 1, top=top, account=account).health_valid_seconds == seconds


def test_a_loaded_account_has_the_default_of_its_own_numbers(tmp_path: Path) -> None:
    """A change of its number files, or what is found, gives it another."""
    config = loaded(tmp_path, f"accounts: [{{name: main, qps: 0.1, discover: {{}}, numbers: [{NUMBER}]}}]")
    (account,) = config.accounts
    assert account.stale_after_seconds == 900
    more = account.with_numbers(account.numbers * 100, account.lists)
    assert more.stale_after_seconds == account.times(100).stale_after_seconds > 3000


def test_the_limits_are_a_little_below_those_of_the_operations() -> None:
    """This folder does not import the operations."""
    assert pace_qps(math.inf, GetWhatsappHealthStatus.max_qps) == HEALTH_QPS
    assert {LISTING_QPS} == {pace_qps(math.inf, each.max_qps) for each in (ListInstance, QueryChatappPhoneNumbers)}
