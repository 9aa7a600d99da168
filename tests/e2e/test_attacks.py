"""Under attack from the network: scrapes work, memory and log do not grow, and stalled clients are disconnected.

Every scrape must succeed, even on a busy machine.  The bound for memory is far above the usual value.
"""

from __future__ import annotations

import base64
import contextlib
import os
import random
import re
import resource
import select
import socket
import ssl
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import bcrypt
import trustme

from exporter.simulator import Simulator, World
from tests.support.exporter import ExporterProcess, until
from tests.support.fleet import config, fleet
from tests.support.patience import PATIENCE_SECONDS
from tests.support.pki import TLS_FILES, client_context, server_files

STALLED = 500
PIPELINED = 10_000
GET = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"
HALF_A_HEAD = b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Stalled: y"
HALF_A_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"

NOISE = "level=error|Traceback|logger=(asyncio|aiohttp)"
"""Texts that a client must not be able to cause in the log."""

Connect = Callable[[], socket.socket]


def address(exporter: ExporterProcess) -> tuple[str, int]:
    host, _, port = exporter.target.rpartition(":")
    return host, int(port)


def dialer(exporter: ExporterProcess, context: ssl.SSLContext | None = None) -> Connect:
    """How a client connects."""

    def connect() -> socket.socket:
        peer = socket.create_connection(address(exporter), timeout=PATIENCE_SECONDS)
        return peer if context is None else context.wrap_socket(peer, server_hostname="localhost")

    return connect


def scrape(connect: Connect, times: int = 1) -> None:
    """Whole scrapes, each on a connection of its own; they must succeed."""
    for _ in range(times):
        with connect() as peer:
            peer.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: peer.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer[:200]
        assert b"cams_phone_number_verification_status{" in answer


def resident_mib(exporter: ExporterProcess) -> float:
    status = Path(f"/proc/{exporter.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1]) / 1024


@contextmanager
def stalled(exporter: ExporterProcess, count: int, said: bytes) -> Iterator[list[socket.socket]]:
    """`count` connections that sent these bytes and then stall."""
    with ExitStack() as stack:
        peers = [
            stack.enter_context(socket.create_connection(address(exporter), PATIENCE_SECONDS)) for _ in range(count)
        ]
        for peer in peers:
            with contextlib.suppress(ConnectionError):  # it was closed for a newer one
                peer.sendall(said)
        yield peers


def are_open(peers: Sequence[socket.socket]) -> list[bool]:
    """Which connections the other end has not closed."""
    poll = select.poll()
    for peer in peers:
        poll.register(peer, select.POLLIN | select.POLLRDHUP)
    closed = {number for number, event in poll.poll(0) if event & (select.POLLRDHUP | select.POLLHUP)}
    return [peer.fileno() not in closed for peer in peers]


def still_open(peers: Sequence[socket.socket]) -> int:
    """How many connections the other end has not closed."""
    return sum(are_open(peers))


@contextmanager
def meanwhile(*attacks: Callable[[], object]) -> Iterator[threading.Event]:
    """Each attack runs again and again in its own thread, until the block ends."""
    over = threading.Event()

    def repeat(attack: Callable[[], object]) -> None:
        while not over.is_set():
            with contextlib.suppress(OSError):  # attackers are disconnected
                attack()

    threads = [threading.Thread(target=repeat, args=(attack,)) for attack in attacks]
    for thread in threads:
        thread.start()
    try:
        yield over
    finally:
        over.set()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)


def said_to(connect: Connect, data: bytes) -> bytes:
    """The server's answer to bytes, until it closes the connection."""
    with connect() as peer:
        peer.sendall(data)
        return b"".join(iter(lambda: peer.recv(65536), b""))


def pipelined_answers(connect: Connect, count: int) -> int:
    """How many of `count` requests, sent without waiting, are answered with 200."""
    requests, answers, rest = GET * count, 0, b""
    poll = select.poll()  # not select(): with a thousand peers, descriptors are too large for it
    with connect() as peer:
        peer.setblocking(False)
        while answers < count:
            poll.register(peer, select.POLLIN | (select.POLLOUT if requests else 0))
            ready = [event for _, event in poll.poll(PATIENCE_SECONDS * 1000)]
            assert ready, f"stuck after {answers} answers"
            if ready[0] & select.POLLOUT:
                requests = requests[peer.send(requests) :]
            if ready[0] & ~select.POLLOUT:
                chunk = peer.recv(1 << 20)
                assert chunk, f"closed after {answers} answers"
                found = (rest + chunk).split(b"HTTP/1.1 200 OK")
                answers += len(found) - 1
                rest = found[-1][-15:]
    return answers


