"""Peers that stall, flood, or use all connections: deadlines, bounds, and which connection is closed first."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import resource
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import trustme
from aiohttp import web

from exporter.metrics.catalogue import Refusal
from exporter.web.connections.acceptor import MAX_CONNECTIONS, MIN_CONNECTIONS, Acceptor, max_connections
from exporter.web.connections.connection import HEAD_SECONDS, LINGER_SECONDS, Connection
from exporter.web.connections.refusals import Refusals
from exporter.web.connections.slow_clients import SlowClients
from exporter.web.security.config import WebConfig
from exporter.web.security.reloader import WebSecurity
from exporter.web.server import Limits
from tests.support.patience import PATIENCE_SECONDS
from tests.support.pki import TLS_FILES, client_context, server_files
from tests.support.webserver import FakeExposer, Running, drain, eventually_scraped, serving

GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
HALF = b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Stalled: y"


def is_closed(peer: socket.socket) -> bool:
    """Whether the other end closes the connection; waits for that."""
    try:
        return peer.recv(1) == b""
    except ConnectionError:
        return True


def is_open(peer: socket.socket) -> bool:
    """Whether the other end has not closed the connection."""
    peer.setblocking(False)
    try:
        peer.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except ConnectionError:
        return False
    finally:
        peer.settimeout(PATIENCE_SECONDS)
    return False


def answered(peer: socket.socket) -> bool:
    """Whether a scrape on this connection succeeds."""
    peer.sendall(GET)
    return is_answer(peer)


def is_answer(peer: socket.socket) -> bool:
    """Whether what arrives next is a whole scrape."""
    answer = b""
    while not answer.endswith(b"up 1\n"):
        chunk = peer.recv(65536)
        if not chunk:
            return False
        answer += chunk
    return answer.startswith(b"HTTP/1.1 200 ")


def is_cut_off(server: Running, peer: socket.socket, do: Callable[[], object] = lambda: None) -> bool:
    """Whether the server closes the connection as time passes, a second at a time; calls `do` each second."""
    peer.settimeout(0.01)
    for _ in range(1000):
        with suppress(TimeoutError):
            try:
                do()
            except ConnectionError:
                return True
            if is_closed(peer):
                return True
        server.pass_seconds(1)
    return False


class TestDeadlines:
    """The head of a request must be there in time."""

    @pytest.mark.parametrize("said", [b"", b"G", HALF, b"\r\n"])
    def test_a_peer_that_stalls_in_the_head_is_cut_off(self, said: bytes, caplog: pytest.LogCaptureFixture) -> None:
        with serving() as server, server.connect() as peer:
            peer.sendall(said)
            assert is_cut_off(server, peer)
        assert not [record for record in caplog.records if record.levelno > logging.DEBUG]

    def test_bytes_now_and_then_do_not_renew_the_deadline(self) -> None:
        with serving() as server, server.connect() as peer:
            peer.sendall(HALF)
            assert is_cut_off(server, peer, lambda: peer.sendall(b"y"))

    def test_a_connection_that_was_used_may_rest_longer(self) -> None:
        """Prometheus keeps its connections from scrape to scrape."""
        with serving() as server, server.connect() as peer:
            assert answered(peer)
            server.pass_seconds(6 * HEAD_SECONDS)
            assert answered(peer)

    def test_the_deadline_holds_for_every_request_of_a_connection(self) -> None:
        with serving() as server, server.connect() as peer:
            assert answered(peer)
            peer.sendall(HALF)
            assert is_cut_off(server, peer)

    def test_a_body_that_does_not_come_is_not_waited_for(self) -> None:
        with serving() as server, server.connect() as peer:
            peer.sendall(b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nonly this")
            assert peer.recv(65536).startswith(b"HTTP/1.1 405 ")
            assert is_cut_off(server, peer)

    def test_a_partial_request_behind_a_running_one_does_not_close_the_connection(self) -> None:
        exposer = FakeExposer(gate=threading.Event())
        assert exposer.gate is not None
        with serving(exposer) as server, server.connect() as peer:
            peer.sendall(GET + HALF)
            assert exposer.entered.acquire(timeout=PATIENCE_SECONDS)
            server.pass_seconds(2 * HEAD_SECONDS)
            exposer.gate.set()
            assert is_answer(peer)
            assert is_cut_off(server, peer)


class TestFloods:
    """Bounds for one peer."""

    def test_a_head_of_a_megabyte_is_refused(self, caplog: pytest.LogCaptureFixture) -> None:
        with serving() as server, server.connect() as peer:
            with suppress(ConnectionError):  # the server need not read it to the end
                peer.sendall(b"GET / HTTP/1.1\r\nX: " + b"y" * 1_000_000 + b"\r\n\r\n")
            with suppress(ConnectionError):
                assert peer.recv(65536).startswith((b"HTTP/1.1 431 ", b"HTTP/1.0 400 "))
            assert server.get("/metrics").status == 200
        assert not [record for record in caplog.records if record.levelno > logging.DEBUG]

    def test_a_head_of_many_small_parts_is_431_and_names_nothing(self) -> None:
        with serving() as server, server.connect() as peer:
            peer.sendall(b"GET / HTTP/1.1\r\n")
            for _ in range(9):
                peer.sendall(b"X: " + b"y" * 8000 + b"\r\n")
            answer = peer.recv(65536)
        assert answer == (
            b"HTTP/1.1 431 Request Header Fields Too Large\r\nServer: cams_exporter\r\n"
            b"Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: 36\r\n\r\n"
            b"431 Request Header Fields Too Large\n"
        )

    def test_what_is_pipelined_behind_an_answer_is_left_unread(self) -> None:
        """Otherwise each connection could fill the memory with waiting requests."""
        exposer = FakeExposer(gate=threading.Event())
        assert exposer.gate is not None
        with serving(exposer) as server, server.connect() as peer:
            peer.sendall(GET)
            assert exposer.entered.acquire(timeout=PATIENCE_SECONDS)
            peer.settimeout(0.5)
            sent, chunk = 0, GET * 10_000
            with suppress(TimeoutError):
                while sent < 200_000_000:
                    sent += peer.send(chunk)
            assert sent < 50_000_000
            assert len(exposer.calls) == 1
            exposer.gate.set()

    def test_pipelined_requests_are_answered_in_order_while_others_get_their_turn(self) -> None:
        with serving() as server, server.connect() as peer:
            sender = threading.Thread(target=peer.sendall, args=(GET * 2000,))
            sender.start()
            others = [server.get("/metrics").status for _ in range(5)]
            answers = 0
            rest = b""
            while answers < 2000:
                chunk = peer.recv(1 << 20)
                assert chunk
                *found, rest = (rest + chunk).split(b"up 1\n")
                answers += len(found)
            sender.join(PATIENCE_SECONDS)
        assert others == [200] * 5

    @pytest.mark.parametrize("framing", [b"Content-Length: 200", b"Transfer-Encoding: chunked"])
    @pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"br", b"zstd", b"identity", b"nonsense"])
    def test_a_body_is_not_looked_at(self, coding: bytes, framing: bytes, caplog: pytest.LogCaptureFixture) -> None:
        """For any Content-Encoding: invalid gzip must not give a traceback, and valid gzip must not stall the
        server."""
        with serving() as server, server.connect() as peer:
            peer.sendall(
                b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Encoding: " + coding + b"\r\n" + framing + b"\r\n\r\n"
                b"5\r\nno such thing\r\n" + b"y" * 200
            )
            answer = peer.recv(65536)
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert b"\r\nConnection: close\r\n" in answer
        assert answer.count(b"HTTP/1.1") == 1
        assert not [record for record in caplog.records if record.levelno > logging.DEBUG]

    @pytest.mark.parametrize(
        ("request_line", "status"),
        [
            (b"GET /metrics", 200),
            (b"HEAD /metrics", 200),
            (b"GET /", 200),
            (b"GET /numbers", 200),
            (b"GET /-/healthy", 200),
            (b"GET /-/ready", 200),
            (b"POST /-/reload", 403),
            (b"PUT /metrics", 405),
            (b"DELETE /x", 404),
        ],
    )
    @pytest.mark.parametrize(
        "headers",
        [
            b"Content-Length: 1000",
            b"Content-Length: 18446744073709551615",  # the largest that the parser reads: it sees no body there
            b"Content-Length: 1000\r\nExpect: 100-continue",
            b"Transfer-Encoding: chunked\r\nTrailer: X",
            b"Content-Length: 1000\r\nConnection: upgrade\r\nUpgrade: websocket",
            b"Content-Length: 1000\r\nConnection: upgrade\r\nUpgrade: h2c",
            b"Connection: upgrade\r\nUpgrade: tcp",
        ],
    )
    def test_a_client_that_sends_more_than_a_head_gets_one_answer_and_is_disconnected(
        self, request_line: bytes, status: int, headers: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        """On every path, for every answer; a request inside the body is not executed."""
        with serving() as server, server.connect() as peer:
            peer.sendall(request_line + b" HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n\r\n")
            answer = peer.recv(65536)
            assert answer.startswith(b"HTTP/1.1 %d " % status)
            peer.sendall(GET * 100)
            server.pass_seconds(LINGER_SECONDS)
            with suppress(ConnectionError):
                while chunk := peer.recv(65536):
                    answer += chunk
            assert answer.count(b"HTTP/1.1 ") == 1
        assert not [record for record in caplog.records if record.levelno > logging.DEBUG]

    def test_a_request_behind_a_body_is_not_waited_for(self) -> None:
        """The answer says that the connection ends, and it does so soon, not at the deadline of a head."""
        with serving() as server, server.connect() as peer:
            peer.sendall(b"POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
            answer = peer.recv(65536)
            assert answer.startswith(b"HTTP/1.1 403 ")
            assert b"\r\nConnection: close\r\n" in answer
            server.pass_seconds(LINGER_SECONDS)
            assert is_closed(peer)

    def test_a_body_of_no_bytes_leaves_the_connection_open(self) -> None:
        with serving() as server, server.connect() as peer:
            peer.sendall(b"POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            assert b"HTTP/1.1 403 " in peer.recv(65536)
            server.pass_seconds(6 * HEAD_SECONDS)
            assert answered(peer)

    def test_a_body_without_end_is_not_read_for_long(self) -> None:
        with serving() as server, server.connect() as peer:
            peer.sendall(b"POST /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            assert peer.recv(65536).startswith(b"HTTP/1.1 405 ")
            peer.settimeout(0.5)
            with suppress(TimeoutError, ConnectionError):
                assert sum(peer.send(b"400\r\n" + b"y" * 0x400 + b"\r\n") for _ in range(100_000)) < 50_000_000
            server.pass_seconds(LINGER_SECONDS)
            peer.settimeout(PATIENCE_SECONDS)
            assert is_closed(peer)
            assert server.get("/metrics").status == 200


@pytest.mark.parametrize(
    "said",
    [
        b"",
        HALF,
        GET,
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"y" * 70_000,
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
        b"\x16\x03\x01",
    ],
)
def test_connections_that_have_ended_leave_nothing_behind(said: bytes) -> None:
    """Not even garbage for the collector: otherwise many of them could fill the memory before it runs."""
    gc.collect()
    gc.disable()
    try:
        with serving() as server:
            for _ in range(30):
                with server.connect() as peer:
                    peer.sendall(said)
                    if said not in {b"", HALF}:
                        peer.recv(65536)
            for _ in range(3):  # the others have ended once these were served
                assert server.get("/metrics").status == 200
            left = [type(found) for found in gc.get_objects()]
            assert sum(issubclass(kind, (Connection, web.RequestHandler)) for kind in left) < 20
    finally:
        gc.enable()


def arrives_whole(peer: socket.socket, size: int) -> bool:
    """Whether an answer of this size is read to its end."""
    received = 0
    with suppress(ConnectionError):
        while received < size and (chunk := peer.recv(1 << 20)):
            received += len(chunk)
    return received >= size


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET http://x/metrics HTTP/1.1", 200),
        (b"GET /metrics HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings", 200),
        (b"GET /metrics HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade", 200),
        (b"CONNECT x:443 HTTP/1.1", 404),
        (b"OPTIONS * HTTP/1.1", 404),
        (b"PRI * HTTP/2.0", 400),
        (b"GET * HTTP/1.1", 400),
        (b"GET /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5", 400),
    ],
)
def test_odd_requests_get_a_plain_answer_and_no_other_protocol(request_line: bytes, status: int) -> None:
    with serving() as server, server.connect() as peer:
        peer.sendall(request_line + b"\r\nHost: x\r\n\r\n")
        answer = peer.recv(65536)
        assert answer[9:12] == str(status).encode()
        assert b"Upgrade" not in answer
        assert server.get("/metrics").status == 200


class TestRoom:
    """Connections are bounded; the one that was idle longest is closed for a new one."""

    def test_a_new_connection_takes_the_place_of_the_longest_idle_one(self) -> None:
        with serving(limits=Limits(connections=3)) as server, ExitStack() as stack:
            first, second, third = (stack.enter_context(server.connect()) for _ in range(3))
            assert answered(second)
            assert answered(third)
            assert server.get("/metrics").status == 200
            assert is_closed(first)
            assert (is_open(second), is_open(third)) == (True, True)
            assert server.refused == [Refusal.EVICTED]

    def test_an_answer_makes_a_connection_the_youngest_of_the_idle_ones(self) -> None:
        with serving(limits=Limits(connections=2)) as server, server.connect() as first, server.connect() as second:
            assert answered(second)
            assert answered(first)
            assert server.get("/metrics").status == 200
            assert is_closed(second)
            assert answered(first)

    def test_connections_with_a_running_request_stay_and_a_new_one_is_refused(self) -> None:
        exposer = FakeExposer(gate=threading.Event())
        assert exposer.gate is not None
        with serving(exposer, limits=Limits(connections=1)) as server, server.connect() as busy:
            busy.sendall(GET)
            assert exposer.entered.acquire(timeout=PATIENCE_SECONDS)
            for _ in range(3):
                with server.connect() as late:
                    assert is_closed(late)
            assert server.refused == [Refusal.TOO_MANY] * 3
            exposer.gate.set()
            assert is_answer(busy)
            assert server.get("/metrics").status == 200

    def test_a_client_that_does_not_read_its_answer_can_be_closed_for_another(self) -> None:
        """If no connection is idle; its answer is freed too."""
        exposer = FakeExposer(body=b"x" * 32_000_000)
        limits = Limits(connections=2, patience_seconds=0.1, send_seconds=600)
        with serving(exposer, limits=limits) as server, ExitStack() as stack:
            slow = [stack.enter_context(server.connect()) for _ in range(2)]
            for peer in slow:
                peer.sendall(GET)
                assert peer.recv(1) == b"H"  # it is being sent
            exposer.body = b"up 1\n"
            assert eventually_scraped(server)
            assert sum(not arrives_whole(peer, 32_000_000) for peer in slow) == 1

    def test_an_unread_scrape_is_dropped_for_a_new_one(self) -> None:
        """Otherwise forty clients that do not read would stop all scrapes for thirty seconds."""
        exposer = FakeExposer(body=b"x" * 32_000_000)
        limits = Limits(patience_seconds=0.1, send_seconds=600)
        with serving(exposer, max_requests=1, limits=limits) as server, server.connect() as slow:
            slow.sendall(GET)
            assert slow.recv(1) == b"H"
            exposer.body = b"up 1\n"
            assert eventually_scraped(server)
            assert not arrives_whole(slow, 32_000_000)

    def test_a_flood_of_peers_that_never_speak_does_not_keep_a_scrape_out(self) -> None:
        with serving(limits=Limits(connections=10)) as server, ExitStack() as stack:
            flood = [stack.enter_context(server.connect()) for _ in range(100)]
            assert server.get("/metrics").status == 200
            assert sum(is_open(peer) for peer in flood) <= 10

    def test_tls_peers_that_never_shake_hands_make_room_too(self, tmp_path: Path) -> None:
        authority = trustme.CA()
        server_files(tmp_path, authority)
        (tmp_path / "web.yml").write_text(f"tls_server_config: {{{TLS_FILES}}}")
        limits = Limits(connections=3, head_seconds=600)
        with serving(security=WebSecurity(tmp_path / "web.yml"), limits=limits) as server, ExitStack() as stack:
            silent = [stack.enter_context(server.connect()) for _ in range(9)]
            assert server.over(client_context(authority)).get("/metrics").status == 200
            assert is_closed(silent[0])
            assert sum(is_open(peer) for peer in silent) <= 3

    def test_refused_peers_use_no_connection(self, tmp_path: Path) -> None:
        """However their handshake failed; otherwise they would displace idle connections between two scrapes."""
        authority = trustme.CA()
        server_files(tmp_path, authority)
        (tmp_path / "web.yml").write_text(f"tls_server_config: {{{TLS_FILES}}}")
        limits = Limits(connections=3)
        with serving(security=WebSecurity(tmp_path / "web.yml"), limits=limits) as server:
            secure = server.over(client_context(authority))
            with secure.connect() as kept:
                assert answered(kept)
                for _ in range(5):
                    with server.connect() as peer:
                        peer.sendall(b"no TLS at all\r\n\r\n")
                        drain(peer)
                    with pytest.raises(ssl.SSLError):
                        server.over(ssl.create_default_context()).connect()
                assert answered(kept)


@pytest.mark.parametrize(
    ("descriptors", "connections"),
    [(256, 128), (20, MIN_CONNECTIONS), (2**20, MAX_CONNECTIONS), (resource.RLIM_INFINITY, MAX_CONNECTIONS)],
)
def test_half_of_the_file_descriptors_are_for_peers(
    monkeypatch: pytest.MonkeyPatch, descriptors: int, connections: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (descriptors, descriptors))
    assert max_connections() == connections


class FlakyListener(socket.socket):
    """A listening socket whose next accepts fail as `errors` says."""

    errors: list[int]

    def accept(self) -> tuple[socket.socket, object]:
        if self.errors:
            number = self.errors.pop(0)
            raise OSError(number, "as the test wants") if number else RuntimeError("as the test wants")
        return super().accept()


class HelloProtocol(asyncio.Protocol):
    """Says hello and keeps the connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"hello")


