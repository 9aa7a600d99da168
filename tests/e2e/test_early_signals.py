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
from tests.support.exporter import until
from tests.support.fleet import config, fleet
from tests.support.patience import PATIENCE_SECONDS

NUMBERS = 30_000
"""Enough numbers that reading the configuration takes about a second, so that a signal can come before its end."""


@pytest.fixture(scope="module")
def slow_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration that takes long to read; no server listens at its endpoint."""
    path = tmp_path_factory.mktemp("slow") / "config.yml"
    path.write_text(json.dumps(config("http://127.0.0.1:9", [fleet(World(), NUMBERS)])))
    return path


class Starting:
    """An exporter that started and handles signals; a file has its output."""

    def __init__(self, log: Path, *flags: str) -> None:
        self._log = log
        with log.open("w") as file:
            self.process = subprocess.Popen([sys.executable, "-u", "-m", "exporter", *flags], stdout=file, stderr=file)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def stop_at_the_start(self) -> bool:
        """Suspend it once it handles signals; False if it has read its configuration by then."""
        until(lambda: self.process.poll() is not None or self._handles_signals(), "it handles signals")
        self.process.send_signal(signal.SIGSTOP)
        return self.process.poll() is None and not self.log

    def go_on(self, number: signal.Signals) -> None:
        """Send it a signal, and resume it."""
        self.process.send_signal(number)
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        self.process.kill()
        self.process.wait(PATIENCE_SECONDS)

    def _handles_signals(self) -> bool:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        caught = int(status.partition("SigCgt:")[2].split()[0], 16)
        return bool(caught >> (signal.SIGTERM - 1) & 1) and bool(caught >> (signal.SIGHUP - 1) & 1)


@contextmanager
def signalled(number: signal.Signals, path: Path, *flags: str) -> Iterator[Starting]:
    """An exporter that gets a signal while it reads its configuration.  It is started again until the test hits that
    moment."""

    def begin() -> Starting | None:
        begun = Starting(path.parent / "log", f"--config.file={path}", "--web.listen-address=127.0.0.1:0", *flags)
        if begun.stop_at_the_start():
            return begun
        begun.end()
        return None

    begun: Starting = until(begin, "it is caught while it starts")
    begun.go_on(number)
    try:
        yield begun
    finally:
        begun.end()


def test_a_reload_asked_for_while_it_starts_is_done_once_it_serves(slow_config: Path) -> None:
    """A rollout changes the file and sends SIGHUP at any moment."""
    with signalled(signal.SIGHUP, slow_config) as exporter:
        until(lambda: "configuration reloaded" in exporter.log, "it reloads")
        assert "listening" in exporter.log.partition("configuration reloaded")[0]
        exporter.process.send_signal(signal.SIGTERM)
        assert exporter.process.wait(PATIENCE_SECONDS) == 0
        assert exporter.log.count("configuration reloaded") == 1


def test_where_nothing_reloads_a_reload_is_ignored(slow_config: Path) -> None:
    with signalled(signal.SIGHUP, slow_config, "--config.check") as exporter:
        assert exporter.process.wait(PATIENCE_SECONDS) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(("flags", "status"), [((), 0), (("--once",), 1), (("--config.check",), 1)])
def test_a_signal_to_end_ends_it_quietly_while_it_starts(
    slow_config: Path, number: signal.Signals, flags: tuple[str, ...], status: int
) -> None:
    """It never listens.  The command was not done, so that is a failure."""
    with signalled(number, slow_config, *flags) as exporter:
        assert exporter.process.wait(PATIENCE_SECONDS) == status, exporter.log
        assert "listening" not in exporter.log
        assert "Traceback" not in exporter.log
