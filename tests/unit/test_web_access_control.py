"""Checks for every path but the probes: passwords, the rate limit, the configured headers."""

from __future__ import annotations

import base64
import logging
import re
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.security.access_control import RateLimiter
from exporter.web.security.config import RateLimit
from exporter.web.security.reloader import WebSecurity
from exporter.web.server import Limits
from tests.support.patience import PATIENCE_SECONDS
from tests.support.webserver import FakeExposer, FakeHealth, Running, serving

USER, PASSWORD = "alice", "correct horse"
USERS = f"basic_auth_users: {{{USER}: {bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()}}}\n"
AUTHORIZATION = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
PROBES = ["/-/healthy", "/-/ready"]
GUARDED = [
    "/metrics",
    "/",
    "/config",
    "/-/reload",
    "/nowhere",
    "/-/healthy/",
    "//-/healthy",
    "/-/healthy/../../metrics",
]


def security(folder: Path, text: str) -> WebSecurity:
    (folder / "web.yml").write_text(text)
    return WebSecurity(folder / "web.yml")


def limited(folder: Path, interval: str, burst: int) -> WebSecurity:
    return security(folder, f"rate_limit: {{interval: {interval}, burst: {burst}}}\n")


class TestPasswords:
    """`basic_auth_users`."""

    @pytest.mark.parametrize("path", GUARDED)
    def test_every_path_asks_for_a_password_also_one_that_is_not_there(self, tmp_path: Path, path: str) -> None:
        with serving(security=security(tmp_path, USERS)) as server:
            reply = server.get(path)
            assert server.get(path, Authorization=AUTHORIZATION).status != 401
        assert (reply.status, reply.text) == (401, "401 Unauthorized\n")
        assert reply.headers["www-authenticate"] == 'Basic realm="cams_exporter", charset="UTF-8"'

    @pytest.mark.parametrize("method", ["POST", "HEAD", "DELETE"])
    def test_every_method_asks_for_a_password(self, tmp_path: Path, method: str) -> None:
        with serving(security=security(tmp_path, USERS)) as server:
            assert server.get("/metrics", method).status == 401

    @pytest.mark.parametrize("path", PROBES)
    def test_the_probes_ask_for_none(self, tmp_path: Path, path: str) -> None:
        with serving(security=security(tmp_path, USERS)) as server:
            assert server.get(path).status == 200
            assert server.get(path, Authorization="Basic nonsense").status == 200

    def test_the_right_password_opens(self, tmp_path: Path) -> None:
        with serving(security=security(tmp_path, USERS)) as server:
            assert server.get("/metrics", Authorization=AUTHORIZATION).body == b"up 1\n"

    def test_a_long_password_is_401(self, tmp_path: Path) -> None:
        header = "Basic " + base64.b64encode(f"{USER}:{'x' * 1000}".encode()).decode()
        with serving(security=security(tmp_path, USERS)) as server:
            assert server.get("/metrics", Authorization=header).status == 401

    def test_a_refused_request_asks_nothing_of_the_exporter(self, tmp_path: Path) -> None:
        exposer = FakeExposer()
        with serving(exposer, security=security(tmp_path, USERS)) as server:
            server.get("/metrics")
        assert exposer.calls == []

    def test_many_wrong_passwords_do_not_block_the_right_one_or_the_probes(self, tmp_path: Path) -> None:
        """They wait for their turn, and none is refused."""
        dear = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(7)).decode()
        users = security(tmp_path, f"basic_auth_users: {{{USER}: {dear}}}")
        with serving(security=users) as server, ExitStack() as stack:
            peers = [stack.enter_context(server.connect()) for _ in range(100)]
            for index, peer in enumerate(peers):
                guess = base64.b64encode(f"{USER}:{index}".encode())
                peer.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Basic " + guess + b"\r\n\r\n")
            assert server.get("/-/healthy").status == 200
            assert server.get("/metrics", Authorization=AUTHORIZATION).status == 200
            answers = [peer.recv(65536) for peer in peers]
        assert {answer[9:12] for answer in answers} == {b"401"}

    @pytest.mark.parametrize("path", ["/metrics", "/-/ready"])
    def test_connections_that_wait_for_a_password_check_do_not_block_others(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
    ) -> None:
        """Otherwise clients with wrong passwords could occupy every connection while hashing."""
        over = threading.Event()

        def checkpw(password: bytes, hashed: bytes) -> bool:
            assert over.wait(PATIENCE_SECONDS)
            return False

        monkeypatch.setattr(bcrypt, "checkpw", checkpw)
        guess = base64.b64encode(f"{USER}:wrong".encode())
        users, health = security(tmp_path, USERS), FakeHealth(missing=("a number",))
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic ".encode() + guess + b"\r\n\r\n"
        with serving(health=health, security=users, limits=Limits(connections=5)) as server, ExitStack() as stack:
            for _ in range(20):
                stack.enter_context(server.connect()).sendall(request)
            assert server.get("/-/healthy").status == 200
            over.set()

    def test_no_password_reaches_the_log(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)
        with serving(security=security(tmp_path, USERS)) as server:
            server.get("/metrics", Authorization=AUTHORIZATION)
            server.get("/metrics", Authorization=AUTHORIZATION[:-4])
        for secret in (PASSWORD, AUTHORIZATION, AUTHORIZATION[6:-4]):
            assert secret not in caplog.text


