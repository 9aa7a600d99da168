"""Read an HTTP answer as http.client does, and three things that it does not do.

Source: RFC 9110, 15.2: a client must expect any number of 1xx answers before the final one; 9.3.6: a 2xx answer to
CONNECT has no body, the connection becomes the tunnel.
"""

from __future__ import annotations

import http.client
import socket

MAX_INTERIM = 16
"""More interim answers than any server sends."""


class FinalResponse(http.client.HTTPResponse):
    """As http.client's, which skips 100 only, and takes 102 or 103 for the final answer."""

    def __init__(self, sock: socket.socket, debuglevel: int = 0, method: str | None = None, url: str | None = None):
        super().__init__(sock, debuglevel, method, url)
        self._may_open_tunnel = method == "CONNECT"

    def begin(self) -> None:
        """Read the head of the final answer.  101 counts as final: we never ask to change protocols."""
        for _ in range(MAX_INTERIM + 1):
            super().begin()
            if not 100 <= self.status < 200 or self.status == http.client.SWITCHING_PROTOCOLS:
                break
            self.headers = None  # type: ignore[assignment] # as before the first head
        else:
            raise http.client.HTTPException("too many interim answers")
        if self._may_open_tunnel and 200 <= self.status < 300:
            self.length, self.chunked, self.will_close = 0, False, False

    def read(self, amt: int | None = None) -> bytes:
        """As http.client's, which does not say that the connection ended early if `amt` is given."""
        body = super().read(amt)
        if amt is not None and len(body) < amt and self.length:
            raise http.client.IncompleteRead(body, self.length)
        return body
