"""Connections: kept alive, bounded by one deadline for any server, closed when necessary."""

from __future__ import annotations

import contextlib
import json
import math
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from exporter.cams.adapter import MAX_IDLE_SECONDS, MAX_SLOTS
from exporter.cams.attempt import MAX_BODY_BYTES
from exporter.cams.client import Client
from exporter.cams.connection import RENEW_SECONDS, Connection
from exporter.cams.response import MAX_HEAD_BYTES
from exporter.errors import ApiError
from tests.support.clients import await_bytes, client_of, error_of, gated, kept, under_way
from tests.support.clock import FakeClock
from tests.support.numbers import number
from tests.support.patience import PATIENCE_SECONDS
from tests.support.rawserver import ANSWER, Peer, RawServer, Script, answering, authority, http, ok, tls_context

TIMEOUT = 0.4
"""The deadline of tests that reach it.  If it were not obeyed, they would not end, or not by a timeout."""

BODY = json.dumps(ANSWER).encode()


def chunked(*chunks: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


def sends(data: bytes) -> Script:
    """Answers every request with `data` and ends the connection."""

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(data)

    return script


def test_one_connection_serves_many_requests() -> None:
    with RawServer(answering(ok())) as server, client_of(server.url) as client:
        for index in range(20):
            assert client.fetch(number(index)).status == "VERIFIED"
        assert (server.connections, len(server.requests)) == (1, 20)


def test_an_error_answer_keeps_the_connection() -> None:
    bad = http(b'{"Code":"Throttling.User"}', "400 Bad Request")
    with RawServer(answering(bad, ok())) as server, client_of(server.url) as client:
        assert error_of(client).code == "Throttling.User"
        assert client.fetch(number()).status == "VERIFIED"
        assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        chunked(BODY),
        chunked(BODY[:7], BODY[7:]),
        chunked(BODY).replace(b"chunked", b"Chunked\r\nContent-Length: 5"),
        chunked(BODY)[:-2] + b"Trailer: x\r\n\r\n",
        http(BODY, Content_length=str(len(BODY))),
        b"HTTP/1.1 100 Continue\r\n\r\n" + ok(),
        ok().replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n"),
    ],
    ids=["one chunk", "chunks", "chunks and a length", "a trailer", "twice the same length", "after a 100", "HTTP/1.0"],
)
def test_other_framings_are_understood_and_kept_alive(answer: bytes) -> None:
    with RawServer(answering(answer)) as server, client_of(server.url) as client:
        assert client.fetch(number()).status == client.fetch(number()).status == "VERIFIED"
        assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [ok(Connection="close"), b"HTTP/1.0 200 OK\r\n\r\n" + BODY, b"HTTP/1.1 200 OK\r\n\r\n" + BODY],
    ids=["connection: close", "http/1.0", "no length"],
)
def test_a_connection_that_ends_with_its_answer_is_not_used_again(answer: bytes) -> None:
    with RawServer(sends(answer)) as server, client_of(server.url) as client:
        assert client.fetch(number()).status == client.fetch(number()).status == "VERIFIED"
        assert server.connections == 2


def test_a_connection_closed_between_two_requests_costs_no_error() -> None:
    with RawServer(sends(ok())) as server, client_of(server.url) as client:
        for _ in range(5):
            assert client.fetch(number()).status == "VERIFIED"
            assert len(kept(client)) == 1
            await_bytes(*kept(client))
        assert server.connections == 5


def test_a_kept_connection_that_was_closed_is_replaced_before_the_gate() -> None:
    """The slot is for sending: a handshake must not come between the two."""
    at_the_gate: list[list[Connection]] = []

    def gate() -> None:
        at_the_gate.append(under_way(client))
        assert all(connection.is_reusable() for connection in at_the_gate[-1])

    with RawServer(sends(ok())) as server, client_of(server.url) as client:
        client.fetch(number())
        await_bytes(*kept(client))
        dead = kept(client)
        client.fetch(number(), gated(gate))
        assert at_the_gate[0]
        assert at_the_gate[0] != dead


