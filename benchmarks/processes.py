"""Measured processes, and a client that scrapes like Prometheus.

CPU time is the kernel's own clock of a process, including ended threads, read from outside in nanoseconds:
clock_getcpuclockid(3).  /proc/PID/stat counts the same in steps of 10 ms, which is what one scrape takes.
"""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

PATIENCE_SECONDS = 300.0
"""How long to wait for a line of a process: enough for 50,000 numbers on a busy machine."""

PROMETHEUS_HEADERS = {
    "Accept": "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    "Accept-Encoding": "gzip",
}
"""The headers of Prometheus 2.x."""


class Process:
    """The CPU and the memory of the process `pid`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def cpu_seconds(self) -> float:
        """CPU time of the process since its start, user and system."""
        return time.clock_gettime_ns((~self.pid << 3) | 2) / 1e9

    def rss_mib(self) -> float:
        return self._status("VmRSS") / 1024

    def threads(self) -> int:
        return self._status("Threads")

    def _status(self, name: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
        raise RuntimeError(f"no {name} of process {self.pid}")


class Child(Process):
    """A Python process, `python -m MODULE ARGUMENTS`, as a context manager that keeps the output."""

    def __init__(self, module: str, *arguments: str) -> None:
        self.began = time.monotonic()
        environment = {**os.environ, "NO_PROXY": "*", "PYTHONUNBUFFERED": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            cwd=Path(__file__).resolve().parent.parent,
        )
        super().__init__(self._process.pid)
        self._said: list[str] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(self, pattern: str, *, times: int = 1, seconds: float = PATIENCE_SECONDS) -> re.Match[str]:
        """Wait for `times` matches of `pattern` in the output; returns the last one."""
        deadline = time.monotonic() + seconds
        compiled = re.compile(pattern)
        with self._news:
            while True:
                found = list(compiled.finditer("".join(self._said)))
                if len(found) >= times:
                    return found[times - 1]
                left = deadline - time.monotonic()
                if left <= 0 or not self._reader.is_alive():
                    raise RuntimeError(f"{pattern!r} was not said:\n{''.join(self._said)[-2000:]}")
                self._news.wait(min(left, 1.0))

    def said(self, pattern: str) -> int:
        """The number of matches of `pattern` in the output so far."""
        with self._news:
            return len(re.findall(pattern, "".join(self._said)))

    def output(self, seconds: float = PATIENCE_SECONDS) -> str:
        """The whole output, once the process ended; raises RuntimeError if it failed."""
        status = self._process.wait(seconds)
        self._reader.join(seconds)
        if status != 0:
            raise RuntimeError(f"exit status {status}:\n{''.join(self._said)[-2000:]}")
        return "".join(self._said)

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self) -> None:
        """Wait until the process ended."""
        self._process.wait(PATIENCE_SECONDS)

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._reader.join(5)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            with self._news:
                self._said.append(line)
                self._news.notify_all()


class Served(Child):
    """A process that serves metrics of a configuration on loopback and reloads it on SIGHUP."""

    RELOADED = "configuration reloaded"

    def __init__(self, module: str, config: Path, *flags: str) -> None:
        super().__init__(module, f"--config.file={config}", *flags)
        self.url = self.wait_for(r"listening.*?(http://127[^\s\"]+)")[1]

    def reload(self) -> None:
        """Reload the configuration; returns once it is in force."""
        before = self.said(self.RELOADED)
        self.signal(signal.SIGHUP)
        self.wait_for(self.RELOADED, times=before + 1)


def exporter(config: Path, *flags: str) -> Served:
    """The exporter as a user runs it."""
    return Served("exporter", config, "--web.listen-address=127.0.0.1:0", *flags)


class Scraper:
    """A kept-alive connection that scrapes; `headers` default to those of Prometheus."""

    def __init__(self, url: str, path: str = "/metrics") -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE_SECONDS)
        self._path = path

    def scrape(self) -> float:
        """Scrape once, without unpacking; returns the seconds until the last byte."""
        began = time.perf_counter()
        self.read(PROMETHEUS_HEADERS)
        return time.perf_counter() - began

    def read(self, headers: dict[str, str] | None = None) -> bytes:
        """The body of an answer; raises RuntimeError for any but 200."""
        self._connection.request("GET", self._path, headers=headers or {})
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{self._path}: HTTP {answer.status}: {body[:200]!r}")
        return body

    def close(self) -> None:
        self._connection.close()


def series(url: str, name: str) -> dict[str, float]:
    """The values of all series `name`, by the series as it is written; scraped with a filter."""
    scraper = Scraper(url, f"/metrics?name[]={name}")
    try:
        lines = scraper.read().decode().splitlines()
    finally:
        scraper.close()
    parts = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {written: float(value) for written, _, value in parts}


def total(url: str, name: str) -> float:
    """The sum of all series `name`."""
    return sum(series(url, name).values())


def until(
    condition: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS, *, every_seconds: float = 0.05
) -> None:
    """Wait until `condition` holds; raises RuntimeError if it takes too long."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within {seconds:.0f} s: {what}")
        time.sleep(every_seconds)


def is_ready(url: str) -> bool:
    """Whether every number was polled once."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE_SECONDS)
    try:
        connection.request("GET", "/-/ready")
        return connection.getresponse().status == 200
    finally:
        connection.close()


def wait_ready(url: str) -> None:
    """Wait until every number was polled once."""
    until(lambda: is_ready(url), "every number is asked once")
