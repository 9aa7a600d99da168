"""Making a connection: DNS, TCP, proxy tunnel and TLS, all within the attempt's deadline."""

from __future__ import annotations

import contextlib
import datetime as dt
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from exporter.cams.addresses import PASSED_OVER_SECONDS, Lookup
from exporter.cams.attempt import BoundedTLSSocket
from exporter.cams.endpoint import Endpoint, endpoint_of
from exporter.cams.proxies import Proxy
from exporter.errors import ConfigError
from tests.support.clients import await_bytes, client_of, error_of, gated, kept, under_way
from tests.support.clock import FakeClock
from tests.support.numbers import number
from tests.support.patience import PATIENCE_SECONDS
from tests.support.pki import revocations
from tests.support.rawserver import Peer, RawServer, Script, answering, authority, ok, tls_context

TIMEOUT = 0.4
"""The deadline of tests that reach it.  If it were not obeyed, they would not end, or not by a timeout."""

AN_HOUR = 3600.0


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority().cert_pem.write_to_path(path)
    return path


@pytest.fixture
def secure() -> Iterator[RawServer]:
    with RawServer(answering(ok()), tls_context("127.0.0.1")) as server:
        yield server


def everything_is_here(host: str, port: int, **more: Any) -> list[Any]:
    """A look-up that resolves every name to loopback."""
    return socket.getaddrinfo("127.0.0.1", port, **more)


def test_tls_with_an_authority_of_ones_own(secure: RawServer, ca_file: Path) -> None:
    with client_of(secure.url, ca_file=ca_file) as client:
        for _ in range(5):
            assert client.fetch(number()).status == "VERIFIED"
    assert secure.connections == 1


def test_what_tls_itself_sends_does_not_cost_a_connection(secure: RawServer, ca_file: Path) -> None:
    """A TLS 1.3 server sends session tickets right after the handshake; they are no answer and no end of the
    connection."""
    served = threading.Event()

    def gate() -> None:
        (connection,) = under_way(client)
        assert isinstance(connection.sock, BoundedTLSSocket)
        if connection.sock.version() == "TLSv1.3":
            await_bytes(connection)  # the tickets come with the first flight
        served.set()

    with client_of(secure.url, ca_file=ca_file) as client:
        assert client.fetch(number(), gated(gate)).status == "VERIFIED"
    assert served.is_set()
    assert secure.connections == 1


def test_a_tls_connection_closed_while_idle_costs_no_error(ca_file: Path) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(ok())

    with (
        RawServer(script, tls_context("127.0.0.1")) as server,
        client_of(server.url, ca_file=ca_file) as client,
    ):
        for _ in range(3):
            assert client.fetch(number()).status == "VERIFIED"
            for connection in kept(client):
                while connection.is_reusable():
                    pass
        assert server.connections == 3


def test_a_connection_whose_socket_is_closed_is_not_used_again(secure: RawServer, ca_file: Path) -> None:
    with client_of(secure.url, ca_file=ca_file) as client:
        client.fetch(number())
        (connection,) = kept(client)
        assert connection.sock is not None
        connection.sock.close()
        assert not connection.is_reusable()


def test_an_unknown_authority_is_a_tls_error(secure: RawServer) -> None:
    with client_of(secure.url) as client:
        error = error_of(client)
    assert error.code == "tls_error"
    assert error.message == "in the TLS handshake with 127.0.0.1: unable to get local issuer certificate"


