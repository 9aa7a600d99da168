"""Durations as Prometheus writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config import format_duration, parse_duration

YEARS_292_MS = 292 * 365 * 86_400_000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("0s", 0),
        ("30s", 30),
        ("1m30s", 90),
        ("90s", 90),
        ("1h", 3600),
        ("500ms", 0.5),
        ("1s500ms", 1.5),
        ("1d", 86400),
        ("1w", 7 * 86400),
        ("1y", 365 * 86400),
        ("1y2w3d4h5m6s7ms", 365 * 86400 + 17 * 86400 + 4 * 3600 + 5 * 60 + 6.007),
        ("292y", 292 * 365 * 86400),
        ("007s", 7),
    ],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds, abs=1e-9)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "60",
        "1.5h",
        "-1m",
        "+1m",
        " 1m",
        "1m ",
        "1m 30s",
        "30s1m",
        "1m1m",
        "s",
        "1M",
        "1us",
        "1min",
        "1h30",
        "٣s",
    ],
)
def test_what_prometheus_refuses_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration; write for example 30s, 1m30s or 1h"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["293y", "292y52w", f"{'9' * 18}s"])
def test_what_prometheus_can_not_count_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is longer than Prometheus can count"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0004, "0s"),
        (0.5, "500ms"),
        (1, "1s"),
        (60, "1m"),
        (90, "1m30s"),
        (900, "15m"),
        (3600, "1h"),
        (86400, "1d"),
        (7 * 86400, "1w"),
        (10 * 86400, "10d"),
        (365 * 86400, "1y"),
        (366 * 86400, "366d"),
        (59.9996, "1m"),
    ],
)
def test_a_duration_is_written(seconds: float, text: str) -> None:
    """As Prometheus writes it: years and weeks only where nothing is left over."""
    assert format_duration(seconds) == text


@given(st.integers(0, YEARS_292_MS))
def test_what_is_written_is_read_back(milliseconds: int) -> None:
    assert round(parse_duration(format_duration(milliseconds / 1000)) * 1000) == milliseconds


@given(st.text(alphabet="0123456789ywdhms. -", max_size=24))
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except ValueError:
        return
    assert 0 <= seconds <= 293 * 365 * 86400
    assert text == "0" or text[-1].isalpha()
