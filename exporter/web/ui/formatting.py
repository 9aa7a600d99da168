"""Formats instants and spans for people.  Pure."""

from __future__ import annotations

from datetime import UTC, datetime

_LATEST_UNIX = 253_402_300_799.0
"""The end of the year 9999, the last date that Python knows."""

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def iso(unix: float) -> str:
    """``2026-01-02T03:04:05Z``; empty for an instant without a date."""
    if not 0 <= unix <= _LATEST_UNIX:
        return ""
    return f"{datetime.fromtimestamp(unix, UTC):%Y-%m-%dT%H:%M:%SZ}"


def utc(unix: float) -> str:
    """``2026-01-02 03:04:05``, in UTC."""
    return iso(unix).replace("T", " ").removesuffix("Z")


def utc_near(unix: float, now_unix: float) -> str:
    """The same, without the date if it is today."""
    written, today = utc(unix), utc(now_unix)[:11]
    return written.removeprefix(today) if today else written


def span(seconds: float) -> str:
    """``3 d 4 h``: the two largest units, without the second one if it is 0; ``0 s`` for less than a second."""
    left = int(max(0.0, min(seconds, _LATEST_UNIX)))
    for place, (size, unit) in enumerate(_UNITS):
        if left >= size:
            count, rest = divmod(left, size)
            smaller_size, smaller_unit = _UNITS[min(place + 1, len(_UNITS) - 1)]
            smaller = rest // smaller_size
            return f"{count} {unit} {smaller} {smaller_unit}" if smaller else f"{count} {unit}"
    return "0 s"
