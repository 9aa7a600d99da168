"""Responses with the common headers, and bodies that are written in pieces."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

TEXT = "text/plain; charset=utf-8"

Send = Callable[[web.Response], Awaitable[web.Response]]
"""Writes a response out; returns it once it is written."""

PIECE_BYTES = 64 * 1024
"""A longer body is written in pieces of this size, each one when the client has read most of those before."""

_COMMON_HEADERS = {
    "Cache-Control": "no-store",
    "Server": "cams_exporter",
    "X-Content-Type-Options": "nosniff",
}


class Pieces:
    """A body that is written piece by piece, so that clients which do not read take no copy of it."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.taken = 0
        """Bytes that have been written out."""

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> memoryview:
        """The next piece, after other tasks had their turn: a fast client would not let them."""
        await asyncio.sleep(0)
        piece = memoryview(self.body)[self.taken : self.taken + PIECE_BYTES]
        if not piece:
            raise StopAsyncIteration
        self.taken += len(piece)
        return piece


def answer(
    status: int, body: bytes | Pieces, content_type: str, headers: Mapping[str, str] | None = None
) -> web.Response:
    """A response with the common headers and `headers`."""
    all_headers = {**_COMMON_HEADERS, "Content-Type": content_type, **(headers or {})}
    if isinstance(body, Pieces):
        all_headers["Content-Length"] = str(len(body.body))
    return web.Response(status=status, body=body, headers=all_headers)


def plain(status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """A response of plain text, ended by a newline."""
    return answer(status, f"{text}\n".encode("utf-8", "replace"), TEXT, headers)


def not_allowed(allowed: str) -> web.Response:
    """The answer to a method that the path does not support."""
    return plain(405, "405 Method Not Allowed", {"Allow": allowed})
