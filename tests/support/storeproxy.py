"""A proxy before the store: it adds latency, or lets nothing through any more.

It listens on a unix socket, because there the kernel says which process connects.  So all replicas have the same
address of the store, and the test can still cut off one of them.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self


class StoreProxy:
    """Forwards to the socket `target`.

    `delay_seconds` is added to each piece, one way; while `is_cut`, pieces are lost.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._folder = tempfile.TemporaryDirectory(prefix="cams-")  # a short path: that of a unix socket is bounded
        self.socket = Path(self._folder.name) / "proxy.sock"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.socket))
        self._listener.listen()
        self._sockets: list[socket.socket] = [self._listener]
        self.delay_seconds = 0.0
        self.is_cut = False
        self._cut_off: set[int] = set()
        self._start(self._accept)

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    @contextlib.contextmanager
    def cut_off(self, process_id: int) -> Iterator[None]:
        """Inside the block, pieces from and to this process are lost."""
        self._cut_off.add(process_id)
        try:
            yield
        finally:
            self._cut_off.discard(process_id)

    def close(self) -> None:
        for each in self._sockets:
            _end(each)
            each.close()
        self._folder.cleanup()

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
                peer = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
                process_id, _, _ = struct.unpack("3i", peer)
                try:
                    server.connect(str(self._target))
                except OSError:  # no server now
                    client.close()
                    continue
                self._start(self._forward, client, server, process_id)
                self._start(self._forward, server, client, process_id)

    def _forward(self, source: socket.socket, sink: socket.socket, process_id: int) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(1 << 16):
                time.sleep(self.delay_seconds)
                if not self.is_cut and process_id not in self._cut_off:
                    sink.sendall(piece)
        _end(sink)

    def _start(self, target, *arguments) -> None:  # type: ignore[no-untyped-def]
        threading.Thread(target=target, args=arguments, daemon=True).start()


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
