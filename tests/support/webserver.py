"""A WebServer on loopback in its own thread, with content of the test, and clients for it."""

from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from exporter.metrics.catalogue import Refusal
from exporter.metrics.exposition import Format
from exporter.reloads import Reloads
from exporter.web.handlers.pages import Fleet
from exporter.web.security.reloader import WebSecurity
from exporter.web.server import Limits, WebServer
from exporter.web.ui.views import LandingInfo
from tests.support.numbers import number
from tests.support.patience import PATIENCE_SECONDS
from tests.support.shown import ShownFleet


@dataclass
class FakeExposer:
    """Answers `body` and records requests; waits for `gate` first, and raises `error` if it is set."""

    body: bytes = b"up 1\n"
    error: Exception | None = None
    calls: list[tuple[Format, bool, frozenset[str]]] = field(default_factory=list)
    gate: threading.Event | None = None
    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def scrape(self, fmt: Format, *, gzip: bool, names: frozenset[str]) -> bytes:
        self.calls.append((fmt, gzip, names))
        body = self.body
        self.entered.release()
        if self.gate is not None:
            assert self.gate.wait(PATIENCE_SECONDS)
        if self.error is not None:
            raise self.error
        return body


@dataclass
class FakeHealth:
    """Returns what the test set."""

    ill: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    def unhealthy(self) -> tuple[str, ...]:
        return self.ill

    def not_ready(self) -> tuple[str, ...]:
        return self.missing


@dataclass(frozen=True)
class Reply:
    """An answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class LeapingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock a test moves, so that deadlines pass without real waits."""

    ahead_seconds = 0.0

    def time(self) -> float:
        return super().time() + self.ahead_seconds

    def pass_seconds(self, seconds: float) -> None:
        """Move the clock, from any thread; on return all due work is done."""

        async def leap() -> None:
            self.ahead_seconds += seconds

        for step in (leap(), asyncio.sleep(0), asyncio.sleep(0)):
            asyncio.run_coroutine_threadsafe(step, self).result(PATIENCE_SECONDS)


class Running:
    """A running server and its loop."""

    def __init__(
        self,
        server: WebServer,
        loop: LeapingLoop,
        urls: list[str],
        refused: list[Refusal],
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._server = server
        self._loop = loop
        self._context = context
        self.urls = urls
        self.refused = refused
        self.host = str(urlsplit(urls[0]).hostname)
        self.port = int(urlsplit(urls[0]).port or 0)

    def over(self, context: ssl.SSLContext) -> Running:
        """The same server over TLS."""
        return Running(self._server, self._loop, self.urls, self.refused, context)

    def get(self, path: str, method: str = "GET", **headers: str) -> Reply:
        """One request on its own connection; `_` in a header's name means `-`."""
        client = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE_SECONDS)
        try:
            client.sock = self.connect()
            client.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers.items():
                client.putheader(name.replace("_", "-"), value)
            client.endheaders()
            response = client.getresponse()
            body = response.read()
            return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, body)
        finally:
            client.close()

    def connect(self) -> socket.socket:
        """A bare connection, for invalid requests."""
        peer = socket.create_connection((self.host, self.port), timeout=PATIENCE_SECONDS)
        if self._context is None:
            return peer
        try:
            return self._context.wrap_socket(peer, server_hostname="localhost")
        except BaseException:
            peer.close()
            raise

    def raw(self, request: bytes) -> bytes:
        """The server's whole answer to bytes, until it closes the connection."""
        with self.connect() as peer:
            peer.sendall(request)
            answer = b""
            while chunk := peer.recv(65536):
                answer += chunk
            return answer

    def pass_seconds(self, seconds: float) -> None:
        """Let that much time pass for the server."""
        self._loop.pass_seconds(seconds)

    def stop(self) -> None:
        """Stop the server, as its owner does."""
        asyncio.run_coroutine_threadsafe(self._server.stop(), self._loop).result(PATIENCE_SECONDS)


@contextmanager
def serving(
    exposer: FakeExposer | None = None,
    health: FakeHealth | None = None,
    *,
    addresses: Sequence[str] = ("127.0.0.1:0",),
    telemetry_path: str = "/metrics",
    max_requests: int = 40,
    landing: LandingInfo | None = None,
    fleet: Fleet | None = None,
    security: WebSecurity | None = None,
    reload: Callable[[], None] | None = None,
    limits: Limits | None = None,
) -> Iterator[Running]:
    """A server for the length of the block."""
    loop = LeapingLoop()
    thread = threading.Thread(target=loop.run_forever, name="web-server-under-test", daemon=True)
    thread.start()
    reloads = Reloads(reload, lambda: None, lambda: None) if reload is not None else None
    if reloads is not None:
        reloads.start()
    refused: list[Refusal] = []
    server = WebServer(
        addresses,
        telemetry_path,
        max_requests,
        exposer or FakeExposer(),
        health or FakeHealth(),
        landing or LandingInfo(version="1.2.3"),
        fleet=fleet or ShownFleet([number()]),
        scraping=nullcontext,
        security=security,
        reload=reloads.ask if reloads is not None else None,
        limits=limits,
        count_refusal=refused.append,
    )
    try:
        urls = asyncio.run_coroutine_threadsafe(server.start(), loop).result(PATIENCE_SECONDS)
        running = Running(server, loop, urls, refused)
        try:
            yield running
        finally:
            running.stop()
    finally:
        if reloads is not None:
            reloads.stop()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE_SECONDS)
        # Connections close in the next turns of the loop: run it until every task has ended.
        while tasks := asyncio.all_tasks(loop):
            loop.run_until_complete(asyncio.wait(tasks))
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def eventually_scraped(server: Running) -> bool:
    """Whether a scrape succeeds soon, after any number of refusals."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with suppress(ConnectionError):
            if server.get("/metrics").status == 200:
                return True
    return False


def drain(peer: socket.socket) -> None:
    """Read until the other end closes or resets the connection."""
    with suppress(OSError):
        while peer.recv(65536):
            pass
