"""Whether and when a failed poll is tried again."""

from __future__ import annotations

import math
import random

import pytest

from exporter.errors import ApiError, Kind
from exporter.polling.retries import CAP_SECONDS, retry_at

NOW = 100.0


def tried(
    kind: Kind = Kind.TRANSIENT,
    *,
    retries: int = 0,
    failures: int = 1,
    fresh_until: float = math.inf,
    asked_at: float = NOW,
    cured: bool = False,
    seed: int = 0,
) -> float | None:
    """Seconds until the next try."""
    at = retry_at(
        ApiError("code", kind, cured=cured),
        retries,
        failures,
        fresh_until,
        asked_at,
        NOW,
        random.Random(seed),
    )
    return None if at is None or at == math.inf else at - NOW


def waits(kind: Kind = Kind.TRANSIENT, *, failures: int) -> list[float]:
    """Many waits, in order."""
    return sorted(tried(kind, failures=failures, seed=seed) or 0.0 for seed in range(500))


@pytest.mark.parametrize("kind", [Kind.TRANSIENT, Kind.THROTTLE])
def test_what_may_pass_is_retried_twice_with_a_backoff_that_doubles(kind: Kind) -> None:
    for failures, longest in ((1, 2.0), (2, 4.0), (3, 8.0), (5, 32.0)):
        assert waits(kind, failures=failures)[-1] == pytest.approx(longest, rel=0.05)
    assert tried(kind, retries=1) is not None
    assert tried(kind, retries=2) is None


def test_the_whole_of_the_backoff_is_jitter() -> None:
    """Full jitter: numbers that failed at the same time are not retried at the same time."""
    found = waits(failures=1)
    assert found[50] < 0.3
    assert found[450] > 1.7


def test_further_tries_come_no_sooner_than_half_of_the_backoff() -> None:
    """After an outage of 20 s numbers are retried within half a minute, not only after a minute."""
    for failures, longest in ((3, 8.0), (4, 16.0), (5, 32.0)):
        found = waits(failures=failures)
        assert longest / 2 <= found[0] < 0.55 * longest
        assert 0.95 * longest < found[-1] <= longest


def test_in_an_outage_a_number_is_asked_once_a_minute_counted_from_request_to_request() -> None:
    assert set(waits(failures=6)) == set(waits(failures=1000)) == {CAP_SECONDS}
    assert tried(failures=6, asked_at=NOW - 10) == CAP_SECONDS - 10
    assert tried(failures=6, asked_at=NOW - 100) == 0.0


def test_a_number_without_a_fresh_status_is_asked_on_after_its_retries() -> None:
    wait = tried(retries=2, failures=3, fresh_until=-math.inf)
    assert wait is not None
    assert 0 <= wait <= 8
    assert tried(retries=50, failures=51, fresh_until=NOW - 1) == CAP_SECONDS


def test_a_number_whose_status_becomes_stale_is_retried_from_then_on() -> None:
    assert tried(retries=2, failures=3, fresh_until=NOW + 300) == 300


def test_an_error_of_the_account_is_tried_once_more_and_those_that_do_not_pass_never() -> None:
    assert tried(Kind.ACCOUNT) is not None
    assert tried(Kind.ACCOUNT, retries=1, fresh_until=-math.inf) is None
    assert tried(Kind.NUMBER, fresh_until=-math.inf) is None
    assert tried(Kind.PERMISSION, fresh_until=-math.inf) is None


def test_an_error_whose_cause_is_gone_is_always_tried_again() -> None:
    """The key was changed while the retry was in flight: the next request is signed with the new one."""
    assert tried(Kind.ACCOUNT, retries=1, cured=True) is not None
