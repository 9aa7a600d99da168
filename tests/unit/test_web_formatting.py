"""Instants and spans for people."""

from __future__ import annotations

import math

import pytest

from exporter.web.ui.formatting import iso, span, utc, utc_near


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0.9, "0 s"),
        (1, "1 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h"),
        (3659, "1 h"),
        (86399, "23 h 59 min"),
        (90000, "1 d 1 h"),
        (1e300, "2932896 d 23 h"),
        (math.inf, "2932896 d 23 h"),
    ],
)
def test_a_span_shows_its_two_largest_units(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_an_instant_is_written_in_utc_whatever_the_machines_zone() -> None:
    assert iso(1_764_000_000.9) == "2025-11-24T16:00:00Z"
    assert utc(1_764_000_000.9) == "2025-11-24 16:00:00"


def test_an_instant_of_today_is_written_without_its_date() -> None:
    """Today is the day of the page, in UTC."""
    now = 1_764_000_000.0
    assert utc_near(now - 100, now) == "15:58:20"
    assert utc_near(now - 86_400, now) == "2025-11-23 16:00:00"
    assert utc_near(now + 86_400, now) == "2025-11-25 16:00:00"
    assert utc_near(1e300, now) == ""
    assert utc_near(now, 1e300) == "2025-11-24 16:00:00"


@pytest.mark.parametrize("unix", [-1.0, 1e300, math.inf, math.nan])
def test_an_instant_that_no_calendar_has_is_left_out(unix: float) -> None:
    """A manipulated store must not break the page."""
    assert iso(unix) == ""