def test_under_attack_scrapes_work_memory_is_bounded_and_stalled_clients_are_disconnected(tmp_path: Path) -> None:
    """Over HTTP and TLS at once; usual are +5 MiB of memory over HTTP and +25 MiB over TLS."""
    authority = trustme.CA()
    server_files(tmp_path, authority)
    (tmp_path / "web.yml").write_text(f"tls_server_config: {{{TLS_FILES}}}")
    with (
        ExporterProcess(None, "--demo") as plain,
        ExporterProcess(None, "--demo", f"--web.config.file={tmp_path}/web.yml") as secure,
    ):
        over_http, over_tls = dialer(plain), dialer(secure, client_context(authority))
        scrape(over_http)
        scrape(over_tls)
        before = resident_mib(plain), resident_mib(secure)
        with (
            stalled(plain, STALLED, HALF_A_HEAD) as heads,
            stalled(secure, STALLED, HALF_A_HELLO) as hellos,
        ):
            scrape(over_http, 15)
            scrape(over_tls, 15)
            with meanwhile(
                lambda: said_to(over_http, b"GET / HTTP/1.1\r\nX: " + b"y" * 1_000_000 + b"\r\n\r\n"),
                lambda: said_to(over_http, b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200_000 + b"\r\n"),
                lambda: said_to(over_http, random.randbytes(2000)),
                lambda: pipelined_answers(over_http, 200),
            ):
                scrape(over_http, 15)
            with meanwhile(lambda: said_to(over_tls, b"GET / HTTP/1.1\r\nX: " + b"y" * 1_000_000 + b"\r\n\r\n")):
                scrape(over_tls, 15)
            assert pipelined_answers(over_http, PIPELINED) == PIPELINED
            until(lambda: still_open([*heads, *hellos]) == 0, "who stalled is cut off")
        after = resident_mib(plain), resident_mib(secure)
        assert after[0] - before[0] < 40
        assert after[1] - before[1] < 70
        scrape(over_http)
        for exporter in (plain, secure):
            assert not re.search(NOISE, exporter.log), exporter.log


