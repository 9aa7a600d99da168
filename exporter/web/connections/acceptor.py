"""Accepts connections, encrypts them where there is TLS, and keeps their number bounded.

Not aiohttp's sites or asyncio's server: their TLS settings are fixed when they start, they stop accepting for a second
when file descriptors run out, and they have no limit.  Here each connection gets the TLS settings in force at that
moment.  A new connection beyond the limit takes the place of the one that is idle longest, or else of a client that
does not read its answer.  A client that waits for an answer keeps its connection.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import socket
from collections.abc import Callable, Sequence

from exporter.errors import ConfigError
from exporter.metrics.catalogue import Refusal
from exporter.web.connections.connection import HEAD_SECONDS, Connection
from exporter.web.connections.open_connections import OpenConnections
from exporter.web.connections.refusals import Refusals
from exporter.web.connections.slow_clients import SlowClients
from exporter.web.connections.tls_transport import TlsTransport
from exporter.web.security.reloader import WebSecurity

MIN_CONNECTIONS, MAX_CONNECTIONS = 16, 1024

RETRY_SECONDS = 0.01
"""Pause after a failed accept: a closed descriptor is free in the next turn of the loop."""

_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


def max_connections() -> int:
    """Half of the file descriptors this process may have: the other half is for the API, files and listeners."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(MIN_CONNECTIONS, min(MAX_CONNECTIONS, soft // 2))


class Acceptor:
    """Accepts at listening sockets until closed.  Lives in one event loop.

    `serve` makes aiohttp's protocol for a connection; at most `limit` connections are open at a time.
    """

    def __init__(
        self,
        security: WebSecurity,
        serve: Callable[[], asyncio.Protocol],
        limit: int,
        slow_clients: SlowClients,
        refusals: Refusals,
        head_seconds: float = HEAD_SECONDS,
    ) -> None:
        self._security = security
        self._serve = serve
        self._limit = limit
        self._slow_clients = slow_clients
        self._refusals = refusals
        self._head_seconds = head_seconds
        self._listeners: list[tuple[socket.socket, asyncio.Task[None]]] = []
        self.connections = OpenConnections(refusals)

    def open(self, listeners: Sequence[socket.socket]) -> None:
        """Begin to accept; the sockets are listening and non-blocking, and belong to the acceptor from now on."""
        for listener in listeners:
            self._listeners.append((listener, asyncio.create_task(self._accept_all(listener))))

    async def close(self) -> None:
        """Stop accepting and cut idle connections; those that are being answered stay."""
        tasks = [task for _, task in self._listeners]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for listener, _ in self._listeners:
            listener.close()
        self._listeners.clear()
        self.connections.cut_idle()

    async def _accept_all(self, listener: socket.socket) -> None:
        while True:
            try:
                await self._accept(listener)
            except Exception as error:  # noqa: BLE001 - whatever it is, the next connection must be accepted
                self._refusals.log(logging.ERROR, "failed", "a connection could not be served", error=repr(error))
                await asyncio.sleep(RETRY_SECONDS)

    async def _accept(self, listener: socket.socket) -> None:
        try:
            client, address = await asyncio.get_running_loop().sock_accept(listener)
        except OSError as error:  # else the client has left already
            if error.errno in _EXHAUSTED:
                text, open_now = "cannot accept a connection", len(self.connections)
                self._refusals.log(logging.WARNING, "exhausted", text, error=error, connections=open_now)
                self._evict()
            await asyncio.sleep(RETRY_SECONDS)
            return
        try:
            await self._take(client, str(address[0]))
        except BaseException:
            client.close()
            raise

    async def _take(self, client: socket.socket, remote: str) -> None:
        """Serve a new connection, in the place of the longest idle one if need be."""
        try:
            tls = self._security.current().tls
        except ConfigError:
            if self._security.tls:
                self._refusals.refuse(remote, Refusal.BROKEN_CONFIG, "nobody is served until it is fixed")
                client.close()
                return
            tls = None  # the answers say that it is broken
        if len(self.connections) >= self._limit and not self._evict():
            self._refusals.refuse(remote, Refusal.TOO_MANY, "all are being answered")
            client.close()
            return
        connection = Connection(self._serve, self.connections, self._head_seconds)
        protocol = connection if tls is None else TlsTransport(tls, connection)
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, client)
        self.connections.add(connection, transport)

    def _evict(self) -> bool:
        """Cut the connection that has been idle longest, or else a slow reader; False where there is neither."""
        if self.connections.cut_longest_idle():
            return True
        if self._slow_clients.give_one_up():
            self._refusals.refuse(None, Refusal.EVICTED, "did not read its answer when another one needed its place")
            return True
        return False
