"""A real server for tests: started on a free port of loopback, with its own folder, and stopped."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from tests.support.patience import PATIENCE_SECONDS
from tests.support.servers import OPENER, reserved_port

PAUSE_SECONDS = 0.1
_STOP_SECONDS = 15.0
"""After that it is killed."""


class RealServer(ABC):
    """One process and its home folder with its log; a context manager.  `title` is its name in errors."""

    def __init__(self, title: str, binary: str) -> None:
        self._title = title
        self._binary = binary
        self._home: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._stack = ExitStack()
        self._log = ""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Start it and wait until it is ready; raises RuntimeError with its log if it does not become ready."""
        self._home = home = Path(tempfile.mkdtemp(prefix=f"cams-{self._title.lower()}-"))
        self._prepare(home)
        try:
            self._start(home, self._stack.enter_context(reserved_port()))
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop it and remove its home, but keep the log; no effect the second time."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._stack.close()
        self._log = self.log()
        home, self._home = self._home, None
        if home is not None:
            shutil.rmtree(home, ignore_errors=True)

    def log(self) -> str:
        """Its log."""
        if self._home is None:
            return self._log
        file = self._home / "log"
        return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""

    @abstractmethod
    def _prepare(self, home: Path) -> None:
        """Write its configuration files."""

    @abstractmethod
    def _arguments(self, home: Path, port: int) -> Sequence[str]:
        """Its command line, to listen on `port`; from now on this port is used."""

    def _start(self, home: Path, port: int) -> None:
        """Start it on `port` and wait until it is ready."""
        command = [self._binary, *self._arguments(home, port)]
        with (home / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not _is_ready(f"http://127.0.0.1:{port}/-/ready"):
            if self._process.poll() is not None:
                raise RuntimeError(f"{self._title} exited with {self._process.returncode}:\n{self.log()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self._title} was not ready within {PATIENCE_SECONDS:g} s:\n{self.log()}")
            time.sleep(PAUSE_SECONDS)


def _is_ready(url: str) -> bool:
    try:
        with OPENER.open(url, timeout=PATIENCE_SECONDS):
            return True
    except OSError:
        return False
