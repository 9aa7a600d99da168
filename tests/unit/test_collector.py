"""What a scrape says of the state, the accounts and the exporter, as a client of Prometheus parses it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from prometheus_client import CollectorRegistry, disable_created_metrics
from prometheus_client.core import Metric as Family
from prometheus_client.parser import text_string_to_metric_families

from exporter.errors import ApiError, Kind
from exporter.metrics.catalogue import CATALOGUE
from exporter.metrics.collector import CamsCollector, ReloadStatus
from exporter.metrics.counters import Counters
from exporter.metrics.exposition import Exposition, Format
from exporter.model import AccountStatus, Answer, ClusterStatus, DiscoveryStatus, OperationStatus, Refused, SpaceStatus
from exporter.state.store import State
from tests.support.clock import FakeClock
from tests.support.exposing import Exposed
from tests.support.numbers import number

disable_created_metrics()  # type: ignore[no-untyped-call] # the library's

ACCOUNT = AccountStatus(
    account="main",
    phone_numbers=2,
    scrape_interval_seconds=60.0,
    lag_seconds=1.5,
    budget_qps=5.0,
    effective_qps=2.5,
    in_flight=3,
)


CLUSTER = ClusterStatus(
    store_up=True,
    replicas={"a": "host-a", "b": "host-b"},
    holders={"main": "a", "other": "b"},
    lease_changes={"main": 3},
    is_spare=False,
    spare_qps={"main": 2, "other": 0},
)


def families(collector: CamsCollector) -> list[Family]:
    """What a scrape of nothing but `collector` shows."""
    text = Exposition(collector, CollectorRegistry()).scrape(Format.TEXT).decode()
    return list(text_string_to_metric_families(text))


class Scraped:
    """One scrape, by sample name."""

    def __init__(
        self, state: State, accounts: Sequence[AccountStatus] = (ACCOUNT,), cluster: ClusterStatus | None = None
    ) -> None:
        counters = Counters(["timeout"])
        for account in accounts:
            counters.register(account.account)
        collector = CamsCollector(
            view=lambda: (state.snapshot(), accounts),
            counters=counters,
            reload_status=ReloadStatus(1_764_000_000.0),
            version="1.2.3",
            revision="abc",
            storage_up=lambda: True,
            number_files_up=lambda: {"a.csv": True, "b.csv": False},
            config_hash=lambda: 2**48 - 1,
            cluster=lambda: cluster,
        )
        self.families = families(collector)

    def values(self, name: str) -> dict[tuple[str, ...], float]:
        """Label values, without those of the account and the space, to the sample's value."""
        return {
            tuple(v for k, v in s.labels.items() if k not in {"account", "cust_space_id", "operation"}): s.value
            for family in self.families
            for s in family.samples
            if s.name == name
        }

    def labels(self, name: str) -> list[dict[str, str]]:
        return [dict(s.labels) for family in self.families for s in family.samples if s.name == name]


def state_of(*statuses: str | None) -> State:
    """A state whose numbers have these statuses; None: a poll failed."""
    state = State(FakeClock())
    state.configure([number(i) for i in range(len(statuses))], {"main": 900.0})
    for index, status in enumerate(statuses):
        if status is None:
            state.failed(number(index), ApiError("timeout", Kind.TRANSIENT))
        elif status:
            state.succeeded(number(index), Answer(status, f"id-{index}", "R"))
    return state


def test_each_number_has_all_known_statuses_and_exactly_one_is_1() -> None:
    values = Scraped(state_of("VERIFIED", "", "REVOKED", None)).values("cams_phone_number_verification_status")
    one = {labels for labels, value in values.items() if value == 1}
    phones = [number(i).phone_number for i in range(4)]
    assert one == {
        (phones[0], "VERIFIED"),
        (phones[1], "UNKNOWN"),
        (phones[2], "REVOKED"),
        (phones[3], "UNKNOWN"),
    }
    for phone in phones:
        statuses = {status for p, status in values if p == phone}
        assert {"VERIFIED", "NOT_VERIFIED", "EXPIRED", "UNKNOWN"} <= statuses
    assert set(values.values()) == {0.0, 1.0}


def test_what_is_not_known_yet_is_absent_rather_than_zero() -> None:
    scraped = Scraped(state_of("VERIFIED", "", None))
    first, _, third = (number(i).phone_number for i in range(3))
    assert scraped.values("cams_phone_number_last_poll_success") == {(first,): 1.0, (third,): 0.0}
    assert scraped.values("cams_phone_number_last_success_timestamp_seconds") == {(first,): 1_764_000_000.0}
    assert scraped.values("cams_phone_number_status_change_timestamp_seconds") == {(first,): 1_764_000_000.0}


