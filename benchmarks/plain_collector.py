"""All families by plain `prometheus_client`: slow and simple.

The reference for the exporter's own exposition: benchmarks compare its cost, and tests its bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from exporter.metrics import catalogue
from exporter.metrics.catalogue import Metric
from exporter.metrics.collector import CamsCollector
from exporter.model import KNOWN_STATUSES, QUALITY_RATINGS, UNKNOWN, VERDICTS
from exporter.state.store import NumberState, Snapshot

Labelled = tuple[dict[str, str], float]


class PlainCollector(Collector):
    """What `collector` knows, as `prometheus_client` wants it."""

    def __init__(self, collector: CamsCollector) -> None:
        self._collector = collector

    def describe(self) -> Iterator[Family]:
        """The names, for a scrape of some families only."""
        return (Family(metric.family, metric.help, metric.type) for metric in catalogue.CATALOGUE)

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
    entries = [(record, entry) for record in records if (entry := snapshot.entry(record)) is not None]
    yield _state_set(catalogue.STATUS, ((r, snapshot.status(r), (*KNOWN_STATUSES, *r.extra_statuses)) for r in records))
    yield _family(catalogue.INFO, ((_info_labels(record), 1.0) for record in records))
    yield _present(
        catalogue.LAST_POLL_SUCCESS,
        ((r, None if r.last_poll_success is None else float(r.last_poll_success)) for r in records),
    )
    yield _present(catalogue.LAST_SUCCESS, ((r, r.success_unix) for r in records))
    yield _present(catalogue.STATUS_CHANGE, ((r, r.status_since_unix) for r in records))
    yield _present(catalogue.LISTED, ((r, snapshot.listed(r)) for r in records))
    yield _state_set(
        catalogue.CONNECTION_STATUS, ((r, e.connection_status, r.shown.connection_statuses) for r, e in entries)
    )
    yield _state_set(
        catalogue.QUALITY_RATING,
        ((r, e.quality_rating or UNKNOWN, (*QUALITY_RATINGS, *r.shown.quality_ratings)) for r, e in entries),
    )
    yield _state_set(catalogue.NAME_STATUS, ((r, e.name_status, r.shown.name_statuses) for r, e in entries))
    yield _present(catalogue.MESSAGING_LIMIT, ((r, e.messaging_limit) for r, e in entries))
    yield _state_set(
        catalogue.CAN_SEND,
        ((r, snapshot.verdict(r), (*VERDICTS, *(r.health.shown if r.health else ()))) for r in records),
    )
    yield _family(catalogue.HEALTH_ERROR, (sample for r in records for sample in _error_samples(r, snapshot)))


def _state_set(metric: Metric, values: Iterable[tuple[NumberState, str, Iterable[str]]]) -> Family:
    """One sample for each of a number's states, of which one is current; none for a number without a current one."""
    return _family(
        metric,
        (
            ({**record.number.identity(), metric.labels[-1]: state}, float(state == current))
            for record, current, states in values
            if current
            for state in states
        ),
    )


def _error_samples(record: NumberState, snapshot: Snapshot) -> Iterator[Labelled]:
    for entity, code in dict.fromkeys((error.entity, error.code) for error in snapshot.health_errors(record)):
        yield {**record.number.identity(), "entity": entity, "error_code": code}, 1.0


def _info_labels(record: NumberState) -> dict[str, str]:
    number = record.number
    return {
        **number.identity(),
        "phone_number_id": record.phone_number_id,
        "name": number.name,
        "verified_name": record.listing.entry.verified_name if record.listing and record.listing.entry else "",
        **dict(number.labels),
    }


def _present(metric: Metric, values: Iterable[tuple[NumberState, float | None]]) -> Family:
    return _family(metric, ((record.number.identity(), float(value)) for record, value in values if value is not None))


def _family(metric: Metric, samples: Iterable[Labelled]) -> Family:
    family = Family(metric.name, metric.help, metric.type)
    for labels, value in samples:
        family.add_sample(metric.name, labels, value)
    return family
