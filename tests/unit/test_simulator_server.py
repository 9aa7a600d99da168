"""The simulator on a real socket."""

from __future__ import annotations

import asyncio
import gc
import http.client
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import FrameType
from typing import Self
from urllib.parse import urlsplit

import pytest
import trustme

from exporter.simulator import Reply, Simulator, faults
from exporter.simulator.faults import Fault
from exporter.simulator.wire import Wire
from tests.support.exporter import until
from tests.support.patience import PATIENCE_SECONDS
from tests.support.servers import has_ipv6
from tests.support.simulated import PHONE, SPACE, Call, Connection, ask, care_world


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(care_world()) as running:
        yield running


@pytest.fixture(scope="module")
def tls() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The contexts of a server and of a client that trusts it."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


def test_a_signed_request_is_answered(simulator: Simulator) -> None:
    response = ask(simulator.url)
    assert response.status == 200
    assert response.headers["content-type"] == "application/json;charset=utf-8"
    assert response.document["Data"]["CodeVerificationStatus"] == "VERIFIED"


def test_requests_share_a_connection(simulator: Simulator) -> None:
    with Connection(simulator.url) as connection:
        assert [connection.call(Call(host=connection.host)).status for _ in range(5)] == [200] * 5
    assert simulator.connections == 1


def test_a_request_that_is_read_late_is_known_to_have_come_earlier(simulator: Simulator) -> None:
    """If the machine stalls, evenly sent requests are read at once; that is not the sender's fault."""
    stalls, goes_on = threading.Event(), threading.Event()

    def stall() -> None:
        stalls.set()
        assert goes_on.wait(PATIENCE_SECONDS)

    with Connection(simulator.url) as connection:
        assert connection.call(Call(host=connection.host)).status == 200
        assert simulator._loop is not None
        simulator._loop.call_soon_threadsafe(stall)
        assert stalls.wait(PATIENCE_SECONDS)
        sent_after = time.monotonic()
        connection.post(Call(host=connection.host))
        read_after = time.monotonic()
        goes_on.set()
        assert connection.receive().status == 200
        *_, late = simulator.world.arrivals()
        assert late.since <= sent_after < read_after <= late.at


def test_a_request_that_is_read_at_once_is_known_to_have_come_just_then(simulator: Simulator) -> None:
    with Connection(simulator.url) as connection:

        def is_later() -> bool:
            *_, before = simulator.world.arrivals() or [None]
            assert connection.call(Call(host=connection.host)).status == 200
            *_, after = simulator.world.arrivals()
            return before is not None and before.at < after.since <= after.at

        until(is_later, "a request that came after the one before was read")


def test_a_refused_request_leaves_the_connection_open(simulator: Simulator) -> None:
    with Connection(simulator.url) as connection:
        assert connection.call(Call(host=connection.host, secret="wrong")).status == 400
        assert connection.call(Call(host=connection.host)).status == 200
    assert simulator.connections == 1


def test_form_parameters_over_the_wire(simulator: Simulator) -> None:
    form = {"CustSpaceId": SPACE, "PhoneNumber": PHONE}
    with Connection(simulator.url) as connection:
        assert connection.call(Call({}, form, host=connection.host)).document["Code"] == "OK"


@pytest.mark.parametrize("target", ["/favicon.ico", "/metrics", "/_simulator/state", "//[", "/a?b=c"])
def test_nothing_else_is_served(simulator: Simulator, target: str) -> None:
    """Also not the control surface, unless it is enabled."""
    with Connection(simulator.url) as connection:
        response = connection.send("GET", target)
    assert (response.status, response.document["Code"]) == (404, "InvalidAction.NotFound")


def test_a_world_changes_while_it_is_served(simulator: Simulator) -> None:
    (number,) = simulator.world.find_numbers(PHONE)
    for status in ("EXPIRED", "NOT_VERIFIED", "VERIFIED"):
        number.status = status
        assert ask(simulator.url).document["Data"]["CodeVerificationStatus"] == status


def test_an_answer_takes_its_latency(simulator: Simulator) -> None:
    simulator.world.latency_seconds = (0.2, 0.2)
    began = time.monotonic()
    assert ask(simulator.url).status == 200
    assert time.monotonic() - began >= 0.2


