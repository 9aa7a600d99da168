"""An API endpoint that costs almost nothing: it always answers VERIFIED, over kept-alive connections.

    python -m benchmarks.endpoint [CERTIFICATE_AND_KEY]

Runs as its own process.  It does not check signatures or limits as the simulator does: at a thousand requests a second
the benchmark would measure these checks.  Says ``serving URL`` once it serves; ends on SIGTERM.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import signal
import ssl
import sys
from typing import cast

_NUMBER = re.compile(rb"PhoneNumber=(\d+)")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_BODY = (
    b'{"RequestId":"%s","Code":"OK","Message":"None",'
    b'"Data":{"PhoneNumber":"%s","Id":"1%s","CodeVerificationStatus":"VERIFIED"}}'
)
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json;charset=utf-8\r\nContent-Length: %d\r\n\r\n"


_served = itertools.count()


class Endpoint(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n") + 4) >= 4:
            head = self._received[:end]
            length = _LENGTH.search(head)
            end += int(length[1]) if length else 0
            if len(self._received) < end:
                return
            self._received = self._received[end:]
            self._transport.write(_answer(head))


def _answer(head: bytes) -> bytes:
    number = _NUMBER.search(head)
    digits = number[1] if number else b"0"
    body = _BODY % (b"01B2C3D4-E5F6-7890-ABCD-%012d" % next(_served), digits, digits)
    return _HEAD % len(body) + body


async def _serve(certificate: str | None) -> None:
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Endpoint, "127.0.0.1", 0, ssl=context, backlog=1024)
    scheme = "http" if context is None else "https"
    print(f"serving {scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1] if len(sys.argv) > 1 else None))
