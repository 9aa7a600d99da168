"""All families by plain `prometheus_client`: slow and simple.

The reference for the exporter's own exposition: benchmarks compare its cost, and tests its bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from exporter.metrics import catalogue
from exporter.metrics.catalogue import Metric
from exporter.metrics.collector import CamsCollector
from exporter.model import KNOWN_STATUSES
from exporter.state.store import NumberState, Snapshot

Labelled = tuple[dict[str, str], float]


class PlainCollector(Collector):
    """What `collector` knows, as `prometheus_client` wants it."""

    def __init__(self, collector: CamsCollector) -> None:
        self._collector = collector

    def collect(self) -> Iterator[Family]:
        """All families, numbers first, in the catalogue's order."""
        view = self._collector.view()
        yield from _number_families(view[0])
        for metric, samples in self._collector.samples(view):
            family = Family(metric.family, metric.help, metric.type)
            for series, value in samples:
                family.add_sample(series.name, dict(series.labels), value)
            yield family


def _number_families(snapshot: Snapshot) -> Iterator[Family]:
    records = snapshot.numbers
    yield _family(catalogue.STATUS, (sample for record in records for sample in _status_samples(record, snapshot)))
    yield _family(catalogue.INFO, ((_info_labels(record), 1.0) for record in records))
    yield _family(
        catalogue.LAST_POLL_SUCCESS,
        _present(records, lambda r: None if r.last_poll_success is None else float(r.last_poll_success)),
    )
    yield _family(catalogue.LAST_SUCCESS, _present(records, lambda r: r.success_unix))
    yield _family(catalogue.STATUS_CHANGE, _present(records, lambda r: r.status_since_unix))


def _status_samples(record: NumberState, snapshot: Snapshot) -> Iterator[Labelled]:
    """One sample for each status the number may have or has had; exactly one of them is 1."""
    current = snapshot.status(record)
    for status in (*KNOWN_STATUSES, *record.extra_statuses):
        yield {**record.number.identity(), "status": status}, float(status == current)


def _info_labels(record: NumberState) -> dict[str, str]:
    number = record.number
    return {
        **number.identity(),
        "phone_number_id": record.phone_number_id,
        "name": number.name,
        **dict(number.labels),
    }


def _present(records: Iterable[NumberState], value: Callable[[NumberState], float | None]) -> Iterator[Labelled]:
    for record in records:
        present = value(record)
        if present is not None:
            yield record.number.identity(), present


def _family(metric: Metric, samples: Iterable[Labelled]) -> Family:
    family = Family(metric.name, metric.help, metric.type)
    for labels, value in samples:
        family.add_sample(metric.name, labels, value)
    return family
