"""TLS on real sockets: which clients are accepted, and the negotiated parameters."""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import logging
import socket
import ssl
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from exporter.errors import ConfigError
from exporter.metrics.catalogue import Refusal
from exporter.web.connections.connection import HEAD_SECONDS, MAX_UNREAD_BYTES, Connection
from exporter.web.connections.open_connections import OpenConnections
from exporter.web.connections.refusals import SILENT_SECONDS, Refusals
from exporter.web.connections.tls_transport import TlsTransport
from exporter.web.security.reloader import LOOK_SECONDS, SETTLE_SECONDS, WebSecurity
from exporter.web.server import Limits
from tests.support.clock import FakeClock
from tests.support.exporter import until
from tests.support.pki import TLS_FILES, client_context, client_file, issue, server_files
from tests.support.webserver import FakeExposer, Running, drain, serving

REFUSED = (ssl.SSLError, ConnectionError)
"""The result for a refused client: an alert, or a closed connection."""

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3

MTLS = f"{TLS_FILES}, client_ca_file: ca.crt, client_auth_type: RequireAndVerifyClientCert"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, authority: trustme.CA) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    server_files(folder, authority, key_type=trustme.KeyType.RSA)
    return folder


@pytest.fixture(scope="module")
def context(authority: trustme.CA) -> ssl.SSLContext:
    """A client without a certificate."""
    return client_context(authority)


@contextmanager
def serving_tls(folder: Path, options: str, *, limits: Limits | None = None) -> Iterator[Running]:
    """A server with these keys in its `tls_server_config`."""
    path = folder / "web.yml"
    path.write_text(f"tls_server_config: {{{options}}}")
    with serving(security=WebSecurity(path), limits=limits) as server:
        yield server


def agreed(server: Running, context: ssl.SSLContext) -> tuple[str, str]:
    """The version and cipher suite of a connection; OSError if it fails."""
    with server.over(context).connect() as peer:
        assert isinstance(peer, ssl.SSLSocket)
        cipher = peer.cipher()
        assert cipher is not None
        return str(peer.version()), cipher[0]


def limited(authority: trustme.CA, version: ssl.TLSVersion, ciphers: str = "") -> ssl.SSLContext:
    """A client with one version of TLS and, for TLS 1.2, these suites."""
    context = client_context(authority)
    if version < ssl.TLSVersion.TLSv1_2:
        context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TLS 1.1 must be refused
        context.minimum_version = context.maximum_version = version
    if ciphers:
        context.set_ciphers(ciphers)
    return context


def test_a_scrape_over_tls_is_a_scrape(folder: Path, context: ssl.SSLContext) -> None:
    with serving_tls(folder, TLS_FILES) as server:
        assert server.urls[0].startswith("https://")
        reply = server.over(context).get("/metrics")
        assert (reply.status, reply.body) == (200, b"up 1\n")


def test_an_open_connection_ends_if_the_tls_settings_changed(folder: Path, context: ssl.SSLContext) -> None:
    """Else a client without a certificate could go on for ever after certificates are required."""
    path, clock = folder / "web.yml", FakeClock()
    path.write_text(f"tls_server_config: {{{TLS_FILES}}}")
    security = WebSecurity(path, clock.monotonic)
    with serving(security=security) as server, server.over(context).connect() as peer:

        def ask() -> bytes:
            peer.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
            return peer.recv(65536)

        assert b"Connection: close" not in ask()
        path.write_text(
            f"tls_server_config: {{{TLS_FILES}, client_ca_file: ca.crt, client_auth_type: RequireAndVerifyClientCert}}"
        )

        def look() -> bool:
            clock.advance(SETTLE_SECONDS)
            server.pass_seconds(LOOK_SECONDS)
            tls = security.current().tls
            return tls is not None and tls.requires_client

        until(look, "certificates are required")
        assert b"Connection: close" in ask()
        drain(peer)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            server.over(context).get("/-/healthy")


