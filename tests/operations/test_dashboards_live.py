"""Every query of the dashboards on the real Prometheus that scrapes the demo, as Grafana would send it.

The demo has statuses, failures and throttling.  The tests say what a query must find, not only that it parses.
"""

from __future__ import annotations

import re
import time
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.support.dashboards import EVERYTHING, Query, dashboards, filled, queries, variable_queries
from tests.support.exporter import ExporterProcess, until
from tests.support.prometheus import RealPrometheus
from tests.support.promql import names
from tests.support.servers import RELEASES, has_server, server_binary

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.xdist_group("dashboards on a live Prometheus")

JOB = "cams-exporter"
SECONDS = 20
"""How long the demo is scraped before the checks: then some polls have failed, and rates have samples."""
STEP_SECONDS = 5

MAY_BE_EMPTY = frozenset(
    {
        # the demo's statuses change within minutes, not for certain within this test
        "CAMS numbers / annotation Status changed",
        # the failing number never had an answer, so it has no age
        "CAMS numbers / Stale and failing numbers / B",
        # the demo has no space that is refused
        "CAMS exporter / Refused spaces / A",
        "CAMS exporter / Refused spaces / B",
        # nobody's connection is refused here
        "CAMS exporter / Connections refused / A",
    }
)

DASHBOARDS = dashboards()

NOT_IN_USE = frozenset(
    {
        "cams_phone_number_listed",
        "cams_phone_number_connection_status",
        "cams_phone_number_quality_rating",
        "cams_phone_number_messaging_limit",
        "cams_phone_number_can_send",
        "cams_phone_number_health_error_info",
        "cams_account_discovered_phone_numbers",
        "cams_account_discovery_last_success_timestamp_seconds",
        "cams_account_discovery_left_out",
        "cams_exporter_number_file_up",
        "cams_cluster_store_up",
        "cams_cluster_replicas",
        "cams_cluster_lease_changes_total",
        "cams_cluster_spare_qps",
        "cams_account_held",
    }
)
"""Metrics that may be missing here: of listings, health checks, number files and clusters."""


def may_be_empty(query: Query) -> bool:
    """Whether the demo need not have data for a query."""
    return query.where in MAY_BE_EMPTY or bool(NOT_IN_USE & names(query.expression).selected.keys())


def scraped_for_a_while(prometheus: RealPrometheus) -> bool:
    """Prometheus drops no sample here, so the number of scrapes gives the time range of rates."""
    return prometheus.value(f'count_over_time(up{{job="{JOB}"}}[5m])') >= SECONDS


@pytest.fixture(scope="module")
def running() -> Iterator[dict[str, RealPrometheus]]:
    """The available releases of Prometheus, which all scraped the same demo for some time."""
    with ExporterProcess(None, "--demo") as exporter, ExitStack() as servers:
        targets = {JOB: [exporter.target]}
        found = {
            release: servers.enter_context(RealPrometheus(targets, release=release))
            for release in RELEASES
            if has_server("prometheus", "PROMETHEUS_BINARY", release)
        }
        until(lambda: exporter.get("/-/ready")[0] == 200, "the demo is ready")
        for one in found.values():
            until(partial(scraped_for_a_while, one), f"{SECONDS} scrapes")
        yield found


@pytest.fixture(params=RELEASES)
def prometheus(request: pytest.FixtureRequest, running: dict[str, RealPrometheus]) -> RealPrometheus:
    """A Prometheus that has scraped the demo."""
    server_binary("prometheus", "PROMETHEUS_BINARY", request.param)
    return running[request.param]


def asked(prometheus: RealPrometheus, query: Query, chosen: dict[str, str]) -> list[dict[str, str]]:
    """The labels of every series of a query, sent as by Grafana; series of NaN only are left out."""
    expression = filled(query.expression, dict(EVERYTHING) | chosen)
    if query.kind == "instant":
        return [sample.labels for sample in prometheus.query(expression) if sample.value == sample.value]
    now = time.time()
    ranges = prometheus.query_range(expression, now - SECONDS, now, STEP_SECONDS)
    return [one.labels for one in ranges if any(value == value for _, value in one.points)]


