"""The exporter as a user runs it: its own process, a configuration file, flags, scrapes over HTTP."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self, TypeVar

from prometheus_client.parser import text_string_to_metric_families

from tests.support.patience import PATIENCE_SECONDS
from tests.support.servers import OPENER

_LISTENING = re.compile(r'listening"?,? "?address(?:=|": ")(http[^\s"]+)')

Seen = TypeVar("Seen")
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait until `condition` is true and return its value; fails with `what` if it does not become true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS:.0f} s: {what}"
        time.sleep(0.05)


def awaited(look: Callable[[], Seen], holds: Callable[[Seen], Any], what: str) -> Seen:
    """Look until `holds` is true of what is seen, and return that: what a test asserts of it, it waited for."""
    return until(lambda: found if holds(found := look()) else None, what)  # type: ignore[no-any-return]


def account(url_numbers: Sequence[tuple[str, str]], *, name: str = "main", **more: Any) -> dict[str, Any]:
    """An account section for `config`: (space, phone number) pairs, and the key of the simulated worlds."""
    return {
        "name": name,
        "credentials": {"type": "access_key", "access_key_id": f"key-{name}", "access_key_secret": f"secret-{name}"},
        "numbers": [{"phone_number": phone, "cust_space_id": space} for space, phone in url_numbers],
        **more,
    }


class ExporterProcess:
    """`python -m exporter` with `flags` and, unless it is None, `config` as its file; a context manager.

    Serves on a free port of 127.0.0.1; `url` is from its log.  Ends by SIGTERM.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | None,
        *flags: str,
        env: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
        program: Sequence[str] = (sys.executable, "-m", "exporter"),
    ) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="cams-exporter-")
        self.config_path = Path(self._home.name) / "config.yml"
        self._flags = list(flags)
        if config is not None:
            self.write_config(config)
            self._flags.append(f"--config.file={self.config_path}")
        self._environment = {**os.environ, **(env or {})}
        self._command = [*prefix, *program]
        self._lines: list[str] = []
        self.url = ""

    @property
    def home(self) -> Path:
        """A folder that exists as long as this object."""
        return Path(self._home.name)

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write the configuration; JSON is YAML."""
        self.config_path.write_text(json.dumps(config, indent=1))

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Start it and wait until it listens."""
        command = [*self._command, "--web.listen-address=127.0.0.1:0", *self._flags]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self._environment
        )
        assert self.process.stderr is not None
        self._reader = threading.Thread(target=self._read, args=(self.process.stderr,), daemon=True)
        self._reader.start()
        self.url = until(self._listening, "the exporter listens")
        return self

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it by a signal; returns its exit status.  Its log is whole then."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)
        return status

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it by a signal, and remove its folder."""
        self.end(number)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        self._home.cleanup()

    def reload(self) -> None:
        """Send SIGHUP."""
        self.process.send_signal(signal.SIGHUP)

    @property
    def log(self) -> str:
        """Its output on stderr so far."""
        return "".join(self._lines)

    @property
    def target(self) -> str:
        """``host:port``, for Prometheus's configuration."""
        return self.url.partition("://")[2]

    def get(self, path: str = "/metrics", headers: Mapping[str, str] | None = None) -> tuple[int, bytes, Any]:
        """(status, body, headers) of a GET; error statuses too."""
        request = urllib.request.Request(self.url + path, headers=dict(headers or {}))
        try:
            with OPENER.open(request, timeout=PATIENCE_SECONDS) as answer:
                return answer.status, answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read(), error.headers

    def scrape(self) -> Series:
        """Every series of a text scrape."""
        status, body, _ = self.get()
        assert status == 200, body
        return series(body.decode())

    def statuses(self) -> dict[str, str]:
        """Phone number to the one status that is 1; fails if there is not exactly one."""
        return statuses(self.scrape())

    def scraped(self, holds: Callable[[Series], Any], what: str) -> Series:
        """The first scrape of which `holds` is true."""
        return awaited(self.scrape, holds, what)

    def logged(self, text: str) -> None:
        """Wait until its log has `text`: a thread of its own writes it, and one of the test reads it."""
        until(lambda: text in self.log, f"the log says {text!r}")

    def _listening(self) -> str | None:
        assert self.process.poll() is None, f"the exporter ended with {self.process.returncode}:\n{self.log}"
        found = _LISTENING.search(self.log)
        return found[1] if found else None

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self._lines.append(line)


def run_exporter(
    *flags: str, env: Mapping[str, str] | None = None, cwd: Path | None = None, text: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `python -m exporter` to its end, with `text` on a pipe as its standard input."""
    return subprocess.run(
        [sys.executable, "-m", "exporter", *flags],
        input=text,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        env={**os.environ, **(env or {})},
        cwd=cwd,
        check=False,
    )


def series(text: str) -> Series:
    """An exposition in the text format as a mapping of series to values."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def statuses(scraped: Series) -> dict[str, str]:
    """Phone number to the one status that is 1; fails if there is not exactly one."""
    shown: dict[str, list[str]] = {}
    for (name, labels), value in scraped.items():
        if name == "cams_phone_number_verification_status":
            facts = dict(labels)
            shown.setdefault(facts["phone_number"], []).extend([facts["status"]] if value else [])
    assert all(len(found) == 1 for found in shown.values()), shown
    return {phone: found[0] for phone, found in shown.items()}


def errors(scraped: Series) -> dict[tuple[str, str], float]:
    """(account, code) of every error counted so far, and how many."""
    found = ((dict(labels), number) for (name, labels), number in scraped.items() if name == "cams_api_errors_total")
    return {(labels["account"], labels["code"]): number for labels, number in found if number}


def value(scraped: Series, name: str, **labels: str) -> float | None:
    """The value of the one series `name` that has (at least) `labels`; None if there is none."""
    found = [
        number for (series_name, has), number in scraped.items() if series_name == name and labels.items() <= set(has)
    ]
    assert len(found) <= 1, f"{name} {labels}: {len(found)} series"
    return found[0] if found else None


def labels_of(scraped: Series, name: str, **labels: str) -> list[dict[str, str]]:
    """All labels of each series `name` that has (at least) `labels`."""
    return [dict(has) for series_name, has in scraped if series_name == name and labels.items() <= set(has)]


def current(scraped: Series, name: str, label: str, **labels: str) -> str | None:
    """The value of `label` in the one series of the state set `name` that is 1; None if the set is absent."""
    found = [
        (dict(has)[label], number)
        for (series_name, has), number in scraped.items()
        if series_name == name and labels.items() <= set(has)
    ]
    assert not found or [number for _, number in found].count(1) == 1, f"{name} {labels}: {found}"
    return next((state for state, number in found if number == 1), None)


def total(scraped: Series, name: str, **labels: str) -> float:
    """The sum over all series `name` that have (at least) `labels`."""
    return sum(
        number for (series_name, has), number in scraped.items() if series_name == name and labels.items() <= set(has)
    )
