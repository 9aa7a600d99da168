"""The web server on a real socket: scrapes, probes, pages, and other requests."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from urllib.parse import urljoin

import pytest

from exporter.metrics.exposition import Format
from exporter.web.server import Limits, WebServer
from exporter.web.ui.views import LandingInfo
from tests.support.numbers import number
from tests.support.patience import PATIENCE_SECONDS
from tests.support.shown import ShownFleet
from tests.support.webserver import FakeExposer, FakeHealth, eventually_scraped, serving

OPENMETRICS = "application/openmetrics-text"


def test_a_scrape_is_the_exposers_bytes_as_text_by_default() -> None:
    exposer = FakeExposer(b"cams_account_up 1\n")
    with serving(exposer) as server:
        reply = server.get("/metrics")
    assert (reply.status, reply.body) == (200, b"cams_account_up 1\n")
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert reply.headers["vary"] == "Accept, Accept-Encoding"
    assert "content-encoding" not in reply.headers
    assert exposer.calls == [(Format.TEXT, False, frozenset())]


def test_a_scrape_has_the_negotiated_format_and_encoding() -> None:
    exposer = FakeExposer(b"not really gzip")
    with serving(exposer) as server:
        reply = server.get("/metrics", Accept=OPENMETRICS, Accept_Encoding="gzip")
    assert reply.headers["content-type"] == (
        "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"
    )
    assert reply.headers["content-encoding"] == "gzip"
    assert reply.body == b"not really gzip"
    assert exposer.calls == [(Format.OPENMETRICS, True, frozenset())]


def test_repeated_accept_headers_count_as_one() -> None:
    """RFC 9110, 5.3: several lines of a list header are one list."""
    exposer = FakeExposer()
    with serving(exposer) as server:
        server.raw(
            b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept: text/plain;q=0.1\r\n"
            b"Accept: application/openmetrics-text\r\nAccept-Encoding: br\r\nAccept-Encoding: gzip\r\n\r\n"
        )
    assert exposer.calls == [(Format.OPENMETRICS, True, frozenset())]


@pytest.mark.parametrize("accept", ["\xff\xfe", ";q=,,", '"', "x" * 8000, "application/openmetrics-text;q=NaN"])
def test_a_malformed_accept_header_still_gets_its_scrape(accept: str) -> None:
    with serving() as server:
        reply = server.get("/metrics", Accept=accept, Accept_Encoding=accept)
    assert (reply.status, reply.body) == (200, b"up 1\n")
    assert reply.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("name[]=a&name[]=b&name[]=a", {"a", "b"}),
        ("name%5B%5D=a", {"a"}),
        ("name=a&other[]=b", set()),
        ("name[]=", {""}),
        ("name[]=%ff%zz&&&=", {"\ufffd%zz"}),
        ("", set()),
    ],
)
def test_name_filters_reach_the_exposer(query: str, names: set[str]) -> None:
    exposer = FakeExposer()
    with serving(exposer) as server:
        assert server.get(f"/metrics?{query}").status == 200
    assert exposer.calls == [(Format.TEXT, False, frozenset(names))]


@pytest.mark.parametrize(
    "path", ["/metrics", "/", "/-/healthy", "/-/ready", "/nowhere", "/config", "/numbers", "/numbers/number"]
)
def test_head_has_the_headers_of_get_without_its_body(path: str) -> None:
    with serving() as server:
        get, head = server.get(path), server.get(path, "HEAD")
    assert head.body == b""
    assert head.status == get.status
    assert {**head.headers, "date": ""} == {**get.headers, "date": ""}
    assert int(head.headers["content-length"]) == len(get.body) > 0


@pytest.mark.parametrize("path", ["/metrics", "/", "/-/healthy", "/-/ready", "/config", "/numbers", "/numbers/number"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND"])
def test_other_methods_are_refused_and_told_which_are_allowed(path: str, method: str) -> None:
    with serving() as server:
        reply = server.get(path, method)
    assert reply.status == 405
    assert reply.headers["allow"] == "GET, HEAD"


def test_a_refused_request_with_a_body_gets_its_answer() -> None:
    with serving() as server:
        answer = server.raw(b"POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello")
    assert answer.startswith(b"HTTP/1.1 405 ")


@pytest.mark.parametrize("path", ["/metrics/", "/METRICS", "/x", "//metrics", "/-/", "/favicon.ico"])
def test_other_paths_are_not_found(path: str) -> None:
    with serving() as server:
        reply = server.get(path)
    assert (reply.status, reply.text) == (404, "404 Not Found\n")
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("asked", "place"),
    [
        ("/numbers/", "../numbers"),
        ("/numbers/?status=EXPIRED&q=a%26b", "../numbers?status=EXPIRED&q=a%26b"),
        ("/numbers/number/?number=1", "../number?number=1"),
        ("/config/", "../config"),
    ],
)
def test_a_slash_too_many_leads_to_the_page_with_its_parameters(asked: str, place: str) -> None:
    """By a relative address, so also behind a proxy that adds a prefix."""
    with serving() as server:
        reply = server.get(asked)
        assert (reply.status, reply.headers["location"]) == (308, place)
        assert server.get(asked, "POST").status == 404
        assert server.get(urljoin(asked, place)).status != 308


@pytest.mark.parametrize("asked", ["/numbers//", "//", "/none/", "/numbers/x/", "/-/ready/"])
def test_other_paths_that_end_with_a_slash_are_not_found(asked: str) -> None:
    with serving() as server:
        assert server.get(asked).status == 404


def test_the_telemetry_path_is_the_users() -> None:
    with serving(telemetry_path="/probe/cams") as server:
        assert server.get("/probe/cams").body == b"up 1\n"
        assert server.get("/metrics").status == 404
        assert b'href="./probe/cams"' in server.get("/").body


def test_metrics_at_the_root_replace_the_landing_page() -> None:
    with serving(telemetry_path="/") as server:
        assert server.get("/").body == b"up 1\n"


@pytest.mark.parametrize(("addresses", "path"), [(["nowhere"], "/metrics"), ([":0"], "/-/healthy"), ([":0"], "x")])
def test_a_server_is_not_made_with_a_bad_address_or_path(addresses: list[str], path: str) -> None:
    with pytest.raises(ValueError, match="; write "):
        WebServer(
            addresses,
            path,
            40,
            FakeExposer(),
            FakeHealth(),
            LandingInfo(version="1"),
            fleet=ShownFleet([number()]),
            scraping=nullcontext,
        )


def test_health_and_readiness_are_200_while_nothing_is_wrong() -> None:
    with serving() as server:
        healthy, ready = server.get("/-/healthy"), server.get("/-/ready")
    assert (healthy.status, healthy.text) == (200, "healthy\n")
    assert (ready.status, ready.text) == (200, "ready\n")


def test_health_and_readiness_are_503_with_each_reason_on_its_line() -> None:
    health = FakeHealth(ill=("poller main is dead", "poller café is dead"), missing=("account main: 3 numbers",))
    with serving(health=health) as server:
        healthy, ready = server.get("/-/healthy"), server.get("/-/ready")
    assert (healthy.status, healthy.text) == (503, "unhealthy\npoller main is dead\npoller café is dead\n")
    assert (ready.status, ready.text) == (503, "not ready\naccount main: 3 numbers\n")


def test_the_landing_page_is_html_with_security_headers() -> None:
    with serving(landing=LandingInfo(version="9.8.7", demo=True)) as server:
        reply = server.get("/")
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert "Version 9.8.7" in reply.text
    assert "simulated" in reply.text
    assert reply.headers["content-security-policy"].startswith("default-src 'none';")
    assert reply.headers["x-frame-options"] == "DENY"
    assert reply.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["/metrics", "/", "/-/healthy", "/nowhere", "/config", "/numbers", "/numbers/number"])
def test_no_answer_names_the_software_below_or_may_be_sniffed_or_stored(path: str) -> None:
    with serving() as server:
        headers = server.get(path).headers
    assert headers["server"] == "cams_exporter"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


class TestFailures:
    """The log gets the full error, the client gets no details."""

    def test_a_failed_scrape_is_500_without_detail_and_one_log_record(self, caplog: pytest.LogCaptureFixture) -> None:
        exposer = FakeExposer(error=RuntimeError("the inner secret"))
        with serving(exposer) as server:
            reply = server.get("/metrics", Accept_Encoding="gzip")
            exposer.error = None
            assert server.get("/metrics").status == 200
        assert (reply.status, reply.text) == (500, "the scrape failed; the exporter's log says why\n")
        assert "content-encoding" not in reply.headers
        (record,) = caplog.records
        assert (record.levelno, record.getMessage()) == (logging.ERROR, "scrape failed")
        assert record.exc_info is not None
        assert isinstance(record.exc_info[1], RuntimeError)

    def test_a_failed_probe_is_500_without_detail_and_one_log_record(self, caplog: pytest.LogCaptureFixture) -> None:
        class Broken(FakeHealth):
            def unhealthy(self) -> tuple[str, ...]:
                raise RuntimeError("the inner secret")

        with serving(health=Broken()) as server:
            reply = server.get("/-/healthy", Accept="text/html")
        assert (reply.status, reply.text) == (500, "500 Internal Server Error\n")
        assert reply.headers["server"] == "cams_exporter"
        assert [record.getMessage() for record in caplog.records] == ["request failed"]

    @pytest.mark.parametrize(
        "garbage",
        [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello tls",
            b"GET /metrics<script> HTTP/9.9\r\n\r\n",
            b"GET /metrics HTTP/1.1\r\nHost: x\r\nbad header\x00: y\r\n\r\n",
        ],
    )
    def test_garbage_is_400_that_quotes_nothing(self, garbage: bytes, caplog: pytest.LogCaptureFixture) -> None:
        """A port scan must not learn which program runs, and must not fill the log."""
        with serving() as server:
            head, _, body = server.raw(garbage).partition(b"\r\n\r\n")
            assert server.get("/metrics").status == 200
        assert head.startswith((b"HTTP/1.0 400 ", b"HTTP/1.1 400 "))
        assert body == b"400 Bad Request\n"
        assert b"\r\nServer: cams_exporter" in head
        assert not [record for record in caplog.records if record.levelno > logging.DEBUG]

    @pytest.mark.parametrize(
        "head", [b"GET http://[/ HTTP/1.1\r\nHost: x", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1"]
    )
    def test_what_only_aiohttp_finds_malformed_is_400_and_not_logged(
        self, head: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        with serving() as server:
            assert server.raw(head + b"\r\n\r\n").startswith((b"HTTP/1.0 400 ", b"HTTP/1.1 400 "))
            assert server.get("/metrics").status == 200
        assert not [record for record in caplog.records if record.levelno > logging.DEBUG]

    def test_a_client_that_leaves_in_mid_scrape_leaves_no_trace(self, caplog: pytest.LogCaptureFixture) -> None:
        exposer = FakeExposer(gate=threading.Event())
        with serving(exposer, max_requests=1) as server:
            with server.connect() as peer:
                peer.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
                assert exposer.entered.acquire(timeout=PATIENCE_SECONDS)
            assert exposer.gate is not None
            exposer.gate.set()
            assert eventually_scraped(server)
        assert not caplog.records


def bytes_until_closed(peer: socket.socket) -> int:
    """The number of bytes on a connection before the other end closes or resets it."""
    received = 0
    try:
        while chunk := peer.recv(1 << 20):
            received += len(chunk)
    except ConnectionResetError:
        pass
    return received


class TestMaxRequests:
    """The bound on scrapes served at once."""

    def test_a_scrape_above_the_limit_is_503_naming_the_flag_and_the_others_go_on(self) -> None:
        exposer = FakeExposer(gate=threading.Event())
        assert exposer.gate is not None
        with serving(exposer, max_requests=1) as server, ThreadPoolExecutor() as clients:
            scrape = clients.submit(server.get, "/metrics")
            assert exposer.entered.acquire(timeout=PATIENCE_SECONDS)
            refused, probe, landing = server.get("/metrics"), server.get("/-/healthy"), server.get("/")
            exposer.gate.set()
            assert scrape.result(PATIENCE_SECONDS).status == 200
            assert server.get("/metrics").status == 200
        assert refused.status == 503
        assert "--web.max-requests" in refused.text
        assert (probe.status, landing.status) == (200, 200)

    def test_a_limit_of_0_is_none(self) -> None:
        exposer = FakeExposer(gate=threading.Event())
        assert exposer.gate is not None
        with serving(exposer, max_requests=0) as server, ThreadPoolExecutor(20) as clients:
            scrapes = [clients.submit(server.get, "/metrics") for _ in range(20)]
            assert exposer.entered.acquire(timeout=PATIENCE_SECONDS)
            exposer.gate.set()
            assert {scrape.result(PATIENCE_SECONDS).status for scrape in scrapes} == {200}

    def test_a_failed_scrape_frees_its_place(self) -> None:
        exposer = FakeExposer(error=RuntimeError())
        with serving(exposer, max_requests=1) as server:
            assert [server.get("/metrics").status for _ in range(3)] == [500, 500, 500]

    def test_a_client_that_does_not_read_is_disconnected_and_its_place_is_free_again(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """An unread answer uses memory, so it counts; but forty such clients must not stop all scrapes."""
        exposer = FakeExposer(body=b"x" * 32_000_000)
        limits = Limits(send_seconds=30, patience_seconds=600)
        with serving(exposer, max_requests=1, limits=limits) as server, server.connect() as peer:
            peer.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            assert peer.recv(1) == b"H"  # it is being sent
            assert server.get("/metrics").status == 503
            server.pass_seconds(31)
            exposer.body = b"up 1\n"
            assert eventually_scraped(server)
            assert bytes_until_closed(peer) < 32_000_000
        assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


class TestLifetime:
    """Starting and stopping."""

    def test_every_address_is_served_at_the_url_returned_for_it(self) -> None:
        with serving(addresses=["127.0.0.1:0", "localhost:0"]) as server:
            ports = [int(url.rpartition(":")[2]) for url in server.urls]
            assert server.urls == [f"http://127.0.0.1:{port}" for port in ports]
            assert len(set(ports)) == 2
            for port in ports:
                with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as peer:
                    peer.sendall(b"GET /-/healthy HTTP/1.0\r\n\r\n")
                    assert peer.recv(12) in {b"HTTP/1.0 200", b"HTTP/1.1 200"}

    def test_a_port_in_use_stops_the_start_and_frees_the_other_addresses(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other, socket.create_server(("127.0.0.1", 0)) as probe:
            taken, free = (sock.getsockname()[1] for sock in (other, probe))
            probe.close()
            with (
                pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{taken}: the port is in use"),
                serving(addresses=[f"127.0.0.1:{free}", f"127.0.0.1:{taken}"]),
            ):
                pytest.fail("the server started on a port in use")
            socket.create_server(("127.0.0.1", free)).close()

    def test_a_connection_serves_many_requests(self) -> None:
        exposer = FakeExposer()
        with serving(exposer) as server:
            answer = server.raw(
                b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 3
                + b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            )
        assert answer.count(b"HTTP/1.1 200 OK") == 4
        assert len(exposer.calls) == 4

    def test_stop_closes_connections_kept_alive_and_refuses_new_ones(self) -> None:
        with serving() as server, server.connect() as idle, server.connect() as used:
            used.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"healthy" in used.recv(65536)
            server.stop()
            assert (idle.recv(1), used.recv(1)) == (b"", b"")
            with pytest.raises(ConnectionRefusedError):
                server.connect()

    def test_stop_does_not_wait_for_a_scrape_that_hangs(self) -> None:
        exposer = FakeExposer(gate=threading.Event())
        assert exposer.gate is not None
        with serving(exposer) as server, server.connect() as peer:
            peer.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            assert exposer.entered.acquire(timeout=PATIENCE_SECONDS)
            server.stop()  # which fails if it waits for the gate
            assert peer.recv(1) == b""
            exposer.gate.set()

    def test_stop_may_be_called_twice(self) -> None:
        with serving() as server:
            server.stop()
            server.stop()


def test_a_start_does_not_wait_for_the_pages_templates() -> None:
    """Prometheus's first scrape comes before the first page: the import of jinja2 takes 50 ms."""
    program = "import sys, exporter.web.server; sys.exit('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=PATIENCE_SECONDS, check=False).returncode == 0


def test_the_command_lines_checks_load_no_web_library() -> None:
    """`--help` and `--config.check` must not import the server: the import of aiohttp takes 0.13 s and 13 MiB."""
    program = "import sys, exporter.web.routes, exporter.web.connections.listen; sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=PATIENCE_SECONDS, check=False).returncode == 0
