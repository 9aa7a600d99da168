"""The exposition: the bytes of a scrape, in the format and encoding a client asked for.

Equal, byte for byte, to what prometheus_client's `generate_latest` makes of the same families (`reference`), at a
fraction of its cost.  What takes long to spell, labels and timestamps, is spelled when it changes and kept; a scrape
joins it to lines, a chunk of numbers at a time, so that there is never a second copy of the whole text.  Whole lines
are not kept: they would take many times the memory and save nothing that counts beside the compression.

Blocking; called off the event loop.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from functools import lru_cache

from isal import isal_zlib  # five times as fast as zlib, which would be two thirds of a scrape's cost
from prometheus_client import exposition
from prometheus_client.core import Metric as Family
from prometheus_client.openmetrics import exposition as openmetrics_exposition
from prometheus_client.registry import Collector

from exporter import metrics
from exporter.collector import CamsCollector, info_labels, number_labels
from exporter.metrics import Metric
from exporter.model import KNOWN_STATUSES, PhoneNumber
from exporter.spelling import escaped, spelled_around, spelled_labels, spelled_value
from exporter.state import NumberState, Snapshot

GZIP_LEVEL = 1
"""As small as zlib's level 1; the levels above save one byte in two hundred."""

CHUNK_NUMBERS = 2048
"""Numbers joined at a time: up to 1 MB of text, about a millisecond."""

NO_NAMES: frozenset[str] = frozenset()

_GZIP_CONTAINER = 16 + isal_zlib.MAX_WBITS
_EOF = "# EOF\n"


class Format(Enum):
    """An exposition format; the value is its Content-Type."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

    @property
    def content_type(self) -> str:
        """The Content-Type header of an answer in this format."""
        return self.value


class Exposition:
    """The text of `collector` followed by that of `others`; thread-safe, one scrape at a time."""

    def __init__(self, collector: CamsCollector, others: Collector) -> None:
        self.collector = collector
        self.others = others
        self._rows: list[_Row] = []
        self._lock = threading.Lock()

    def scrape(self, fmt: Format, *, gzip: bool = False, names: frozenset[str] = NO_NAMES) -> bytes:
        """One scrape; `names` keeps only the samples so named (all, when empty)."""
        with self._lock:
            return _encoded(self._text(fmt, names), gzip=gzip)

    def _text(self, fmt: Format, names: frozenset[str]) -> Iterator[str]:
        snapshot, accounts = self.collector.view()
        self._respell(snapshot.numbers)
        for metric, line in _NUMBER_LINES:
            if not names or metric.name in names:
                yield from self._number_family(metric, line, snapshot, fmt, sparse=bool(names))
        for metric, samples in self.collector.own_samples(accounts):
            lines = [series.line(value) for series, value in samples if not names or series.name in names]
            if lines or not names:
                yield _header(metric.family, metric.help, metric.type, fmt)
                yield "".join(lines)
        yield reference(_Only(self.others.collect(), names), fmt).decode()

    def _respell(self, records: tuple[NumberState, ...]) -> None:
        """Bring the rows up to date with `records`; 0.1 µs for a record that is the same as at the last scrape."""
        rows = self._rows
        del rows[len(records) :]
        for index, row in enumerate(rows):
            record = records[index]
            if row.record is not record:
                if row.record.number is record.number:
                    row.update(record)
                else:
                    rows[index] = _Row(record)
        rows.extend([_Row(record) for record in records[len(rows) :]])

    def _number_family(
        self, metric: Metric, line: _Line, snapshot: Snapshot, fmt: Format, *, sparse: bool
    ) -> Iterator[str]:
        """A family about numbers, chunk by chunk; a `sparse` one is left out if it has no samples."""
        header = _header(metric.name, metric.help, metric.type, fmt)
        if not sparse:
            yield header
        for start in range(0, len(self._rows), CHUNK_NUMBERS):
            lines = "".join([line(row, snapshot) for row in self._rows[start : start + CHUNK_NUMBERS]])
            if sparse and lines:
                sparse = False
                yield header
            yield lines


@lru_cache(maxsize=1024)
def _pieces(account: str, cust_space_id: str, labels: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """What numbers of the same space and labels have in common between the braces; what they have not comes between.

    First what precedes the number where only its identity is spelled; then, of the info metric, what precedes the name,
    the number and the ID, and what follows them.
    """
    blank = NumberState(PhoneNumber(account, cust_space_id, "", "", "", labels))
    before_number, _ = spelled_around(number_labels(blank.number).items(), ("phone_number",))
    return (before_number, *spelled_around(info_labels(blank).items(), ("name", "phone_number", "phone_number_id")))


class _Row:
    """What of a number's lines takes long to spell.

    `name`, `label` and `id` are escaped, which mostly leaves them the very strings that the record holds: all labels
    spelled out would take three times the memory of the rest.
    """

    __slots__ = ("id", "label", "name", "pieces", "record", "since", "success")

    def __init__(self, record: NumberState) -> None:
        number = record.number
        self.record = record
        self.pieces = _pieces(number.account, number.cust_space_id, number.labels)
        self.name = escaped(number.name)
        self.label = escaped(number.label)
        self.id = escaped(record.phone_number_id)
        self.success = _instant(record.success_unix)
        # one string for both where they are the same instant
        is_same = record.status_since_unix == record.success_unix
        self.since = self.success if is_same else _instant(record.status_since_unix)

    def update(self, record: NumberState) -> None:
        """Spell what a poll of the same number changed."""
        old, self.record = self.record, record
        if record.phone_number_id is not old.phone_number_id:
            self.id = escaped(record.phone_number_id)
        if record.success_unix != old.success_unix:
            self.success = _instant(record.success_unix)
        if record.status_since_unix != old.status_since_unix:
            self.since = _instant(record.status_since_unix)


_Line = Callable[[_Row, Snapshot], str]


def _instant(unix: float | None) -> str:
    return "" if unix is None else spelled_value(unix)


def _status_lines(row: _Row, snapshot: Snapshot) -> str:
    return f'{metrics.STATUS.name}{{{row.pieces[0]}{row.label}"'.join(
        _status_tails(snapshot.status(row.record), row.record.extra_statuses)
    )


@lru_cache(maxsize=256)
def _status_tails(current: str, extra: tuple[str, ...]) -> tuple[str, ...]:
    """What follows a number's labels on each of its lines; after an empty first, to be joined by what precedes."""
    statuses = (*KNOWN_STATUSES, *extra)
    return ("", *(f",{spelled_labels([('status', status)])}}} {float(status == current)}\n" for status in statuses))


