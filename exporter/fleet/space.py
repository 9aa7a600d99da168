"""What the listings of one space say about its numbers.  Pure: time is an argument, in monotonic seconds.

- Only whole listings come here: one that failed changes nothing.
- A number that a listing lacks stays, and is marked as not listed.  Each such listing adds the time since the listing
  before it, but at most one refresh interval.  So an outage adds nothing, however long it is.  When the sum reaches
  `forget_after`, the number leaves.
- An empty listing of a space that had numbers is probably an error of the API.  Only from the third in a row on the
  numbers are marked as not listed, and even then no time is added.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from exporter.model import ListedNumber, PhoneNumber

EMPTY_LISTINGS = 3
"""So many empty listings in a row are believed."""


@dataclass(slots=True, eq=False)
class Found:
    """A number that a listing of its space held.

    `seen_at` is when the last such listing was, `entry` what it said; None if that is not known after a restart.
    `missing_seconds` is for how long listings have lacked the number since then.
    """

    number: PhoneNumber
    seen_at: float
    entry: ListedNumber | None
    listed: bool = True
    missing_seconds: float = 0.0


@dataclass(slots=True, eq=False)
class FoundSpace:
    """The numbers that listings of one space found, by their digits.

    `looked_at` is when the space was last listed as a whole and the listing was believed; None before.
    `discovered` is how many numbers that listing held.  `unwatched` are those that it held and that are not in `found`.
    `gone_seconds` is for how long lists of the account's spaces have lacked this one.
    """

    found: dict[str, Found] = field(default_factory=dict, repr=False)
    looked_at: float | None = None
    discovered: int = 0
    unwatched: Collection[str] = field(default=(), repr=False)
    gone_seconds: float = 0.0
    empty_listings: int = 0

    def believes(self, listed: Collection[object]) -> bool:
        """Whether a listing counts: it is not empty, or the space had no numbers, or it is the third empty one."""
        if listed or not self.found:
            self.empty_listings = 0
            return True
        self.empty_listings += 1
        return self.empty_listings >= EMPTY_LISTINGS

    def passed_seconds(self, now: float, most_seconds: float) -> float:
        """The time for which a listing at `now` counts: since the listing before it, and at most `most_seconds`."""
        return 0.0 if self.looked_at is None else min(max(0.0, now - self.looked_at), most_seconds)

    def mark(self, listed: Mapping[str, ListedNumber], now: float) -> tuple[list[Found], list[Found]]:
        """Note which of the numbers the listing holds.  Returns those that it is the first to hold, or to lack."""
        back, missing = [], []
        for digits, found in self.found.items():
            entry = listed.get(digits)
            if entry is None:
                if found.listed:
                    missing.append(found)
                found.listed = False
                continue
            if not found.listed:
                back.append(found)
            if entry != found.entry:  # else one of the two objects is enough
                found.entry = entry
            found.listed, found.seen_at, found.missing_seconds = True, now, 0.0
        return back, missing

    def forgotten(self, passed_seconds: float, forget_after_seconds: float) -> list[Found]:
        """Add the time to the numbers that are not listed.  Returns those that have not been listed for long enough."""
        missing = [found for found in self.found.values() if not found.listed]
        for found in missing:
            found.missing_seconds += passed_seconds
        return [found for found in missing if found.missing_seconds >= forget_after_seconds]
