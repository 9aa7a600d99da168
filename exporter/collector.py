"""A snapshot of the state, the accounts and the counters as metric families.

The reference for the exposition: plain `prometheus_client`, in the catalogue's order.  `exposition` spells the families
about numbers by itself, faster, and is held to these by tests.  No I/O; never asks the API.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from exporter import metrics
from exporter.metrics import Counters, Metric
from exporter.model import KNOWN_STATUSES, AccountStatus, PhoneNumber
from exporter.state import NumberState, Snapshot

Sample = tuple[dict[str, str], float]


class ReloadStatus:
    """Whether the configuration was last loaded successfully, and when that last was (Unix seconds)."""

    def __init__(self, now_unix: float) -> None:
        self.successful = True
        self.success_unix = now_unix


class CamsCollector(Collector):
    """Collects every `cams_*` family afresh at each scrape, so that what left the configuration leaves no series."""

    def __init__(
        self,
        *,
        view: Callable[[], tuple[Snapshot, Sequence[AccountStatus]]],
        counters: Counters,
        reload_status: ReloadStatus,
        version: str,
        revision: str,
    ) -> None:
        self.view = view
        self._counters = counters
        self._reload_status = reload_status
        self._build = {"version": version, "revision": revision, "python_version": platform.python_version()}

    def collect(self) -> Iterator[Family]:
        """All families, numbers first, in the catalogue's order."""
        snapshot, accounts = self.view()
        yield from number_families(snapshot)
        yield from self.own_families(accounts)

    def own_families(self, accounts: Sequence[AccountStatus]) -> list[Family]:
        """The families about accounts and about the exporter itself: few series, whatever the fleet's size."""
        families = {family.name: family for family in self._counters.collect()}
        families |= {family.name: family for family in account_families(accounts)}
        reload_status = self._reload_status
        for metric, samples in (
            (metrics.BUILD_INFO, [(self._build, 1.0)]),
            (metrics.RELOAD_SUCCESSFUL, [({}, float(reload_status.successful))]),
            (metrics.RELOAD_TIMESTAMP, [({}, reload_status.success_unix)]),
        ):
            families[metric.name] = _family(metric, samples)
        order = [metric.name.removesuffix("_total") for metric in metrics.CATALOGUE]
        return [families[name] for name in order if name in families]


def number_families(snapshot: Snapshot) -> Iterator[Family]:
    """The five families about numbers."""
    records = snapshot.numbers
    yield _family(metrics.STATUS, (sample for record in records for sample in status_samples(record, snapshot)))
    yield _family(metrics.INFO, ((info_labels(record), 1.0) for record in records))
    yield _family(
        metrics.LAST_POLL_SUCCESS,
        _present(records, lambda r: None if r.last_poll_success is None else float(r.last_poll_success)),
    )
    yield _family(metrics.LAST_SUCCESS, _present(records, lambda r: r.success_unix))
    yield _family(metrics.STATUS_CHANGE, _present(records, lambda r: r.status_since_unix))


def account_families(accounts: Sequence[AccountStatus]) -> Iterator[Family]:
    """The gauges about accounts."""
    values: tuple[tuple[Metric, Callable[[AccountStatus], float]], ...] = (
        (metrics.ACCOUNT_UP, lambda a: float(a.up)),
        (metrics.ACCOUNT_NUMBERS, lambda a: float(a.phone_numbers)),
        (metrics.ACCOUNT_INTERVAL, lambda a: a.scrape_interval_seconds),
        (metrics.ACCOUNT_LAG, lambda a: a.lag_seconds),
        (metrics.BUDGET_QPS, lambda a: a.budget_qps),
        (metrics.EFFECTIVE_QPS, lambda a: a.effective_qps),
        (metrics.IN_FLIGHT, lambda a: float(a.in_flight)),
    )
    for metric, value in values:
        yield _family(metric, (({"account": account.account}, value(account)) for account in accounts))


def number_labels(number: PhoneNumber) -> dict[str, str]:
    """The labels that identify `number`."""
    return {"account": number.account, "cust_space_id": number.cust_space_id, "phone_number": number.label}


def status_samples(record: NumberState, snapshot: Snapshot) -> Iterator[Sample]:
    """One sample for each status the number may have or has had; exactly one of them is 1."""
    labels = number_labels(record.number)
    current = snapshot.status(record)
    for status in (*KNOWN_STATUSES, *record.extra_statuses):
        yield {**labels, "status": status}, float(status == current)


def info_labels(record: NumberState) -> dict[str, str]:
    """The labels of the info metric: the number's, its ID at WhatsApp, its name and its own from the configuration."""
    number = record.number
    return {
        **number_labels(number),
        "phone_number_id": record.phone_number_id,
        "name": number.name,
        **dict(number.labels),
    }


def _present(records: Iterable[NumberState], value: Callable[[NumberState], float | None]) -> Iterator[Sample]:
    for record in records:
        present = value(record)
        if present is not None:
            yield number_labels(record.number), present


def _family(metric: Metric, samples: Iterable[Sample]) -> Family:
    family = Family(metric.name, metric.help, metric.type)
    for labels, value in samples:
        family.add_sample(metric.name, labels, value)
    return family
