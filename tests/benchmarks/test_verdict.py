"""Which soaks pass the checks, and which do not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from benchmarks.verdict import Moment, Seen, judge


def moments(
    rss: Callable[[int], float] = lambda _: 70.0,
    threads: Callable[[int], int] = lambda _: 60,
    scrape: Callable[[int], float] = lambda _: 0.03,
) -> list[Moment]:
    return [Moment(float(at), rss(at), threads(at), scrape(at)) for at in range(100)]


GOOD = Seen(moments=moments(), busiest={"a": 10, "b": 9}, quota=10, silent=[], throttled=0)


def failed(seen: Seen) -> list[str]:
    return [check.what for check in judge(seen) if not check.ok]


def test_a_soak_without_trouble_passes() -> None:
    assert failed(GOOD) == []


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"moments": moments(rss=lambda at: 70 + at * 0.1)}, "RSS, MiB"),
        ({"moments": moments(threads=lambda at: 60 + at)}, "threads"),
        ({"moments": moments(scrape=lambda at: 0.251 if at == 50 else 0.03)}, "slowest scrape"),
        ({"silent": ["86138"]}, "numbers not asked lately"),
        ({"busiest": {"a": 10, "b": 11}}, "most requests of an account in a second"),
        ({"busiest": {}}, "most requests of an account in a second"),
        ({"throttled": 1}, "requests over the server's limit"),
    ],
    ids=[
        "memory grows",
        "threads grow",
        "one slow scrape",
        "a number forgotten",
        "over budget",
        "no request",
        "refused",
    ],
)
def test_each_kind_of_trouble_is_found_alone(change: dict[str, object], what: str) -> None:
    assert failed(replace(GOOD, **change)) == [what]  # type: ignore[arg-type] # each fits its field


def test_memory_and_threads_that_come_and_go_are_level() -> None:
    """A burst of hanging answers needs threads for half a minute; that is not a leak."""
    burst = moments(rss=lambda at: 76.0 if 40 < at < 60 else 70.0, threads=lambda at: 90 if 40 < at < 60 else 60)
    assert failed(replace(GOOD, moments=burst)) == []


def test_a_soak_too_short_to_tell_does_not_pass() -> None:
    assert {"RSS, MiB", "threads"} <= set(failed(replace(GOOD, moments=moments()[:3])))
    assert "slowest scrape" in failed(replace(GOOD, moments=[]))