def test_a_large_answer_arrives_whole(folder: Path, context: ssl.SSLContext) -> None:
    """Larger than TLS records and all buffers."""
    (folder / "web.yml").write_text(f"tls_server_config: {{{TLS_FILES}}}")
    body = b"0123456789abcdef" * 2**18
    with serving(FakeExposer(body), security=WebSecurity(folder / "web.yml")) as server:
        assert server.over(context).get("/metrics").body == body


def test_plain_http_to_a_tls_port_is_told_so(folder: Path) -> None:
    with serving_tls(folder, TLS_FILES) as server:
        answer = server.raw(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert answer.endswith(b"\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
        assert server.refused == [Refusal.NOT_TLS]


def told(server: Running, context: ssl.SSLContext) -> str:
    """The alert for a refused client, or an empty text if the connection just ends."""
    try:
        assert server.over(context).raw(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") == b""
    except ConnectionError:
        return ""
    except ssl.SSLError as error:
        return error.reason or ""
    return ""


def test_each_refusal_is_counted_and_logged_and_the_client_gets_the_alert(
    folder: Path, authority: trustme.CA, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Those of one kind are logged once within ten seconds."""
    caplog.set_level(logging.INFO)
    (tmp_path / "other.pem").write_bytes(issue(authority, x509.DNSName("other.example")))
    missing = client_context(authority)
    stranger = client_context(authority, client_file(tmp_path, trustme.CA(), "stranger"))
    refused = [
        (missing, "TLSV13_ALERT_CERTIFICATE_REQUIRED", Refusal.CERTIFICATE_MISSING),
        (stranger, "TLSV1_ALERT_UNKNOWN_CA", Refusal.CERTIFICATE_INVALID),
        (limited(authority, V12), "TLSV1_ALERT_PROTOCOL_VERSION", Refusal.HANDSHAKE_FAILED),
        (ssl.create_default_context(), "CERTIFICATE_VERIFY_FAILED", Refusal.REFUSED_BY_CLIENT),
        (client_context(authority, tmp_path / "other.pem"), "", Refusal.NAME_NOT_ALLOWED),
    ]
    with serving_tls(folder, f"{MTLS}, min_version: TLS13, client_allowed_sans: [prometheus.example]") as server:
        for context, alert, reason in refused * 2:
            assert told(server, context) == alert
            server.pass_seconds(0)  # the alert of a client that refuses is read
            assert server.refused[-1] == reason
        server.pass_seconds(SILENT_SECONDS)
        told(server, missing)
    logged = [vars(record)["fields"] for record in caplog.records if record.getMessage() == "connection refused"]
    assert [one["reason"] for one in logged] == [reason for *_, reason in refused] + [Refusal.CERTIFICATE_MISSING]
    assert {one["remote"] for one in logged} == {"127.0.0.1"}
    assert logged[-1]["not_logged_before"] == 1


def test_http_1_1_is_what_alpn_says(folder: Path, authority: trustme.CA) -> None:
    """A client that supports HTTP/2 must not use it."""
    context = client_context(authority)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with serving_tls(folder, TLS_FILES) as server, server.over(context).connect() as peer:
        assert isinstance(peer, ssl.SSLSocket)
        assert peer.selected_alpn_protocol() == "http/1.1"


@pytest.mark.parametrize(
    ("options", "offered", "spoken"),
    [
        ("", V12, "TLSv1.2"),
        ("", V13, "TLSv1.3"),
        ("", ssl.TLSVersion.TLSv1_1, None),
        ("min_version: TLS10", ssl.TLSVersion.TLSv1_1, None),
        ("min_version: TLS11", V12, "TLSv1.2"),
        ("cipher_suites: [TLS_AES_128_GCM_SHA256]", V12, None),
        ("cipher_suites: [TLS_AES_128_GCM_SHA256]", V13, "TLSv1.3"),
        ("min_version: TLS13", V12, None),
        ("min_version: TLS13", V13, "TLSv1.3"),
        ("max_version: TLS12", V13, None),
        ("max_version: TLS12", V12, "TLSv1.2"),
    ],
)
def test_the_versions_are_the_ones_configured(
    folder: Path, authority: trustme.CA, options: str, offered: ssl.TLSVersion, spoken: str | None
) -> None:
    context = limited(authority, offered)
    with serving_tls(folder, f"{TLS_FILES}, {options}") as server:
        if spoken is None:
            with pytest.raises(REFUSED):
                agreed(server, context)
        else:
            assert agreed(server, context)[0] == spoken


AES128, AES256 = "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"
GO_AES128, GO_AES256 = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"


@pytest.mark.parametrize(
    ("suites", "prefer_server", "offered", "chosen"),
    [
        ([GO_AES128], True, f"{AES128}:{AES256}", AES128),
        ([GO_AES256], True, f"{AES128}:{AES256}", AES256),
        ([GO_AES256], True, AES128, None),
        ([GO_AES128, GO_AES256], True, f"{AES256}:{AES128}", AES128),
        ([GO_AES256, GO_AES128], True, f"{AES128}:{AES256}", AES256),
        ([GO_AES128, GO_AES256], False, f"{AES256}:{AES128}", AES256),
    ],
)
def test_cipher_suites_and_their_order_are_the_ones_configured(
    folder: Path, authority: trustme.CA, suites: list[str], prefer_server: bool, offered: str, chosen: str | None
) -> None:
    """Of TLS 1.2; with `prefer_server_cipher_suites: false` the client's order counts."""
    context = limited(authority, V12, offered)
    options = f"cipher_suites: {suites}, prefer_server_cipher_suites: {str(prefer_server).lower()}"
    with serving_tls(folder, f"{TLS_FILES}, {options}") as server:
        if chosen is None:
            with pytest.raises(REFUSED):
                agreed(server, context)
        else:
            assert agreed(server, context)[1] == chosen


def can_use(curve: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ecdh_curve(curve)
    except ssl.SSLError:
        return False
    return True


CURVES = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}


@pytest.mark.parametrize("curve", CURVES)
def test_the_curve_is_the_one_configured(folder: Path, authority: trustme.CA, curve: str) -> None:
    """Or it is refused with the reason: Debian 12's Python does not support X25519."""
    names = {name: value for name, value in CURVES.items() if can_use(value)}
    if curve not in names:
        with (
            pytest.raises(ConfigError, match=f"cannot use {curve} here; write CurveP256"),
            serving_tls(folder, f"{TLS_FILES}, curve_preferences: [{curve}]"),
        ):
            pass
        return
    with serving_tls(folder, f"{TLS_FILES}, curve_preferences: [{curve}]") as server:
        for offered, name in names.items():
            context = client_context(authority)
            context.set_ecdh_curve(name)
            if offered == curve:
                agreed(server, context)
            else:
                with pytest.raises(REFUSED):
                    agreed(server, context)


def outcome(server: Running, context: ssl.SSLContext, path: str = "/metrics") -> int:
    """The status of an answer; 0 if the connection is refused, in the handshake or (TLS 1.3) right after it."""
    try:
        return server.over(context).get(path).status
    except OSError:
        return 0


@pytest.mark.parametrize("version", [V12, V13], ids=["TLS 1.2", "TLS 1.3"])
@pytest.mark.parametrize(
    ("policy", "none", "good"), [("RequireAndVerifyClientCert", 0, 200), ("VerifyClientCertIfGiven", 200, 200)]
)
def test_client_certificates_are_asked_for_as_configured(
    folder: Path, authority: trustme.CA, tmp_path: Path, policy: str, none: int, good: int, version: ssl.TLSVersion
) -> None:
    """A certificate of another authority, an expired one, or one for servers only is refused with either policy."""
    (tmp_path / "expired.pem").write_bytes(issue(authority, expired=True))
    (tmp_path / "server.pem").write_bytes(issue(authority, usage=ExtendedKeyUsageOID.SERVER_AUTH))
    clients = {
        None: none,
        client_file(tmp_path, authority, "good"): good,
        client_file(tmp_path, trustme.CA(), "stranger"): 0,
        tmp_path / "expired.pem": 0,
        tmp_path / "server.pem": 0,
    }
    with serving_tls(folder, f"{TLS_FILES}, client_ca_file: ca.crt, client_auth_type: {policy}") as server:
        seen = {}
        for client in clients:
            context = client_context(authority, client)
            context.minimum_version = context.maximum_version = version
            seen[client] = outcome(server, context)
    assert seen == clients


def test_without_an_own_authority_the_systems_authorities_decide(
    folder: Path, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.crt"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    with serving_tls(folder, f"{TLS_FILES}, client_auth_type: RequireAndVerifyClientCert") as server:
        assert outcome(server, client_context(authority)) == 0
        assert outcome(server, client_context(authority, client_file(tmp_path, authority, "good"))) == 200
        assert outcome(server, client_context(authority, client_file(tmp_path, trustme.CA(), "stranger"))) == 0


def test_a_client_certificate_is_no_password_and_probes_need_it_too(
    folder: Path, authority: trustme.CA, context: ssl.SSLContext, tmp_path: Path
) -> None:
    """TLS requirements apply before the path is known."""
    with serving_tls(folder, MTLS) as server:
        assert outcome(server, context, "/-/healthy") == 0
        assert outcome(server, client_context(authority, client_file(tmp_path, authority)), "/-/healthy") == 200


def test_an_intermediate_authority_may_be_the_anchor(tmp_path: Path, authority: trustme.CA) -> None:
    """As in Go: clients of another authority under the same root are refused."""
    ours, sister = authority.create_child_ca(), authority.create_child_ca()
    server_files(tmp_path, authority)
    ours.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    with serving_tls(tmp_path, MTLS) as server:
        assert outcome(server, client_context(authority, client_file(tmp_path, ours, "ours"))) == 200
        assert outcome(server, client_context(authority, client_file(tmp_path, sister, "sister"))) == 0


DNS, EMAIL = x509.DNSName("prometheus.example"), x509.RFC822Name("prometheus@example.com")
URI = x509.UniformResourceIdentifier("spiffe://example/prometheus")
IPV4, IPV6 = (x509.IPAddress(ipaddress.ip_address(text)) for text in ("192.0.2.1", "2001:db8::1"))


@pytest.mark.parametrize(
    ("allowed", "names", "status"),
    [
        ("prometheus.example", [DNS], 200),
        ("prometheus@example.com", [EMAIL], 200),
        ("spiffe://example/prometheus", [URI], 200),
        ("192.0.2.1", [IPV4], 200),
        ("2001:db8::1", [IPV6], 200),
        ("2001:DB8:0:0:0:0:0:1", [IPV6], 200),
        ("prometheus.example", [IPV4, EMAIL, x509.DNSName("other.example"), DNS], 200),
        ("prometheus.example", [IPV4, EMAIL, URI], 0),
        ("prometheus.example", [x509.DNSName("PROMETHEUS.example")], 0),
        ("prometheus.example", [x509.DNSName("*.example")], 0),
        ("*.example", [DNS], 0),
        ("example", [DNS], 0),
        ("client", [], 0),  # the common name does not count
    ],
)
def test_only_clients_with_an_allowed_name_are_accepted(
    folder: Path,
    authority: trustme.CA,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    allowed: str,
    names: list[x509.GeneralName],
    status: int,
) -> None:
    """A name of the certificate must be exactly one of the list; addresses may be written in any form."""
    (tmp_path / "client.pem").write_bytes(issue(authority, *names))
    exposer = FakeExposer()
    (folder / "web.yml").write_text(f"tls_server_config: {{{MTLS}, client_allowed_sans: ['{allowed}', unused]}}")
    with serving(exposer, security=WebSecurity(folder / "web.yml")) as server:
        assert outcome(server, client_context(authority, tmp_path / "client.pem")) == status
    assert len(exposer.calls) == (1 if status == 200 else 0)
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


def test_a_handshake_that_does_not_end_is_abandoned_and_harms_no_one(folder: Path, context: ssl.SSLContext) -> None:
    """If it never began, or stopped in the middle of the client's hello."""
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
    with (
        serving_tls(folder, TLS_FILES) as server,
        server.connect() as silent,
        server.connect() as halfway,
    ):
        halfway.sendall(hello)
        assert server.over(context).get("/metrics").status == 200
        server.pass_seconds(HEAD_SECONDS)
        assert (silent.recv(1), halfway.recv(1)) == (b"", b"")
        assert server.refused == [Refusal.HANDSHAKE_TIMEOUT] * 2


@pytest.mark.parametrize("goodbye", [True, False])
def test_a_peer_that_leaves_while_answers_are_due_does_not_fill_the_log(
    folder: Path, context: ssl.SSLContext, caplog: pytest.LogCaptureFixture, goodbye: bool
) -> None:
    """asyncio logs a warning for each write after the peer closed the connection."""
    with serving_tls(folder, TLS_FILES) as server:
        peer = server.over(context).connect()
        assert isinstance(peer, ssl.SSLSocket)
        with peer:
            peer.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 4000)
            if goodbye:
                peer.setblocking(False)
                with pytest.raises(OSError):  # noqa: PT011 - the other side's goodbye is not there yet
                    peer.unwrap()
                peer.setblocking(True)
            peer.shutdown(socket.SHUT_WR)
            drain(peer)
        assert server.over(context).get("/metrics").status == 200
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


def alive(kind: type) -> int:
    """The number of objects of this type, including uncollected garbage."""
    return sum(issubclass(type(found), kind) for found in gc.get_objects())


def test_handshakes_that_failed_leave_nothing_behind(folder: Path, context: ssl.SSLContext) -> None:
    """Not even garbage for the collector: otherwise many of them could fill the memory before it runs."""
    gc.collect()
    gc.disable()
    try:
        with serving_tls(folder, TLS_FILES) as server:
            for said in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"no TLS\r\n\r\n", b"") * 10:
                with server.connect() as peer:
                    peer.sendall(said)
            for _ in range(3):  # the others have ended once these were served
                assert server.over(context).get("/metrics").status == 200
            assert alive(TlsTransport) < 10
            assert alive(Connection) < 10
    finally:
        gc.enable()


class Unread(asyncio.Transport):
    """A TCP connection whose client reads nothing any more."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.waiting = 0
        self.cut = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def is_closing(self) -> bool:
        return self.cut

    def abort(self) -> None:
        self.cut = True


def test_a_client_that_sends_and_reads_nothing_is_cut_off(folder: Path, context: ssl.SSLContext) -> None:
    """TLS answers each key update; such answers took memory without bound."""
    path = folder / "web.yml"
    path.write_text(f"tls_server_config: {{{TLS_FILES}}}")
    tls = WebSecurity(path).current().tls
    assert tls is not None
    said, heard = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(heard, said, server_hostname="localhost")

    async def run() -> None:
        tcp = Unread()
        server = TlsTransport(tls, Connection(asyncio.Protocol, OpenConnections(Refusals(str))))
        server.connection_made(tcp)

        def deliver() -> None:
            data = said.read()
            server.get_buffer(-1)[: len(data)] = data
            server.buffer_updated(len(data))
            heard.write(bytes(tcp.written))
            tcp.written.clear()

        for _ in range(2):
            with suppress(ssl.SSLWantReadError):
                client.do_handshake()
            deliver()
        for waiting, cut in ((MAX_UNREAD_BYTES, False), (MAX_UNREAD_BYTES + 1, True)):
            tcp.waiting = waiting
            client.write(b"G")
            deliver()
            assert tcp.cut is cut
        server.connection_lost(None)

    asyncio.run(run())