def test_a_server_that_closes_after_each_answer_unasked_costs_one_slot_a_poll() -> None:
    slots: list[int] = []
    with RawServer(sends(ok())) as server, client_of(server.url) as client:
        for index in range(4):
            client.fetch(number(), gated(lambda index=index: slots.append(index)))  # type: ignore[misc] # bound now
            await_bytes(*kept(client))
        assert slots == [0, 1, 2, 3]


EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
PROCESSING = b"HTTP/1.1 102 Processing\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    "interim",
    [
        EARLY_HINTS,
        PROCESSING,
        b"HTTP/1.1 199 Whatever\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + PROCESSING + EARLY_HINTS,
        EARLY_HINTS * 16,
    ],
    ids=["103", "102", "199", "one of each", "many"],
)
@pytest.mark.parametrize("answer", [ok(), chunked(BODY)], ids=["length", "chunked"])
def test_interim_answers_are_skipped(interim: bytes, answer: bytes) -> None:
    """The real answer follows them (RFC 9110, 15.2); their headers are ignored."""
    with RawServer(answering(interim + answer)) as server, client_of(server.url) as client:
        assert client.fetch(number()).status == client.fetch(number()).status == "VERIFIED"
        assert server.connections == 1


def test_the_answer_may_take_its_time_after_an_interim_one() -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.drip(EARLY_HINTS, pause=0.001)
        peer.send(ok())

    with RawServer(script) as server, client_of(server.url) as client:
        assert client.fetch(number()).status == "VERIFIED"


def test_a_connection_on_which_an_answer_is_still_to_come_is_not_used_again() -> None:
    """Otherwise the next number would get it."""

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(EARLY_HINTS)
        peer.hang()

    with RawServer(script) as server, client_of(server.url, timeout_seconds=TIMEOUT) as client:
        assert error_of(client).code == "timeout"
        assert kept(client) == []


def test_an_unrequested_change_of_protocol_is_an_error() -> None:
    upgraded = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"
    with RawServer(answering(upgraded + ok())) as server, client_of(server.url) as client:
        assert error_of(client).code == "http_101"
        assert kept(client) == []


def test_after_connection_close_the_connection_is_not_used_again() -> None:
    with RawServer(answering(ok(Connection="close"))) as server, client_of(server.url) as client:
        client.fetch(number())
        assert kept(client) == []
        client.fetch(number())
        assert server.connections == 2


def test_an_unexpected_answer_is_never_used_for_the_next_number() -> None:
    """If a server answers twice, a number must not get the status of another."""
    stale = ok({**ANSWER, "Data": {"CodeVerificationStatus": "STALE"}})
    got_it = threading.Semaphore(0)

    def script(peer: Peer) -> None:
        while peer.read_request():
            peer.send(ok())
            got_it.acquire(timeout=PATIENCE_SECONDS)
            peer.send(stale)

    with RawServer(script) as server, client_of(server.url) as client:
        for _ in range(5):
            assert client.fetch(number()).status == "VERIFIED"
            got_it.release()
            await_bytes(*kept(client))
        assert server.connections == 5


def test_bytes_before_the_request_are_not_an_answer() -> None:
    """For example HTTP 408 from a server that stopped waiting."""
    spoken = threading.Event()

    def script(peer: Peer) -> None:
        if server.connections == 1:
            peer.send(ok({**ANSWER, "Data": {"CodeVerificationStatus": "EARLY"}}))
            spoken.set()
            peer.hang()
        answering(ok())(peer)

    slots: list[int] = []

    def gate() -> None:
        slots.append(len(slots))
        if slots == [0]:
            assert spoken.wait(PATIENCE_SECONDS)
            await_bytes(*under_way(client))

    with RawServer(script) as server, client_of(server.url) as client:
        assert client.fetch(number(), gated(gate)).status == "VERIFIED"
        assert server.connections == 2