class TestProbes:
    """They answer all clients, but show names and numbers only to authorized clients."""

    ILL = FakeHealth(ill=("the poller of account secret-name",), missing=("account secret-name: 17 numbers",))

    @pytest.mark.parametrize("path", PROBES)
    @pytest.mark.parametrize("authorization", ["", "Basic " + base64.b64encode(b"alice:wrong").decode(), "Bearer x"])
    def test_strangers_learn_no_more_than_the_status(self, tmp_path: Path, path: str, authorization: str) -> None:
        with serving(health=self.ILL, security=security(tmp_path, USERS)) as server:
            headers = {"Authorization": authorization} if authorization else {}
            reply = server.get(path, **headers)
        assert reply.status == 503
        assert reply.text.startswith(("unhealthy\n", "not ready\n"))
        assert not re.search(r"secret-name|\d", reply.text)

    @pytest.mark.parametrize("path", PROBES)
    def test_the_reasons_are_for_those_with_a_password(self, tmp_path: Path, path: str) -> None:
        with serving(health=self.ILL, security=security(tmp_path, USERS)) as server:
            assert "secret-name" in server.get(path, Authorization=AUTHORIZATION).text

    @pytest.mark.parametrize("path", PROBES)
    def test_where_there_is_no_password_anyone_sees_them(self, path: str) -> None:
        with serving(health=self.ILL) as server:
            assert "secret-name" in server.get(path).text

    @pytest.mark.parametrize("path", PROBES)
    def test_guessing_at_probes_is_limited_as_everywhere(self, tmp_path: Path, path: str) -> None:
        text = f"{USERS}rate_limit: {{interval: 1h, burst: 1}}\n"
        with serving(health=self.ILL, security=security(tmp_path, text)) as server:
            texts = [server.get(path, Authorization=AUTHORIZATION).text for _ in range(2)]
        assert ["secret-name" in text for text in texts] == [True, False]


