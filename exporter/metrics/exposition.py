"""The exposition: the bytes of a scrape, in the format and encoding a client asked for.

Byte for byte what prometheus_client's `generate_latest` would make, at a fraction of its cost: the compressed lines are
kept, and a scrape, which Prometheus always asks for compressed, compresses only what changed.

Blocking; called off the event loop.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from enum import Enum
from functools import lru_cache

from prometheus_client import CollectorRegistry, exposition
from prometheus_client.openmetrics import exposition as openmetrics_exposition

from exporter.metrics.catalogue import Metric
from exporter.metrics.collector import CamsCollector, View
from exporter.metrics.counters import Sample
from exporter.metrics.gzip_parts import Part, content, member, part
from exporter.metrics.number_chunks import CHUNK_NUMBERS, Chunk
from exporter.metrics.number_lines import FAMILIES
from exporter.state.store import Snapshot

PROCESS_SECONDS = 2.0
"""How old the values about the process may be.  At each of 25 reads in /proc a thread that polls may take its turn."""

NO_NAMES: frozenset[str] = frozenset()


class Format(Enum):
    """An exposition format."""

    TEXT = "text"
    OPENMETRICS = "openmetrics"


class Exposition:
    """The text of `collector` followed by that of `others`; thread-safe, one scrape at a time.

    The collectors in `others` must be known by name: either they describe themselves, or the registry has
    `auto_describe`.
    """

    def __init__(self, collector: CamsCollector, others: CollectorRegistry) -> None:
        self.collector = collector
        self.others = others
        self._chunks: list[Chunk] = []
        self._own: dict[tuple[Metric, Format], tuple[list[Sample], Part]] = {}
        self._process: dict[Format, tuple[float, Part]] = {}  # since when it is kept, as Unix seconds
        self._lock = threading.Lock()

    def scrape(self, fmt: Format, *, gzip: bool = False, names: frozenset[str] = NO_NAMES) -> bytes:
        """One scrape; `names` keeps only the families so named (all, when empty), as client_golang's ``name[]`` does.

        A family's name is the one that the text format has: ``cams_api_requests_total``,
        ``cams_api_request_duration_seconds`` for the whole histogram.  A histogram's ``…_bucket`` names no family.
        """
        with self._lock:
            view = self.collector.view()
            self._update(view[0])
            parts = [*self._number_parts(fmt, names), *self._own_parts(view, fmt, names)]
            parts.append(self._last_part(view[0].unix, fmt, names))
        compressed = member(parts)
        return compressed if gzip else content(compressed)

    def _update(self, snapshot: Snapshot) -> None:
        records, chunks = snapshot.numbers, self._chunks
        starts = range(0, len(records), CHUNK_NUMBERS)
        del chunks[len(starts) :]
        chunks.extend([Chunk() for _ in starts[len(chunks) :]])
        for chunk, start in zip(chunks, starts, strict=True):
            chunk.update(records[start : start + CHUNK_NUMBERS], snapshot)

    def _number_parts(self, fmt: Format, names: frozenset[str]) -> Iterator[Part]:
        """The families about numbers; one that is asked for by name is left out where it is empty."""
        for index, (metric, *_) in enumerate(FAMILIES):
            if names and metric.name not in names:
                continue
            lines = [lines for chunk in self._chunks if (lines := chunk.part(index)).size]
            if lines or not names:
                yield _header_part(metric, fmt)
                yield from lines

    def _own_parts(self, view: View, fmt: Format, names: frozenset[str]) -> Iterator[Part]:
        """The families about accounts and the exporter; what did not change is not formatted again."""
        for metric, samples in self.collector.samples(view):
            if names and not (samples and metric.name in names):
                continue
            known, lines = self._own.get((metric, fmt), (None, None))
            if lines is None or known != samples:
                text = _header(metric, fmt) + "".join([series.line(value) for series, value in samples])
                lines = part(text.encode())
                self._own[metric, fmt] = samples, lines
            yield lines

    def _last_part(self, now_unix: float, fmt: Format, names: frozenset[str]) -> Part:
        """The families about the process, and the end; all of them together are kept for `PROCESS_SECONDS`."""
        kept_at, kept = self._process.get(fmt, (-math.inf, None))
        if kept is not None and not names and 0 <= now_unix - kept_at < PROCESS_SECONDS:
            return kept
        made = part(self._last(fmt, names))
        if not names:
            self._process[fmt] = now_unix, made
        return made

    def _last(self, fmt: Format, names: frozenset[str]) -> bytes:
        others = self.others.restricted_registry(names) if names else self.others
        if fmt is Format.OPENMETRICS:
            text: bytes = openmetrics_exposition.generate_latest(others)  # type: ignore[no-untyped-call] # the library's
            return text
        return exposition.generate_latest(others)


def _header(metric: Metric, fmt: Format) -> str:
    name = metric.family if fmt is Format.OPENMETRICS else metric.name
    return f"# HELP {name} {metric.help}\n# TYPE {name} {metric.type}\n"


@lru_cache(maxsize=16)
def _header_part(metric: Metric, fmt: Format) -> Part:
    return part(_header(metric, fmt).encode())
