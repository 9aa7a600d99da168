"""``POST /-/reload``: permissions, answers, and several reloads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from exporter.errors import ConfigError
from exporter.web.server import Limits
from tests.support.patience import PATIENCE_SECONDS
from tests.support.webserver import serving


class FakeReload:
    """Counts calls, and raises `error` if there is one."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls = 0
        self.error = error

    def __call__(self) -> None:
        self.calls += 1
        if self.error is not None:
            raise self.error


def test_without_the_flag_it_is_forbidden_and_says_which_flag_allows_it() -> None:
    with serving() as server:
        reply = server.get("/-/reload", "POST")
    assert reply.status == 403
    assert "--web.enable-lifecycle" in reply.text


@pytest.mark.parametrize("reload", [None, FakeReload()])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PATCH", "DELETE", "OPTIONS"])
def test_other_methods_are_405(reload: FakeReload | None, method: str) -> None:
    """A link or an image on a page must not reload anything."""
    with serving(reload=reload) as server:
        reply = server.get("/-/reload", method)
    assert (reply.status, reply.headers["allow"]) == (405, "POST, PUT")
    assert reload is None or reload.calls == 0


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_both_methods_of_prometheus_reload(method: str) -> None:
    reload = FakeReload()
    with serving(reload=reload) as server:
        assert server.get("/-/reload", method).status == 200
    assert reload.calls == 1


def test_it_answers_200_once_the_configuration_is_in_force() -> None:
    began, finish = threading.Event(), threading.Event()

    def reload() -> None:
        began.set()
        assert finish.wait(PATIENCE_SECONDS)

    with serving(reload=reload) as server, ThreadPoolExecutor() as clients:
        reply = clients.submit(server.get, "/-/reload", "POST")
        assert began.wait(PATIENCE_SECONDS)
        assert server.get("/-/healthy").status == 200  # the event loop is not blocked
        assert not reply.done()
        finish.set()
        assert reply.result(PATIENCE_SECONDS).status == 200
        assert reply.result().text == "the configuration is in force\n"


def test_a_refused_configuration_is_500_with_every_fault() -> None:
    faults = ["config.yml:1: a: is wrong; write b", "config.yml:2: c: is wrong; write d"]
    with serving(reload=FakeReload(ConfigError(faults))) as server:
        reply = server.get("/-/reload", "POST")
    assert reply.status == 500
    assert reply.text == "the configuration is refused, the old one stays in force:\n" + "\n".join(faults) + "\n"


def test_any_other_failure_is_500_without_detail() -> None:
    with serving(reload=FakeReload(RuntimeError("the inner secret"))) as server:
        reply = server.get("/-/reload", "POST")
        assert server.get("/metrics").status == 200
    assert reply.status == 500
    assert "secret" not in reply.text


def test_reloads_come_one_after_the_other() -> None:
    running, most = 0, 0

    def reload() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        server.get("/-/healthy")  # enough time for another one to begin
        running -= 1

    with serving(reload=reload) as server, ThreadPoolExecutor(8) as clients:
        replies = [clients.submit(server.get, "/-/reload", "POST") for _ in range(8)]
        assert {reply.result(PATIENCE_SECONDS).status for reply in replies} == {200}
    assert most == 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://HOST"}, 200),
        ({"Origin": "https://exporter.example", "Host": "exporter.example"}, 200),  # behind a proxy that ends TLS
        ({"Origin": "http://exporter.example:80", "Host": "exporter.example"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "http://HOST.evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Origin": "http://[::1"}, 403),
        ({"Origin": "http://127.0.0.1:99999999"}, 403),
        ({"Origin": "ftp://HOST"}, 403),
        ({"Origin": "http://"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://HOST"}, 403),
    ],
)
def test_a_page_of_another_site_may_not_reload(headers: dict[str, str], status: int) -> None:
    """A browser sends such a form with a stored password.  Other programs do not send these headers."""
    reload = FakeReload()
    with serving(reload=reload) as server:
        host = f"{server.host}:{server.port}"
        sent = {name: value.replace("HOST", host) for name, value in headers.items()}
        lines = [f"Host: {sent.pop('Host', host)}", *(f"{name}: {value}" for name, value in sent.items())]
        head = "\r\n".join(["POST /-/reload HTTP/1.1", "Connection: close", *lines, "", ""])
        answer = server.raw(head.encode())
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert reload.calls == (1 if status == 200 else 0)


def test_who_asked_gets_an_answer_although_the_reload_does_not_end() -> None:
    """A mount that hangs under the configuration must not keep a client, or a pipeline, for ever."""
    finish = threading.Event()

    def reload() -> None:
        assert finish.wait(PATIENCE_SECONDS)

    with serving(reload=reload, limits=Limits(reload_seconds=0.1)) as server:
        reply = server.get("/-/reload", "POST")
        finish.set()
    assert reply.status == 500
    assert "still being read" in reply.text
