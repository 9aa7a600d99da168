"""Serves a world on loopback, HTTP or HTTPS, from its own thread.  Does not decide answers (see `gateway`).

It serves only the CAMS endpoint and, if enabled, the control surface (see `control`).
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from types import TracebackType
from typing import Self, cast

from aiohttp import web

from exporter.simulator import control
from exporter.simulator.gateway import decide
from exporter.simulator.messages import Reply, Request
from exporter.simulator.stall_selector import StallSelector
from exporter.simulator.wire import Wire
from exporter.simulator.world import World

STOP_SECONDS = 0.1
"""When the server stops, requests in flight may take this long to end."""

BACKLOG = 1024


class Simulator:
    """A world served on a socket; usable as a context manager.

    `host` must be a loopback address, else ValueError.  Port 0 picks a free one.  `with_control` serves
    ``/_simulator/`` too.  `connections` counts the connections accepted since the start.
    """

    def __init__(
        self,
        world: World,
        host: str = "127.0.0.1",
        port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
        *,
        with_control: bool = False,
    ) -> None:
        host = "127.0.0.1" if host == "localhost" else host  # two addresses would get two different free ports
        if not ipaddress.ip_address(host).is_loopback:
            raise ValueError(f"{host} is no loopback address")
        self.world = world
        self.connections = 0
        self._host = host
        self._port = port
        self._ssl_context = ssl_context
        self._with_control = with_control
        self._url = ""
        self._stall_selector: StallSelector
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    @property
    def url(self) -> str:
        """The base URL, ``http://127.0.0.1:PORT``; empty before the start."""
        return self._url

    def start(self) -> str:
        """Serve until `stop`; returns the base URL.

        Raises OSError if the port is taken, RuntimeError if the simulator is running.
        """
        if self._thread is not None:
            raise RuntimeError("the simulator is running")
        started: Future[str] = Future()
        thread = threading.Thread(target=self._run, args=(started,), name="cams-simulator", daemon=True)
        self._thread = thread
        thread.start()
        try:
            self._url = started.result()
        except Exception:
            self._thread = None
            thread.join()
            raise  # after a SystemExit, which a signal raises, the thread still serves: joining it would never end
        return self._url

    def stop(self) -> None:
        """Stop serving, and abort requests in flight.  No effect if the simulator is not running."""
        thread, self._thread = self._thread, None
        if thread is not None and self._loop is not None and self._stopping is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self, started: Future[str]) -> None:
        try:
            with asyncio.Runner(loop_factory=self._new_loop) as runner:
                runner.run(self._serve(started))
        except Exception as error:
            if started.done():
                raise
            started.set_exception(error)  # `start` raises it

    def _new_loop(self) -> asyncio.AbstractEventLoop:
        self._stall_selector = StallSelector(self.world.clock.monotonic)
        return asyncio.SelectorEventLoop(self._stall_selector)

    async def _serve(self, started: Future[str]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        handlers = web.Server(self._handle, handler_cancellation=True, access_log=None)
        server = await self._loop.create_server(lambda: self._accept(handlers), self._host, self._port, backlog=BACKLOG)
        host, port = server.sockets[0].getsockname()[:2]
        scheme = "https" if self._ssl_context else "http"
        started.set_result(f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}")
        await self._stopping.wait()
        server.close()
        handlers.pre_shutdown()
        await handlers.shutdown(STOP_SECONDS)

    def _accept(self, handlers: web.Server) -> asyncio.BaseProtocol:
        self.connections += 1
        if self._ssl_context is None:
            return handlers()
        return _TlsConnection(handlers, self._ssl_context, self.world.handshake_seconds)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        message = Request(
            request.method,
            request.raw_path,
            {name.lower(): value for name, value in request.headers.items()},
            await request.read(),
            self._stall_selector.since,
        )
        if self._with_control and message.path.startswith(control.PREFIX):
            return _polite(control.answer(self.world, message))
        jitter_seconds = self.world.draw_jitter()
        if jitter_seconds:
            await asyncio.sleep(jitter_seconds)
            message = replace(message, since=None if message.since is None else message.since + jitter_seconds)
        decision = decide(self.world, message)
        if decision.delay_seconds:
            await asyncio.sleep(decision.delay_seconds)
        if decision.fault is None:
            return _polite(decision.reply)
        wire = Wire(cast(asyncio.Transport, request.transport))
        reply = await decision.fault.play(wire, decision.reply)
        return _polite(reply) if reply else _Spent()


def _polite(reply: Reply) -> web.Response:
    response = web.Response(status=reply.status, body=reply.body, headers=reply.headers)
    if reply.close:
        response.force_close()
    return response


class _Spent(web.Response):
    """Stands for an answer that a fault already wrote to the connection; the connection ends after it."""

    async def prepare(self, request: web.BaseRequest) -> None:  # noqa: ARG002 - the signature is aiohttp's
        return None

    async def write_eof(self, data: bytes = b"") -> None:  # noqa: ARG002 - the signature is aiohttp's
        return None


class _TlsConnection(asyncio.Protocol):
    """A connection that delays its TLS handshake; after that it belongs to the HTTP protocol."""

    def __init__(self, make_http: Callable[[], asyncio.Protocol], tls: ssl.SSLContext, delay_seconds: float) -> None:
        self._make_http = make_http
        self._tls = tls
        self._delay_seconds = delay_seconds
        self._early = bytearray()
        self._lost = False
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        plain = cast("asyncio.Transport", transport)
        self._task = asyncio.get_running_loop().create_task(self._shake_hands(plain))

    def data_received(self, data: bytes) -> None:
        self._early += data  # a request that came with the end of the handshake

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the signature is asyncio's
        self._lost = True

    async def _shake_hands(self, plain: asyncio.Transport) -> None:
        # The client's hello must go to the TLS layer, which does not exist yet.  Not in `connection_made`: Python
        # before 3.11.4 starts to read after it anyway.
        plain.pause_reading()
        loop = asyncio.get_running_loop()
        try:
            await asyncio.sleep(self._delay_seconds)
            encrypted = await loop.start_tls(plain, self, self._tls, server_side=True)
        except OSError:  # ssl.SSLError is one: the client went away, or refused the certificate
            plain.abort()
        except asyncio.CancelledError:
            plain.abort()
            raise
        else:
            if encrypted is not None and not self._lost:
                self._hand_over(encrypted)

    def _hand_over(self, encrypted: asyncio.Transport) -> None:
        http = self._make_http()
        http.connection_made(encrypted)
        encrypted.set_protocol(http)
        if self._early:
            http.data_received(bytes(self._early))
