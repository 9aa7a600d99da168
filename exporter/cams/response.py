"""Read an HTTP answer as http.client does, where it falls short of the standard.

Source: RFC 9110, 15.2: a client must expect any number of 1xx answers before the final one; 9.3.6: an answer that
accepts a CONNECT has no body, and the connection becomes the tunnel.
"""

from __future__ import annotations

import http.client
import socket

MAX_INTERIM = 16
"""No server has more to say before its answer."""


class FinalResponse(http.client.HTTPResponse):
    """As http.client's, which by itself skips 100 and takes 102 or 103 for the answer."""

    def __init__(self, sock: socket.socket, debuglevel: int = 0, method: str | None = None, url: str | None = None):
        super().__init__(sock, debuglevel, method, url)
        self._may_open_tunnel = method == "CONNECT"

    def begin(self) -> None:
        """Read until the head of the final answer; 101 is one: nobody asked to change protocols."""
        for _ in range(MAX_INTERIM + 1):
            super().begin()
            if not 100 <= self.status < 200 or self.status == http.client.SWITCHING_PROTOCOLS:
                break
            self.headers = None  # type: ignore[assignment] # which is how it is before the first head
        else:
            raise http.client.HTTPException("too many interim answers")
        if self._may_open_tunnel and 200 <= self.status < 300:
            self.length, self.chunked, self.will_close = 0, False, False

    def read(self, amt: int | None = None) -> bytes:
        """As http.client's, which does not tell a bounded read that the connection ended early."""
        body = super().read(amt)
        if amt is not None and len(body) < amt and self.length:
            raise http.client.IncompleteRead(body, self.length)
        return body
