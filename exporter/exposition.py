"""The exposition: the bytes of a scrape, in the format and encoding a client asked for.

Equal, byte for byte, to what prometheus_client's `generate_latest` makes of the same families (`reference`), at a
fraction of its cost.  What takes long to spell, a number's labels and timestamps, is spelled when it changes and kept;
a scrape joins it to lines, a chunk of numbers at a time, so that there is never a second copy of the whole text.
Whole lines are not kept: they would take twice the memory and save nothing that counts beside the compression.

Blocking; called off the event loop.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from isal import isal_zlib  # five times as fast as zlib, which would be two thirds of a scrape's cost
from prometheus_client import exposition
from prometheus_client.core import Metric as Family
from prometheus_client.openmetrics import exposition as openmetrics_exposition
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from exporter import metrics
from exporter.collector import CamsCollector, info_labels, number_labels
from exporter.metrics import Metric
from exporter.model import KNOWN_STATUSES
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
        self._collector = collector
        self._others = others
        self._rows: list[_Row] = []
        self._lock = threading.Lock()

    def scrape(self, fmt: Format, *, gzip: bool = False, names: frozenset[str] = NO_NAMES) -> bytes:
        """One scrape; `names` keeps only the samples so named (all, when empty)."""
        with self._lock:
            return _encoded(self._text(fmt, names), gzip=gzip)

    def _text(self, fmt: Format, names: frozenset[str]) -> Iterator[str]:
        snapshot, accounts = self._collector.view()
        self._respell(snapshot.numbers)
        for metric, line in _NUMBER_LINES:
            if not names or metric.name in names:
                yield from self._number_family(metric, line, snapshot, fmt, sparse=bool(names))
        for family in _Only(self._collector.own_families(accounts), names).collect():
            yield _header(family.name, family.documentation, family.type, fmt)
            yield "".join([_sample_line(sample.name, sample.labels, sample.value) for sample in family.samples])
        yield reference(_Only(self._others.collect(), names), fmt).decode()

    def _respell(self, records: tuple[NumberState, ...]) -> None:
        """Bring the rows up to date with `records`; 0.1 µs for a record that is the same as at the last scrape."""
        rows = self._rows
        del rows[len(records) :]
        for index, row in enumerate(rows):
            if row.record is not records[index]:
                rows[index] = _row(records[index], row)
        rows.extend(_row(record, None) for record in records[len(rows) :])

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


@dataclass(frozen=True, slots=True)
class _Row:
    """What of a number's lines takes long to spell; `labels` and `info` are what stands between the braces."""

    record: NumberState
    labels: str
    info: str
    success: str
    since: str


_Line = Callable[[_Row, Snapshot], str]


def _row(record: NumberState, old: _Row | None) -> _Row:
    """`record` spelled, as far as it differs from `old`."""
    if old is None or old.record.number is not record.number:
        labels = _labels(number_labels(record.number))
        old = None
    else:
        labels = old.labels
    if old is None or old.record.phone_number_id != record.phone_number_id:
        info = _labels(info_labels(record))
    else:
        info = old.info
    success = "" if record.success_unix is None else _value(record.success_unix)
    if old is not None and old.record.status_since_unix == record.status_since_unix:
        since = old.since
    elif record.status_since_unix is None:
        since = ""
    else:  # one string for both where they are the same instant
        since = success if record.status_since_unix == record.success_unix else _value(record.status_since_unix)
    return _Row(record, labels, info, success, since)


def _status_lines(row: _Row, snapshot: Snapshot) -> str:
    return f"{metrics.STATUS.name}{{{row.labels}".join(
        _status_tails(snapshot.status(row.record), row.record.extra_statuses)
    )


@lru_cache(maxsize=256)
def _status_tails(current: str, extra: tuple[str, ...]) -> tuple[str, ...]:
    """What follows a number's labels on each of its lines; after an empty first, to be joined by what precedes."""
    statuses = (*KNOWN_STATUSES, *extra)
    return ("", *(f",{_labels({'status': status})}}} {float(status == current)}\n" for status in statuses))


def _info_line(row: _Row, _snapshot: Snapshot) -> str:
    return f"{metrics.INFO.name}{{{row.info}}} 1.0\n"


def _last_poll_line(row: _Row, _snapshot: Snapshot) -> str:
    success = row.record.last_poll_success
    return "" if success is None else f"{metrics.LAST_POLL_SUCCESS.name}{{{row.labels}}} {float(success)}\n"


def _success_line(row: _Row, _snapshot: Snapshot) -> str:
    return row.success and f"{metrics.LAST_SUCCESS.name}{{{row.labels}}} {row.success}\n"


def _since_line(row: _Row, _snapshot: Snapshot) -> str:
    return row.since and f"{metrics.STATUS_CHANGE.name}{{{row.labels}}} {row.since}\n"


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


def _sample_line(name: str, labels: dict[str, str], value: float) -> str:
    return f"{name}{{{_labels(labels)}}} {_value(value)}\n" if labels else f"{name} {_value(value)}\n"


def _labels(labels: dict[str, str]) -> str:
    return ",".join([f'{name}="{_escaped(value)}"' for name, value in sorted(labels.items())])


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _value(value: float) -> str:
    spelled: str = floatToGoString(value)  # type: ignore[no-untyped-call] # the library's
    return spelled


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
