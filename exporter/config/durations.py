"""Durations as Prometheus writes them: ``30s``, ``1m30s``, ``1h``; units in descending order, or ``0``.

Source: Prometheus documentation, "Time durations" (a year is 365 days, a week 7), and `model.Duration` of
prometheus/common, whose rendering `format_duration` follows.
"""

from __future__ import annotations

import re

from exporter.config.strict_yaml import show

MINUTE: float = 60.0
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY
YEAR = 365 * DAY

_UNIT_MS = {
    "y": 31_536_000_000,
    "w": 604_800_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1_000,
    "ms": 1,
}
_WHOLE_ONLY = {"y", "w"}
"""Units that are used only where nothing is left over: 10d is easier to read than 1w3d."""

_DURATION = re.compile("".join(f"(?:([0-9]{{1,18}}){unit})?" for unit in _UNIT_MS))
_MAX_MS = (2**63 - 1) // 1_000_000
"""Prometheus counts nanoseconds in 64 bits: some 292 years."""


def parse_duration(text: str) -> float:
    """Seconds; raises ValueError whose text says what to write."""
    if text == "0":
        return 0.0
    match = _DURATION.fullmatch(text)
    if not text or not match:
        raise ValueError(f"{show(text)} is not a duration; write for example 30s, 1m30s or 1h")
    counts = map(int, match.groups("0"))
    milliseconds = sum(count * unit for count, unit in zip(counts, _UNIT_MS.values(), strict=True))
    if milliseconds > _MAX_MS:
        raise ValueError(f"{show(text)} is longer than Prometheus can count; write less than 292y")
    return milliseconds / 1000


def format_duration(seconds: float) -> str:
    """`seconds` (0 or more), to the millisecond, as `parse_duration` reads it."""
    rest = round(seconds * 1000)
    parts: list[str] = []
    for unit, milliseconds in _UNIT_MS.items():
        count, left = divmod(rest, milliseconds)
        if count and not (unit in _WHOLE_ONLY and left):
            parts.append(f"{count}{unit}")
            rest = left
    return "".join(parts) or "0s"


def approximately(seconds: float) -> str:
    """A duration for people: milliseconds below 10 s, tenths of a second below a minute, else whole seconds."""
    digits = 3 if seconds < 10 else 1 if seconds < 60 else 0
    return format_duration(round(seconds, digits))
