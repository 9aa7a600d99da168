"""Found numbers as they are stored: what listings said of them, and for how long listings have lacked them."""

from __future__ import annotations

from typing import NamedTuple

from exporter.model import Listing


class Absence(NamedTuple):
    """For how long listings have lacked a found number, and the lists of spaces its space; in seconds."""

    missing_seconds: float = 0.0
    gone_seconds: float = 0.0


class StoredFound(NamedTuple):
    """A number that listings had found."""

    listing: Listing
    absence: Absence
