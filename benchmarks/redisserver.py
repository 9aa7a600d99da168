"""A real Redis on a unix socket, and what it counts."""

from __future__ import annotations

import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from benchmarks.processes import Process, until

SCRIPTS = ("evalsha", "eval")


@dataclass(frozen=True, slots=True)
class Counts:
    """What a server counted since its start: calls of scripts, the commands in them, bytes, and CPU seconds."""

    at: float
    calls: int
    commands: int
    bytes_in: int
    bytes_out: int
    cpu_seconds: float

    def since(self, before: Counts) -> Counts:
        """The difference; `at` is how many seconds passed."""
        return Counts(
            self.at - before.at,
            self.calls - before.calls,
            self.commands - before.commands,
            self.bytes_in - before.bytes_in,
            self.bytes_out - before.bytes_out,
            self.cpu_seconds - before.cpu_seconds,
        )


class RedisServer(Process):
    """`redis-server` without a file, as a context manager; `folder` must have a short path, as unix sockets need."""

    def __init__(self, folder: Path) -> None:
        binary = shutil.which("redis-server")
        if binary is None:
            raise RuntimeError("redis-server is not installed: make develop (as root, or with sudo)")
        self._socket = folder / "redis.sock"
        options = ["--port", "0", "--unixsocket", str(self._socket), "--dir", str(folder), "--save", ""]
        self._process = subprocess.Popen([binary, *options], stdout=subprocess.DEVNULL)
        super().__init__(self._process.pid)
        self._client = redis.Redis(unix_socket_path=str(self._socket))

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    def counts(self) -> Counts:
        """What it counted until now."""
        calls = {name.removeprefix("cmdstat_"): int(of["calls"]) for name, of in self._info("commandstats").items()}
        stats = self._info("stats")
        in_scripts = sum(count for name, count in calls.items() if name not in SCRIPTS)
        return Counts(
            time.monotonic(),
            sum(calls.get(name, 0) for name in SCRIPTS),
            in_scripts,
            int(stats["total_net_input_bytes"]),
            int(stats["total_net_output_bytes"]),
            self.cpu_seconds(),
        )

    def used_bytes(self) -> int:
        """The memory of its data and of its connections."""
        return int(self._info("memory")["used_memory"])

    def __enter__(self) -> Self:
        try:
            until(self._answers, "the store answers")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _info(self, section: str) -> dict[str, Any]:
        found: dict[str, Any] = self._client.info(section)
        return found

    def _answers(self) -> bool:
        try:
            return bool(self._client.ping())
        except redis.ConnectionError:
            return False

    def _end(self) -> None:
        self._client.close()
        self._process.terminate()
        self._process.wait()