def test_the_info_metric_carries_name_id_and_configured_labels() -> None:
    state = State(FakeClock())
    labelled = number(0, name="support", labels=(("team", "care"),))
    state.configure([labelled], {"main": 900.0})
    state.succeeded(labelled, Answer("VERIFIED", "2224342624", "R"))
    assert Scraped(state).labels("cams_phone_number_info") == [
        {
            "account": "main",
            "cust_space_id": "cams-kei0001",
            "phone_number": labelled.phone_number,
            "phone_number_id": "2224342624",
            "name": "support",
            "team": "care",
            "verified_name": "",
        }
    ]


def test_a_number_is_shown_by_its_label_only() -> None:
    state = State(FakeClock())
    masked = number(0, label="861380*****00")
    state.configure([masked], {"main": 900.0})
    state.succeeded(masked, Answer("VERIFIED", "1", "R"))
    scraped = Scraped(state)
    assert not any(masked.phone_number in str(family.samples) for family in scraped.families)
    assert scraped.values("cams_phone_number_last_poll_success") == {("861380*****00",): 1.0}


def test_accounts_are_shown_as_they_stand() -> None:
    scraped = Scraped(state_of("VERIFIED"))
    shown = {
        family.name: family.samples[0].value
        for family in scraped.families
        if family.samples and family.samples[0].labels == {"account": "main"}
    }
    assert shown == {
        "cams_account_up": 1.0,
        "cams_account_phone_numbers": 2.0,
        "cams_account_scrape_interval_seconds": 60.0,
        "cams_account_poll_lag_seconds": 1.5,
        "cams_api_budget_qps": 5.0,
        "cams_api_effective_qps": 2.5,
        "cams_api_requests_in_flight": 3.0,
        "cams_api_budget_wait_seconds": 0.0,
    }


def test_the_exporters_clock_is_that_of_the_timestamps_beside_it() -> None:
    """Both are of one instant, so an age from them is never wrong because of a poll in between."""
    clock = FakeClock()
    state = State(clock)
    state.configure([number(0)], {"main": 900.0})
    state.succeeded(number(0), Answer("VERIFIED", "1", "R"))
    clock.advance(42)
    scraped = Scraped(state)
    (success,) = scraped.values("cams_phone_number_last_success_timestamp_seconds").values()
    assert scraped.values("cams_exporter_time_seconds") == {(): success + 42}


def test_a_refused_account_is_not_up() -> None:
    refused = AccountStatus("main", 1, 60.0, 0.0, 5.0, 5.0, 0, refused=Refused("InvalidAccessKeyId.NotFound"))
    assert Scraped(state_of("VERIFIED"), [refused]).values("cams_account_up") == {(): 0.0}


def test_each_space_is_up_unless_it_is_refused() -> None:
    account = replace(ACCOUNT, spaces=("cams-1", "cams-2"), refused_spaces={"cams-2": Refused("Forbidden.RAM")})
    (family,) = [
        one for one in Scraped(state_of("VERIFIED"), [account]).families if one.name == "cams_account_space_up"
    ]
    shown = {sample.labels["cust_space_id"]: sample.value for sample in family.samples}
    assert shown == {"cams-1": 1.0, "cams-2": 0.0}


def test_spaces_and_accounts_that_leave_are_shown_no_more() -> None:
    exposed = Exposed([replace(ACCOUNT, spaces=("cams-1", "cams-2"))])

    def shown() -> int:
        return exposed.exposition.scrape(Format.TEXT).count(b"\ncams_account_space_up{")

    assert shown() == 2
    exposed.accounts = [replace(ACCOUNT, spaces=("cams-2",))]
    assert shown() == 1
    exposed.accounts = []
    assert shown() == 0


def test_families_come_in_the_order_of_the_catalogue_each_once_with_its_help_type_and_labels() -> None:
    scraped = Scraped(state_of("VERIFIED"), cluster=CLUSTER).families
    assert [family.name for family in scraped] == [metric.name.removesuffix("_total") for metric in CATALOGUE]
    for family, metric in zip(scraped, CATALOGUE, strict=True):
        assert (family.documentation, family.type) == (metric.help, metric.type)
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(metric.labels)


def test_each_operation_in_use_is_shown_with_whether_it_is_up() -> None:
    operations = (OperationStatus("A"), OperationStatus("B", up=False, refused=Refused("NoPermission", "no")))
    scraped = Scraped(state_of("VERIFIED"), [replace(ACCOUNT, operations=operations)])
    assert [(labels["operation"], labels["account"]) for labels in scraped.labels("cams_account_operation_up")] == [
        ("A", "main"),
        ("B", "main"),
    ]
    shown = [s.value for f in scraped.families for s in f.samples if s.name == "cams_account_operation_up"]
    assert shown == [1.0, 0.0]


