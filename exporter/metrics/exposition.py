"""The exposition: the bytes of a scrape, in the format and encoding a client asked for.

Equal, byte for byte, to what prometheus_client's `generate_latest` makes of the same families (`reference`), at a
fraction of its cost.  What takes long to format, labels and timestamps, is formatted when it changes and kept.  Of the
lines themselves the compressed form is kept, for a thousand numbers at a time: a scrape, which Prometheus always asks
for compressed, joins what did not change and compresses anew only what did.

Blocking; called off the event loop.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from prometheus_client import exposition
from prometheus_client.core import Metric as Family
from prometheus_client.openmetrics import exposition as openmetrics_exposition
from prometheus_client.registry import Collector

from exporter.metrics import catalogue
from exporter.metrics.catalogue import Metric, Sample
from exporter.metrics.collector import CamsCollector, info_labels
from exporter.metrics.gzip_parts import Part, member, part
from exporter.metrics.text_format import escaped, format_around, format_labels, format_value
from exporter.model import KNOWN_STATUSES, UNKNOWN, AccountStatus, PhoneNumber
from exporter.state.store import NumberState, Snapshot

CHUNK_NUMBERS = 1024
"""Numbers whose lines are compressed together: one that changes costs as many lines, about a millisecond."""

NO_NAMES: frozenset[str] = frozenset()

_EOF = "# EOF\n"


class Format(Enum):
    """An exposition format."""

    TEXT = "text"
    OPENMETRICS = "openmetrics"


class Exposition:
    """The text of `collector` followed by that of `others`; thread-safe, one scrape at a time."""

    def __init__(self, collector: CamsCollector, others: Collector) -> None:
        self.collector = collector
        self.others = others
        self._chunks: list[_Chunk] = []
        self._own: dict[tuple[Metric, Format], _OwnFamily] = {}
        self._lock = threading.Lock()

    def scrape(self, fmt: Format, *, gzip: bool = False, names: frozenset[str] = NO_NAMES) -> bytes:
        """One scrape; `names` keeps only the families so named (all, when empty), as client_golang's ``name[]`` does.

        A family's name is the one that the text format has: ``cams_api_requests_total``,
        ``cams_api_request_duration_seconds`` for the whole histogram.  A histogram's ``…_bucket`` names no family.
        """
        with self._lock:
            snapshot, accounts = self.collector.view()
            self._rewrite(snapshot)
            if gzip and not names:
                last = part(self._last(fmt, NO_NAMES))
                return member([*self._number_parts(fmt), *self._own_parts(snapshot, accounts, fmt), last])
            pieces = (*self._number_text(fmt, names), *self._own_text(snapshot, accounts, fmt, names))
            text = b"".join([piece.encode() for piece in pieces]) + self._last(fmt, names)
        return member([part(text)]) if gzip else text

    def _rewrite(self, snapshot: Snapshot) -> None:
        records, chunks = snapshot.numbers, self._chunks
        starts = range(0, len(records), CHUNK_NUMBERS)
        del chunks[len(starts) :]
        chunks.extend([_Chunk() for _ in starts[len(chunks) :]])
        for chunk, start in zip(chunks, starts, strict=True):
            chunk.update(records[start : start + CHUNK_NUMBERS], snapshot)

    def _number_parts(self, fmt: Format) -> Iterator[Part]:
        """All families about numbers, compressed."""
        for index, (metric, _) in enumerate(_NUMBER_LINES):
            yield _header_part(metric.name, metric.help, metric.type, fmt)
            for chunk in self._chunks:
                yield chunk.part(index)

    def _number_text(self, fmt: Format, names: frozenset[str]) -> Iterator[str]:
        """The families about numbers that `names` has, or all; an empty one that is asked for by name is left out."""
        for index, (metric, _) in enumerate(_NUMBER_LINES):
            if names and metric.name not in names:
                continue
            lines = [chunk.text(index) for chunk in self._chunks]
            if not names or any(lines):
                yield _header(metric.name, metric.help, metric.type, fmt)
                yield from lines

    def _own_parts(self, snapshot: Snapshot, accounts: Sequence[AccountStatus], fmt: Format) -> Iterator[Part]:
        """What is said about accounts and the exporter, compressed; a family that did not change is kept."""
        for metric, samples in self.collector.own_samples(snapshot, accounts):
            known = self._own.get((metric, fmt))
            if known is None or known.samples != samples:
                text = _family_text(metric, samples, fmt)
                known = self._own[metric, fmt] = _OwnFamily(samples, part(text.encode()))
            yield known.part

    def _own_text(
        self, snapshot: Snapshot, accounts: Sequence[AccountStatus], fmt: Format, names: frozenset[str]
    ) -> Iterator[str]:
        for metric, samples in self.collector.own_samples(snapshot, accounts):
            if not names or (metric.name in names and samples):
                yield _family_text(metric, samples, fmt)

    def _last(self, fmt: Format, names: frozenset[str]) -> bytes:
        """What is said about the process, and the end."""
        return reference(_only(self.others.collect(), names), fmt)


class _OwnFamily(NamedTuple):
    """The samples of a family about accounts or the exporter, and its lines compressed."""

    samples: list[Sample]
    part: Part


def _family_text(metric: Metric, samples: Sequence[Sample], fmt: Format) -> str:
    lines = [series.line(value) for series, value in samples]
    return "".join((_header(metric.family, metric.help, metric.type, fmt), *lines))


class _Chunk:
    """Some numbers: their rows, and of each family their lines compressed, as long as those hold."""

    __slots__ = ("_parts", "_records", "_rows", "_windows")

    def __init__(self) -> None:
        self._records: tuple[NumberState, ...] = ()
        self._rows: list[_Row] = []
        self._parts: list[Part | None] = [None] * len(_NUMBER_LINES)
        # By account: the statuses shown hold while its `fresh_since` is above the one instant and not above the other.
        self._windows: dict[str, tuple[float, float]] = {}

    def update(self, records: tuple[NumberState, ...], snapshot: Snapshot) -> None:
        """Spell what changed since the last time; 10 ns for a record that is the same."""
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
            found = self._parts[index] = part(self.text(index).encode())
        return found

    def text(self, index: int) -> str:
        """The lines of a family."""
        _, lines = _NUMBER_LINES[index]
        return lines(self._rows)

    def _rewrite(self, records: tuple[NumberState, ...], snapshot: Snapshot) -> None:
        news = [(row, record) for row, record in zip(self._rows, records, strict=False) if row.record is not record]
        if len(self._rows) != len(records) or any(row.record.number != record.number for row, record in news):
            self._rows = [_Row(record) for record in records]
            self._parts = [None] * len(_NUMBER_LINES)
            self._show(snapshot)
            return
        for row, record in news:
            for index in row.update(record, snapshot.status(record)):
                self._parts[index] = None
            self._widen(row, snapshot)

    def _show(self, snapshot: Snapshot) -> None:
        """Look at all statuses anew: some went stale, or are fresh again by a longer `stale_after`."""
        self._parts[_STATUS] = None
        self._windows = {}
        for row in self._rows:
            row.shown = snapshot.status(row.record)
            self._widen(row, snapshot)

    def _widen(self, row: _Row, snapshot: Snapshot) -> None:
        """See to it that the window ends where `row` would show another status."""
        account, at = row.record.number.account, row.record.success_at
        stale, fresh = self._windows.get(account, (-math.inf, math.inf))
        if at >= snapshot.fresh_since[account]:
            self._windows[account] = stale, min(fresh, at)
        else:
            self._windows[account] = max(stale, at), fresh


@lru_cache(maxsize=1024)
def _pieces(account: str, cust_space_id: str, labels: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """What numbers of the same space and labels have in common between the braces; what they have not comes between.

    First what precedes the number where only its identity is written; then, of the info metric, what precedes the name,
    the number and the ID, and what follows them.
    """
    blank = NumberState(PhoneNumber(account, cust_space_id, "", "", "", labels))
    before_number, _ = format_around(blank.number.identity().items(), ("phone_number",))
    return (before_number, *format_around(info_labels(blank).items(), ("name", "phone_number", "phone_number_id")))


class _Row:
    """What of a number's lines takes long to format, and the status to show, which its chunk looks after.

    `name`, `label` and `id` are escaped, which mostly leaves them the very strings that the record holds: all labels
    written out would take three times the memory of the rest.
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
        # one string for both where they are the same instant
        is_same = record.status_since_unix == record.success_unix
        self.since = self.success if is_same else _instant(record.status_since_unix)

    def update(self, record: NumberState, shown: str) -> list[int]:
        """Spell what a poll of the same number changed; returns the families in which that shows."""
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
    """What follows a number's labels on each of its lines; after an empty first, to be joined by what precedes."""
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
    """One line a number.  In one comprehension, and so are the others: at 1,000 polls/s a scrape does little else."""
    before = f"{metric.name}{{"
    return "".join([f'{before}{row.pieces[0]}{row.label}"}} {value}\n' for row, value in values])


