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

Row = tuple[tuple[str, ...], float]
"""The values of a metric's labels, and its value."""


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
        rows = _of_accounts(accounts) | _of_discovery(accounts) | self._of_exporter(snapshot)
        if (cluster := self._cluster()) is not None:
            rows |= _of_cluster(cluster, accounts)
        for metric, its in rows.items():
            found[metric] = [(_series(metric, *labels), float(value)) for labels, value in its]
        return ((metric, found[metric]) for metric in self._metrics if metric in found)

    def _of_exporter(self, snapshot: Snapshot) -> dict[Metric, list[Row]]:
        rows: dict[Metric, list[Row]] = {
            catalogue.BUILD_INFO: [(self._build, 1.0)],
            catalogue.RELOAD_SUCCESSFUL: [((), self._reload_status.successful)],
            catalogue.RELOAD_TIMESTAMP: [((), self._reload_status.success_unix)],
            catalogue.CONFIG_HASH: [((), self._config_hash())],
            catalogue.TIME: [((), snapshot.unix)],
        }
        if self._storage_up is not None:
            rows[catalogue.STORAGE_UP] = [((), self._storage_up())]
        if files := self._number_files_up():
            rows[catalogue.NUMBER_FILE_UP] = [((file,), is_up) for file, is_up in files.items()]
        return rows


def _of_accounts(accounts: Sequence[AccountStatus]) -> dict[Metric, list[Row]]:
    held = [a for a in accounts if a.is_held is not False]
    return {
        catalogue.ACCOUNT_UP: [((a.account,), a.up) for a in accounts],
        catalogue.ACCOUNT_NUMBERS: [((a.account,), a.phone_numbers) for a in accounts],
        catalogue.ACCOUNT_INTERVAL: [((a.account,), a.scrape_interval_seconds) for a in accounts],
        catalogue.ACCOUNT_LAG: [((a.account,), a.lag_seconds) for a in accounts],
        catalogue.SPACE_UP: [((a.account, name), name not in a.refused_spaces) for a in accounts for name in a.spaces],
        catalogue.OPERATION_UP: [((a.account, each.operation), each.up) for a in accounts for each in a.operations],
        catalogue.BUDGET_QPS: [((a.account,), a.budget_qps) for a in held],
        catalogue.EFFECTIVE_QPS: [((a.account,), a.effective_qps) for a in held],
        catalogue.IN_FLIGHT: [((a.account,), a.in_flight) for a in held],
    }


def _of_discovery(accounts: Sequence[AccountStatus]) -> dict[Metric, list[Row]]:
    found = [(a.account, a.discovery) for a in accounts if a.discovery is not None]
    spaces = [
        ((account, space), status)
        for account, discovery in found
        for space, status in discovery.spaces.items()
        if status.attempted or status.success_unix is not None
    ]
    successes = [(labels, status.success_unix) for labels, status in spaces]
    return {
        catalogue.DISCOVERED: [(labels, status.discovered) for labels, status in spaces],
        catalogue.DISCOVERY_SUCCESS: [(labels, unix) for labels, unix in successes if unix is not None],
        catalogue.LEFT_OUT: [((account,), discovery.left_out) for account, discovery in found],
    }


def _of_cluster(cluster: ClusterStatus, accounts: Sequence[AccountStatus]) -> dict[Metric, list[Row]]:
    """How this replica sees the cluster."""
    return {
        catalogue.CLUSTER_STORE_UP: [((), cluster.store_up)],
        catalogue.CLUSTER_REPLICAS: [((), len(cluster.replicas))],
        catalogue.ACCOUNT_HELD: [((a.account,), bool(a.is_held)) for a in accounts],
        catalogue.LEASE_CHANGES: [((a.account,), cluster.lease_changes.get(a.account, 0)) for a in accounts],
        catalogue.SPARE_QPS: [((a.account,), cluster.spare_qps.get(a.account, 0)) for a in accounts],
    }


@lru_cache(maxsize=65_536)  # there may be as many spaces as numbers
def _series(metric: Metric, *labels: str) -> Series:
    return Series(metric.name, metric.labels, labels)
