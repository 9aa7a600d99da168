"""The lines about numbers, formatted and compressed for a thousand numbers at a time, and kept until they change.

Labels and timestamps take long to format.  They are formatted when they change, and lines are joined from them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import lru_cache

from exporter.metrics import catalogue
from exporter.metrics.catalogue import NUMBER_LABELS, Metric
from exporter.metrics.gzip_parts import Part, part
from exporter.metrics.text_format import escaped, format_around, format_labels, format_value
from exporter.model import KNOWN_STATUSES, UNKNOWN
from exporter.state.store import NumberState, Snapshot

CHUNK_NUMBERS = 1024
"""Numbers whose lines are compressed together: if one changes, this many lines are compressed, in about 1 ms."""


class Chunk:
    """Some numbers: their rows, and each family's lines, compressed, until one of them changes."""

    __slots__ = ("_parts", "_records", "_rows", "_windows")

    def __init__(self) -> None:
        self._records: tuple[NumberState, ...] = ()
        self._rows: list[_Row] = []
        self._parts: list[Part | None] = [None] * len(FAMILIES)
        # By account: while `fresh_since` is above the first instant and not above the second, no status shown changes.
        self._windows: dict[str, tuple[float, float]] = {}

    def update(self, records: tuple[NumberState, ...], snapshot: Snapshot) -> None:
        """Format what changed since the last time; 10 ns for a record that is the same."""
        if records != self._records:
            self._records = records
            self._rewrite(records, snapshot)
        fresh_since = snapshot.fresh_since
        if not all(stale < fresh_since[account] <= fresh for account, (stale, fresh) in self._windows.items()):
            self._show(snapshot)

    def part(self, index: int) -> Part:
        """The lines of a family, compressed."""
        found = self._parts[index]
        if found is None:
            _, lines = FAMILIES[index]
            found = self._parts[index] = part(lines(self._rows).encode())
        return found

    def _rewrite(self, records: tuple[NumberState, ...], snapshot: Snapshot) -> None:
        news = [(row, record) for row, record in zip(self._rows, records, strict=False) if row.record is not record]
        if len(self._rows) != len(records) or any(row.record.number != record.number for row, record in news):
            self._rows = [_Row(record) for record in records]
            self._parts = [None] * len(FAMILIES)
            self._show(snapshot)
            return
        for row, record in news:
            for index in row.update(record, snapshot.status(record)):
                self._parts[index] = None
            self._widen(row, snapshot)

    def _show(self, snapshot: Snapshot) -> None:
        """Look at all statuses again: some became stale, or fresh again with a longer `stale_after`."""
        self._parts[_STATUS] = None
        self._windows = {}
        for row in self._rows:
            row.shown = snapshot.status(row.record)
            self._widen(row, snapshot)

    def _widen(self, row: _Row, snapshot: Snapshot) -> None:
        """End the window where `row` would show another status."""
        account, at = row.record.number.account, row.record.success_at
        stale, fresh = self._windows.get(account, (-math.inf, math.inf))
        if at >= snapshot.fresh_since[account]:
            self._windows[account] = stale, min(fresh, at)
        else:
            self._windows[account] = max(stale, at), fresh


