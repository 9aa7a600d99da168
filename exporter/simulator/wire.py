"""One connection, written to directly, for answers that aiohttp would not send.  Does not choose the bytes."""

from __future__ import annotations

import asyncio
import socket
import struct

_BUFFER_LIMIT = 1 << 20


class Wire:
    """One connection, written to directly.  If the client disconnects, waiting writes are cancelled."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    async def send(self, data: bytes) -> None:
        """Write, then wait until the client has taken most of it."""
        self._transport.write(data)
        while self._transport.get_write_buffer_size() > _BUFFER_LIMIT:  # noqa: ASYNC110 - a transport has no event for it
            await asyncio.sleep(0.002)

    async def drip(self, data: bytes, bytes_per_second: float) -> None:
        """Write one byte at a time."""
        for place in range(len(data)):
            await asyncio.sleep(1 / bytes_per_second)
            await self.send(data[place : place + 1])

    def reset(self) -> None:
        """End the connection with a RST; unsent data is lost."""
        connection: socket.socket = self._transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()
