"""Trouble that ends: how soon each number has its status again, for any interval, in virtual time."""

from __future__ import annotations

import itertools
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator

import pytest

from exporter.errors import ApiError, Kind
from exporter.model import NumberKey, PhoneNumber, pace_qps
from tests.support.numbers import numbers
from tests.support.played import FORBIDDEN, NO_CREDENTIAL, QUOTA, UNREACHABLE, Played

TEN_MINUTES = 600.0
UNSIGNED = ApiError("SignatureDoesNotMatch", Kind.ACCOUNT)


@pytest.fixture(autouse=True, scope="module")
def _silence() -> Iterator[None]:
    """Thousands of failures are simulated, and each would be logged."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def all_known(played: Played, within: float) -> float:
    """Seconds until every number is VERIFIED; fails after `within`."""
    began = played.now
    while set(played.statuses().values()) != {"VERIFIED"}:
        played.run(1.0)
        assert played.now - began <= within
    return played.now - began


def until(played: Played, ends_at: float, error: ApiError) -> Callable[[PhoneNumber], ApiError | None]:
    return lambda _: error if played.now < ends_at else None


@pytest.mark.parametrize("late", [5.0, 20.0, 120.0, 500.0])
@pytest.mark.parametrize("count", [1, 5, 100])
@pytest.mark.parametrize("error", [UNREACHABLE, ApiError("http_429", Kind.THROTTLE)])
def test_numbers_are_polled_within_a_minute_after_the_endpoint_comes_up(
    late: float, count: int, error: ApiError
) -> None:
    """The interval is ten minutes, and all retries are used up by then."""
    played = Played(numbers(count), TEN_MINUTES)
    played.answer = until(played, played.now + late, error)
    played.run(late)
    pause = 62.0 if error.kind is Kind.THROTTLE else 0.0
    all_known(played, min(60.0, 2 * late + 5.0) + 2 * count / pace_qps(played.qps, QUOTA) + pause)
    played.stop()


@pytest.mark.parametrize("late", [2.0, 8.0, 100.0])
@pytest.mark.parametrize("count", [1, 2, 3, 50])
@pytest.mark.parametrize("error", [NO_CREDENTIAL, UNSIGNED])
def test_a_credential_that_comes_late_is_used_within_ten_seconds_by_all_numbers(
    late: float, count: int, error: ApiError
) -> None:
    """None at first (a credential service), or an incomplete one (the second half of a rotated key)."""
    played = Played(numbers(count), TEN_MINUTES)
    played.answer = until(played, played.now + late, error)
    played.run(late)
    played.changes += 1
    all_known(played, 10.0 + 2.0 + count / pace_qps(played.qps, QUOTA))
    played.stop()


@pytest.mark.parametrize("count", [1, 20])
@pytest.mark.parametrize(
    "then", [UNREACHABLE, ApiError("http_503", Kind.TRANSIENT, retry_after_seconds=5), ApiError("x", Kind.THROTTLE)]
)
@pytest.mark.parametrize("first", [NO_CREDENTIAL, UNSIGNED, FORBIDDEN])
def test_a_credential_that_comes_before_the_network_does_not_cost_the_interval(
    first: ApiError, then: ApiError, count: int
) -> None:
    """The refused account is probed with the new credential, and that probe fails."""
    played = Played(numbers(count), TEN_MINUTES)
    began = played.now

    def answer(_: PhoneNumber) -> ApiError | None:
        return first if played.now < began + 10.0 else then if played.now < began + 40.0 else None

    played.answer = answer
    played.run(10.0)
    played.changes += 1
    played.run(30.0)
    all_known(played, 60.0 + 2.0 + count / pace_qps(played.qps, QUOTA))
    played.stop()


def test_a_refused_account_out_of_reach_is_probed_once_a_minute() -> None:
    """At most, for an hour; once it answers again the interval counts."""
    played = Played(numbers(20), TEN_MINUTES)
    played.answer = lambda _: UNSIGNED
    played.run(30.0)
    assert not played.poller.status().up
    played.answer = lambda _: UNREACHABLE
    played.changes += 1
    assert 3600 / 60 <= len(played.run(3600.0)) <= 3600 / 60 + 4
    played.answer = lambda _: UNSIGNED
    assert 1 <= len(played.run(TEN_MINUTES)) <= 2
    played.stop()


def test_a_number_that_is_to_be_left_alone_is_asked_with_a_new_credential_after_that() -> None:
    """An error of permission asks to wait for half a minute; the interval is ten."""
    played = Played(numbers(2), TEN_MINUTES)
    wait = ApiError("Forbidden.RAM", Kind.PERMISSION, retry_after_seconds=30.0)
    played.answer = lambda number: wait if number == played.numbers[0] else None
    played.run(10.0)
    played.answer = lambda _: None
    played.changes += 1
    all_known(played, 30.0)
    played.stop()


def test_a_key_that_is_rotated_by_halves_while_all_is_well_costs_seconds() -> None:
    """First the ID, six seconds later the secret: the account is refused in between."""
    played = Played(numbers(30), 20.0, stale_after=60.0)
    played.run(100.0)
    played.changes += 1
    played.answer = lambda _: UNSIGNED
    played.run(6.0)
    played.answer = lambda _: None
    played.changes += 1
    before = len(played.sent)
    played.run(10.0 + 2.0 + 30 / pace_qps(played.qps, QUOTA))
    assert {key for _, key in played.sent[before:]} == {each.key for each in played.numbers}
    assert set(played.statuses().values()) == {"VERIFIED"}
    played.stop()


@pytest.mark.parametrize("interval", [60.0, TEN_MINUTES, 3600.0])
def test_in_a_long_outage_a_number_is_asked_once_a_minute(interval: float) -> None:
    """Exactly that, although it is polled each minute, or once an hour."""
    played = Played(numbers(20), interval, stale_after=max(900.0, 3 * interval))
    played.run(interval)
    played.answer = lambda _: UNREACHABLE
    played.run(played.stale_after + interval)  # all are stale by then
    sent = played.run(3600.0)
    by_number: dict[NumberKey, list[float]] = defaultdict(list)
    for at, key in sent:
        by_number[key].append(at)
    assert set(by_number) == {each.key for each in played.numbers}
    for instants in by_number.values():
        assert len(instants) <= 3600 / 60 + 1 + 3600 / interval * (interval > 60)
        assert max(after - before for before, after in itertools.pairwise(instants)) <= 62.0
    played.answer = lambda _: None
    all_known(played, 62.0)
    played.stop()


def test_what_is_asked_again_gives_way_to_what_is_due() -> None:
    """Half of the numbers never answer, and half of them use 80 % of the budget."""
    every = numbers(160)
    dead = {each.key for each in every[::2]}
    played = Played(every, 20.0, qps=9.8, stale_after=30.0)
    played.answer = lambda number: UNREACHABLE if number.key in dead else None
    played.run(120.0)
    played.start_sampling()
    sent = played.run(600.0)
    assert played.share([each.key for each in every if each.key not in dead]) == 1.0
    assert played.poller.status().lag_seconds < 2.0
    polls: dict[NumberKey, int] = defaultdict(int)
    for _, key in sent:
        polls[key] += 1
    assert all(28 <= polls[each.key] <= 31 for each in every if each.key not in dead)
    assert all(28 <= polls[key] <= 3 * 31 for key in dead)
    played.stop()


def test_a_fleet_out_of_reach_stays_within_the_budget() -> None:
    played = Played(numbers(1000), 3600.0)
    played.answer = lambda _: UNREACHABLE
    sent = played.run(900.0)
    assert len(sent) <= 900.0 * pace_qps(played.qps, QUOTA) + 1
    for (before, _), (after, _) in itertools.pairwise(sent):
        assert after - before >= 1 / pace_qps(played.qps, QUOTA) - 1e-6
    played.stop()


def test_a_number_whose_error_does_not_pass_waits_for_its_next_poll() -> None:
    played = Played(numbers(10), TEN_MINUTES)
    played.answer = lambda number: ApiError("InvalidParameter.PhoneNumber", Kind.NUMBER)
    assert len(played.run(290.0)) == 10
    played.stop()
