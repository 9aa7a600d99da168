"""A primary, two replicas of it, and a Sentinel: real servers on loopback, set up as the docs demand."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Self

import redis

from tests.support.exporter import until
from tests.support.redisserver import RedisServer, redis_server
from tests.support.servers import require_binary, reserved_port

MASTER_NAME = "cams"
SERVERS = 3


class Sentinel:
    """A context manager; inside it the servers run, and the Sentinel knows them all."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._port = 0
        self._servers: dict[int, RedisServer] = {}

    @property
    def section(self) -> dict[str, Any]:
        """The keys of the section `cluster`."""
        return {"sentinels": [f"127.0.0.1:{self._port}"], "master_name": MASTER_NAME}

    @property
    def primary(self) -> int | None:
        """The port of the primary, as the Sentinel says; None while it says nothing."""
        named: Any = self._ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER_NAME)
        return int(named[1]) if named else None

    @contextlib.contextmanager
    def halted_primary(self) -> Iterator[int]:
        """The primary is frozen inside the block."""
        port = self.primary
        assert port is not None
        with self._servers[port].halted():
            yield port

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self, stack: ExitStack) -> None:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cams-")))
        self._port = stack.enter_context(reserved_port())
        first, *others = [stack.enter_context(reserved_port()) for _ in range(SERVERS)]
        for port in (first, *others):
            home = folder / str(port)
            home.mkdir()
            options = ["--port", str(port), "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0"]
            options += ["--min-replicas-to-write", "1", "--min-replicas-max-lag", "2"]
            if port != first:
                options += ["--replicaof", "127.0.0.1", str(first)]
            self._servers[port] = stack.enter_context(redis_server(home, *options))
        for port in others:
            until(partial(self._is_replicated, port), "the replica has all")
        rules = folder / "sentinel.conf"
        rules.write_text(
            f"port {self._port}\nbind 127.0.0.1\ndir {folder}\nsentinel monitor {MASTER_NAME} 127.0.0.1 {first} 1\n"
            f"sentinel down-after-milliseconds {MASTER_NAME} 1500\nsentinel failover-timeout {MASTER_NAME} 5000\n"
        )
        process = subprocess.Popen(
            [require_binary("redis-server"), str(rules), "--sentinel"], stdout=subprocess.DEVNULL
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        until(lambda: len(self._ask("SENTINEL", "REPLICAS", MASTER_NAME) or ()) == len(others), "it knows all")

    def _is_replicated(self, port: int) -> bool:
        facts: Any = self._servers[port].admin("INFO", "replication")
        return bool(facts.get("master_link_status") == "up")

    def _ask(self, *command: str) -> Any:
        client: Any = redis.Redis(port=self._port)
        with contextlib.closing(client):
            try:
                return client.execute_command(*command)
            except redis.RedisError:
                return None
