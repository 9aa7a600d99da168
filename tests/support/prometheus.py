"""A real Prometheus for tests: started on loopback, asked over its HTTP API, stopped again.

What is scraped and what an answer must be is the test's business.  The configuration is written as JSON, which is
YAML.  `PROMETHEUS_BINARY` names another binary than the one in the path, to run the same tests on another version.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

from tests.support.prometheus_api import PrometheusApi, QueryError, Sample
from tests.support.servers import INSTALLED, free_port, server_binary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_BIND_ATTEMPTS = 8
_READY_SECONDS = 60.0
_STOP_SECONDS = 15.0
_PAUSE_SECONDS = 0.1


class RealPrometheus(PrometheusApi):
    """One Prometheus process with a data directory of its own; a context manager.

    `targets` maps the name of a job to its ``host:port`` addresses.  `config` is a whole configuration, or adds to
    `targets` what they don't cover (``alerting``, further ``scrape_configs``).  `rule_files` are loaded where they
    are.  Scrapes and evaluations happen every `interval_seconds`, unless `config` says otherwise.
    """

    def __init__(
        self,
        targets: Mapping[str, Sequence[str]] | None = None,
        *,
        config: Mapping[str, Any] | None = None,
        rule_files: Sequence[Path] = (),
        interval_seconds: int = 1,
        flags: Sequence[str] = (),
        release: str = INSTALLED,
    ) -> None:
        super().__init__("")
        self._binary = server_binary("prometheus", "PROMETHEUS_BINARY", release)
        self._config = _configuration(targets or {}, config or {}, rule_files, interval_seconds)
        self._flags = tuple(flags)
        self._home: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._log = ""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Start it and wait until it is ready; raises RuntimeError with its log when it does not get there."""
        self._home = home = Path(tempfile.mkdtemp(prefix="cams-prometheus-"))
        (home / "prometheus.yml").write_text(json.dumps(self._config), encoding="utf-8")
        ready = False
        try:
            ready = any(self._started_on(home, free_port()) for _ in range(_BIND_ATTEMPTS))
        finally:
            if not ready:
                self.stop()
        if not ready:
            raise RuntimeError(f"no free port in {_BIND_ATTEMPTS} attempts:\n{self.log()}")
        return self

    def stop(self) -> None:
        """Stop it and remove its data, keeping the log; does nothing the second time."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._log = self.log()
        home, self._home = self._home, None
        if home is not None:
            shutil.rmtree(home, ignore_errors=True)

    def log(self) -> str:
        """What it has logged (warnings and errors)."""
        if self._home is None:
            return self._log
        file = self._home / "log"
        return file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""

    def wait_until(self, holds: Callable[[], bool], what: str, timeout_seconds: float = 60.0) -> None:
        """Wait until `holds()`; fails the test saying that `what` did not happen, with the targets and the log."""
        deadline = time.monotonic() + timeout_seconds
        while not holds():
            if time.monotonic() > deadline:
                health = [(one["scrapeUrl"], one["health"], one["lastError"]) for one in self.targets()]
                pytest.fail(f"not within {timeout_seconds:g} s: {what}; targets {health}; log:\n{self.log()}")
            time.sleep(_PAUSE_SECONDS)

    def wait_for_series(self, expression: str, timeout_seconds: float = 60.0) -> list[Sample]:
        """Wait until an instant query returns anything, and return that."""
        found: list[Sample] = []

        def asked() -> bool:
            found[:] = self.query(expression)
            return bool(found)

        self.wait_until(asked, f"a result of {expression}", timeout_seconds)
        return found

    def wait_for_targets(self, timeout_seconds: float = 60.0) -> None:
        """Wait until there are targets and the last scrape of each succeeded."""
        self.wait_until(
            lambda: {one["health"] for one in self.targets()} == {"up"}, "every target is up", timeout_seconds
        )

    def _started_on(self, home: Path, port: int) -> bool:
        """Start it on `port` and wait until it is ready; False if another process holds the port."""
        self.url = f"http://127.0.0.1:{port}"
        arguments = [
            f"--config.file={home / 'prometheus.yml'}",
            f"--storage.tsdb.path={home / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
            *self._flags,
        ]
        with (home / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [self._binary, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                if "address already in use" in self.log():
                    return False
                raise RuntimeError(f"Prometheus exited with {self._process.returncode}:\n{self.log()}")
            if self.ready() and self._is_ours(home):
                return True
            time.sleep(_PAUSE_SECONDS)
        raise RuntimeError(f"Prometheus was not ready within {_READY_SECONDS:g} s:\n{self.log()}")

    def _is_ours(self, home: Path) -> bool:
        """Whether the server that answers is the one started here: on a lost port another one may be ready."""
        try:
            return self.flags()["config.file"] == str(home / "prometheus.yml")
        except (OSError, ValueError, QueryError):
            return False


def _configuration(
    targets: Mapping[str, Sequence[str]],
    config: Mapping[str, Any],
    rule_files: Sequence[Path],
    interval_seconds: int,
) -> dict[str, Any]:
    """The configuration file; `config` wins where it says the same, and its lists come after the arguments'."""
    every = f"{interval_seconds}s"
    timing = {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every}
    jobs = [{"job_name": job, "static_configs": [{"targets": list(addresses)}]} for job, addresses in targets.items()]
    return {
        **config,
        "global": timing | dict(config.get("global", {})),
        "scrape_configs": [*jobs, *config.get("scrape_configs", ())],
        "rule_files": [*(str(path.resolve()) for path in rule_files), *config.get("rule_files", ())],
    }
