"""Found numbers as they are stored.  Times are Unix seconds, durations are seconds."""

from __future__ import annotations

from dataclasses import dataclass

from exporter.model import ListedNumber


@dataclass(frozen=True, slots=True)
class Absence:
    """For how long listings have lacked a found number, and the lists of spaces its space."""

    missing_seconds: float = 0.0
    gone_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class StoredFound:
    """A number that listings found: as `Listing`, in Unix time."""

    listed: bool
    looked_unix: float
    seen_unix: float | None
    entry: ListedNumber | None
    absence: Absence