def accepting(use: Callable[[FlakyListener], object], security: WebSecurity | None = None) -> object:
    """What `use`, on a thread, makes of an acceptor whose accepts fail."""

    async def run() -> object:
        with FlakyListener(socket.AF_INET, socket.SOCK_STREAM) as listener:
            listener.errors = []
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            listener.setblocking(False)
            acceptor = Acceptor(security or WebSecurity(None), HelloProtocol, 10, SlowClients(), Refusals(str))
            acceptor.open([listener])
            try:
                return await asyncio.to_thread(use, listener)
            finally:
                await acceptor.close()

    return asyncio.run(run())


def test_while_descriptors_run_out_the_longest_idle_make_room_and_the_log_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def use(listener: FlakyListener) -> None:
        address = listener.getsockname()
        with ExitStack() as stack:
            old = [stack.enter_context(socket.create_connection(address, PATIENCE_SECONDS)) for _ in range(3)]
            assert [peer.recv(5) for peer in old] == [b"hello"] * 3
            listener.errors = [errno.EMFILE, errno.ENFILE]
            with socket.create_connection(address, PATIENCE_SECONDS) as new:
                assert new.recv(5) == b"hello"
                assert (is_closed(old[0]), is_closed(old[1]), is_open(old[2]), is_open(new)) == (True, True, True, True)

    accepting(use)
    assert [record.getMessage() for record in caplog.records] == ["cannot accept a connection"]


