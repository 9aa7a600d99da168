"""Collects the samples about accounts and about the exporter itself.  No I/O; never asks the API.

Those about numbers are many, and `exposition` formats them itself.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache

from exporter.metrics import catalogue
from exporter.metrics.catalogue import Metric
from exporter.metrics.counters import Counters, Sample
from exporter.metrics.text_format import Series
from exporter.model import AccountStatus, ClusterStatus
from exporter.state.store import Snapshot

_ABOUT_EXPORTER = "cams_exporter_"

View = tuple[Snapshot, Sequence[AccountStatus]]
"""The numbers and the accounts of one configuration."""


class ReloadStatus:
    """Whether the configuration was last loaded successfully, and when that last was (Unix seconds)."""

    def __init__(self, now_unix: float) -> None:
        self.successful = True
        self.success_unix = now_unix


class CamsCollector:
    """Collects everything again at each scrape, so that what left the configuration leaves no series.

    `storage_up` tells whether answers are stored; None where they are not to be.  `number_files_up` tells for each
    number file whether what it holds is in force.  `config_hash` is the number of the configuration in force.
    `cluster` tells how this replica sees the cluster; None without one.  `about_exporter=False` leaves out the families
    about the exporter itself: they have no label of the configuration, so that two files in one folder of a textfile
    collector would collide.
    """

    def __init__(
        self,
        *,
        view: Callable[[], View],
        counters: Counters,
        reload_status: ReloadStatus,
        version: str,
        revision: str,
        storage_up: Callable[[], bool] | None = None,
        number_files_up: Callable[[], Mapping[str, bool]] = dict,
        config_hash: Callable[[], int] = int,
        cluster: Callable[[], ClusterStatus | None] = lambda: None,
        about_exporter: bool = True,
    ) -> None:
        self.view = view
        self._storage_up = storage_up
        self._number_files_up = number_files_up
        self._config_hash = config_hash
        self._cluster = cluster
        self._metrics = tuple(
            m for m in catalogue.CATALOGUE if about_exporter or not m.name.startswith(_ABOUT_EXPORTER)
        )
        self._counters = counters
        self._reload_status = reload_status
        self._build = (version, revision, platform.python_version())

    def samples(self, view: View) -> Iterator[tuple[Metric, list[Sample]]]:
        """All samples about accounts and the exporter, by metric in the catalogue's order."""
        snapshot, accounts = view
        found = dict(self._counters.samples())
        for metric, value in _ACCOUNT_VALUES:
            found[metric] = [(_series(metric.name, account.account), value(account)) for account in accounts]
        found[catalogue.SPACE_UP] = [
            (_series(catalogue.SPACE_UP.name, account.account, space), float(space not in account.refused_spaces))
            for account in accounts
            for space in account.spaces
        ]
        found[catalogue.OPERATION_UP] = [
            (_series(catalogue.OPERATION_UP.name, account.account, operation.operation), float(operation.up))
            for account in accounts
            for operation in account.operations
        ]
        for metric, value in _HOLDER_VALUES:
            found[metric] = [
                (_series(metric.name, account.account), value(account))
                for account in accounts
                if account.is_held is not False
            ]
        cluster = self._cluster()
        if cluster is not None:
            found |= _cluster(cluster, accounts)
        found |= _discovery(accounts)
        found[catalogue.BUILD_INFO] = [(_series(catalogue.BUILD_INFO.name, *self._build), 1.0)]
        values = {
            catalogue.RELOAD_SUCCESSFUL: float(self._reload_status.successful),
            catalogue.RELOAD_TIMESTAMP: self._reload_status.success_unix,
            catalogue.CONFIG_HASH: float(self._config_hash()),
            catalogue.TIME: snapshot.unix,
        }
        if self._storage_up is not None:
            values[catalogue.STORAGE_UP] = float(self._storage_up())
        if files := self._number_files_up():
            name = catalogue.NUMBER_FILE_UP.name
            found[catalogue.NUMBER_FILE_UP] = [(_series(name, file), float(is_up)) for file, is_up in files.items()]
        found |= {metric: [(_series(metric.name), value)] for metric, value in values.items()}
        return ((metric, found[metric]) for metric in self._metrics if metric in found)


def _cluster(cluster: ClusterStatus, accounts: Sequence[AccountStatus]) -> dict[Metric, list[Sample]]:
    """How this replica sees the cluster."""
    up, replicas = catalogue.CLUSTER_STORE_UP, catalogue.CLUSTER_REPLICAS
    held, changes, spare = catalogue.ACCOUNT_HELD, catalogue.LEASE_CHANGES, catalogue.SPARE_QPS
    return {
        up: [(_series(up.name), float(cluster.store_up))],
        replicas: [(_series(replicas.name), float(len(cluster.replicas)))],
        held: [(_series(held.name, each.account), float(bool(each.is_held))) for each in accounts],
        changes: [
            (_series(changes.name, each.account), float(cluster.lease_changes.get(each.account, 0)))
            for each in accounts
        ],
        spare: [
            (_series(spare.name, each.account), float(cluster.spare_qps.get(each.account, 0))) for each in accounts
        ],
    }


def _discovery(accounts: Sequence[AccountStatus]) -> dict[Metric, list[Sample]]:
    """What discovery says of accounts that have it."""
    found = [(account.account, account.discovery) for account in accounts if account.discovery is not None]
    spaces = [
        (account, space, status)
        for account, discovery in found
        for space, status in discovery.spaces.items()
        if status.attempted or status.success_unix is not None
    ]
    successes = [(account, space, status.success_unix) for account, space, status in spaces]
    counts, times, left_out = catalogue.DISCOVERED, catalogue.DISCOVERY_SUCCESS, catalogue.LEFT_OUT
    return {
        counts: [(_series(counts.name, account, space), float(status.discovered)) for account, space, status in spaces],
        times: [(_series(times.name, account, space), at) for account, space, at in successes if at is not None],
        left_out: [(_series(left_out.name, account), float(discovery.left_out)) for account, discovery in found],
    }


_ACCOUNT_VALUES: tuple[tuple[Metric, Callable[[AccountStatus], float]], ...] = (
    (catalogue.ACCOUNT_UP, lambda a: float(a.up)),
    (catalogue.ACCOUNT_NUMBERS, lambda a: float(a.phone_numbers)),
    (catalogue.ACCOUNT_INTERVAL, lambda a: a.scrape_interval_seconds),
    (catalogue.ACCOUNT_LAG, lambda a: a.lag_seconds),
)

_HOLDER_VALUES: tuple[tuple[Metric, Callable[[AccountStatus], float]], ...] = (
    (catalogue.BUDGET_QPS, lambda a: a.budget_qps),
    (catalogue.EFFECTIVE_QPS, lambda a: a.effective_qps),
    (catalogue.IN_FLIGHT, lambda a: float(a.in_flight)),
)

_LABELS = {metric.name: metric.labels for metric in catalogue.CATALOGUE}


@lru_cache(maxsize=65_536)  # there may be as many spaces as numbers
def _series(name: str, *labels: str) -> Series:
    return Series(name, zip(_LABELS[name], labels, strict=True))
