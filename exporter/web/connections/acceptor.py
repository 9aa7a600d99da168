"""Lets peers in: accepts connections, shakes hands where there is TLS, and keeps the number of connections bounded.

asyncio's own server cannot do this: its TLS settings are fixed when it starts, it gives up for a second when file
descriptors run out, it has no limit, and each TLS connection costs it a quarter of a megabyte before a byte has come.
Here each connection gets the TLS context in force at that moment, and a new one beyond the limit takes the place of the
one that has been idle longest, or else of one that does not read its answer; who waits for an answer is left alone.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
from asyncio.sslproto import SSLProtocol
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import cast

from exporter.errors import ConfigError
from exporter.logs import fields
from exporter.web.connections.slow_clients import SlowClients
from exporter.web.security.reloader import WebSecurity
from exporter.web.security.tls import TlsServer

logger = logging.getLogger(__name__)

HANDSHAKE_SECONDS = 10.0
"""A TLS handshake that takes longer is abandoned."""

MIN_CONNECTIONS, MAX_CONNECTIONS = 16, 1024

_GOODBYE_SECONDS = 1.0
"""How long the end of a TLS connection waits for the peer's goodbye."""

_BREATH_SECONDS = 0.01
"""Pause after a failed accept: a closed descriptor is free in the loop's next turn."""

_SILENT_SECONDS = 10.0
"""Between two log lines about failed accepts: a flood must not fill the log."""

_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

ProtocolFactory = Callable[["Peer"], asyncio.BaseProtocol]


def max_connections() -> int:
    """Half of the file descriptors this process may have: the other half is for the API, files and listeners."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(MIN_CONNECTIONS, min(MAX_CONNECTIONS, soft // 2))


class Peer:
    """One connection, from accept to close."""

    __slots__ = ("_acceptor", "_transport", "greeting")

    def __init__(self, acceptor: Acceptor) -> None:
        self._acceptor = acceptor
        self._transport: asyncio.Transport | None = None
        self.greeting: asyncio.Task[None] | None = None

    @property
    def is_connected(self) -> bool:
        """Whether the handshake, if there is one, is done."""
        return self._transport is not None

    def connected(self, transport: asyncio.Transport) -> None:
        """The handshake, if there is one, is done."""
        self._transport = transport

    @contextmanager
    def answered(self) -> Iterator[None]:
        """While the block lasts the peer is not idle; after it, it is the youngest of the idle ones."""
        self._acceptor.left_idle(self)
        try:
            yield
        finally:
            self._acceptor.became_idle(self)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """While the block, in `answered`, lasts the peer may have to make room after all."""
        self._acceptor.became_idle(self)
        try:
            yield
        finally:
            self._acceptor.left_idle(self)

    def cut(self) -> None:
        """End the connection without a word."""
        if self._transport is not None:
            self._transport.abort()
        elif self.greeting is not None:
            self.greeting.cancel()


class _Tls(SSLProtocol):
    """asyncio's TLS between transport and protocol, with a buffer of a TLS record and a little more."""

    max_size = 32 * 1024

    def eof_received(self) -> None:
        """The peer has left without a goodbye.

        Never keeps the transport below open: asyncio would drop what is written from now on, with a warning each time.
        """
        super().eof_received()


