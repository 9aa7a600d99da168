"""The lines about numbers, formatted and compressed for a thousand numbers at a time, and kept until they change.

Labels and timestamps take long to format.  They are formatted when they change, and lines are joined from them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from exporter.metrics.gzip_parts import Part, part
from exporter.metrics.number_lines import FAMILIES, Row
from exporter.state.store import NumberState, Snapshot

CHUNK_NUMBERS = 1024
"""Numbers whose lines are compressed together: if one changes, this many lines are compressed, in about 1 ms."""


class Chunk:
    """Some numbers: their rows, and each family's lines, compressed, until one of them changes."""

    __slots__ = ("_parts", "_records", "_refused", "_rows", "_windows")

    def __init__(self) -> None:
        self._records: tuple[NumberState, ...] = ()
        self._rows: list[Row] = []
        self._parts: dict[int, Part] = {}  # by the place of the family
        self._refused: frozenset[str] = frozenset()
        # By kind of age (see `_instants`) and account: while the instant from which on values count is above the first
        # and not above the second, no value becomes too old, and none counts again.
        self._windows: dict[tuple[int, str], tuple[float, float]] = {}

    def update(self, records: tuple[NumberState, ...], snapshot: Snapshot) -> None:
        """Format what changed since the last time; 10 ns for a record that is the same."""
        holds = self._holds(snapshot)
        if holds and records == self._records:
            return
        self._records = records
        if not holds:  # some values became too old, or count again because they may be older now
            self._windows, self._refused = {}, snapshot.health_refused
        rows = self._rows
        if len(rows) != len(records):
            self._rows, self._parts, self._windows = [Row.of(record, snapshot) for record in records], {}, {}
            for row in self._rows:
                self._widen(row, snapshot)
            return
        places = [place for place, record in enumerate(records) if not holds or rows[place].record is not record]
        old = [rows[place] for place in places]
        for place in places:
            rows[place] = Row.of(records[place], snapshot, rows[place])
            self._widen(rows[place], snapshot)
        self._forget_changed(old, [rows[place] for place in places])

    def _forget_changed(self, old: Sequence[Row], new: Sequence[Row]) -> None:
        """Forget the lines of each family that shows something else of these numbers now."""
        if [row.record.number for row in old] != [row.record.number for row in new]:
            self._parts = {}
        for index, family in enumerate(FAMILIES):
            if index in self._parts and [*map(family.value, old)] != [*map(family.value, new)]:
                del self._parts[index]

    def part(self, index: int) -> Part:
        """The lines of a family, compressed."""
        found = self._parts.get(index)
        if found is None:
            found = self._parts[index] = part(FAMILIES[index].lines(self._rows).encode())
        return found

    def _holds(self, snapshot: Snapshot) -> bool:
        """Whether time alone changed nothing that is shown."""
        since = _fresh_since(snapshot)
        return snapshot.health_refused == self._refused and all(
            stale < since[kind].get(account, math.inf) <= fresh
            for (kind, account), (stale, fresh) in self._windows.items()
        )

    def _widen(self, row: Row, snapshot: Snapshot) -> None:
        """End the windows where `row` would show another value."""
        account, since = row.record.number.account, _fresh_since(snapshot)
        for kind, at in _instants(row.record):
            stale, fresh = self._windows.get((kind, account), _ALWAYS)
            if stale < at < fresh:
                counts = at >= since[kind].get(account, math.inf)
                self._windows[kind, account] = (stale, at) if counts else (at, fresh)


_ALWAYS = (-math.inf, math.inf)
_STATUS, _LISTING, _HEALTH = range(3)


def _fresh_since(snapshot: Snapshot) -> tuple[Mapping[str, float], ...]:
    """By kind of age and account: the instant from which on values count."""
    return snapshot.fresh_since, snapshot.listing_fresh_since, snapshot.health_fresh_since


def _instants(record: NumberState) -> Iterator[tuple[int, float]]:
    """What ages in a record: the kind of age, and since when."""
    yield _STATUS, record.success_at
    if record.listing is not None:
        yield _LISTING, record.listing.looked_at
        yield _LISTING, record.listing.seen_at
    if record.health is not None:
        yield _HEALTH, record.health.success_at
