"""A snapshot of the state, the accounts and the counters as metric families.

The reference for the exposition: plain `prometheus_client`, in the catalogue's order.  `exposition` writes the families
about numbers by itself, faster, and is held to these by tests.  No I/O; never asks the API.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache

from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from exporter.metrics import catalogue
from exporter.metrics.catalogue import Counters, Metric, Sample
from exporter.metrics.text_format import Series
from exporter.model import KNOWN_STATUSES, AccountStatus
from exporter.state.store import NumberState, Snapshot

Labelled = tuple[dict[str, str], float]


_ABOUT_EXPORTER = "cams_exporter_"


class ReloadStatus:
    """Whether the configuration was last loaded successfully, and when that last was (Unix seconds)."""

    def __init__(self, now_unix: float) -> None:
        self.successful = True
        self.success_unix = now_unix


class CamsCollector(Collector):
    """Collects every `cams_*` family afresh at each scrape, so that what left the configuration leaves no series.

    `storage_up` tells whether answers are stored; None where they are not to be.  Without `about_exporter` the
    families about the exporter itself are left out: they carry no label of the configuration, so that two files in one
    folder of a textfile collector would collide.
    """

    def __init__(
        self,
        *,
        view: Callable[[], tuple[Snapshot, Sequence[AccountStatus]]],
        counters: Counters,
        reload_status: ReloadStatus,
        version: str,
        revision: str,
        storage_up: Callable[[], bool] | None = None,
        about_exporter: bool = True,
    ) -> None:
        self.view = view
        self._storage_up = storage_up
        self._metrics = tuple(
            m for m in catalogue.CATALOGUE if about_exporter or not m.name.startswith(_ABOUT_EXPORTER)
        )
        self._counters = counters
        self._reload_status = reload_status
        build = {"version": version, "revision": revision, "python_version": platform.python_version()}
        self._spaces: dict[str, tuple[Sequence[str], list[Series]]] = {}  # by account, as long as they are the same
        self._build = Series(catalogue.BUILD_INFO.name, build.items())

    def collect(self) -> Iterator[Family]:
        """All families, numbers first, in the catalogue's order."""
        snapshot, accounts = self.view()
        yield from number_families(snapshot)
        for metric, samples in self.own_samples(snapshot, accounts):
            yield _own_family(metric, samples)

    def _space_samples(self, accounts: Sequence[AccountStatus]) -> list[Sample]:
        """Whether each space is let in.  There may be as many spaces as numbers: their series are written once."""
        old, self._spaces = self._spaces, {}
        samples: list[Sample] = []
        for account in accounts:
            spaces, series = old.get(account.account, ((), []))
            if spaces is not account.spaces:
                spaces, series = account.spaces, _space_series(account.account, account.spaces)
            self._spaces[account.account] = spaces, series
            refused = account.refused_spaces
            samples += [(one, float(space not in refused)) for space, one in zip(spaces, series, strict=True)]
        return samples

    def own_samples(self, snapshot: Snapshot, accounts: Sequence[AccountStatus]) -> list[tuple[Metric, list[Sample]]]:
        """What is to be said about accounts and about the exporter itself, in the catalogue's order."""
        found = dict(self._counters.samples())
        found |= dict(_account_samples(accounts))
        found[catalogue.SPACE_UP] = self._space_samples(accounts)
        found |= {
            catalogue.BUILD_INFO: [(self._build, 1.0)],
            catalogue.RELOAD_SUCCESSFUL: [(_RELOAD_SUCCESSFUL, float(self._reload_status.successful))],
            catalogue.RELOAD_TIMESTAMP: [(_RELOAD_TIMESTAMP, self._reload_status.success_unix)],
            catalogue.TIME: [(_TIME, snapshot.unix)],
        }
        if self._storage_up is not None:
            found[catalogue.STORAGE_UP] = [(_STORAGE_UP, float(self._storage_up()))]
        return [(metric, found[metric]) for metric in self._metrics if metric in found]


def _space_series(account: str, spaces: Sequence[str]) -> list[Series]:
    labels = catalogue.SPACE_UP.labels
    return [Series(catalogue.SPACE_UP.name, zip(labels, (account, space), strict=True)) for space in spaces]


def number_families(snapshot: Snapshot) -> Iterator[Family]:
    """The five families about numbers."""
    records = snapshot.numbers
    yield _family(catalogue.STATUS, (sample for record in records for sample in status_samples(record, snapshot)))
    yield _family(catalogue.INFO, ((info_labels(record), 1.0) for record in records))
    yield _family(
        catalogue.LAST_POLL_SUCCESS,
        _present(records, lambda r: None if r.last_poll_success is None else float(r.last_poll_success)),
    )
    yield _family(catalogue.LAST_SUCCESS, _present(records, lambda r: r.success_unix))
    yield _family(catalogue.STATUS_CHANGE, _present(records, lambda r: r.status_since_unix))


_RELOAD_SUCCESSFUL = Series(catalogue.RELOAD_SUCCESSFUL.name)
_RELOAD_TIMESTAMP = Series(catalogue.RELOAD_TIMESTAMP.name)
_STORAGE_UP = Series(catalogue.STORAGE_UP.name)
_TIME = Series(catalogue.TIME.name)

_ACCOUNT_VALUES: tuple[tuple[Metric, Callable[[AccountStatus], float]], ...] = (
    (catalogue.ACCOUNT_UP, lambda a: float(a.up)),
    (catalogue.ACCOUNT_NUMBERS, lambda a: float(a.phone_numbers)),
    (catalogue.ACCOUNT_INTERVAL, lambda a: a.scrape_interval_seconds),
    (catalogue.ACCOUNT_LAG, lambda a: a.lag_seconds),
    (catalogue.BUDGET_QPS, lambda a: a.budget_qps),
    (catalogue.EFFECTIVE_QPS, lambda a: a.effective_qps),
    (catalogue.IN_FLIGHT, lambda a: float(a.in_flight)),
)


def _account_samples(accounts: Sequence[AccountStatus]) -> Iterator[tuple[Metric, list[Sample]]]:
    """The gauges about accounts."""
    for metric, value in _ACCOUNT_VALUES:
        yield metric, [(_account_series(metric.name, account.account), value(account)) for account in accounts]


@lru_cache(maxsize=4096)
def _account_series(name: str, account: str) -> Series:
    return Series(name, (("account", account),))


def status_samples(record: NumberState, snapshot: Snapshot) -> Iterator[Labelled]:
    """One sample for each status the number may have or has had; exactly one of them is 1."""
    labels = record.number.identity()
    current = snapshot.status(record)
    for status in (*KNOWN_STATUSES, *record.extra_statuses):
        yield {**labels, "status": status}, float(status == current)


def info_labels(record: NumberState) -> dict[str, str]:
    """The labels of the info metric: the number's, its ID at WhatsApp, its name and its own from the configuration."""
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


def _own_family(metric: Metric, samples: Iterable[Sample]) -> Family:
    family = Family(metric.family, metric.help, metric.type)
    for series, value in samples:
        family.add_sample(series.name, dict(series.labels), value)
    return family