class _Lobby(asyncio.Protocol):
    """Where a TLS peer waits until its handshake is done and its certificate seen.

    Only then is a protocol made for it, with its parser: both would be memory that a stalled handshake holds.
    """

    def __init__(self, acceptor: Acceptor, peer: Peer, protocol: ProtocolFactory, tls: TlsServer) -> None:
        self._acceptor = acceptor
        self._peer = peer
        self._protocol = protocol
        self.tls = tls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The peer may come in; one whose certificate has none of the names wanted is cut off before it is heard."""
        secure = cast("asyncio.Transport", transport)
        self._peer.connected(secure)
        if not self.tls.admits(transport.get_extra_info("peercert")):
            logger.debug("client certificate without an allowed name")
            self._peer.cut()
            return
        protocol = self._protocol(self._peer)
        secure.set_protocol(protocol)
        protocol.connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:  # noqa: ARG002 - asyncio's signature
        """A peer that was cut off is gone."""
        self._acceptor.left(self._peer)


class Acceptor:
    """Accepts at listening sockets until stopped.  Lives in one event loop."""

    def __init__(
        self,
        security: WebSecurity,
        protocol: ProtocolFactory,
        limit: int,
        slow_clients: SlowClients,
        handshake_seconds: float = HANDSHAKE_SECONDS,
    ) -> None:
        self._security = security
        self._protocol = protocol
        self._limit = limit
        self._slow_clients = slow_clients
        self._handshake_seconds = handshake_seconds
        self._peers: set[Peer] = set()
        self._idle: OrderedDict[Peer, None] = OrderedDict()
        self._listeners: list[tuple[socket.socket, asyncio.Task[None]]] = []
        self._silent_until = 0.0
        self.departures = 0
        """Connections that have ended."""

    def open(self, listeners: Sequence[socket.socket]) -> None:
        """Begin to accept; the sockets are listening and non-blocking, and belong to the acceptor from now on."""
        for listener in listeners:
            self._listeners.append((listener, asyncio.create_task(self._accept_all(listener))))

    async def close(self) -> None:
        """Stop accepting and cut whoever is still shaking hands; connections stay."""
        tasks = [task for _, task in self._listeners]
        tasks += [peer.greeting for peer in self._peers if peer.greeting is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for listener, _ in self._listeners:
            listener.close()
        self._listeners.clear()

    def left_idle(self, peer: Peer) -> None:
        """`peer` is being answered."""
        self._idle.pop(peer, None)

    def became_idle(self, peer: Peer) -> None:
        """`peer` has got its answer, if it is still there."""
        if peer in self._peers:
            self._idle[peer] = None

    def left(self, peer: Peer) -> None:
        """`peer` is gone."""
        self._peers.discard(peer)
        self._idle.pop(peer, None)
        self.departures += 1

    async def _accept_all(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as error:  # else the peer has left already
                if error.errno in _EXHAUSTED:
                    self._complain(error)
                    self._evict()
                await asyncio.sleep(_BREATH_SECONDS)
            else:
                self._admit(connection)
                await asyncio.sleep(0)  # let it begin, and let others have their turn in a flood

    def _admit(self, connection: socket.socket) -> None:
        """Greet a new connection, in the place of the longest idle one if need be."""
        try:
            tls = self._security.current().tls
        except ConfigError:
            if self._security.tls:
                connection.close()
                return
            tls = None  # access control answers for it
        if len(self._peers) >= self._limit and not self._evict():
            connection.close()
            return
        peer = Peer(self)
        self._peers.add(peer)
        self._idle[peer] = None
        peer.greeting = asyncio.create_task(self._greet(peer, connection, tls))

    async def _greet(self, peer: Peer, connection: socket.socket, tls: TlsServer | None) -> None:
        loop = asyncio.get_running_loop()
        try:
            if tls is None:
                await loop.connect_accepted_socket(lambda: self._protocol(peer), connection)
            else:
                await self._shake_hands(connection, _Lobby(self, peer, self._protocol, tls))
        except OSError as error:  # the handshake failed or took too long; the transport is closed
            logger.debug("no TLS handshake", extra=fields(error=error))
            error.__traceback__ = None  # its frames hold the error: a circle, and memory until a collector finds it
        finally:
            peer.greeting = None
            if not peer.is_connected:
                self.left(peer)

    async def _shake_hands(self, connection: socket.socket, lobby: _Lobby) -> None:
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        transport, _ = await loop.connect_accepted_socket(partial(self._between, lobby, done), connection)
        try:
            await done
        except BaseException:
            transport.abort()
            raise

    def _between(self, lobby: _Lobby, done: asyncio.Future[None]) -> _Tls:
        return _Tls(
            asyncio.get_running_loop(),
            lobby,
            lobby.tls.context,
            done,
            server_side=True,
            ssl_handshake_timeout=self._handshake_seconds,  # type: ignore[arg-type] # typeshed: int; any number will do
            ssl_shutdown_timeout=_GOODBYE_SECONDS,
        )

    def _complain(self, error: OSError) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._silent_until:
            self._silent_until = now + _SILENT_SECONDS
            logger.warning("cannot accept a connection", extra=fields(error=error, connections=len(self._peers)))

    def _evict(self) -> bool:
        """Cut the connection that has been idle longest, or else a slow reader; False where there is neither."""
        if not self._idle:
            return self._slow_clients.give_one_up()
        peer, _ = self._idle.popitem(last=False)
        self._peers.discard(peer)
        peer.cut()
        return True
