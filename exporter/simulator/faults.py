"""Wrong answers.  Each fault is a value that plays itself on one connection.  Does not choose requests (see `world`).

A fault gets the correct reply.  It returns another reply, which is sent in the normal way, or it writes to the
connection itself and ends it.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from exporter.simulator.messages import Reply, json_reply
from exporter.simulator.wire import Wire

HOSTILE_TEXT = 'a"b\\c\r\nd{e="f"} 1\n# HELP x y\n<script>alert(1)</script>\x00\x1b[31m\u2028\U0001f4a3'
"""Quotes, newlines, terminal escapes, markup, exposition format, a NUL."""

_CHUNK = b"a" * 65536

_GRANTED = ("Data", "PhoneNumbers", "Success", "TotalCount")
"""Fields of a successful answer; an error answer does not have them."""

Play = Callable[[Wire, Reply], Awaitable[Reply | None]]
"""Takes the correct reply; returns another one to send, or None to end the connection."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of wrong answer; `name` is the outcome in the log of arrivals."""

    name: str
    play: Play


def _instead(name: str, alter: Callable[[Reply], Reply]) -> Fault:
    async def play(_wire: Wire, reply: Reply) -> Reply:
        return alter(reply)

    return Fault(name, play)


def _body(name: str, body: bytes, status: int = 200, content_type: str = "application/json") -> Fault:
    return _instead(name, lambda _reply: Reply(status, name, body, {"Content-Type": content_type}))


def edited(name: str, edit: Callable[[dict[str, Any]], object]) -> Fault:
    """The correct document, changed by `edit`."""

    def alter(reply: Reply) -> Reply:
        document = json.loads(reply.body)
        edit(document)
        return replace(reply, body=json.dumps(document).encode())

    return _instead(name, alter)


# The connection


def reset(*, after_bytes: int = 0) -> Fault:
    """A RST after that many bytes of the answer."""

    async def play(wire: Wire, reply: Reply) -> None:
        if after_bytes:
            await wire.send(reply.encode()[:after_bytes])
            await asyncio.sleep(0.05)  # a RST overtakes bytes that are still in flight
        wire.reset()

    return Fault("reset", play)


def close() -> Fault:
    """The connection closed without a byte of answer."""

    async def play(_wire: Wire, _reply: Reply) -> None:
        return None

    return Fault("close", play)


def hang(seconds: float = 3600.0) -> Fault:
    """No byte for that time, then the correct answer."""

    async def play(_wire: Wire, reply: Reply) -> Reply:
        await asyncio.sleep(seconds)
        return reply

    return Fault("hang", play)


def drip_headers(bytes_per_second: float = 1.0) -> Fault:
    """The whole answer, head first, a byte at a time."""

    async def play(wire: Wire, reply: Reply) -> None:
        await wire.drip(reply.encode(), bytes_per_second)

    return Fault("drip_headers", play)


def drip_body(bytes_per_second: float = 1.0) -> Fault:
    """The head at once, the body a byte at a time."""

    async def play(wire: Wire, reply: Reply) -> None:
        await wire.send(reply.encode()[: -len(reply.body)])
        await wire.drip(reply.body, bytes_per_second)

    return Fault("drip_body", play)


def truncated(missing_bytes: int = 10) -> Fault:
    """The connection closed before the last bytes of Content-Length."""

    async def play(wire: Wire, reply: Reply) -> None:
        await wire.send(reply.encode()[:-missing_bytes])

    return Fault("truncated", play)


def overlong(extra_bytes: int = 100) -> Fault:
    """More body than Content-Length says, on a connection that should stay open."""

    async def play(wire: Wire, reply: Reply) -> None:
        await wire.send(reply.encode() + b"x" * extra_bytes)

    return Fault("overlong", play)


def huge(megabytes: int = 200) -> Fault:
    """A valid answer with a Message of that size, streamed."""

    async def play(wire: Wire, _reply: Reply) -> None:
        head, tail = b'{"Code":"OK","Message":"', b'"}'
        chunks = megabytes * (1 << 20) // len(_CHUNK)
        length = len(head) + chunks * len(_CHUNK) + len(tail)
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % length)
        await wire.send(head)
        for _ in range(chunks):
            await wire.send(_CHUNK)
        await wire.send(tail)

    return Fault("huge", play)