@lru_cache(maxsize=1024)
def _pieces(account: str, cust_space_id: str, labels: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """What the lines of all numbers with this space and these labels have in common between the braces.

    First what stands before the number in a line without other labels.  Then what stands before, between and after the
    name, the number and the ID in a line of the info metric.
    """
    identity = tuple(zip(NUMBER_LABELS, (account, cust_space_id, ""), strict=True))
    before_number, _ = format_around(identity, ("phone_number",))
    info = (*identity, ("name", ""), ("phone_number_id", ""), *labels)
    return (before_number, *format_around(info, ("name", "phone_number", "phone_number_id")))


class _Row:
    """What takes long to format of a number's lines, and the status to show, which its chunk sets.

    `name`, `label` and `id` are escaped: mostly these are the very strings that the record holds.  All labels
    formatted would take three times the memory of the rest.
    """

    __slots__ = ("id", "label", "name", "pieces", "record", "shown", "since", "success")

    def __init__(self, record: NumberState) -> None:
        number = record.number
        self.record = record
        self.shown = UNKNOWN
        self.pieces = _pieces(number.account, number.cust_space_id, number.labels)
        self.name = escaped(number.name)
        self.label = escaped(number.label)
        self.id = escaped(record.phone_number_id)
        self.success = _instant(record.success_unix)
        # one string for both if they are the same instant
        is_same = record.status_since_unix == record.success_unix
        self.since = self.success if is_same else _instant(record.status_since_unix)

    def update(self, record: NumberState, shown: str) -> list[int]:
        """Format what a poll of the same number changed; returns the families that have to be written again."""
        old, self.record = self.record, record
        changed = []
        if shown != self.shown or record.extra_statuses != old.extra_statuses:
            self.shown = shown
            changed.append(_STATUS)
        if record.phone_number_id != old.phone_number_id:
            self.id = escaped(record.phone_number_id)
            changed.append(_INFO)
        if record.last_poll_success is not old.last_poll_success:
            changed.append(_LAST_POLL)
        if record.success_unix != old.success_unix:
            self.success = _instant(record.success_unix)
            changed.append(_SUCCESS)
        if record.status_since_unix != old.status_since_unix:
            self.since = _instant(record.status_since_unix)
            changed.append(_SINCE)
        return changed


def _instant(unix: float | None) -> str:
    return "" if unix is None else format_value(unix)


def _status_lines(rows: Iterable[_Row]) -> str:
    before = f"{catalogue.STATUS.name}{{"
    return "".join(
        [
            f'{before}{row.pieces[0]}{row.label}"'.join(_status_tails(row.shown, row.record.extra_statuses))
            for row in rows
        ]
    )


@lru_cache(maxsize=256)
def _status_tails(current: str, extra: tuple[str, ...]) -> tuple[str, ...]:
    """What follows the number on each of its lines; the first is empty, so that `join` puts the number before each."""
    statuses = (*KNOWN_STATUSES, *extra)
    return ("", *(f",{format_labels([('status', status)])}}} {float(status == current)}\n" for status in statuses))


def _info_lines(rows: Iterable[_Row]) -> str:
    return "".join([_info_line(row) for row in rows])


def _info_line(row: _Row) -> str:
    _, before, between, before_id, after = row.pieces
    return f"{catalogue.INFO.name}{{{before}{row.name}{between}{row.label}{before_id}{row.id}{after}}} 1.0\n"


def _last_poll_lines(rows: Iterable[_Row]) -> str:
    polled = [(row, row.record.last_poll_success) for row in rows if row.record.last_poll_success is not None]
    return _lines(catalogue.LAST_POLL_SUCCESS, [(row, "1.0" if success else "0.0") for row, success in polled])


def _success_lines(rows: Iterable[_Row]) -> str:
    return _lines(catalogue.LAST_SUCCESS, [(row, row.success) for row in rows if row.success])


def _since_lines(rows: Iterable[_Row]) -> str:
    return _lines(catalogue.STATUS_CHANGE, [(row, row.since) for row in rows if row.since])


def _lines(metric: Metric, values: Iterable[tuple[_Row, str]]) -> str:
    """One line a number.  One comprehension, as in the others: at 1,000 polls/s a scrape spends its time here."""
    before = f"{metric.name}{{"
    return "".join([f'{before}{row.pieces[0]}{row.label}"}} {value}\n' for row, value in values])


FAMILIES: tuple[tuple[Metric, Callable[[Iterable[_Row]], str]], ...] = (
    (catalogue.STATUS, _status_lines),
    (catalogue.INFO, _info_lines),
    (catalogue.LAST_POLL_SUCCESS, _last_poll_lines),
    (catalogue.LAST_SUCCESS, _success_lines),
    (catalogue.STATUS_CHANGE, _since_lines),
)
"""The families about numbers, and how their lines are written."""

_STATUS, _INFO, _LAST_POLL, _SUCCESS, _SINCE = range(len(FAMILIES))