def cpu_seconds(exporter: ExporterProcess) -> float:
    """Its CPU time so far, in the kernel and outside."""
    fields = Path(f"/proc/{exporter.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_compressed_bodies_are_not_inflated_and_damaged_ones_are_not_logged() -> None:
    """Sixty megabytes in each; to inflate them all takes 15 s of CPU time, to ignore them 0.1 s."""
    packer = zlib.compressobj(wbits=31)
    bomb = packer.compress(bytes(60_000_000)) + packer.flush()
    with ExporterProcess(None, "--demo") as exporter:
        connect = dialer(exporter)
        scrape(connect)
        before = cpu_seconds(exporter)
        for body in [bomb, b"no gzip at all"] * 150:
            with connect() as peer, contextlib.suppress(ConnectionError):
                peer.sendall(
                    b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
                    b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
                )
                assert peer.recv(100).startswith(b"HTTP/1.1 404 ")
        assert cpu_seconds(exporter) - before < 5
        scrape(connect)
        assert not re.search(NOISE, exporter.log), exporter.log


def test_what_is_sent_behind_a_request_takes_no_memory(tmp_path: Path) -> None:
    """The check of a wrong password takes some time, and each peer sends as much as it can."""
    hashed = bcrypt.hashpw(b"right", bcrypt.gensalt(10)).decode()
    (tmp_path / "web.yml").write_text(f'basic_auth_users: {{someone: "{hashed}"}}')
    login = b"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Basic %s\r\n"

    with ExporterProcess(None, "--demo", f"--web.config.file={tmp_path}/web.yml") as exporter:
        connect = dialer(exporter)

        def flood(index: int) -> None:
            behind = (
                b"\r\nGET / HTTP/1.1\r\nX: ",
                b"\r\n",
                b"Content-Length: 999999999\r\n\r\n",
                b"Content-Length: 9\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            )[index % 4]
            with connect() as peer, contextlib.suppress(ConnectionError):
                peer.sendall(login % base64.b64encode(b"someone:%d" % index) + behind)
                while True:
                    peer.sendall(b"y" * 500_000 + b"\r\n\r\n")

        said_to(connect, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        before = resident_mib(exporter)
        with ThreadPoolExecutor(32) as strangers:
            list(strangers.map(flood, range(64)))
        assert resident_mib(exporter) < before * 1.2
        assert not re.search(NOISE, exporter.log), exporter.log


def test_answers_that_nobody_reads_take_bounded_memory_which_the_image_gives_back() -> None:
    """Forty different answers of 7 MB each; scrapes still work.  The settings of malloc are the container's."""
    image = dict(re.findall(r"(MALLOC_\w+)=(\S+)", (Path(__file__).parents[2] / "Dockerfile").read_text()))
    world = World()
    section = fleet(world, 10_000)
    with (
        Simulator(world) as simulator,
        ExporterProcess(config(simulator.url, [section]), env=image) as exporter,
        ExitStack() as stack,
    ):
        connect = dialer(exporter)
        scrape(connect)
        before = resident_mib(exporter)
        for index in range(60):
            peer = stack.enter_context(socket.socket())
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.settimeout(PATIENCE_SECONDS)
            peer.connect(address(exporter))
            peer.sendall(b"GET /metrics?%d HTTP/1.1\r\nHost: x\r\n\r\n" % index)
            assert peer.recv(1) == b"H"  # each is being sent, so no answer is shared
        assert resident_mib(exporter) - before < 150
        scrape(connect)
        stack.close()
        until(lambda: resident_mib(exporter) < before * 1.4, "the memory is given back")


def test_a_second_crowd_of_stalled_heads_takes_no_more_memory_than_the_first() -> None:
    """Sixty kilobytes each, as many at once as there are places."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with ExporterProcess(None, "--demo") as exporter:
            connect = dialer(exporter)
            scrape(connect)
            before = resident_mib(exporter)
            after = []
            for _ in range(3):
                with ExitStack() as stack:
                    for _ in range(1500):
                        with contextlib.suppress(ConnectionError):  # the oldest are closed
                            stack.enter_context(connect()).sendall(HALF_A_HEAD + b"y" * 60_000)
                    scrape(connect)
                    after.append(resident_mib(exporter))
            assert after[0] > before * 1.3, "they take memory, else nothing is shown"
            assert after[2] < after[0] * 1.2
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_scrapes_beyond_the_limit_are_refused_and_the_flag_is_named() -> None:
    with ExporterProcess(None, "--demo", "--web.max-requests=1") as exporter, ThreadPoolExecutor(10) as clients:

        def refusals() -> list[bytes]:
            return [body for status, body, _ in clients.map(lambda _: exporter.get(), range(10)) if status == 503]

        refused = until(refusals, "some of ten scrapes at once are refused")
        assert b"--web.max-requests" in refused[0]
        assert exporter.get()[0] == 200


def test_with_256_file_descriptors_and_300_stalled_peers_a_scrape_still_works() -> None:
    """Half of the descriptors are for peers.  A new connection replaces the one that was idle longest."""
    with ExporterProcess(None, "--demo", prefix=["prlimit", "--nofile=256:256"]) as exporter:
        connect = dialer(exporter)
        with stalled(exporter, 300, HALF_A_HEAD) as peers:
            scrape(connect, 15)
            until(lambda: still_open(peers) < 128, "some have made room")
            until(lambda: (known := are_open(peers)) == sorted(known), "the oldest went first")
            assert len(list(Path(f"/proc/{exporter.process.pid}/fd").iterdir())) < 220
        assert "level=error" not in exporter.log


def test_when_file_descriptors_run_out_scrapes_go_on_and_the_log_says_so_once() -> None:
    """Too few descriptors are left even for the smallest number of connections: the longest idle one is closed."""
    world = World()
    section = fleet(world, 2)
    with Simulator(world) as simulator, ExporterProcess(config(simulator.url, [section])) as exporter:
        connect, pid = dialer(exporter), exporter.process.pid
        until(lambda: exporter.get("/-/ready")[0] == 200, "the connection to the API is made")
        used = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 8, used + 8))
        with stalled(exporter, 60, HALF_A_HEAD) as peers:
            scrape(connect, 5)
            until(lambda: still_open(peers) <= 16, "the others had to go")  # some of those used were being closed
        exporter.logged("cannot accept a connection")
        assert exporter.log.count("cannot accept a connection") == 1
        assert "level=error" not in exporter.log