def test_two_answers_at_once_are_one() -> None:
    stale = ok({**ANSWER, "Data": {"CodeVerificationStatus": "STALE"}})
    with RawServer(answering(ok() + stale)) as server, client_of(server.url) as client:
        assert [client.fetch(number()).status for _ in range(5)] == ["VERIFIED"] * 5


def test_a_long_unused_connection_is_not_trusted() -> None:
    """A device in between may have dropped it, which would cost a timeout."""
    clock = FakeClock()
    with RawServer(answering(ok())) as server, client_of(server.url, clock=clock) as client:
        client.fetch(number())
        clock.advance(MAX_IDLE_SECONDS - 1)
        client.fetch(number())
        assert server.connections == 1
        clock.advance(MAX_IDLE_SECONDS + 1)
        client.fetch(number())
        assert server.connections == 2


def test_no_more_connections_are_kept_than_allowed() -> None:
    ready = threading.Barrier(6, timeout=PATIENCE_SECONDS)

    def script(peer: Peer) -> None:
        while peer.read_request():
            if len(server.requests) <= 6:
                ready.wait()
            peer.send(ok())

    with RawServer(script) as server, client_of(server.url, max_connections=2) as client:
        threads = [threading.Thread(target=client.fetch, args=(number(index),)) for index in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
        assert server.connections == 6
        assert len(kept(client)) == 2


def test_connections_that_are_not_used_any_more_are_closed() -> None:
    """The last used is used again: the others grow old."""
    clock = FakeClock()
    together = threading.Barrier(2, timeout=PATIENCE_SECONDS)
    with RawServer(answering(ok())) as server, client_of(server.url, clock=clock) as client:
        threads = [threading.Thread(target=client.fetch, args=(number(), gated(together.wait))) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
        for connections in (2, 2, 1):
            client.fetch(number())
            assert len(kept(client)) == connections
            clock.advance(MAX_IDLE_SECONDS / 2 + 1)


# renewal


def to(server: RawServer) -> list[Any]:
    return socket.getaddrinfo("127.0.0.1", server.port, type=socket.SOCK_STREAM)


def poll_for(seconds: float, client: Client, clock: FakeClock) -> None:
    """Poll often enough to keep a connection alive."""
    for _ in range(math.ceil(seconds / (MAX_IDLE_SECONDS / 2))):
        assert client.fetch(number()).status == "VERIFIED"
        clock.advance(MAX_IDLE_SECONDS / 2)


OLD_SECONDS = RENEW_SECONDS * 1.2
"""No connection is older."""


def test_a_name_that_moves_is_followed_while_connections_live() -> None:
    clock = FakeClock()
    with RawServer(answering(ok())) as old, RawServer(answering(ok())) as new:
        leads_to = [old]
        lookup = lambda *_, **__: to(leads_to[0])  # noqa: E731 - a lookup
        with client_of("http://cams.example", lookup=lookup, clock=clock) as client:
            poll_for(RENEW_SECONDS / 2, client, clock)
            assert old.connections == 1
            leads_to[0] = new
            poll_for(OLD_SECONDS, client, clock)
            assert (old.connections, new.connections) == (1, 1)
            assert client.fetch(number()).status == "VERIFIED"
            before = len(old.requests)
            poll_for(OLD_SECONDS, client, clock)
            assert len(old.requests) == before


def test_connections_are_not_all_renewed_at_once() -> None:
    """At a start they are all made at the same time."""
    clock = FakeClock()
    with RawServer(answering(ok())) as server:
        renewals = set()
        for _ in range(10):
            with client_of(server.url, clock=clock) as client:
                client.fetch(number())
                (connection,) = kept(client)
                renewals.add(connection.renew_at - clock.now)
    assert len(renewals) == 10
    assert all(0.8 * RENEW_SECONDS <= age <= OLD_SECONDS for age in renewals)


def no_name(server: RawServer) -> list[Any]:
    raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


def no_answer_of_dns(server: RawServer) -> list[Any]:
    server.stopping.wait(PATIENCE_SECONDS)
    return []


@pytest.mark.parametrize("trouble", [no_name, no_answer_of_dns, to], ids=["no name", "no answer of DNS", "silent"])
def test_a_connection_that_works_outlives_a_renewal_that_fails(
    trouble: Callable[[RawServer], list[Any]], tmp_path: Path
) -> None:
    """If DNS fails or gives an address without a server, no poll is lost, and not every poll tries again."""
    ca_file = tmp_path / "ca.pem"
    authority().cert_pem.write_to_path(ca_file)
    renewals: list[str] = []
    with (
        RawServer(answering(ok()), tls_context("cams.example")) as server,
        RawServer(Peer.hang) as silent,
    ):

        def lookup(host: str, port: int, **more: Any) -> list[Any]:
            if server.requests:
                renewals.append(host)
                return trouble(silent)
            return to(server)

        url = "https://cams.example"
        with client_of(url, ca_file=ca_file, lookup=lookup, timeout_seconds=4) as client:
            client.fetch(number())
            (connection,) = kept(client)
            connection.renew_at = 0.0
            for _ in range(3):
                assert client.fetch(number()).status == "VERIFIED"
        assert server.connections == 1
        assert renewals == ["cams.example"]


def dripping(data: bytes, before: bytes = b"") -> Script:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(before)
        peer.drip(data)

    return script


HANGS: dict[str, Script] = {
    "never answers": Peer.hang,
    "drips the status line": dripping(b"HTTP/1.1 " + b"2" * 10_000),
    "drips headers": dripping(b"X: y\r\n" * 10_000, b"HTTP/1.1 200 OK\r\n"),
    "drips 100s": dripping(b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000),
    "drips 103s": dripping(EARLY_HINTS * 10_000),
    "drips chunk sizes": dripping(b"0" * 10_000, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "drips chunks": dripping(b"1\r\nx\r\n" * 10_000, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "drips the body": dripping(b" " * 10_000, b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n"),
    "drips an endless body": dripping(b" " * 10_000, b"HTTP/1.1 200 OK\r\n\r\n"),
}


@pytest.mark.parametrize("script", HANGS.values(), ids=HANGS)
def test_the_deadline_is_one_for_the_whole_request(script: Script) -> None:
    """A server that drips single bytes must not keep a worker longer than the timeout."""
    with RawServer(script) as server, client_of(server.url, timeout_seconds=TIMEOUT) as client:
        error = error_of(client)
    assert error.code == "timeout"
    assert error.message.startswith("timed out while ")
    assert error.elapsed_seconds >= TIMEOUT


BROKEN: dict[str, tuple[Script, str, str]] = {
    "closes": (lambda peer: None, "connection_error", ""),
    "closes after the request": (sends(b""), "connection_error", "closed the connection without an answer"),
    "resets": (Peer.reset, "connection_error", "reset"),
    "cuts the body": (sends(ok()[:-5]), "connection_error", "cut off"),
    "sends no body": (sends(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"), "connection_error", "cut off"),
    "cuts a chunk": (sends(chunked(BODY)[:-20]), "connection_error", "cut off"),
    "speaks no http": (sends(b"SSH-2.0-OpenSSH_9.2\r\n"), "invalid_response", "not HTTP"),
    "speaks http/2": (sends(b"HTTP/2 200\r\n\r\n"), "invalid_response", "not HTTP"),
    "a status line without end": (sends(b"H" * 70_000), "invalid_response", "not HTTP"),
    "a header without end": (sends(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000), "invalid_response", "not HTTP"),
    "interim answers without end": (
        sends(EARLY_HINTS * (MAX_HEAD_BYTES // len(EARLY_HINTS)) + ok()),
        "invalid_response",
        "not HTTP",
    ),
    "100s without end": (sends(b"HTTP/1.1 100 Continue\r\n\r\n" * 700 + ok()), "invalid_response", "not HTTP"),
    "a long head": (
        sends(ok(X="y" * (MAX_HEAD_BYTES // 2), Z="y" * (MAX_HEAD_BYTES // 2))),
        "invalid_response",
        "not HTTP",
    ),
    "too many headers": (sends(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200), "invalid_response", "not HTTP"),
    "a negative chunk": (
        sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n"),
        "invalid_response",
        "not HTTP",
    ),
    "a length too short": (
        sends(http(BODY).replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n").replace(b"h: ", b"h: 5\r\nX: ", 1)),
        "invalid_response",
        "not JSON",
    ),
    "a captive portal": (
        sends(http(b"<html>Welcome, accept our terms</html>", Content_Type="text/html")),
        "invalid_response",
        "not JSON",
    ),
    "a time-out of the server's": (sends(http(b"", "408 Request Timeout", Connection="close")), "http_408", ""),
    "a body too long": (sends(http(b" " * (MAX_BODY_BYTES + 1))), "invalid_response", "longer than 1 MiB"),
    "chunks too long": (sends(chunked(*[b" " * 65536] * 17)), "invalid_response", "longer than 1 MiB"),
    "a length without sense": (
        sends(b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\n" + BODY),
        "connection_error",
        "cut off",
    ),
    "compressed although not asked": (sends(http(b"\x1f\x8b\x08")), "invalid_response", "not JSON"),
    "no content": (sends(b"HTTP/1.1 204 No Content\r\n\r\n"), "invalid_response", "not JSON"),
    "a redirect": (sends(http(b"", "302 Found", Location="/again")), "http_302", ""),
}


@pytest.mark.parametrize(("script", "code", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_answer_is_an_error_of_its_own(script: Script, code: str, message: str) -> None:
    """And its rest does not affect the next request."""
    broken = threading.Semaphore(1 + MAX_SLOTS)  # a connection that is closed at once is made again before each slot

    def once(peer: Peer) -> None:
        if broken.acquire(blocking=False):
            script(peer)
        else:
            answering(ok())(peer)

    with RawServer(once) as server, client_of(server.url) as client:
        error = error_of(client)
        while broken.acquire(blocking=False):
            pass
        await_bytes(*kept(client))
        assert client.fetch(number()).status == "VERIFIED"
    assert error.code == code
    assert message in error.message


def test_an_endless_answer_is_cut_and_not_stored() -> None:
    """A chunk size of -1 makes http.client read to the end of the connection: bounded below it."""

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n")
        while not server.stopping.is_set():
            peer.send(b" " * 65536)

    with RawServer(script) as server, client_of(server.url) as client:
        error = error_of(client)
    assert error.code == "connection_error"
    assert error.message == "reading the answer: the answer does not end"


def test_a_long_body_is_not_read_to_its_end() -> None:
    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (30 << 20))
        with contextlib.suppress(OSError):
            for _ in range(30 << 4):
                peer.send(b" " * 65536)
                sent.append(65536)

    sent: list[int] = []
    with RawServer(script) as server, client_of(server.url) as client:
        assert error_of(client).message == "the answer is longer than 1 MiB"
        assert kept(client) == []
    assert sum(sent) < 30 << 20  # the connection was closed; the kernel's buffers hold the rest


@pytest.mark.parametrize("location", ["/again", "//127.0.0.1", "http://[", "http://a b/", "\xff", ""])
def test_a_redirect_is_an_error_and_not_followed_wherever_it_leads(location: str) -> None:
    answer = http(b"", "302 Found", Location=location)
    with RawServer(answering(answer)) as server, client_of(server.url) as client:
        assert error_of(client).code == "http_302"
        assert len(server.requests) == 1


def test_a_request_makes_no_call_of_a_library_that_it_does_not_need() -> None:
    """A poll spends its CPU on such calls: here are those that were left out."""
    seen: Counter[str] = Counter()

    def look(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            seen[frame.f_code.co_qualname] += 1

    with RawServer(answering(ok())) as server, client_of(server.url) as client:
        sys.setprofile(look)
        try:
            client.fetch(number())
        finally:
            sys.setprofile(None)
    assert seen["CaseInsensitiveDict.__getitem__"] < 20  # twelve headers are looked at once
    assert not seen.keys() & {"resolve_proxies", "SessionRedirectMixin.resolve_redirects", "JSONDecoder.__init__"}


def test_cookies_are_ignored() -> None:
    with RawServer(answering(ok(Set_Cookie="a=b"))) as server, client_of(server.url) as client:
        client.fetch(number())
        client.fetch(number())
        assert all(b"ookie" not in head for head in server.requests)
        assert not client._session.cookies


def test_nothing_of_the_environment_gets_into_a_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`requests` reads passwords from netrc and proxies from the environment, unless it is told not to."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password hunter2\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with RawServer(answering(ok())) as server, client_of(server.url) as client:
        assert client.fetch(number()).status == "VERIFIED"
    (head,) = server.requests
    assert b"authorization: ACS3-HMAC-SHA256 " in head
    assert b"Basic" not in head


def hang_all(client_count: int) -> tuple[Script, threading.Semaphore]:
    arrived = threading.Semaphore(0)

    def script(peer: Peer) -> None:
        peer.read_request()
        arrived.release()
        peer.hang()

    return script, arrived


def test_close_wakes_those_who_wait_for_an_answer() -> None:
    script, arrived = hang_all(3)
    codes: list[str] = []

    def work() -> None:
        try:
            client.fetch(number())
        except ApiError as error:
            codes.append(error.code)

    with RawServer(script) as server, client_of(server.url, timeout_seconds=PATIENCE_SECONDS) as client:
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in threads:
            assert arrived.acquire(timeout=PATIENCE_SECONDS)
        client.close()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
        assert codes == ["connection_error"] * 3


@pytest.mark.parametrize(
    "framing",
    [b"Content-Length: 50", b"Content-Length: 50\r\nConnection: close", b"X: no length", b"Transfer-Encoding: chunked"],
    ids=["length", "connection: close", "no length", "chunked"],
)
def test_close_wakes_those_who_read_an_answer(framing: bytes) -> None:
    """Also where the connection ends with the answer: http.client then has no socket any more."""
    errors: list[ApiError] = []

    def script(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n5\r\n")
        peer.hang()

    with RawServer(script) as server, client_of(server.url, timeout_seconds=2 * PATIENCE_SECONDS) as client:
        thread = threading.Thread(target=lambda: errors.append(error_of(client)))
        thread.start()
        while not any(each._attempt.doing == "reading the answer" for each in client._adapter._open):
            threading.Event().wait(0.01)
        client.close()
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()
    assert len(errors) == 1


def test_a_closed_client_asks_no_more() -> None:
    with RawServer(answering(ok())) as server, client_of(server.url) as client:
        client.fetch(number())
        client.close()
        error = error_of(client)
        assert len(server.requests) == 1
    assert error.code == "connection_error"
    assert error.message.endswith(": the client was closed")


def test_a_retired_client_ends_its_requests_and_keeps_no_connection() -> None:
    arrived, retired = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        while peer.read_request():
            arrived.set()
            retired.wait(PATIENCE_SECONDS)
            peer.send(ok())

    with RawServer(script) as server, client_of(server.url) as client:
        statuses: list[str] = []
        thread = threading.Thread(target=lambda: statuses.append(client.fetch(number()).status))
        thread.start()
        assert arrived.wait(PATIENCE_SECONDS)
        client.retire()
        retired.set()
        thread.join(PATIENCE_SECONDS)
        assert statuses == ["VERIFIED"]
        assert not kept(client)
