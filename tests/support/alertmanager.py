"""A real Alertmanager for tests, and the webhook receiver that it notifies; both on loopback, both context managers.

`ALERTMANAGER_BINARY` names another binary than the one in the path, to run the same tests on another version.

Source: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config, and the API's v2.
"""

from __future__ import annotations

import http.server
import json
import re
import threading
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.support.patience import PATIENCE_SECONDS
from tests.support.realserver import RealServer
from tests.support.servers import INSTALLED, OPENER, server_binary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Notification:
    """One webhook call: `receiver` is the last part of the URL's path, `alerts` are its alerts."""

    receiver: str
    group: Mapping[str, str]
    alerts: tuple[Mapping[str, Any], ...]

    def find(self, status: str, **labels: str) -> Mapping[str, Any] | None:
        """The alert in it that is ``firing`` or ``resolved`` and has (at least) `labels`."""
        for alert in self.alerts:
            if alert["status"] == status and labels.items() <= alert["labels"].items():
                return alert
        return None


class Webhook:
    """A receiver that keeps every notification, in order; `url` has no path."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._got: list[Notification] = []
        webhook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                webhook._keep(self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def notifications(self, receiver: str = "", since: int = 0) -> list[Notification]:
        """Notifications to `receiver`, or to all, from index `since` on."""
        with self._lock:
            return [one for one in self._got[since:] if not receiver or one.receiver == receiver]

    def count(self) -> int:
        """The number of notifications so far."""
        with self._lock:
            return len(self._got)

    def _keep(self, path: str, payload: Mapping[str, Any]) -> None:
        with self._lock:
            self._got.append(Notification(path.rpartition("/")[2], payload["groupLabels"], tuple(payload["alerts"])))


class RealAlertmanager(RealServer):
    """One Alertmanager process with its own data directory, without a cluster; `config` is written as JSON."""

    def __init__(self, config: Mapping[str, Any], *, release: str = INSTALLED) -> None:
        super().__init__("Alertmanager", server_binary("prometheus-alertmanager", "ALERTMANAGER_BINARY", release))
        self._config = config
        self.url = ""

    @property
    def target(self) -> str:
        """``host:port``, for Prometheus's configuration."""
        return self.url.removeprefix("http://")

    def alerts(self, *matchers: str) -> Sequence[Mapping[str, Any]]:
        """Its alerts, also inhibited ones, narrowed by matchers such as ``account="main"``."""
        query = urllib.parse.urlencode([("filter", matcher) for matcher in matchers])
        with OPENER.open(f"{self.url}/api/v2/alerts?{query}", timeout=PATIENCE_SECONDS) as answer:
            found: list[Mapping[str, Any]] = json.load(answer)
        return found

    def metric(self, name: str) -> float:
        """The sum over the series `name` of its own metrics."""
        with OPENER.open(f"{self.url}/metrics", timeout=PATIENCE_SECONDS) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if re.match(rf"{name}[ {{]", line))

    def _prepare(self, home: Path) -> None:
        (home / "alertmanager.yml").write_text(json.dumps(self._config), encoding="utf-8")

    def _arguments(self, home: Path, port: int) -> Sequence[str]:
        self.url = f"http://127.0.0.1:{port}"
        return (
            f"--config.file={home / 'alertmanager.yml'}",
            f"--storage.path={home / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        )