def raw(data: bytes) -> Fault:
    """Exactly these bytes, then the end of the connection."""

    async def play(wire: Wire, _reply: Reply) -> None:
        await wire.send(data)

    return Fault("raw", play)


def connection_close() -> Fault:
    """The correct answer with ``Connection: close``."""
    return _instead("connection_close", lambda reply: replace(reply, close=True))


# The HTTP answer


def html(status: int = 200) -> Fault:
    """A page, as a proxy or a captive portal sends it."""
    return _body(f"html_{status}", b"<html><body><h1>It works</h1></body></html>", status, "text/html")


def bare(status: int = 502) -> Fault:
    """An HTTP status with no body."""
    return _body(f"bare_{status}", b"", status, "text/plain")


def codeless(status: int = 500) -> Fault:
    """An HTTP error whose JSON has no Code."""
    return _body(f"codeless_{status}", b'{"message":"Internal Server Error"}', status)


def redirect(location: str = "/", status: int = 302) -> Fault:
    """A redirect, by default to the endpoint itself."""
    return _instead("redirect", lambda _reply: Reply(status, "redirect", b"", {"Location": location}))


def gzip_bomb(megabytes: int = 200) -> Fault:
    """A small compressed body that unpacks to that size."""
    packer = zlib.compressobj(wbits=31, strategy=zlib.Z_RLE)  # 31: with gzip's header
    parts = [packer.compress(b'{"Code":"OK","Message":"')]
    parts += [packer.compress(_CHUNK) for _ in range(megabytes * (1 << 20) // len(_CHUNK))]
    packed = b"".join([*parts, packer.compress(b'"}'), packer.flush()])
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    return _instead("gzip_bomb", lambda _reply: Reply(200, "gzip_bomb", packed, headers))


def error(status: int, code: str, message: str = "Simulated.") -> Fault:
    """An error in the documented shape, with any Code and HTTP status."""

    def alter(reply: Reply) -> Reply:
        document = {key: value for key, value in json.loads(reply.body).items() if key not in _GRANTED}
        headers = {name: value for name, value in reply.headers.items() if name.lower() != "content-type"}
        return json_reply(status, code, {**document, "Code": code, "Message": message}, headers)

    return _instead(code, alter)


def unknown_codes(status: int = 400) -> Fault:
    """A different error code each time: ``Simulated.Unknown.0``, ``Simulated.Unknown.1`` and so on."""
    numbers = count()

    def alter(reply: Reply) -> Reply:
        return json_reply(
            status, "unknown_codes", {**json.loads(reply.body), "Code": f"Simulated.Unknown.{next(numbers)}"}
        )

    return _instead("unknown_codes", alter)


# The document


def invalid_utf8() -> Fault:
    """JSON, but with bytes that are not UTF-8."""
    return _body("invalid_utf8", b'{"Code":"OK","Message":"\xff\xfe\x80","Data":{"CodeVerificationStatus":"\xc3\x28"}}')


def nested(depth: int = 100_000) -> Fault:
    """Nested lists, too deep for a recursive parser."""
    return _body("nested", b"[" * depth + b"]" * depth)


def wrong_types() -> Fault:
    """Every field with a wrong JSON type."""
    document = {"RequestId": 1, "Code": ["OK"], "Message": {}, "Data": [{"CodeVerificationStatus": True, "Id": None}]}
    return _body("wrong_types", json.dumps(document).encode())


def null_data() -> Fault:
    """Code OK with a Data of null."""
    return edited("null_data", lambda document: document.update(Data=None))


def status(value: Any) -> Fault:
    """A verification status of that value: unknown, hostile (`HOSTILE_TEXT`), long, empty, or not a string."""
    data = {"PhoneNumber": "1", "Id": "1", "CodeVerificationStatus": value}
    return edited("status", lambda document: document.update(Code="OK", Data=data))


def message(text: str = HOSTILE_TEXT, code: str = "InvalidParameter.PhoneNumber") -> Fault:
    """An error with that message."""
    return error(400, code, text)
