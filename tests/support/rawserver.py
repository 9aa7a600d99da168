"""A loopback server that a test scripts byte by byte, for faults of servers."""

from __future__ import annotations

import contextlib
import functools
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

import trustme

from tests.support.patience import PATIENCE_SECONDS

ANSWER: Mapping[str, object] = {
    "RequestId": "90E63D28-E31D-1EB2-8939-A94866411B2D",
    "Code": "OK",
    "Message": "None",
    "Data": {"PhoneNumber": "8613900001234", "Id": "2224342624", "CodeVerificationStatus": "VERIFIED"},
}
"""A success as in the API's reference."""


@functools.cache
def authority() -> trustme.CA:
    """A certificate authority for this test process."""
    return trustme.CA()


def tls_context(*names: str) -> ssl.SSLContext:
    """A server's context with a certificate of `authority` for `names`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert(*names).configure_cert(context)
    return context


def http(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    """An HTTP answer; an underscore in a header's name means a hyphen."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join((*lines, "", "")).encode("latin-1") + body


def ok(payload: object = ANSWER, **headers: str) -> bytes:
    """A 200 with `payload` as JSON."""
    return http(json.dumps(payload).encode(), **headers)


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket, server: RawServer) -> None:
        self.sock = sock
        self._server = server
        self._buffer = b""

    def read_request(self) -> bytes:
        """The next request's head; empty at the end of the connection."""
        while b"\r\n\r\n" not in self._buffer:
            data = self.sock.recv(65536)
            if not data:
                return b""
            self._buffer += data
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        self._server.requests.append(head)
        return head

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def drip(self, data: bytes, pause: float = 0.05) -> None:
        """Byte by byte, until the client disconnects."""
        for offset in range(len(data)):
            self.send(data[offset : offset + 1])
            if self._server.stopping.wait(pause):
                return

    def hang(self) -> None:
        """Send nothing until the server stops or the client disconnects."""
        with contextlib.suppress(OSError):
            while not self._server.stopping.is_set() and self.sock.recv(65536):
                pass

    def secure(self, context: ssl.SSLContext) -> None:
        """Start TLS on the plain connection."""
        self.sock = self._server.track(context.wrap_socket(self.sock, server_side=True))

    def reset(self) -> None:
        """Close with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


Script = Callable[[Peer], None]


class RawServer:
    """Runs `script` on its own thread for each connection, which is closed when the script returns."""

    def __init__(
        self, script: Script, context: ssl.SSLContext | None = None, address: tuple[str, int] = ("127.0.0.1", 0)
    ) -> None:
        self._script = script
        self._context = context
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._listener = socket.create_server(address, family=family, backlog=128)
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self.port: int = self._listener.getsockname()[1]
        self.requests: list[bytes] = []
        self.connections = 0
        self.stopping = threading.Event()

    @property
    def url(self) -> str:
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}"

    def track(self, sock: socket.socket) -> socket.socket:
        with self._lock:
            self._sockets.add(sock)
        return sock

    def __enter__(self) -> Self:
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join(PATIENCE_SECONDS)
        self._listener.close()
        with self._lock:
            sockets = list(self._sockets)
        for sock in sockets:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)
        for sock in sockets:
            sock.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self.track(sock)
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        peer = Peer(sock, self)
        with contextlib.suppress(OSError):  # the client disconnected; tests assert at the client
            if self._context is not None:
                peer.secure(self._context)
            self._script(peer)
        peer.sock.close()
        sock.close()


def answering(*answers: bytes) -> Script:
    """A script that gives each request the next answer; the last one is repeated."""
    left = list(answers)

    def script(peer: Peer) -> None:
        while peer.read_request():
            peer.send(left.pop(0) if len(left) > 1 else left[0])

    return script
