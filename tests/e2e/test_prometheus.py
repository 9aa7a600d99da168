"""A real Prometheus scrapes the exporter in both formats, and has the right status for every number."""

from __future__ import annotations

import http.server
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from exporter.simulator import Simulator, World
from tests.support.exporter import ExporterProcess, until
from tests.support.fleet import config, fleet, phones
from tests.support.patience import PATIENCE_SECONDS
from tests.support.prometheus import RealPrometheus
from tests.support.servers import INSTALLED, OPENER, PROMETHEUS_3, each_release, server_binary

CURRENT = "cams_phone_number_verification_status == 1"


@contextmanager
def proxy(upstream: str, accept: str = "") -> Iterator[tuple[str, list[str]]]:
    """The address of a proxy that scrapes `upstream` for a Prometheus, and the content types of the answers.

    It sends `accept`, or else Prometheus's own header.
    """
    answered: list[str] = []

    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            request = urllib.request.Request(
                upstream + self.path, headers={"Accept": accept or self.headers.get("Accept", "")}
            )
            with OPENER.open(request, timeout=PATIENCE_SECONDS) as answer:
                body = answer.read()
                content_type = answer.headers["Content-Type"]
            answered.append(content_type)
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}", answered
        server.shutdown()


@contextmanager
def target(exporter: ExporterProcess, protocol: str) -> Iterator[str]:
    if protocol == "text":  # Prometheus 2.42 itself always prefers OpenMetrics
        with proxy(exporter.url, accept="text/plain;version=0.0.4") as (address, answered):
            yield address
        assert set(answered) == {"text/plain; version=0.0.4; charset=utf-8"}
    else:
        yield exporter.target


@pytest.mark.parametrize(
    ("protocol", "release"), [("openmetrics", INSTALLED), ("text", INSTALLED), ("openmetrics", PROMETHEUS_3)]
)
def test_prometheus_knows_the_right_status_of_every_number_and_sees_changes(protocol: str, release: str) -> None:
    """For every number Prometheus's HTTP API answers the API's status, also after a change."""
    world = World()
    section = fleet(world, 12)
    numbers = phones(12)
    expected = dict.fromkeys(numbers, "VERIFIED") | {
        numbers[1]: "NOT_VERIFIED",
        numbers[2]: "EXPIRED",
        numbers[3]: 'ODD "status"\n',
    }
    for phone, status in expected.items():
        world.find_numbers(phone)[0].status = status
    with (
        Simulator(world) as simulator,
        ExporterProcess(config(simulator.url, [section])) as exporter,
        target(exporter, protocol) as address,
        RealPrometheus({"cams": [address]}, release=release) as prometheus,
    ):
        until(lambda: exporter.get("/-/ready")[0] == 200, "ready")

        def known() -> dict[str, str]:
            return {sample.labels["phone_number"]: sample.labels["status"] for sample in prometheus.query(CURRENT)}

        prometheus.wait_until(lambda: known() == expected, "every number has the status the API gives")
        world.find_numbers(numbers[0])[0].status = expected[numbers[0]] = "EXPIRED"
        prometheus.wait_until(lambda: known() == expected, "the change is seen")
        assert prometheus.value("sum(increase(cams_api_requests_total[10m]))") > 0
        assert prometheus.query('{__name__=~".+_created"}') == []


CONTENT_TYPES = {
    "OpenMetricsText1.0.0": "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
    "OpenMetricsText0.0.1": "application/openmetrics-text; version=0.0.1; charset=utf-8",
    "PrometheusText1.0.0": "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
    "PrometheusText0.0.4": "text/plain; version=0.0.4; charset=utf-8",
}


def test_prometheus_3_gets_each_protocol_it_asks_for_and_a_whole_histogram_by_its_name() -> None:
    histogram = "cams_api_request_duration_seconds"
    with (
        ExporterProcess(None, "--demo") as exporter,
        proxy(exporter.url) as (address, answered),
        RealPrometheus(
            config={
                "scrape_configs": [
                    {
                        "job_name": protocol,
                        "scrape_protocols": [protocol],
                        "params": {"name[]": [histogram]},
                        "static_configs": [{"targets": [address]}],
                    }
                    for protocol in CONTENT_TYPES
                ]
            },
            release=PROMETHEUS_3,
        ) as prometheus,
    ):
        until(lambda: exporter.get("/-/ready")[0] == 200, "ready")
        wanted = {(job, f"{histogram}_{part}") for job in CONTENT_TYPES for part in ("bucket", "count", "sum")}

        def stored() -> set[tuple[str, str]]:
            found = prometheus.query(f'count by (job, __name__) ({{__name__=~"{histogram}_.+"}})')
            return {(one.labels["job"], one.labels["__name__"]) for one in found}

        prometheus.wait_until(lambda: stored() == wanted, "each job has the whole histogram")
        assert set(answered) == {*CONTENT_TYPES.values()}
        assert prometheus.query("cams_account_up") == []


def test_removed_numbers_and_accounts_leave_no_series_behind() -> None:
    """After a reload only configured numbers are exposed, and Prometheus marks the others stale."""
    world = World()
    kept, left = fleet(world, 3, name="kept"), fleet(world, 3, name="left", start=100)
    with (
        Simulator(world) as simulator,
        ExporterProcess(config(simulator.url, [kept, left])) as exporter,
        RealPrometheus({"cams": [exporter.target]}) as prometheus,
    ):
        prometheus.wait_until(lambda: len(prometheus.query(CURRENT)) == 6, "six numbers")
        kept["numbers"].pop()
        exporter.write_config(config(simulator.url, [kept]))
        exporter.reload()
        prometheus.wait_until(lambda: len(prometheus.query(CURRENT)) == 2, "two numbers")
        prometheus.wait_until(lambda: prometheus.query('{account="left"}') == [], "the account has left")
        assert prometheus.value("last_over_time(cams_exporter_config_last_reload_successful[10m])") == 1


@each_release
def test_promtool_finds_nothing_to_complain_about(release: str) -> None:
    import subprocess

    promtool = server_binary("promtool", "PROMTOOL_BINARY", release)
    with ExporterProcess(None, "--demo") as exporter:
        until(lambda: exporter.get("/-/ready")[0] == 200, "ready")
        done = subprocess.run(
            [promtool, "check", "metrics"],
            input=exporter.get()[1],
            capture_output=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
