"""Listings of spaces, from their first page to their last."""

from __future__ import annotations

from collections.abc import Callable

from exporter.cams.operations import InstancePage, ListInstance, SpaceListing
from exporter.errors import ApiError
from exporter.model import Space


def all_spaces(ask: Callable[[ListInstance], InstancePage], listing: SpaceListing | None = None) -> tuple[Space, ...]:
    """All spaces; an error that is cured is asked again, like an exporter does."""
    listing = listing or SpaceListing()
    while True:
        try:
            found = listing.step(ask)
        except ApiError as error:
            if not error.cured:
                raise
        else:
            if found is not None:
                return found