class TestBrokenLater:
    """A file that was valid at the start."""

    def test_every_request_but_the_probes_is_refused_until_the_file_is_fixed(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        exposer = FakeExposer()
        with serving(exposer, FakeHealth(ill=("x",)), security=security(tmp_path, USERS)) as server:
            (tmp_path / "web.yml").write_text("basic_auth_users: {alice: s3cret-typed-in-clear}\n")
            assert eventually(server, 500)
            scraped = len(exposer.calls)
            replies = [server.get(path, Authorization=AUTHORIZATION) for path in GUARDED]
            assert len(exposer.calls) == scraped
            assert [server.get(path).status for path in PROBES] == [503, 200]
            (tmp_path / "web.yml").write_text(USERS)
            fixed = eventually(server, 200)
        assert {(reply.status, reply.text) for reply in replies} == {
            (500, "the web configuration is broken; the exporter's log says how\n")
        }
        assert fixed
        assert "is not a bcrypt hash" in "".join(str(record.__dict__) for record in caplog.records)
        assert "s3cret" not in "".join(str(record.__dict__) for record in caplog.records)


def eventually(server: Running, status: int) -> bool:
    """Whether a scrape with the password gets this status soon; a file that was just written is not used yet."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if server.get("/metrics", Authorization=AUTHORIZATION).status == status:
            return True
    return False


class TestHeaders:
    """`http_server_config.headers`."""

    @pytest.mark.parametrize("path", ["/metrics", "/", "/nowhere", "/-/healthy"])
    def test_they_are_sent_with_every_answer_and_win_over_our_own(self, tmp_path: Path, path: str) -> None:
        headers = "{X-Frame-Options: sameorigin, Strict-Transport-Security: max-age=1, X-XSS-Protection: 0}"
        with serving(security=security(tmp_path, f"http_server_config: {{headers: {headers}}}")) as server:
            found = server.get(path).headers
        assert found["x-frame-options"] == "sameorigin"
        assert found["strict-transport-security"] == "max-age=1"
        assert found["x-xss-protection"] == "0"
        assert found["x-content-type-options"] == "nosniff"

    def test_they_are_sent_with_refusals_too(self, tmp_path: Path) -> None:
        text = f"http_server_config: {{headers: {{X-Frame-Options: deny}}}}\n{USERS}"
        with serving(security=security(tmp_path, text)) as server:
            assert server.get("/metrics").headers["x-frame-options"] == "deny"


class TestRateLimit:
    """`rate_limit`."""

    def test_beyond_the_burst_requests_get_429_and_the_probes_go_on(self, tmp_path: Path) -> None:
        with serving(security=limited(tmp_path, "1h", 3)) as server:
            replies = [server.get("/metrics") for _ in range(4)]
            assert [server.get(path).status for path in PROBES] == [200, 200]
        assert [reply.status for reply in replies] == [200, 200, 200, 429]
        assert replies[3].text == "429 Too Many Requests\n"
        assert int(replies[3].headers["retry-after"]) > 0

    def test_wrong_passwords_count(self, tmp_path: Path) -> None:
        """The limit also slows down guessing of passwords."""
        text = f"{USERS}rate_limit: {{interval: 1h, burst: 2}}\n"
        with serving(security=security(tmp_path, text)) as server:
            assert [server.get("/metrics").status for _ in range(3)] == [401, 401, 429]

    def test_a_changed_limit_counts_anew_and_a_removed_one_is_gone(self, tmp_path: Path) -> None:
        with serving(security=limited(tmp_path, "1h", 1)) as server:
            assert [server.get("/metrics").status for _ in range(2)] == [200, 429]
            (tmp_path / "web.yml").write_text("rate_limit: {interval: 1h, burst: 3}")
            assert eventually(server, 200)
            assert [server.get("/metrics").status for _ in range(3)] == [200, 200, 429]
            (tmp_path / "web.yml").write_text("http_server_config: {headers: {X-Frame-Options: deny}}")
            assert eventually(server, 200)
            assert [server.get("/metrics").status for _ in range(10)] == [200] * 10


LIMIT = RateLimit(interval_seconds=2.0, burst=3)


def test_a_burst_passes_at_once_then_one_request_an_interval() -> None:
    limiter = RateLimiter(LIMIT, 0.0)
    assert [limiter.allows(0.0) for _ in range(4)] == [True, True, True, False]
    assert [limiter.allows(at) for at in (1.9, 2.0, 3.9, 4.0)] == [False, True, False, True]
    assert [limiter.allows(1000.0) for _ in range(4)] == [True, True, True, False]


@given(st.lists(st.floats(-1.0, 5.0), max_size=60))
def test_no_window_holds_more_than_the_burst_and_one_an_interval(steps: list[float]) -> None:
    """Also if the clock seems to go back."""
    limiter, now = RateLimiter(LIMIT, 0.0), 0.0
    passed: list[float] = []
    for step in steps:
        now += step
        if limiter.allows(now):
            passed.append(max([now, *passed]))
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            window = passed[last] - passed[first]
            assert last - first + 1 <= LIMIT.burst + window / LIMIT.interval_seconds + 1e-6