def _info_line(row: _Row, _snapshot: Snapshot) -> str:
    _, before, between, before_id, after = row.pieces
    return f"{metrics.INFO.name}{{{before}{row.name}{between}{row.label}{before_id}{row.id}{after}}} 1.0\n"


def _last_poll_line(row: _Row, _snapshot: Snapshot) -> str:
    success = row.record.last_poll_success
    return "" if success is None else _line(metrics.LAST_POLL_SUCCESS, row, "1.0" if success else "0.0")


def _success_line(row: _Row, _snapshot: Snapshot) -> str:
    return row.success and _line(metrics.LAST_SUCCESS, row, row.success)


def _since_line(row: _Row, _snapshot: Snapshot) -> str:
    return row.since and _line(metrics.STATUS_CHANGE, row, row.since)


def _line(metric: Metric, row: _Row, value: str) -> str:
    return f'{metric.name}{{{row.pieces[0]}{row.label}"}} {value}\n'


_NUMBER_LINES: tuple[tuple[Metric, _Line], ...] = (
    (metrics.STATUS, _status_lines),
    (metrics.INFO, _info_line),
    (metrics.LAST_POLL_SUCCESS, _last_poll_line),
    (metrics.LAST_SUCCESS, _success_line),
    (metrics.STATUS_CHANGE, _since_line),
)


@lru_cache(maxsize=128)
def _header(name: str, documentation: str, type_: str, fmt: Format) -> str:
    """The HELP and TYPE lines of a family, as the reference has them."""
    return reference(_Only([Family(name, documentation, type_)]), fmt).decode().removesuffix(_EOF)


class _Only(Collector):
    """Families, cut down to the samples of some `names`: all, when there are none."""

    def __init__(self, families: Iterable[Family], names: frozenset[str] = NO_NAMES) -> None:
        self._families = families
        self._names = names

    def collect(self) -> Iterator[Family]:
        for family in self._families:
            if not self._names:
                yield family
                continue
            samples = [sample for sample in family.samples if sample.name in self._names]
            if samples:
                kept = Family(family.name, family.documentation, family.type)
                kept.samples = samples
                yield kept


def reference(collector: Collector, fmt: Format) -> bytes:
    """What prometheus_client itself makes of a collector's families."""
    if fmt is Format.OPENMETRICS:
        text: bytes = openmetrics_exposition.generate_latest(collector)  # type: ignore[no-untyped-call] # the library's
        return text
    return exposition.generate_latest(collector)


def _encoded(text: Iterable[str], *, gzip: bool) -> bytes:
    """`text` as UTF-8, or that as one gzip member."""
    out = io.BytesIO()  # hands its content over without copying it
    if not gzip:
        for chunk in text:
            out.write(chunk.encode())
        return out.getvalue()
    compressor = isal_zlib.compressobj(GZIP_LEVEL, isal_zlib.DEFLATED, _GZIP_CONTAINER)
    for chunk in text:
        out.write(compressor.compress(chunk.encode()))  # lets other threads run meanwhile
    out.write(compressor.flush())
    return out.getvalue()
