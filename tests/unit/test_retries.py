"""Whether and when a failed poll is tried again."""

from __future__ import annotations

import random

import pytest

from exporter.errors import Kind
from exporter.poller.retries import CAP_SECONDS, retry_at


def latest(kind: Kind, retries: int) -> float:
    """The longest of many waits."""
    rng = random.Random(0)
    return max(retry_at(kind, retries, 100.0, rng) or 0.0 for _ in range(500)) - 100.0


@pytest.mark.parametrize("kind", [Kind.TRANSIENT, Kind.THROTTLE])
def test_what_may_pass_is_retried_twice_with_a_backoff_that_doubles(kind: Kind) -> None:
    assert latest(kind, 0) == pytest.approx(2.0, rel=0.05)
    assert latest(kind, 1) == pytest.approx(4.0, rel=0.05)
    assert retry_at(kind, 2, 100.0, random.Random()) is None


def test_the_whole_of_the_backoff_is_jitter() -> None:
    """Full jitter: many numbers that failed together do not come back together."""
    rng = random.Random(0)
    waits = sorted((retry_at(Kind.TRANSIENT, 0, 0.0, rng) or 0.0) for _ in range(1000))
    assert waits[100] < 0.3
    assert waits[900] > 1.7


def test_an_error_of_the_account_is_tried_once_more_and_one_of_the_number_never() -> None:
    rng = random.Random(0)
    assert retry_at(Kind.ACCOUNT, 0, 100.0, rng) is not None
    assert retry_at(Kind.ACCOUNT, 1, 100.0, rng) is None
    assert retry_at(Kind.NUMBER, 0, 100.0, rng) is None


def test_no_wait_is_longer_than_the_cap() -> None:
    assert latest(Kind.TRANSIENT, 1) <= CAP_SECONDS
