"""The built-in health check, against servers on loopback that answer, refuse, stall or send garbage."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from exporter.cli.healthcheck import CERT_VARIABLE, URL_VARIABLE, check, main
from exporter.web.security.reloader import WebSecurity
from tests.support import webserver
from tests.support.patience import PATIENCE_SECONDS
from tests.support.pki import TLS_FILES, server_files
from tests.support.webserver import FakeHealth

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]

REQUEST_LINE = b"GET /-/healthy HTTP/1.1\r\n"
SHORT_SECONDS = 0.3
"""The timeout of a check that must reach it."""


def answering(answer: bytes, heard: list[bytes] | None = None) -> Handler:
    """Reads one request, sends `answer`, closes.  A server of plain HTTP closes at once when it is asked over TLS."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError), contextlib.closing(writer):
            request = await reader.readexactly(1)
            if request == b"\x16":
                return
            request += await reader.readuntil(b"\r\n\r\n")
            if heard is not None:
                heard.append(request)
            writer.write(answer)
            await writer.drain()

    return handle


HEALTHY = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhealthy\n")


@contextmanager
def serving(handler: Handler, context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Iterator[str]:
    """A server in its own loop, like the exporter's; gives HOST:PORT."""
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # some tests cause a refused handshake
    server = loop.run_until_complete(asyncio.start_server(handler, host, 0, ssl=context))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        address, port = server.sockets[0].getsockname()[:2]
        yield f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    finally:
        asyncio.run_coroutine_threadsafe(shut(server), loop).result(PATIENCE_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def shut(server: asyncio.Server) -> None:
    """Close the server and its open connections."""
    server.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.sleep(0)  # a transport closes in the next turn of the loop


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_context(
    authority: trustme.CA, *, client_cert: bool = False, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = version
    authority.issue_cert("exporter.example").configure_cert(context)
    if client_cert:
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_pem(authority: trustme.CA, directory: Path) -> str:
    path = directory / "client.pem"
    authority.issue_cert("probe.example").private_key_and_cert_chain_pem.write_to_path(path)
    return str(path)


def test_a_healthy_server_is_healthy_and_is_asked_one_proper_request() -> None:
    heard: list[bytes] = []
    with serving(answering(b"HTTP/1.1 200 OK\r\n\r\nhealthy\n", heard)) as address:
        assert check(address) == (True, "HTTP 200 healthy")
    assert len(heard) == 1
    assert heard[0].startswith(REQUEST_LINE)
    assert f"\r\nHost: {address}\r\n".encode() in heard[0]


def test_an_unhealthy_server_is_unhealthy_and_says_why() -> None:
    """The body names the loop that hangs; `docker inspect` shows it."""
    answer = b"HTTP/1.1 503 Service Unavailable\r\n\r\nthe poller of account a\nhas not moved\n"
    with serving(answering(answer)) as address:
        assert check(address) == (False, "HTTP 503 the poller of account a has not moved")


@pytest.mark.parametrize("status", ["204 No Content", "301 Moved", "401 Unauthorized", "404 Not Found", "429 Too Many"])
def test_only_200_is_healthy(status: str) -> None:
    with serving(answering(f"HTTP/1.1 {status}\r\nLocation: /\r\n\r\n".encode())) as address:
        assert not check(address)[0]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"])
@pytest.mark.parametrize("scheme", ["", "https://"])
def test_a_tls_server_is_detected_and_its_certificate_is_not_checked(
    authority: trustme.CA, scheme: str, version: ssl.TLSVersion
) -> None:
    """A certificate of an unknown authority or with another name is no reason to restart a working exporter."""
    with serving(HEALTHY, server_context(authority, version=version)) as address:
        assert check(scheme + address) == (True, "HTTP 200 healthy")


def test_an_explicit_scheme_is_kept_to(authority: trustme.CA) -> None:
    with serving(HEALTHY, server_context(authority)) as address:
        assert not check(f"http://{address}")[0]
    with serving(HEALTHY) as address:
        assert not check(f"https://{address}", timeout_seconds=SHORT_SECONDS)[0]


def test_a_server_that_insists_on_a_client_certificate_is_alive(authority: trustme.CA) -> None:
    """Its refusal proves that the web loop runs.  The result "unhealthy" would restart a working exporter for ever."""
    with serving(HEALTHY, server_context(authority, client_cert=True)) as address:
        for _ in range(20):  # under TLS 1.3 the refusal races with the request
            healthy, reason = check(address)
            assert healthy, reason
            assert "client certificate" in reason


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"])
def test_a_client_certificate_hears_the_real_answer(
    authority: trustme.CA, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    context = server_context(authority, client_cert=True, version=version)
    with serving(answering(b"HTTP/1.1 503 No\r\n\r\nstalled"), context) as address:
        assert check(address, client_pem(authority, tmp_path)) == (False, "HTTP 503 stalled")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"])
def test_a_client_certificate_that_is_refused_is_a_fault(
    authority: trustme.CA, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """A user who sets a certificate must learn that it is not accepted."""
    with serving(HEALTHY, server_context(authority, client_cert=True, version=version)) as address:
        assert not check(address, client_pem(trustme.CA(), tmp_path))[0]


@pytest.mark.parametrize("content", [None, b"no PEM"])
def test_a_client_certificate_that_cannot_be_read_is_a_fault(
    authority: trustme.CA, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "client.pem"
    if content is not None:
        path.write_bytes(content)
    with serving(HEALTHY, server_context(authority)) as address:
        assert not check(f"https://{address}", str(path))[0]


def test_without_a_listening_server_the_check_fails() -> None:
    with serving(HEALTHY) as address:
        pass
    healthy, reason = check(address)
    assert not healthy
    assert "refused" in reason


@pytest.mark.parametrize("answer", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 \r\n\r\n", b"\0" * 20_000])
def test_what_is_not_http_is_unhealthy(answer: bytes) -> None:
    with serving(answering(answer)) as address:
        assert not check(address, timeout_seconds=SHORT_SECONDS)[0]


def test_a_request_to_a_silent_server_ends_at_the_deadline() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            await asyncio.Event().wait()

    with serving(silent) as address:
        healthy, reason = check(address, timeout_seconds=SHORT_SECONDS)
    assert not healthy
    assert "timed out" in reason


def test_a_host_that_cannot_be_looked_up_is_a_fault_with_its_reason() -> None:
    healthy, reason = check("a..b:1")
    assert not healthy
    assert "label" in reason


def test_an_ipv6_address_is_asked() -> None:
    try:
        with serving(HEALTHY, host="::1") as address:
            assert check(address)[0]
    except OSError as error:
        pytest.skip(f"no IPv6 loopback here: {error}")


@pytest.mark.parametrize(
    "url", ["", "/-/healthy", ":1", "ftp://a", "a:b", "a:99999", "a:1/x\r\nEvil: 1", "a:1/ x", "a:1/ü"]
)
def test_a_bad_url_is_unhealthy(url: str) -> None:
    assert not check(url)[0]


def test_the_exit_status_is_the_verdict(capfd: pytest.CaptureFixture[str]) -> None:
    with serving(HEALTHY) as address:
        assert main([address]) == 0
        assert capfd.readouterr().out == "healthy: HTTP 200 healthy\n"
    assert main([address]) == 1
    assert capfd.readouterr().out.startswith("unhealthy: https: ")


def test_the_environment_names_address_and_certificate(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A container's HEALTHCHECK is fixed in the image, so settings come from the environment."""
    with serving(HEALTHY, server_context(authority, client_cert=True)) as address:
        monkeypatch.setenv(URL_VARIABLE, address)
        monkeypatch.setenv(CERT_VARIABLE, client_pem(authority, tmp_path))
        assert main([]) == 0
    assert capfd.readouterr().out == "healthy: HTTP 200 healthy\n"


def test_a_bad_url_ends_with_its_reason(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["ftp://127.0.0.1"]) == 1
    assert capfd.readouterr().out.startswith("unhealthy: ftp: write HOST:PORT")


def test_it_runs_as_a_module_and_loads_nothing_it_does_not_need() -> None:
    """The check starts every few seconds, so it must cost little, and use the standard library only."""
    with serving(HEALTHY) as address:
        done = subprocess.run(
            [sys.executable, "-S", "-X", "importtime", "-m", "exporter.cli.healthcheck"],
            env={**os.environ, URL_VARIABLE: address, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    assert (done.returncode, done.stdout) == (0, "healthy: HTTP 200 healthy\n")
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time")}
    assert not loaded & {"asyncio", "aiohttp", "requests", "yaml", "exporter.config"}


class TestTheExportersOwnServer:
    """The result of the check for the exporter's server, with every protection of the web configuration."""

    USERS = "basic_auth_users: {alice: $2b$10$CmdUBs.kZ9/6w6xoscTdV.XPX.ZJvOjNVo/fOtLtRWLda/f4fFxx2}\n"
    TLS = f"tls_server_config: {{{TLS_FILES}}}\n"
    MTLS = f"tls_server_config: {{{TLS_FILES}, client_ca_file: ca.crt, client_auth_type: RequireAndVerifyClientCert}}\n"
    LIMIT = "rate_limit: {interval: 1h, burst: 1}\n"
    HIDDEN = "the reasons are shown to those who give a password"

    @contextmanager
    def serving(self, folder: Path, authority: trustme.CA, text: str, *ill: str) -> Iterator[str]:
        """The exporter's server with this web configuration; gives HOST:PORT."""
        server_files(folder, authority)
        (folder / "web.yml").write_text(text)
        with webserver.serving(health=FakeHealth(ill=ill), security=WebSecurity(folder / "web.yml")) as server:
            yield f"{server.host}:{server.port}"

    @pytest.mark.parametrize("text", ["", USERS, LIMIT, TLS, TLS + USERS + LIMIT])
    def test_the_check_works_with_passwords_tls_and_a_rate_limit(
        self, authority: trustme.CA, tmp_path: Path, text: str
    ) -> None:
        with self.serving(tmp_path, authority, text) as address:
            for _ in range(3):
                assert check(address) == (True, "HTTP 200 healthy")
        with self.serving(tmp_path, authority, text, "a loop stands still") as address:
            why = self.HIDDEN if self.USERS in text else "a loop stands still"
            assert check(address) == (False, f"HTTP 503 unhealthy {why}")

    @pytest.mark.parametrize("text", ["", TLS])
    def test_a_check_is_no_refused_connection(self, authority: trustme.CA, tmp_path: Path, text: str) -> None:
        """It would be counted and logged every 30 seconds."""
        server_files(tmp_path, authority)
        (tmp_path / "web.yml").write_text(text)
        with webserver.serving(security=WebSecurity(tmp_path / "web.yml")) as server:
            assert check(f"{server.host}:{server.port}")[0]
            assert server.refused == []

    def test_if_tls_fails_the_reason_says_so(self, authority: trustme.CA, tmp_path: Path) -> None:
        """Over plain HTTP such a server says only that it wants HTTPS."""
        with self.serving(tmp_path, authority, self.MTLS) as address:
            healthy, reason = check(address, client_pem(trustme.CA(), tmp_path))
            assert not healthy
            assert "https: " in reason
            assert "HTTP 400 Client sent an HTTP request" in reason

    @pytest.mark.parametrize("version", ["TLS12", "TLS13"])
    def test_a_required_client_certificate_does_not_make_the_check_fail(
        self, authority: trustme.CA, tmp_path: Path, version: str
    ) -> None:
        text = self.MTLS.replace("{", f"{{max_version: {version}, ", 1) + self.USERS
        with self.serving(tmp_path, authority, text, "a loop stands still") as address:
            for _ in range(10):  # under TLS 1.3 the refusal races with the request
                healthy, reason = check(address)
                assert healthy
                assert "client certificate" in reason
            known = check(address, client_pem(authority, tmp_path))
            assert known == (False, f"HTTP 503 unhealthy {self.HIDDEN}")
            assert not check(address, client_pem(trustme.CA(), tmp_path))[0]

    def test_while_the_web_configuration_is_broken_the_check_still_gets_its_answer(
        self, authority: trustme.CA, tmp_path: Path
    ) -> None:
        """The last configuration in force is used, including the TLS key."""
        with self.serving(tmp_path, authority, self.USERS) as address:
            (tmp_path / "web.yml").write_text("nonsense")
            assert check(address) == (True, "HTTP 200 healthy")
        with self.serving(tmp_path, authority, self.TLS) as address:
            (tmp_path / "server.key").unlink()
            assert check(address) == (True, "HTTP 200 healthy")