def test_discovery_is_shown_by_space_from_its_first_attempt_on_and_only_where_it_is_configured() -> None:
    """A space that was never listed must be seen: its numbers may be unknown, and nothing else says so."""
    spaces = {
        "cams-1": SpaceStatus(3, 1_764_000_000.5, attempted=True),
        "cams-2": SpaceStatus(attempted=True),
        "cams-3": SpaceStatus(),
        "cams-4": SpaceStatus(2, 1_764_000_000.5),
    }
    found = replace(ACCOUNT, discovery=DiscoveryStatus(spaces, left_out=7))
    names = (
        "cams_account_discovered_phone_numbers",
        "cams_account_discovery_last_success_timestamp_seconds",
        "cams_account_discovery_left_out",
    )
    scraped = Scraped(state_of("VERIFIED"), [found, replace(ACCOUNT, account="typed")])
    shown = [[(s.labels, s.value) for f in scraped.families for s in f.samples if s.name == name] for name in names]
    assert shown == [
        [
            ({"account": "main", "cust_space_id": f"cams-{space}"}, count)
            for space, count in ((1, 3.0), (2, 0.0), (4, 2.0))
        ],
        [({"account": "main", "cust_space_id": f"cams-{space}"}, 1_764_000_000.5) for space in (1, 4)],
        [({"account": "main"}, 7.0)],
    ]


def test_each_number_file_is_shown_by_its_name() -> None:
    assert Scraped(state_of("VERIFIED")).values("cams_exporter_number_file_up") == {("a.csv",): 1, ("b.csv",): 0}


def test_storage_is_shown_where_there_is_one_and_what_is_about_the_exporter_can_be_left_out() -> None:
    """Two files of two configurations in one textfile folder must not collide."""

    def names(*, storage_up: Callable[[], bool] | None, about_exporter: bool) -> dict[str, list[float]]:
        state = state_of("VERIFIED")
        collector = CamsCollector(
            view=lambda: (state.snapshot(), [ACCOUNT]),
            counters=Counters(["timeout"]),
            reload_status=ReloadStatus(1.0),
            version="1",
            revision="a",
            storage_up=storage_up,
            number_files_up=lambda: {"a.csv": True},
            about_exporter=about_exporter,
        )
        return {family.name: [sample.value for sample in family.samples] for family in families(collector)}

    assert "cams_exporter_storage_up" not in names(storage_up=None, about_exporter=True)
    assert names(storage_up=lambda: True, about_exporter=True)["cams_exporter_storage_up"] == [1.0]
    assert names(storage_up=lambda: False, about_exporter=True)["cams_exporter_storage_up"] == [0.0]
    left = names(storage_up=lambda: True, about_exporter=False)
    assert {"cams_phone_number_verification_status", "cams_account_up"} <= left.keys()
    assert not [name for name in left if name.startswith("cams_exporter_")]


def test_without_a_cluster_nothing_of_it_is_shown() -> None:
    names = {family.name for family in Scraped(state_of("VERIFIED")).families}
    assert names.isdisjoint({"cams_cluster_store_up", "cams_cluster_replicas", "cams_account_held"})
    assert names.isdisjoint({"cams_cluster_lease_changes", "cams_cluster_spare_qps"})


def test_what_only_the_holder_knows_stands_on_the_holder_only() -> None:
    """All the others show what the holder told them; of these a sum over the replicas would be wrong."""
    mine, other = replace(ACCOUNT, is_held=True), replace(ACCOUNT, account="other", is_held=False)
    scraped = Scraped(state_of("VERIFIED"), [mine, other], CLUSTER)

    def shown(name: str) -> dict[str, float]:
        return {s.labels["account"]: s.value for f in scraped.families for s in f.samples if s.name == name}

    for name in ("cams_api_budget_qps", "cams_api_effective_qps", "cams_api_requests_in_flight"):
        assert shown(name).keys() == {"main"}
    assert shown("cams_account_up").keys() == {"main", "other"}
    assert shown("cams_account_held") == {"main": 1, "other": 0}
    assert shown("cams_cluster_lease_changes_total") == {"main": 3, "other": 0}
    assert shown("cams_cluster_spare_qps") == {"main": 2, "other": 0}
    assert scraped.values("cams_cluster_store_up") == {(): 1}
    assert scraped.values("cams_cluster_replicas") == {(): 2}
    assert scraped.values("cams_exporter_config_hash") == {(): 2**48 - 1}
