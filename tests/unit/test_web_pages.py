"""The pages over a real socket: found, refused, and failed requests."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from urllib.parse import quote, urlencode

import bcrypt
import pytest

from exporter.model import AccountStatus
from exporter.state.store import Snapshot
from exporter.web.handlers.pages import MAX_PAGES
from exporter.web.security.reloader import WebSecurity
from exporter.web.ui.views import LandingInfo
from tests.support.numbers import number, numbers
from tests.support.patience import PATIENCE_SECONDS
from tests.support.shown import Reader, ShownFleet
from tests.support.webserver import serving


def test_the_status_page_is_html_with_security_headers() -> None:
    with serving(fleet=ShownFleet(numbers(3)), landing=LandingInfo(version="9.8.7", demo=True)) as server:
        reply = server.get("/numbers?sort=number&order=desc")
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert reply.headers["content-security-policy"].startswith("default-src 'none';")
    assert reply.headers["cache-control"] == "no-store"
    page = Reader(reply.body)
    assert page.labels == ["8613800000002", "8613800000001", "8613800000000"]
    assert "Demo: every number and status here is simulated." in page.text
    assert "Version 9.8.7" in page.text


def test_a_number_is_reached_by_the_link_in_the_list() -> None:
    """For any text in account, space and label."""
    one = number(1, account="a&b=c", space="s/../ü?#%2f+ ", label="861380*****01")
    with serving(fleet=ShownFleet([number(0), one])) as server:
        links = [link for link in Reader(server.get("/numbers").body).links if link.startswith("numbers/number")]
        replies = [server.get(f"/{link}") for link in links]
    assert [reply.status for reply in replies] == [200, 200]
    assert {"861380*****01" in reply.text for reply in replies} == {True, False}


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"account": "main", "space": "cams-kei0001"},
        {"account": "main", "space": "cams-kei0001", "number": "8613800000001"},
        {"account": "main", "space": "<script>", "number": "861380*****01"},
    ],
)
def test_a_number_that_is_not_there_is_404_and_nothing_is_repeated(parameters: dict[str, str]) -> None:
    """Also a masked number that exists: the answer must not reveal it."""
    with serving(fleet=ShownFleet([number(1, label="861380*****01")])) as server:
        reply = server.get(f"/numbers/number?{urlencode(parameters)}")
    assert reply.status == 404
    assert "No such number" in reply.text
    assert "8613800000001" not in reply.text
    assert "<script>" not in reply.text


@pytest.mark.parametrize(
    "query", ["q=%ff%00%zz", "page=%F0%9F%92%A3", "&&&=&q", "q=" + "%22" * 2000, "sort[]=x&sort=y"]
)
def test_a_malformed_query_still_gets_its_page(query: str) -> None:
    with serving() as server:
        assert server.get(f"/numbers?{query}").status == 200
        assert server.get(f"/numbers/number?{query}").status == 404


def test_with_metrics_at_the_root_the_pages_are_still_there() -> None:
    with serving(telemetry_path="/") as server:
        reply = server.get("/numbers")
    assert reply.status == 200
    assert "./" in Reader(reply.body).links


def test_a_page_that_fails_is_500_without_detail_and_one_log_record(caplog: pytest.LogCaptureFixture) -> None:
    fleet = ShownFleet([number()])
    fleet.error = RuntimeError("the inner secret")
    with serving(fleet=fleet) as server:
        reply = server.get("/numbers?q=8613800001234")
        fleet.error = None
        assert server.get("/numbers").status == 200
    assert (reply.status, reply.text) == (500, "the page failed; the exporter's log says why\n")
    (record,) = caplog.records
    assert record.getMessage() == "page failed"
    assert "8613800001234" not in str(record.__dict__)


class Gated(ShownFleet):
    """Shows nothing until its gate opens."""

    def __init__(self) -> None:
        super().__init__(numbers(3))
        self.gate = threading.Event()

    def view(self) -> tuple[Snapshot, Sequence[AccountStatus]]:
        assert self.gate.wait(PATIENCE_SECONDS)
        return super().view()


def test_too_many_pages_at_once_are_503_and_scrapes_and_probes_go_on() -> None:
    fleet = Gated()
    with serving(fleet=fleet) as server, ThreadPoolExecutor(MAX_PAGES + 1) as clients:
        pages = [clients.submit(server.get, "/numbers") for _ in range(MAX_PAGES + 1)]
        (refused, *_), waiting = wait(pages, PATIENCE_SECONDS, FIRST_COMPLETED)
        scrape, probe = server.get("/metrics"), server.get("/-/healthy")
        fleet.gate.set()
        served = [page.result(PATIENCE_SECONDS).status for page in waiting]
        assert server.get("/numbers").status == 200
    assert refused.result().status == 503
    assert (scrape.status, probe.status) == (200, 200)
    assert served == [200] * MAX_PAGES


@pytest.mark.parametrize("path", ["/numbers?refresh=30", "/numbers/number?account=main&space=s&number=1&refresh=30"])
def test_a_page_that_failed_is_asked_for_again_as_often_as_before(path: str) -> None:
    """Else a screen on a wall would show the failure for ever."""
    fleet = ShownFleet([number(space="s", label="1")])
    with serving(fleet=fleet) as server:
        assert server.get(path).headers["refresh"] == "30"
        fleet.error = RuntimeError()
        assert (server.get(path).status, server.get(path).headers["refresh"]) == (500, "30")
        assert "refresh" not in server.get("/numbers").headers


def test_the_pages_need_the_password(tmp_path: Path) -> None:
    """They show more than the metrics."""
    config = tmp_path / "web.yml"
    hashed = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()
    config.write_text(f"basic_auth_users: {{ops: '{hashed}'}}\n")
    right, wrong = "Basic b3BzOnJpZ2h0", "Basic b3BzOndyb25n"
    target = f"/numbers/number?account=main&space=cams-kei0001&number={quote('8613800000000')}"
    with serving(fleet=ShownFleet([number(0)]), security=WebSecurity(config)) as server:
        for path in ("/", "/numbers", target):
            assert server.get(path).status == 401
            assert server.get(path, Authorization=wrong).status == 401
            assert server.get(path, Authorization=right).status == 200


def test_the_configuration_is_text() -> None:
    fleet = ShownFleet([number()])
    fleet.config = "accounts:\n- name: 客户\n".encode()
    with serving(fleet=fleet) as server:
        reply = server.get("/config")
        assert server.get("/config", "POST").status == 405
    assert (reply.status, reply.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert reply.body == fleet.config
