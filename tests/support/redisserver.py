"""A real Redis on a unix socket of its own: started, halted, killed, started again."""

from __future__ import annotations

import contextlib
import functools
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis

from exporter.cluster.store import connecting
from exporter.cluster.store.calls import Store
from exporter.config.settings import ClusterConfig
from tests.support.markdown import blocks
from tests.support.patience import PATIENCE_SECONDS
from tests.support.servers import require_binary

ROOT = Path(__file__).parents[2]
PASSWORD = "not-a-real-password"
PREFIX = "cams-exporter"


@functools.cache
def documented_rights() -> tuple[str, ...]:
    """What the docs give to the user of the store, with the password of the tests: ``on``, ``+eval`` and so on."""
    shown = (block.text.split() for block in blocks(ROOT / "docs" / "security.md", ROOT) if block.language == "conf")
    (rights,) = (words[2:] for words in shown if words[:2] == ["user", "cams"])
    return tuple(word.replace("PASSWORD", PASSWORD) for word in rights)


class RedisServer:
    """One server; `folder` must have a short path, because that of a unix socket is bounded."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.socket = folder / "redis.sock"
        self._arguments = ["--unixsocket", str(self.socket), "--dir", str(folder), "--save", "", *arguments]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.socket.unlink(missing_ok=True)
        command = [require_binary("redis-server"), "--port", "0", *self._arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                self.admin("PING")
                break
            except redis.RedisError:
                assert self._process.poll() is None, "the server ended"
                assert time.monotonic() < deadline  # bounds a hang
                time.sleep(0.02)
        self.admin("ACL", "SETUSER", "cams", *documented_rights())

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it as `kill -9` does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def admin(self, *command: str) -> object:
        """Run a command as the default user, who may do everything."""
        return self._run(redis.Redis(unix_socket_path=str(self.socket)), *command)

    def as_user(self, *command: str) -> object:
        """Run a command as the user of the docs."""
        client = redis.Redis(
            unix_socket_path=str(self.socket), username="cams", password=PASSWORD, driver_info=None, protocol=2
        )
        return self._run(client, *command)

    @staticmethod
    def _run(client: Any, *command: str) -> object:
        with contextlib.closing(client):
            return client.execute_command(*command)

    @contextlib.contextmanager
    def halted(self) -> Iterator[None]:
        """Frozen inside the block."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def store(self, timeout_seconds: float = PATIENCE_SECONDS, url: str | None = None) -> Store:
        """A store's client, as the user whom the docs propose."""
        config = ClusterConfig(replicas=3, url=url or f"unix://{self.socket}", username="cams")
        return Store(
            lambda: connecting.connected(config, PASSWORD, timeout_seconds), connecting.asked, PREFIX, timeout_seconds
        )


@contextlib.contextmanager
def redis_server(folder: Path, *arguments: str) -> Iterator[RedisServer]:
    """A server that runs; skips the test if there is none on this machine, but fails it in CI."""
    server = RedisServer(folder, *arguments)
    try:
        server.start()
        yield server
    finally:
        server.kill()
