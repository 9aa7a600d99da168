"""Signals that reach the exporter while it starts."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from exporter.simulator import World
from tests.support.exporter import WAIT_SECONDS, until
from tests.support.fleet import config, fleet

NUMBERS = 30_000
"""Enough that reading the configuration takes more than a second: the signal comes before that is done."""


@pytest.fixture(scope="module")
def slow_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration whose reading takes a while; nobody listens at its endpoint."""
    path = tmp_path_factory.mktemp("slow") / "config.yml"
    path.write_text(json.dumps(config("http://127.0.0.1:9", [fleet(World(), NUMBERS)])))
    return path


class Starting:
    """An exporter that has begun to run and to handle signals, and whose log is a file."""

    def __init__(self, log: Path, *flags: str) -> None:
        self._log = log
        with log.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "exporter", *flags], stdout=subprocess.DEVNULL, stderr=file
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    def signal(self, number: signal.Signals) -> None:
        """Send it as soon as the process handles SIGTERM, which must be before it has read its configuration."""
        until(self._handles_sigterm, "it handles signals")
        assert "listening" not in self.log
        self.process.send_signal(number)

    def _handles_sigterm(self) -> bool:
        assert self.process.poll() is None, self.log
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        caught = int(status.partition("SigCgt:")[2].split()[0], 16)
        return bool(caught >> (signal.SIGTERM - 1) & 1) and bool(caught >> (signal.SIGHUP - 1) & 1)


@contextmanager
def starting(path: Path, *flags: str) -> Iterator[Starting]:
    begun = Starting(path.parent / "log", f"--config.file={path}", "--web.listen-address=127.0.0.1:0", *flags)
    try:
        yield begun
    finally:
        if begun.process.poll() is None:
            begun.process.kill()
        begun.process.wait(WAIT_SECONDS)


def test_a_reload_asked_for_while_it_starts_is_done_once_it_serves(slow_config: Path) -> None:
    """A rollout changes the file and sends SIGHUP, whatever the exporter is doing just then."""
    with starting(slow_config) as exporter:
        exporter.signal(signal.SIGHUP)
        until(lambda: "configuration reloaded" in exporter.log, "it reloads")
        assert "listening" in exporter.log.partition("configuration reloaded")[0]
        exporter.process.send_signal(signal.SIGTERM)
        assert exporter.process.wait(WAIT_SECONDS) == 0
        assert exporter.log.count("configuration reloaded") == 1


def test_where_nothing_reloads_a_reload_is_ignored(slow_config: Path) -> None:
    with starting(slow_config, "--config.check") as exporter:
        exporter.signal(signal.SIGHUP)
        assert exporter.process.wait(WAIT_SECONDS) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(("flags", "status"), [((), 0), (("--once",), 1), (("--config.check",), 1)])
def test_a_signal_to_end_ends_it_quietly_while_it_starts(
    slow_config: Path, number: signal.Signals, flags: tuple[str, ...], status: int
) -> None:
    """It never listens; what was asked for and not done is a failure."""
    with starting(slow_config, *flags) as exporter:
        exporter.signal(number)
        assert exporter.process.wait(WAIT_SECONDS) == status
        assert "listening" not in exporter.log
        assert "Traceback" not in exporter.log
