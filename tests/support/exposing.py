"""An exposition of a state that tests fill, and prometheus_client's exposition of the same state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from prometheus_client import CollectorRegistry, Gauge, disable_created_metrics, exposition
from prometheus_client.core import Metric as Family
from prometheus_client.openmetrics import exposition as openmetrics_exposition
from prometheus_client.registry import Collector

from benchmarks.plain_collector import PlainCollector
from exporter.metrics.collector import CamsCollector, ReloadStatus
from exporter.metrics.counters import Counters
from exporter.metrics.exposition import Exposition, Format
from exporter.model import AccountStatus
from exporter.state.store import State
from tests.support.clock import FakeClock

disable_created_metrics()  # type: ignore[no-untyped-call] # the library's


class Exposed:
    """A state, counters and accounts, exposed both ways."""

    def __init__(self, accounts: Sequence[AccountStatus] = (), codes: Iterable[str] = ("timeout",)) -> None:
        self.clock = FakeClock()
        self.state = State(self.clock)
        self.accounts = list(accounts)
        self.counters = Counters(codes)
        for account in accounts:
            self.counters.register(account.account)
        self.collector = CamsCollector(
            view=lambda: (self.state.snapshot(), self.accounts),
            counters=self.counters,
            reload_status=ReloadStatus(1_764_000_000.0),
            version="1.2.3",
            revision="abc",
            storage_up=lambda: True,
        )
        self.others = CollectorRegistry(auto_describe=True)
        Gauge("process_things", 'a "gauge"\nwith a \\', ["who"], registry=self.others).labels('a"b\\c\nd').set(1)
        self.exposition = Exposition(self.collector, self.others)

    def reference(self, fmt: Format) -> bytes:
        """The text of prometheus_client."""
        families = _Families([*PlainCollector(self.collector).collect(), *self.others.collect()])
        if fmt is Format.OPENMETRICS:
            text: bytes = openmetrics_exposition.generate_latest(families)  # type: ignore[no-untyped-call] # the library's
            return text
        return exposition.generate_latest(families)


class _Families(Collector):
    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterable[Family]:
        return self._families