def test_an_expired_certificate_is_a_tls_error(ca_file: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    authority().issue_cert(
        "127.0.0.1", not_before=yesterday - dt.timedelta(days=1), not_after=yesterday
    ).configure_cert(context)
    with RawServer(answering(ok()), context) as server, client_of(server.url, ca_file=ca_file) as client:
        error = error_of(client)
    assert error.code == "tls_error"
    assert "certificate has expired" in error.message


def test_a_certificate_that_is_renewed_is_believed_at_the_next_poll(ca_file: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    authority().issue_cert("127.0.0.1", not_after=yesterday).configure_cert(context)
    with RawServer(answering(ok()), context) as server, client_of(server.url, ca_file=ca_file) as client:
        assert error_of(client).code == "tls_error"
        authority().issue_cert("127.0.0.1").configure_cert(context)
        assert client.fetch(number()).status == "VERIFIED"


def test_a_certificate_of_somebody_else_is_a_tls_error(ca_file: Path) -> None:
    with (
        RawServer(answering(ok()), tls_context("elsewhere.example")) as server,
        client_of(server.url, ca_file=ca_file) as client,
    ):
        error = error_of(client)
    assert error.code == "tls_error"
    assert "IP address mismatch" in error.message


def test_tls_to_a_server_that_speaks_none_is_a_tls_error(ca_file: Path) -> None:
    with (
        RawServer(lambda peer: peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as server,
        client_of(server.url.replace("http:", "https:"), ca_file=ca_file) as client,
    ):
        error = error_of(client)
    assert error.code == "tls_error"


def test_a_connection_that_ends_in_the_handshake_is_a_connection_error(ca_file: Path) -> None:
    def script(peer: Peer) -> None:
        peer.sock.recv(65536)

    with (
        RawServer(script) as server,
        client_of(server.url.replace("http:", "https:"), ca_file=ca_file) as client,
    ):
        error = error_of(client)
    assert error.code == "connection_error"
    assert error.message.startswith("in the TLS handshake with 127.0.0.1: ")


def test_a_request_within_tls_that_is_reset_is_a_connection_error(ca_file: Path) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        socket.socket.shutdown(peer.sock, socket.SHUT_RDWR)  # without TLS's goodbye

    with (
        RawServer(script, tls_context("127.0.0.1")) as server,
        client_of(server.url, ca_file=ca_file) as client,
    ):
        error = error_of(client)
    assert error.code == "connection_error"


@pytest.mark.parametrize("script", [Peer.hang, lambda peer: peer.drip(b"\x16\x03\x03\x10\x00" + b"\x02" * 4000)])
def test_a_slow_handshake_is_bounded_by_the_deadline(script: Any, ca_file: Path) -> None:
    with (
        RawServer(script) as server,
        client_of(server.url.replace("http:", "https:"), ca_file=ca_file, timeout_seconds=TIMEOUT) as client,
    ):
        assert (error := error_of(client)).elapsed_seconds >= TIMEOUT
    assert (error.code, error.message) == ("timeout", "timed out while in the TLS handshake with 127.0.0.1")


def test_a_drip_within_tls_is_bounded_by_the_deadline(ca_file: Path) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
        peer.drip(b" " * 10_000)

    with (
        RawServer(script, tls_context("127.0.0.1")) as server,
        client_of(server.url, ca_file=ca_file, timeout_seconds=TIMEOUT) as client,
    ):
        assert (error := error_of(client)).elapsed_seconds >= TIMEOUT
    assert error.code == "timeout"


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_the_environment_may_name_an_authority(
    name: str, secure: RawServer, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, str(ca_file))
    with client_of(secure.url) as client:
        monkeypatch.delenv(name)  # it was decided when the client was made
        assert client.fetch(number()).status == "VERIFIED"


def test_the_environment_does_not_override_the_configuration(
    secure: RawServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ca_file: Path
) -> None:
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(ca_file))
    with client_of(secure.url, ca_file=other) as client:
        assert error_of(client).code == "tls_error"


def test_an_authority_that_changed_in_its_file_counts(secure: RawServer, tmp_path: Path) -> None:
    """A reload makes a new client of the same path."""
    path = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(path)
    with client_of(secure.url, ca_file=path) as client:
        assert error_of(client).code == "tls_error"
    authority().cert_pem.write_to_path(path)
    with client_of(secure.url, ca_file=path) as client:
        assert client.fetch(number()).status == "VERIFIED"


def test_all_accounts_share_one_tls_context(ca_file: Path) -> None:
    """A bundle of authorities needs a megabyte, so accounts share it."""
    assert endpoint_of("https://a.example", ca_file).context is endpoint_of("https://b.example", ca_file).context


def test_tls_is_modern_and_verified(ca_file: Path) -> None:
    context = endpoint_of("https://a.example", ca_file).context
    assert context is not None
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        (b"x", "no certificate in it"),
        (revocations(), "no certificate in it"),
    ],
    ids=["absent", "text", "revocations"],
)
def test_an_invalid_authority_is_refused_at_once(content: bytes | None, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        endpoint_of("https://a.example", path)
    assert caught.value.faults == (f"api.ca_file: {path}: {reason}; name a file of PEM certificates",)


def test_a_folder_of_authorities_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
    with pytest.raises(ConfigError, match=r"REQUESTS_CA_BUNDLE: .*: no certificate in it under a hash; "):
        endpoint_of("https://a.example", None)
    (tmp_path / "0a1b2c3d.0").touch()
    assert endpoint_of("https://a.example", None).context is not None


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("http://127.0.0.1:8080", ("127.0.0.1", 8080, "127.0.0.1:8080")),
        ("http://localhost", ("localhost", 80, "localhost")),
        ("https://a.example", ("a.example", 443, "a.example")),
        ("https://[::1]:8443", ("::1", 8443, "[::1]:8443")),
    ],
)
def test_where_an_endpoint_is(url: str, endpoint: tuple[str, int, str]) -> None:
    found = endpoint_of(url, None)
    assert (found.host, found.port, found.netloc) == endpoint
    assert (found.context is None) == url.startswith("http:")


