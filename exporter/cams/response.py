"""Read an HTTP answer as http.client does, and four things that it does not do.

Source: RFC 9110, 15.2: a client must expect any number of 1xx answers before the final one; 9.3.6: a 2xx answer to
CONNECT has no body, the connection becomes the tunnel.
"""

from __future__ import annotations

import http.client
import io
import math
import socket

MAX_HEAD_BYTES = 16 << 10
"""The heads of one answer, those of interim answers included.  More than any server sends: http.client accepts 6 MB,
and parses some for seconds, in which no other thread runs."""


class _Reader(io.BufferedReader):
    """Reads an answer; its lines may have at most `bytes_left` bytes."""

    bytes_left: float = MAX_HEAD_BYTES

    def readline(self, size: int | None = -1, /) -> bytes:
        """As of any reader.  Raises HTTPException if the lines are too long."""
        line = super().readline(size)
        self.bytes_left -= len(line)
        if self.bytes_left < 0:
            raise http.client.HTTPException("the head is too long")
        return line


class FinalResponse(http.client.HTTPResponse):
    """As http.client's, which skips 100 only, and takes 102 or 103 for the final answer."""

    def __init__(self, sock: socket.socket, debuglevel: int = 0, method: str | None = None, url: str | None = None):
        super().__init__(sock, debuglevel, method, url)
        self.fp = self._reader = _Reader(self.fp.detach())
        self._may_open_tunnel = method == "CONNECT"

    def begin(self) -> None:
        """Read the head of the final answer.  101 counts as final: we never ask to change protocols."""
        super().begin()
        while 100 <= self.status < 200 and self.status != http.client.SWITCHING_PROTOCOLS:
            self.headers = None  # type: ignore[assignment] # as before the first head
            super().begin()
        self._reader.bytes_left = math.inf  # chunks and trailers have lines too
        if self._may_open_tunnel and 200 <= self.status < 300:
            self.length, self.chunked, self.will_close = 0, False, False

    def read(self, amt: int | None = None) -> bytes:
        """As http.client's, which does not say that the connection ended early if `amt` is given."""
        body = super().read(amt)
        if amt is not None and len(body) < amt and self.length:
            raise http.client.IncompleteRead(body, self.length)
        return body