def test_an_accept_that_fails_as_nobody_expects_is_not_the_last_one(caplog: pytest.LogCaptureFixture) -> None:
    def use(listener: FlakyListener) -> None:
        listener.errors = [0, 0]
        for _ in range(2):
            with socket.create_connection(listener.getsockname(), PATIENCE_SECONDS) as new:
                assert new.recv(5) == b"hello"

    accepting(use)
    assert [record.getMessage() for record in caplog.records] == ["a connection could not be served"]


class Unexpected(WebSecurity):
    """Fails with an unexpected exception."""

    fails = True

    def current(self) -> WebConfig:
        if self.fails:
            raise FileNotFoundError("no working folder")
        return super().current()


def test_after_a_failed_connection_the_next_one_is_accepted(caplog: pytest.LogCaptureFixture) -> None:
    """Otherwise every later client would wait for ever, without a log line."""
    security = Unexpected(None)

    def use(listener: FlakyListener) -> None:
        address = listener.getsockname()
        for _ in range(3):
            with socket.create_connection(address, PATIENCE_SECONDS) as turned_away:
                assert is_closed(turned_away)
        security.fails = False
        with socket.create_connection(address, PATIENCE_SECONDS) as new:
            assert new.recv(5) == b"hello"

    accepting(use, security)
    (record,) = caplog.records  # one line in ten seconds
    assert (record.levelno, record.getMessage()) == (logging.ERROR, "a connection could not be served")
    assert "no working folder" in str(vars(record))


def test_a_peer_that_left_before_it_was_accepted_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def use(listener: FlakyListener) -> None:
        address = listener.getsockname()
        with socket.create_connection(address, PATIENCE_SECONDS) as old:
            assert old.recv(5) == b"hello"
            listener.errors = [errno.ECONNABORTED, errno.EPERM]
            with socket.create_connection(address, PATIENCE_SECONDS) as new:
                assert new.recv(5) == b"hello"
                assert is_open(old)

    accepting(use)
    assert not caplog.records
