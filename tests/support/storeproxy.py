"""A TCP proxy before the store's unix socket: it adds latency, or lets nothing through any more."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from pathlib import Path
from typing import Self


class StoreProxy:
    """Listens on loopback.  `delay_seconds` is added to each piece, one way; while `is_cut`, pieces are swallowed."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._listener]
        self.delay_seconds = 0.0
        self.is_cut = False
        self._start(self._accept)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                self._sockets += [client, server]
                try:
                    server.connect(str(self._target))
                except OSError:  # no server now
                    client.close()
                    continue
                self._start(self._forward, client, server)
                self._start(self._forward, server, client)

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(1 << 16):
                time.sleep(self.delay_seconds)
                if not self.is_cut:
                    sink.sendall(piece)

    def _start(self, target, *arguments) -> None:  # type: ignore[no-untyped-def]
        threading.Thread(target=target, args=arguments, daemon=True).start()
