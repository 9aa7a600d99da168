"""Read the head of an HTTP answer, and skip the interim ones before it.

Source: RFC 9110, 15.2: a client must expect any number of 1xx answers before the final one.
"""

from __future__ import annotations

import http.client

MAX_INTERIM = 16
"""No server has more to say before its answer."""


class FinalResponse(http.client.HTTPResponse):
    """As http.client's, which by itself skips 100 and takes 102 or 103 for the answer."""

    def begin(self) -> None:
        """Read until the head of the final answer; 101 is one: nobody asked to change protocols."""
        for _ in range(MAX_INTERIM + 1):
            super().begin()
            if not 100 <= self.status < 200 or self.status == http.client.SWITCHING_PROTOCOLS:
                return
            self.headers = None  # type: ignore[assignment] # which is how it is before the first head
        raise http.client.HTTPException("too many interim answers")
