"""The connections that are open, and which of them are idle.  The longest idle one makes room."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from exporter.metrics.catalogue import Refusal
from exporter.web.connections.refusals import Refusals


class OpenConnections:
    """The HTTP protocol of each connection with its TCP transport.  Lives in one event loop."""

    def __init__(self, refusals: Refusals) -> None:
        self._refusals = refusals
        self._transports: dict[asyncio.BaseProtocol, asyncio.Transport] = {}
        self._idle: OrderedDict[asyncio.BaseProtocol, None] = OrderedDict()  # the longest idle one first

    def __len__(self) -> int:
        return len(self._transports)

    def add(self, connection: asyncio.BaseProtocol, transport: asyncio.Transport) -> None:
        """`connection` is open and idle."""
        if not transport.is_closing():
            self._transports[connection] = transport
            self._idle[connection] = None

    def remove(self, connection: asyncio.BaseProtocol) -> None:
        """`connection` has ended."""
        self._idle.pop(connection, None)
        self._transports.pop(connection, None)

    def left_idle(self, connection: asyncio.BaseProtocol) -> None:
        """A request of `connection` is being answered."""
        self._idle.pop(connection, None)

    def became_idle(self, connection: asyncio.BaseProtocol) -> None:
        """The answer is out; `connection` may have ended."""
        if connection in self._transports:
            self._idle[connection] = None

    def refuse(self, connection: asyncio.BaseProtocol, reason: Refusal, detail: object) -> None:
        """Count and log that `connection` is refused."""
        transport = self._transports.get(connection)
        address = transport.get_extra_info("peername") if transport is not None else None
        self._refusals.refuse(address[0] if address else None, reason, detail)

    def cut(self, connection: asyncio.BaseProtocol) -> None:
        """End `connection` at once."""
        transport = self._transports.get(connection)
        self.remove(connection)
        if transport is not None:
            transport.abort()

    def cut_longest_idle(self) -> bool:
        """Cut the connection that has been idle longest; False where none is idle."""
        oldest = next(iter(self._idle), None)
        if oldest is None:
            return False
        self.refuse(oldest, Refusal.EVICTED, "idle longest when another one needed its place")
        self.cut(oldest)
        return True

    def cut_idle(self) -> None:
        """Cut every idle connection."""
        for connection in list(self._idle):
            self.cut(connection)
