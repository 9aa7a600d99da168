"""Responses with the headers that all of ours have, and how one is written out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

TEXT = "text/plain; charset=utf-8"

Send = Callable[[web.Response], Awaitable[web.Response]]
"""Writes a response out; returns it once it is written."""

_COMMON_HEADERS = {
    "Cache-Control": "no-store",
    "Server": "cams_exporter",
    "X-Content-Type-Options": "nosniff",
}


def answer(status: int, body: bytes, content_type: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """A response with the common headers; `headers` come on top."""
    return web.Response(
        status=status, body=body, headers={**_COMMON_HEADERS, "Content-Type": content_type, **(headers or {})}
    )


def plain(status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """A response of plain text, ended by a newline."""
    return answer(status, f"{text}\n".encode("utf-8", "replace"), TEXT, headers)


def not_allowed(allowed: str) -> web.Response:
    """The answer to a method that a path does not have."""
    return plain(405, "405 Method Not Allowed", {"Allow": allowed})