# DNS and TCP


def test_a_name_that_is_not_found_is_a_connection_error_that_says_so() -> None:
    def lookup(host: str, port: int, **more: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with client_of("http://nowhere.example", lookup=lookup) as client:
        error = error_of(client)
    assert error.code == "connection_error"
    assert error.message == "looking up the host name nowhere.example: Name or service not known"


def test_an_invalid_host_name_is_a_connection_error() -> None:
    with client_of(f"http://{'a' * 70}.example") as client:
        error = error_of(client)
    assert error.code == "connection_error"
    assert error.message.endswith(": not a host name")


def test_a_name_without_addresses_is_a_connection_error() -> None:
    with client_of("http://nowhere.example", lookup=lambda host, port, **more: []) as client:
        assert error_of(client).message.endswith("the host has no address")


def test_a_look_up_without_a_free_thread_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with (
        RawServer(answering(ok())) as server,
        client_of(
            f"http://a.example:{server.port}", lookup=everything_is_here, timeout_seconds=PATIENCE_SECONDS
        ) as client,
    ):
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", no_thread)
            error = error_of(client)
        assert (error.code, "no thread can be started" in error.message) == ("connection_error", True)
        assert client.fetch(number()).status == "VERIFIED"


def test_a_look_up_that_hangs_does_not_exceed_the_deadline_and_uses_one_thread_at_most() -> None:
    """It cannot be interrupted, so callers with the same name share it."""
    release, lookups = threading.Event(), []

    def lookup(host: str, port: int, **more: Any) -> list[Any]:
        lookups.append(host)
        release.wait(PATIENCE_SECONDS)
        return everything_is_here(host, port, **more)

    with client_of("http://slow.example", lookup=lookup, timeout_seconds=TIMEOUT) as client:
        for _ in range(3):
            error = error_of(client)
            assert (error.code, error.message) == ("timeout", "timed out while looking up the host name slow.example")
        assert lookups == ["slow.example"]
        release.set()


def test_the_next_look_up_after_a_failed_one_is_a_new_one() -> None:
    lookups: list[str] = []

    def lookup(host: str, port: int, **more: Any) -> list[Any]:
        lookups.append(host)
        if len(lookups) == 1:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return everything_is_here(host, port, **more)

    with RawServer(answering(ok())) as server, client_of(f"http://a.example:{server.port}", lookup=lookup) as client:
        assert error_of(client).code == "connection_error"
        assert client.fetch(number()).status == "VERIFIED"


def test_a_refused_connection_is_a_connection_error() -> None:
    port = refusing_port()
    with client_of(f"http://127.0.0.1:{port}") as client:
        error = error_of(client)
    assert (error.code, error.message) == ("connection_error", f"connecting to 127.0.0.1:{port}: Connection refused")


# several addresses


def leading_to(*ports: int) -> Lookup:
    """A look-up that finds one address for each port, in this order."""

    def lookup(host: str, port: int, **more: Any) -> list[Any]:
        return [found for each in ports for found in everything_is_here(host, each, **more)]

    return lookup


def refusing_port() -> int:
    """A port without a server."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port: int = unused.getsockname()[1]
    return port


def broken_certificate(peer: Peer) -> None:
    with contextlib.suppress(ssl.SSLError):
        peer.secure(tls_context("elsewhere.example"))


def once(script: Script) -> Script:
    """Serves one request and ends the connection, so that the next one needs another."""

    def served(peer: Peer) -> None:
        peer.secure(tls_context("cams.example"))
        peer.read_request()
        script(peer)

    return served


FAILING_ADDRESSES: dict[str, Script] = {
    "silent in the handshake": Peer.hang,
    "closes at once": lambda peer: None,
    "resets": Peer.reset,
    "another's certificate": broken_certificate,
    "no TLS": lambda peer: peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
}


@pytest.mark.parametrize("script", FAILING_ADDRESSES.values(), ids=FAILING_ADDRESSES)
def test_an_address_that_fails_is_passed_over_for_a_while(script: Script, ca_file: Path) -> None:
    """The next one is tried within the deadline, and not every poll tries the failing one."""
    clock = FakeClock()
    with RawServer(script) as failing, RawServer(once(lambda peer: peer.send(ok()))) as good:
        lookup = leading_to(failing.port, good.port)
        with client_of(
            "https://cams.example", ca_file=ca_file, lookup=lookup, clock=clock, timeout_seconds=2
        ) as client:
            for _ in range(3):
                assert client.fetch(number()).status == "VERIFIED"
                clock.advance(1.0)
            assert (failing.connections, good.connections) == (1, 3)
            clock.advance(PASSED_OVER_SECONDS)
            assert client.fetch(number()).status == "VERIFIED"
            assert (failing.connections, good.connections) == (2, 4)


def test_an_address_that_drips_its_handshake_leaves_time_for_the_next(ca_file: Path) -> None:
    with (
        RawServer(lambda peer: peer.drip(b"\x16\x03\x03\x10\x00" + b"\x02" * 4000)) as dripping,
        RawServer(once(lambda peer: peer.send(ok()))) as good,
    ):
        lookup = leading_to(dripping.port, good.port)
        with client_of("https://cams.example", ca_file=ca_file, lookup=lookup, timeout_seconds=4) as client:
            assert client.fetch(number()).status == "VERIFIED"


@pytest.mark.parametrize("script", [Peer.hang, Peer.reset, lambda peer: None], ids=["silent", "resets", "closes"])
def test_an_address_that_accepts_requests_but_never_answers_is_skipped(script: Script, ca_file: Path) -> None:
    """The request that it accepted is lost, because its slot was used.  The next one goes to another address."""
    with RawServer(once(script)) as failing, RawServer(once(lambda peer: peer.send(ok()))) as good:
        lookup = leading_to(failing.port, good.port)
        with client_of("https://cams.example", ca_file=ca_file, lookup=lookup, timeout_seconds=2) as client:
            assert error_of(client).code in {"timeout", "connection_error"}
            assert client.fetch(number()).status == "VERIFIED"
            assert (failing.connections, good.connections) == (1, 1)


def test_addresses_that_all_fail_are_tried_again_in_turn(ca_file: Path) -> None:
    tried: list[int] = []
    clock = FakeClock()

    def failing(index: int) -> Script:
        def script(peer: Peer) -> None:
            tried.append(index)
            once(lambda peer: None)(peer)

        return script

    with RawServer(failing(0)) as first, RawServer(failing(1)) as second, RawServer(failing(2)) as third:
        lookup = leading_to(first.port, second.port, third.port)
        with client_of("https://cams.example", ca_file=ca_file, lookup=lookup, clock=clock) as client:
            for _ in range(7):
                assert error_of(client).code == "connection_error"
                clock.advance(1.0)
    assert tried == [0, 1, 2, 0, 1, 2, 0]


def test_of_many_silent_addresses_three_are_tried_in_an_attempt_and_the_next_begins_where_it_ended(
    ca_file: Path,
) -> None:
    """Each gets half of the remaining time, so soon too little is left.  No address is skipped because of that."""
    clock = FakeClock()
    tried: list[int] = []

    def silent(index: int) -> Script:
        def script(peer: Peer) -> None:
            tried.append(index)
            (connection,) = under_way(client)
            clock.advance(connection._attempt.remaining())  # the maximum

        return script

    with contextlib.ExitStack() as servers:
        ports = [servers.enter_context(RawServer(silent(index))).port for index in range(7)]
        good = servers.enter_context(RawServer(once(lambda peer: peer.send(ok()))))
        lookup = leading_to(*ports, good.port)
        with client_of(
            "https://cams.example", ca_file=ca_file, lookup=lookup, clock=clock, timeout_seconds=20
        ) as client:
            assert error_of(client).code == "timeout"
            assert tried == [0, 1, 2]
            assert error_of(client).code == "timeout"
            assert tried == [0, 1, 2, 3, 4, 5]
            assert client.fetch(number()).status == "VERIFIED"
            assert tried == [0, 1, 2, 3, 4, 5, 6]


def test_every_address_is_tried() -> None:
    def lookup(host: str, port: int, **more: Any) -> list[Any]:
        broken = (socket.AF_INET, socket.SOCK_STREAM, 77, "", ("127.0.0.1", port))
        refusing = [found for _ in range(20) for found in everything_is_here(host, refusing_port(), **more)]
        return [broken, *refusing, *everything_is_here(host, port, **more)]

    with RawServer(answering(ok())) as server, client_of(f"http://a.example:{server.port}", lookup=lookup) as client:
        assert client.fetch(number()).status == "VERIFIED"


def test_an_address_that_does_not_answer_leaves_time_for_the_next() -> None:
    """If a host has an IPv6 address, but the network has no route to it."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as crowd:
        for _ in range(4):  # the accept queue is full, so the next connection gets no answer
            waiting = crowd.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        with RawServer(answering(ok())) as server:
            lookup = leading_to(full.getsockname()[1], server.port)
            with client_of("http://a.example", lookup=lookup, timeout_seconds=4.0) as client:
                assert client.fetch(number()).status == "VERIFIED"


@pytest.mark.parametrize("ipv6_first", [True, False])
def test_a_host_of_both_families_is_reached_over_the_one_that_works(ipv6_first: bool) -> None:
    def lookup(host: str, port: int, **more: Any) -> list[Any]:
        closed = socket.getaddrinfo("::1", refusing_port(), **more)
        open_ = everything_is_here(host, port, **more)
        return [*closed, *open_] if ipv6_first else [*open_, *closed]

    with RawServer(answering(ok())) as server, client_of(f"http://a.example:{server.port}", lookup=lookup) as client:
        assert client.fetch(number()).status == "VERIFIED"


def test_the_error_is_that_of_the_address_tried_first(ca_file: Path) -> None:
    """The resolver returns the best address first; the network may have no route to the others."""
    with RawServer(broken_certificate) as server:
        lookup = leading_to(server.port, refusing_port())
        with client_of("https://cams.example", ca_file=ca_file, lookup=lookup) as client:
            error = error_of(client)
    assert error.code == "tls_error"
    assert error.message.startswith("in the TLS handshake with cams.example: Hostname mismatch")


def test_a_proxy_of_several_addresses_is_reached_at_the_one_that_works(
    ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    with RawServer(Peer.hang) as silent, RawServer(tunnel) as proxy:
        lookup = leading_to(silent.port, proxy.port)
        with client_of("https://cams.example", ca_file=ca_file, lookup=lookup, timeout_seconds=2) as client:
            assert client.fetch(number()).status == "VERIFIED"


# proxies


def tunnel_after(agrees: bytes) -> Script:
    """A proxy that sends `agrees` to CONNECT, and is the endpoint as well."""

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(agrees)
        peer.secure(tls_context("cams.example"))
        answering(ok())(peer)

    return script


tunnel = tunnel_after(b"HTTP/1.1 200 Connection established\r\n\r\n")


def test_a_proxy_may_speak_http_1_0_and_say_more_before_it_agrees(
    ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agrees = b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.0 200 Connection established\r\nVia: 1.0 p\r\n\r\n"
    with RawServer(tunnel_after(agrees)) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"127.0.0.1:{proxy.port}")
        with client_of("https://cams.example", ca_file=ca_file) as client:
            assert client.fetch(number()).status == client.fetch(number()).status == "VERIFIED"


def test_https_goes_through_the_proxy(ca_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tunnel exists before the gate opens, and only the proxy gets the proxy's password."""
    at_the_gate: list[int] = []
    with RawServer(tunnel) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://us%20er:pass@127.0.0.1:{proxy.port}")
        with client_of("https://cams.example", ca_file=ca_file) as client:
            for _ in range(3):
                answer = client.fetch(number(), gated(lambda: at_the_gate.append(len(proxy.requests))))
                assert answer.status == "VERIFIED"
        connect, *requests = proxy.requests
    assert at_the_gate == [1, 2, 3]
    assert connect.split(b"\r\n") == [
        b"CONNECT cams.example:443 HTTP/1.1",
        b"Host: cams.example:443",
        b"Proxy-Authorization: Basic dXMgZXI6cGFzcw==",
    ]
    assert len(requests) == 3
    assert all(b"Proxy" not in head for head in requests)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "HTTP 407"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "HTTP 502"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\nContent-Length: 0\r\n\r\n", "HTTP 302"),
        (b"", "closed the connection without an answer"),
    ],
)
def test_a_proxy_that_refuses_is_a_connection_error_that_names_it(
    answer: bytes, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(answer)

    with RawServer(script) as proxy:
        monkeypatch.setenv("https_proxy", f"http://user:hunter2@127.0.0.1:{proxy.port}")
        with client_of("https://cams.example") as client:
            error = error_of(client)
    assert error.code == "connection_error"
    assert error.message.startswith(f"asking the proxy 127.0.0.1:{proxy.port} for a tunnel: ")
    assert error.message.endswith(reason)
    assert "hunter2" not in f"{error}{error!r}"


def test_a_proxy_that_drips_is_bounded_by_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer(lambda peer: peer.drip(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{proxy.port}")
        with client_of("https://cams.example", timeout_seconds=TIMEOUT) as client:
            error = error_of(client)
    assert error.code == "timeout"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 " + b"O" * 70_000,
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200,
        b"HTTP/1.1 102 Processing\r\n\r\n" * 1000 + b"HTTP/1.1 200 OK\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
    ids=["status line", "header", "headers", "interim answers", "no HTTP"],
)
def test_a_proxy_whose_answer_does_not_end_is_an_error_that_names_it(
    answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(answer)
        peer.hang()

    with RawServer(script) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{proxy.port}")
        with client_of("https://cams.example") as client:
            error = error_of(client)
    assert error.code == "invalid_response"
    assert error.message == f"asking the proxy 127.0.0.1:{proxy.port} for a tunnel: the answer is not HTTP"


def test_a_length_in_the_proxys_answer_is_not_that_of_a_body(ca_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 9110, 9.3.6: behind the head begins the tunnel."""

    agrees = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    with RawServer(tunnel_after(agrees)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{proxy.port}")
        with client_of("https://cams.example", ca_file=ca_file) as client:
            assert client.fetch(number()).status == client.fetch(number()).status == "VERIFIED"


def test_the_handshake_has_the_time_that_the_tunnel_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()

    def script(peer: Peer) -> None:
        peer.read_request()
        clock.advance(AN_HOUR - TIMEOUT)
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        peer.hang()

    with RawServer(script) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        with client_of("https://cams.example", timeout_seconds=AN_HOUR, clock=clock) as client:
            error = error_of(client)
    assert (error.code, error.message) == ("timeout", "timed out while in the TLS handshake with cams.example")


def test_a_tunnel_to_an_ipv6_endpoint_is_bracketed(monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer(answering(b"HTTP/1.1 403 Forbidden\r\n\r\n")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        with client_of("https://[2001:db8::1]:8443") as client:
            error_of(client)
        assert proxy.requests[0].startswith(b"CONNECT [2001:db8::1]:8443 HTTP/1.1\r\n")


def test_an_endpoint_that_no_proxy_names_is_reached_directly(ca_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "*.aliyuncs.com")
    with RawServer(answering(ok()), tls_context("cams.aliyuncs.com")) as server:
        url = f"https://cams.aliyuncs.com:{server.port}"
        with client_of(url, ca_file=ca_file, lookup=everything_is_here) as client:
            assert client.fetch(number()).status == "VERIFIED"


def test_an_endpoint_on_loopback_is_reached_directly(
    secure: RawServer, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with client_of(secure.url, ca_file=ca_file) as client:
        assert client.fetch(number()).status == "VERIFIED"


def test_the_proxy_of_the_configuration_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for a host that NO_PROXY names, and for loopback."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "*")
    for url in ("https://cams.example", "https://127.0.0.1:8443"):
        proxy = endpoint_of(url, None, "http://user:hunter2@proxy.example:3128").proxy
        assert proxy == Proxy("proxy.example", 3128, "Basic dXNlcjpodW50ZXIy", "http://user:hunter2@proxy.example:3128")
    assert endpoint_of("http://127.0.0.1:8443", None, "http://proxy.example:3128").proxy is None


def test_plain_http_is_loopback_and_never_proxied(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signed request never goes through a proxy in plain text."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    with RawServer(answering(ok())) as server, client_of(server.url) as client:
        assert client.fetch(number()).status == "VERIFIED"


def test_a_proxy_that_is_of_no_use_is_refused_when_the_endpoint_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not again for each poll."""
    monkeypatch.setenv("ALL_PROXY", "socks5://proxy:1080")
    with pytest.raises(ConfigError, match="ALL_PROXY: a SOCKS proxy"):
        endpoint_of("https://cams.example", None)


def test_no_secret_in_a_repr() -> None:
    assert "hunter2" not in repr(Endpoint("h", 1, "h:1", None, Proxy("p", 2, "Basic hunter2")))