def test_over_tls(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    server, client = tls
    with Simulator(care_world(), ssl_context=server) as simulator:
        assert simulator.url.startswith("https://127.0.0.1:")
        with Connection(simulator.url, context=client) as connection:
            assert [connection.call(Call(host=connection.host)).status for _ in range(3)] == [200] * 3
        assert simulator.connections == 1


def test_a_tls_client_that_does_not_trust_the_server_affects_no_other_client(
    tls: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    server, client = tls
    with Simulator(care_world(), ssl_context=server) as simulator:
        with (
            pytest.raises(ssl.SSLCertVerificationError),
            Connection(simulator.url, context=ssl.create_default_context()) as stranger,
        ):
            stranger.send("GET", "/")
        with Connection(simulator.url, context=client) as connection:
            assert connection.call(Call(host=connection.host)).status == 200


def test_a_request_that_comes_with_the_end_of_the_handshake_is_answered(
    tls: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    """Both in one segment: the server has the request before its HTTP protocol has the connection."""
    with Simulator(care_world(), ssl_context=tls[0]) as simulator, _BareTls(simulator.url, tls[1]) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.receive().startswith(b"HTTP/1.1 400 ")


def test_a_reset_is_a_reset_under_tls_too(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """Seen below TLS: Python's ssl module would report it as an end of file."""
    world = care_world()
    world.inject(faults.reset())
    with Simulator(world, ssl_context=tls[0]) as simulator, _BareTls(simulator.url, tls[1]) as client:
        call = Call(host=urlsplit(simulator.url).netloc)
        head = "".join(f"{name}: {value}\r\n" for name, value in call.headers().items())
        client.send(f"POST {call.target} HTTP/1.1\r\n{head}Content-Length: 0\r\n\r\n".encode())
        with pytest.raises(ConnectionResetError):
            client.receive()


def test_raw_answers_go_through_tls(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    server, client = tls
    world = care_world()
    world.inject(faults.truncated())
    with (
        Simulator(world, ssl_context=server) as simulator,
        Connection(simulator.url, context=client) as connection,
        pytest.raises(http.client.IncompleteRead),
    ):
        connection.call(Call(host=connection.host))


def test_a_slow_tls_handshake(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    server, client = tls
    world = care_world()
    world.handshake_seconds = 0.3
    with Simulator(world, ssl_context=server) as simulator, Connection(simulator.url, context=client) as connection:
        began = time.monotonic()
        assert connection.call(Call(host=connection.host)).status == 200
        assert time.monotonic() - began >= 0.3


def test_a_client_that_gives_up_during_the_handshake_leaves_no_trace(
    tls: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    world = care_world()
    world.handshake_seconds = 60.0
    with Simulator(world, ssl_context=tls[0]) as simulator:
        parts = urlsplit(simulator.url)
        with (
            socket.create_connection((parts.hostname, parts.port), timeout=0.2) as plain,
            pytest.raises(TimeoutError),
        ):
            tls[1].wrap_socket(plain, server_hostname="127.0.0.1")
    gc.collect()  # an abandoned transport would warn here, and warnings are errors


def test_stopping_abandons_requests_under_way() -> None:
    world = care_world()
    world.inject(faults.hang())
    simulator = Simulator(world)
    url = simulator.start()
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(ask, url)
        until(simulator.world.arrivals, "the request is under way")
        simulator.stop()
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            hanging.result(timeout=PATIENCE_SECONDS)


def test_a_client_that_disconnects_leaves_no_task(simulator: Simulator) -> None:
    """A test with thousands of timeouts would collect as many."""
    abandoned = threading.Event()

    async def play(_wire: Wire, reply: Reply) -> Reply:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            abandoned.set()
            raise
        return reply

    simulator.world.inject(Fault("endless", play))
    with Connection(simulator.url) as connection:
        connection.post(Call(host=connection.host))
        until(simulator.world.arrivals, "the request is under way")
    assert abandoned.wait(PATIENCE_SECONDS)


def test_a_stopped_simulator_refuses_connections_and_stops_again() -> None:
    simulator = Simulator(care_world())
    url = simulator.start()
    simulator.stop()
    simulator.stop()
    with pytest.raises(ConnectionError):
        ask(url)
    assert "cams-simulator" not in {thread.name for thread in threading.enumerate()}


def test_a_taken_port_is_an_error_of_the_start(simulator: Simulator) -> None:
    second = Simulator(care_world(), port=urlsplit(simulator.url).port or 0)
    with pytest.raises(OSError, match="address already in use"):
        second.start()
    second.stop()


def test_a_port_that_cannot_be_is_an_error_of_the_start_too() -> None:
    """If it cannot serve, the caller must not wait for ever."""
    with pytest.raises(OverflowError):
        Simulator(care_world(), port=70_000).start()


def test_a_running_simulator_is_not_started_again(simulator: Simulator) -> None:
    with pytest.raises(RuntimeError, match="is running"):
        simulator.start()
    assert ask(simulator.url).status == 200


def test_a_signal_during_the_start_ends_it() -> None:
    """The handler of SIGTERM raises SystemExit, wherever the main thread is.  `--demo` ends then."""
    simulator, ended = Simulator(care_world()), threading.Event()

    def interrupt(frame: FrameType, event: str, _: object) -> None:
        if event == "return" and frame.f_code is Future.result.__code__:
            sys.setprofile(None)
            raise SystemExit

    def start() -> None:
        sys.setprofile(interrupt)
        with pytest.raises(SystemExit):
            simulator.start()
        ended.set()

    threading.Thread(target=start, daemon=True).start()
    assert ended.wait(PATIENCE_SECONDS)
    simulator.stop()


def test_a_stopped_simulator_can_start_again_on_its_port() -> None:
    """An outage of the endpoint, as a client sees it."""
    world = care_world()
    with Simulator(world) as first:
        assert ask(first.url).status == 200
    with Simulator(world, port=urlsplit(first.url).port or 0) as second:
        assert second.url == first.url
        assert ask(second.url).status == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "example.com"])
def test_only_loopback_is_served(host: str) -> None:
    with pytest.raises(ValueError, match=host):
        Simulator(care_world(), host)


def test_localhost_is_one_address() -> None:
    with Simulator(care_world(), "localhost") as simulator:
        assert simulator.url.startswith("http://127.0.0.1:")


def test_an_ipv6_url_has_brackets() -> None:
    if not has_ipv6():
        pytest.skip("no IPv6 loopback on this machine")
    with Simulator(care_world(), "::1") as simulator:
        assert simulator.url.startswith("http://[::1]:")
        assert ask(simulator.url).status == 200


def test_the_limit_holds_under_concurrent_clients(simulator: Simulator) -> None:
    """Forty requests at once: ten are served, the others throttled, and the log shows the same."""
    simulator.world.clock = _Standing()
    with ThreadPoolExecutor(8) as pool:
        codes = [response.document["Code"] for response in pool.map(ask, [simulator.url] * 40)]
    assert (codes.count("OK"), codes.count("Throttling.User")) == (10, 30)
    assert simulator.world.outcomes("care") == {"OK": 10, "Throttling.User": 30}


class _Standing:
    """A clock whose durations stand still, so that all requests fall into one second."""

    def monotonic(self) -> float:
        return 0.0

    def unix(self) -> float:
        return time.time()


class _BareTls:
    """A TLS client over a socket that it writes to itself; the first bytes of `send` go with the end of the
    handshake."""

    def __init__(self, url: str, context: ssl.SSLContext) -> None:
        parts = urlsplit(url)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._session = context.wrap_bio(self._incoming, self._outgoing, server_hostname="127.0.0.1")
        self._socket = socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE_SECONDS)

    def __enter__(self) -> Self:
        while not self._shaken():
            self._socket.sendall(self._outgoing.read())
            self._incoming.write(self._socket.recv(65536))
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._session.write(data)
        self._socket.sendall(self._outgoing.read())

    def receive(self) -> bytes:
        """The next application data; an end of the stream is a failure, not an answer."""
        while True:
            data = self._socket.recv(65536)
            assert data, "the server closed the connection"
            self._incoming.write(data)
            try:
                return self._session.read(65536)
            except ssl.SSLWantReadError:  # session tickets alone
                continue

    def _shaken(self) -> bool:
        try:
            self._session.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True