def found_values(prometheus: RealPrometheus, name: str, query: str, regex: str) -> list[str]:
    """The values of a variable, found as by Grafana."""
    if listed := re.fullmatch(r"label_values\((.*), (\w+)\)", filled(query)):
        return prometheus.label_values(listed[2], listed[1])
    expression = re.fullmatch(r"query_result\((.*)\)", filled(query))
    assert expression, f"{name}: {query}"
    # Grafana writes a result as name{label="value",…} value time, and splits it by the variable's regex
    texts = [
        "{" + ",".join(f'{label}="{value}"' for label, value in sorted(sample.labels.items())) + f"}} {sample.value}"
        for sample in prometheus.query(expression[1])
    ]
    pattern = re.compile(regex.strip("/").replace("(?<", "(?P<"))
    matches = [pattern.search(text) for text in texts]
    assert all(matches), f"{name}: {regex} does not match all of {texts[:3]}"
    return [match["value"] for match in matches if match]


def test_every_query_finds_what_the_demo_has(prometheus: RealPrometheus) -> None:
    """Panels and annotations, with every variable at All: each query runs and returns series."""
    left = [query for dashboard in DASHBOARDS.values() for query in queries(dashboard)]

    def each_found_some() -> bool:
        left[:] = [query for query in left if not asked(prometheus, query, {}) and not may_be_empty(query)]
        return not left

    with suppress(AssertionError):
        until(each_found_some, "again and again: on a busy machine a scrape may fail, which takes a second")
    assert [query.where for query in left] == []


def test_every_legend_names_labels_that_the_query_returns(prometheus: RealPrometheus) -> None:
    """A legend of an aggregated label would be empty; `name` is absent if a number has no name."""
    for dashboard in DASHBOARDS.values():
        for query in queries(dashboard):
            series = asked(prometheus, query, {})
            wanted = {label for text in query.texts for label in re.findall(r"{{(\w+)}}", text)}
            returned = {label for labels in series for label in labels}
            assert wanted <= returned or not series, f"{query.where}: {wanted - returned}"


def test_every_variable_offers_what_the_demo_has(prometheus: RealPrometheus) -> None:
    """Job, accounts, spaces, numbers and statuses are those that the exporter shows."""
    status = "cams_phone_number_verification_status"
    for dashboard in DASHBOARDS.values():
        regexes = {one["name"]: one.get("regex", "") for one in dashboard["templating"]["list"]}
        offered = {
            name: set(found_values(prometheus, name, query, regexes[name]))
            for name, query in variable_queries(dashboard).items()
        }
        labels = {"space": "cust_space_id", "number": "phone_number"}
        for name, values in offered.items():
            assert values == set(prometheus.label_values(labels.get(name, name), status)), name
            assert values, name


def test_one_value_chosen_of_each_variable_leaves_only_that(prometheus: RealPrometheus) -> None:
    """Series with an account, number or status have the chosen one, and panels about this number still have data."""
    row = prometheus.wait_for_series('cams_phone_number_verification_status{status="NOT_VERIFIED"} == 1')[0].labels
    only = {name: row[name] for name in ("account", "cust_space_id", "phone_number", "status")}
    chosen = {
        "account": only["account"],
        "space": only["cust_space_id"],
        "number": only["phone_number"],
        "status": only["status"],
    }
    has_data = {
        "Numbers",
        "Not verified",
        "Numbers that are not verified",
        "Numbers by status",
        "Oldest answer by account",
    }
    for dashboard in DASHBOARDS.values():
        for query in queries(dashboard):
            series = asked(prometheus, query, chosen)
            assert series or query.where.split(" / ")[1] not in has_data, query.where
            for labels in series:
                assert {name: labels[name] for name in only.keys() & labels} == {
                    name: only[name] for name in only.keys() & labels
                }, query.where


def test_counts_are_those_of_the_exporter(prometheus: RealPrometheus) -> None:
    """The first row is complete: every configured number is counted under one status."""
    titles = ("Numbers", "Verified", "Not verified", "Expired", "Other status", "Unknown")
    expressions = {query.where: query.expression for query in queries(DASHBOARDS["cams-numbers.json"])}
    now = prometheus.wait_for_series(f'up{{job="{JOB}"}} == 1')[0].unix
    total, *parts = (
        prometheus.query(filled(expressions[f"CAMS numbers / {title} / A"]), at_unix=now)[0].value for title in titles
    )

    assert total == prometheus.query("sum(cams_account_phone_numbers)", at_unix=now)[0].value
    assert total == sum(parts)
