"""When an account counts as refused, and when it is probed."""

from __future__ import annotations

import pytest

from exporter.errors import ApiError, Kind
from exporter.poller.refusal import Refusal


def error(kind: Kind, code: str = "Forbidden.RAM") -> ApiError:
    return ApiError(code, kind)


def refused() -> Refusal:
    refusal = Refusal()
    for _ in range(3):
        refusal.failed(error(Kind.ACCOUNT), 100.0)
    return refusal


def test_three_account_errors_in_a_row_refuse_the_account() -> None:
    refusal = Refusal()
    for _ in range(2):
        refusal.failed(error(Kind.ACCOUNT), 100.0)
        assert not refusal.refused
    refusal.failed(error(Kind.ACCOUNT, "InvalidAccessKeyId.NotFound"), 100.0)
    assert refusal.refused
    assert refusal.reason is not None
    assert refusal.reason.code == "InvalidAccessKeyId.NotFound"


def test_a_success_between_starts_the_count_anew() -> None:
    refusal = Refusal()
    for _ in range(5):
        refusal.failed(error(Kind.ACCOUNT), 100.0)
        refusal.failed(error(Kind.ACCOUNT), 100.0)
        assert not refusal.succeeded()
    assert not refusal.refused


@pytest.mark.parametrize("kind", [Kind.THROTTLE, Kind.TRANSIENT])
def test_other_trouble_between_does_not_start_the_count_anew(kind: Kind) -> None:
    """A time-out says nothing about the key."""
    refusal = Refusal()
    for _ in range(3):
        refusal.failed(error(Kind.ACCOUNT), 100.0)
        refusal.failed(error(kind), 100.0)
    assert refusal.refused


@pytest.mark.parametrize("kind", [Kind.THROTTLE, Kind.TRANSIENT, Kind.NUMBER])
def test_only_account_errors_refuse(kind: Kind) -> None:
    refusal = Refusal()
    for _ in range(10):
        refusal.failed(error(kind), 100.0)
    assert not refusal.refused


def test_the_first_success_restores_the_account() -> None:
    refusal = refused()
    assert refusal.succeeded()
    assert not refusal.refused


def test_an_error_about_a_number_shows_that_the_account_is_let_in() -> None:
    refusal = refused()
    refusal.failed(error(Kind.NUMBER), 200.0)
    assert not refusal.refused


def test_a_code_that_nobody_knows_neither_restores_nor_counts() -> None:
    """A new 403 may well be one more way to say that the account is refused."""
    guess = ApiError("AccessDenied", Kind.NUMBER, guessed=True)
    refusal = refused()
    refusal.failed(guess, 200.0)
    assert refusal.refused
    refusal = Refusal()
    for known in (True, True, False, False):
        refusal.failed(error(Kind.ACCOUNT) if known else guess, 100.0)
    assert not refusal.refused
    refusal.failed(error(Kind.ACCOUNT), 100.0)
    assert refusal.refused


@pytest.mark.parametrize(("interval", "wait"), [(60.0, 60.0), (1.0, 10.0)])
def test_a_refused_account_is_probed_once_per_interval_and_at_most_once_in_ten_seconds(
    interval: float, wait: float
) -> None:
    refusal = refused()
    assert refusal.probe_at(interval) == 100.0 + wait
    refusal.probed(500.0)
    refusal.failed(error(Kind.ACCOUNT), 501.0)
    assert refusal.probe_at(interval) == 500.0 + wait


def test_something_that_may_have_mended_it_is_probed_soon_but_not_within_ten_seconds() -> None:
    refusal = refused()
    refusal.probe_soon()
    assert refusal.probe_at(3600.0) == 110.0
    refusal.probed(120.0)
    assert refusal.probe_at(3600.0) == 3720.0