_NUMBER_LINES: tuple[tuple[Metric, Callable[[Iterable[_Row]], str]], ...] = (
    (catalogue.STATUS, _status_lines),
    (catalogue.INFO, _info_lines),
    (catalogue.LAST_POLL_SUCCESS, _last_poll_lines),
    (catalogue.LAST_SUCCESS, _success_lines),
    (catalogue.STATUS_CHANGE, _since_lines),
)
_STATUS, _INFO, _LAST_POLL, _SUCCESS, _SINCE = range(len(_NUMBER_LINES))


@lru_cache(maxsize=128)
def _header(name: str, documentation: str, type_: str, fmt: Format) -> str:
    """The HELP and TYPE lines of a family, as the reference has them."""
    return reference(_Families([Family(name, documentation, type_)]), fmt).decode().removesuffix(_EOF)


@lru_cache(maxsize=16)
def _header_part(name: str, documentation: str, type_: str, fmt: Format) -> Part:
    return part(_header(name, documentation, type_, fmt).encode())


class _Families(Collector):
    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Family]:
        return self._families


def _only(families: Iterable[Family], names: frozenset[str]) -> Collector:
    """Those families that have one of `names` and samples; all of them, when there are no names."""
    kept = (family for family in families if family.samples and _text_name(family) in names)
    return _Families(kept if names else families)


def _text_name(family: Family) -> str:
    """A family's name as the text format has it, and client_golang: OpenMetrics cuts off what its type says."""
    suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
    return f"{family.name}{suffix}"


def reference(collector: Collector, fmt: Format) -> bytes:
    """What prometheus_client itself makes of a collector's families."""
    if fmt is Format.OPENMETRICS:
        text: bytes = openmetrics_exposition.generate_latest(collector)  # type: ignore[no-untyped-call] # the library's
        return text
    return exposition.generate_latest(collector)
