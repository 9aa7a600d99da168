"""A real Prometheus for tests: started on loopback, used over its HTTP API, stopped.

The test decides what is scraped, and checks the answers.  The configuration is written as JSON, which is YAML.
`PROMETHEUS_BINARY` names another binary than the one in the path, to run the same tests on another version.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.patience import PATIENCE_SECONDS
from tests.support.prometheus_api import PrometheusApi, Sample
from tests.support.realserver import PAUSE_SECONDS, RealServer
from tests.support.servers import INSTALLED, server_binary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class RealPrometheus(RealServer, PrometheusApi):
    """One Prometheus process with its own data directory; a context manager.

    `targets` maps the name of a job to its ``host:port`` addresses.  `config` is a whole configuration, or adds to
    `targets` (``alerting``, more ``scrape_configs``).  `rule_files` are loaded from their own places.  Scrapes and
    evaluations happen every `interval_seconds`, unless `config` says otherwise.
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
        RealServer.__init__(self, "Prometheus", server_binary("prometheus", "PROMETHEUS_BINARY", release))
        PrometheusApi.__init__(self, "")
        self._config = _configuration(targets or {}, config or {}, rule_files, interval_seconds)
        self._flags = tuple(flags)

    def wait_until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until `holds()`; otherwise fails the test with `what`, the targets and the log."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            if time.monotonic() > deadline:
                health = [(one["scrapeUrl"], one["health"], one["lastError"]) for one in self.targets()]
                pytest.fail(f"not within {PATIENCE_SECONDS:g} s: {what}; targets {health}; log:\n{self.log()}")
            time.sleep(PAUSE_SECONDS)

    def wait_for_series(self, expression: str) -> list[Sample]:
        """Wait until an instant query has a result, and return it."""
        found: list[Sample] = []

        def asked() -> bool:
            found[:] = self.query(expression)
            return bool(found)

        self.wait_until(asked, f"a result of {expression}")
        return found

    def _prepare(self, home: Path) -> None:
        (home / "prometheus.yml").write_text(json.dumps(self._config), encoding="utf-8")

    def _arguments(self, home: Path, port: int) -> Sequence[str]:
        self.url = f"http://127.0.0.1:{port}"
        return (
            f"--config.file={home / 'prometheus.yml'}",
            f"--storage.tsdb.path={home / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
            *self._flags,
        )


def _configuration(
    targets: Mapping[str, Sequence[str]],
    config: Mapping[str, Any],
    rule_files: Sequence[Path],
    interval_seconds: int,
) -> dict[str, Any]:
    """The configuration file.  Keys of `config` take precedence; its lists come after the arguments'."""
    every = f"{interval_seconds}s"
    timing = {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every}
    jobs = [{"job_name": job, "static_configs": [{"targets": list(addresses)}]} for job, addresses in targets.items()]
    return {
        **config,
        "global": timing | dict(config.get("global", {})),
        "scrape_configs": [*jobs, *config.get("scrape_configs", ())],
        "rule_files": [*(str(path.resolve()) for path in rule_files), *config.get("rule_files", ())],
    }
