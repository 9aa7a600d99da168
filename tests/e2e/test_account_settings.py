"""Accounts with settings of their own, from outside: interval, endpoint, proxy."""

from __future__ import annotations

from exporter.simulator import Simulator, World
from tests.support.exporter import ExporterProcess, until, value
from tests.support.fleet import config, fleet
from tests.support.rawserver import RawServer, answering, http

INTERVAL = "cams_account_scrape_interval_seconds"


def test_each_account_is_asked_at_its_own_endpoint_and_interval() -> None:
    one, two = World(), World()
    first, second = fleet(one, 1, name="first"), fleet(two, 1, name="second", start=1)
    with Simulator(one) as here, Simulator(two) as there:
        second |= {"api": {"endpoint": there.url}, "scrape_interval": "1s"}
        with ExporterProcess(config(here.url, [first, second], scrape_interval="10m")) as exporter:
            until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")
            until(lambda: len(two.arrivals()) >= 3, "the second is asked every second")
            series = exporter.scrape()
            assert value(series, INTERVAL, account="first") == 600
            assert value(series, INTERVAL, account="second") == 1
    assert len(one.arrivals()) == 1


def test_the_proxy_of_an_account_is_used_whatever_the_environment_says() -> None:
    world = World()
    section = fleet(world, 1)
    with RawServer(answering(http(b"", "502 Bad Gateway"))) as proxy:
        section["api"] = {"proxy": f"http://user:pass@127.0.0.1:{proxy.port}"}
        settings = config("https://cams.example", [section])
        with ExporterProcess(settings, env={"HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": "*"}) as exporter:
            until(lambda: proxy.requests, "the proxy is asked")
            assert "user:pass" not in exporter.log
            _, body, _ = exporter.get("/config")
            assert f"http://<secret>@127.0.0.1:{proxy.port}".encode() in body
        assert proxy.requests[0].startswith(b"CONNECT cams.example:443 HTTP/1.")
        assert b"Proxy-Authorization: Basic dXNlcjpwYXNz" in proxy.requests[0]
