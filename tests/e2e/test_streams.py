"""Standard streams that are closed, full, or of another encoding do not stop the exporter's work."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from exporter.simulator import Simulator, World
from tests.support.exporter import account, until
from tests.support.fleet import config, fleet
from tests.support.patience import PATIENCE_SECONDS

EXPORTER = [sys.executable, "-m", "exporter"]
ASCII = {"PYTHONIOENCODING": "ascii"}
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def run(redirection: str, *command: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run `command` with its streams redirected as a shell does."""
    return subprocess.run(
        ["bash", "-c", f'exec "$@" {redirection}', "-", *command],
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        env={**os.environ, **(env or {})},
        check=False,
    )


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    """A configuration with a name that is not ASCII."""
    path = tmp_path / "config.yml"
    section = {**account([("cams-1", "8613800001234")]), "name": "Zürich"}
    path.write_text(json.dumps(config("http://127.0.0.1:9", [section])))
    return path


@pytest.mark.parametrize("env", [ASCII, C_LOCALE])
def test_output_is_utf_8_whatever_the_locale_says(config_file: Path, env: dict[str, str]) -> None:
    done = run("", *EXPORTER, "--config.check", f"--config.file={config_file}", env=env)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "Zürich" in done.stdout.decode()


@pytest.mark.parametrize("flags", [["--config.check"], ["--help"], ["--version"]])
def test_a_full_stdout_is_one_line_on_stderr_and_exit_status_1(config_file: Path, flags: list[str]) -> None:
    done = run("> /dev/full", *EXPORTER, *flags, f"--config.file={config_file}")
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert b"stdout cannot be written: no space left on device" in done.stderr


@pytest.mark.parametrize("flags", [["--config.check"], ["--help"], ["--version"]])
def test_a_closed_stdout_is_as_good_as_the_null_device(config_file: Path, flags: list[str]) -> None:
    done = run(">&-", *EXPORTER, *flags, f"--config.file={config_file}")
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("redirection", ["2>&-", "2> /dev/full", ">&- 2>&- <&-", "> /dev/full", ""])
def test_the_faults_of_a_configuration_never_go_to_stdout(tmp_path: Path, redirection: str) -> None:
    done = run(redirection, *EXPORTER, "--config.check", f"--config.file={tmp_path}/none.yml")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.count(b"\n") == (1 if redirection in {"", "> /dev/full"} else 0)


@pytest.mark.parametrize("redirection", ["2>&-", "2> /dev/full", ">&- 2>&-", ">&-", "<&- >&- 2>&-"])
def test_once_writes_its_file_whatever_its_streams_are(tmp_path: Path, redirection: str) -> None:
    world, output = World(), tmp_path / "cams.prom"
    with Simulator(world) as simulator:
        path = tmp_path / "config.yml"
        path.write_text(json.dumps(config(simulator.url, [fleet(world, 2, qps=10)])))
        flags = ["--once", f"--once.output={output}", f"--config.file={path}", f"--storage.path={tmp_path}/store"]
        done = run(redirection, *EXPORTER, *flags)
    assert done.returncode == 0, done.stderr
    assert "VERIFIED" in output.read_text()
    assert b"ts=" not in (tmp_path / "store" / "answers.sqlite3").read_bytes()  # no log line used a closed descriptor


@pytest.mark.parametrize(("redirection", "status"), [(">&-", 0), ("> /dev/full", 1)])
def test_once_without_a_file_polls_and_ends_without_a_traceback(tmp_path: Path, redirection: str, status: int) -> None:
    world = World()
    with Simulator(world) as simulator:
        path = tmp_path / "config.yml"
        path.write_text(json.dumps(config(simulator.url, [fleet(world, 2, qps=10)])))
        done = run(redirection, *EXPORTER, "--once", f"--config.file={path}")
    assert done.returncode == status
    assert b"Traceback" not in done.stderr
    assert (b"stdout cannot be written" in done.stderr) == (status == 1)


@pytest.mark.parametrize("redirection", [">&-", "> /dev/full", "2>&-"])
def test_the_healthcheck_tells_by_its_status_alone(redirection: str) -> None:
    from tests.support.webserver import serving

    with serving() as server:
        target = f"{server.host}:{server.port}"
        done = run(redirection, sys.executable, "-m", "exporter.cli.healthcheck", target)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_demo_serves_with_all_streams_closed() -> None:
    """No file or socket gets the descriptor of a stream, so no log line is written to a connection."""
    command = [*EXPORTER, "--demo", "--web.listen-address=127.0.0.1:0"]
    process = subprocess.Popen(["bash", "-c", 'exec "$@" <&- >&- 2>&-', "-", *command])
    try:
        null = [Path(f"/proc/{process.pid}/fd/{descriptor}") for descriptor in range(3)]
        until(lambda: {_behind(fd) for fd in null} == {"/dev/null"}, "the null device in their place")
        until(lambda: _has_sockets(process.pid), "it serves")
    finally:
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == 0


def test_the_simulator_serves_although_stdout_is_closed() -> None:
    process = subprocess.Popen(
        ["bash", "-c", 'exec "$@" >&-', "-", sys.executable, "-m", "exporter.simulator"], stderr=subprocess.PIPE
    )
    try:
        until(lambda: _has_sockets(process.pid), "it listens")
    finally:
        process.terminate()
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, said) == (0, b"")


def _behind(descriptor: Path) -> str:
    """What a descriptor in /proc is; empty for one that was closed."""
    with contextlib.suppress(FileNotFoundError):
        return str(descriptor.readlink())
    return ""


def _has_sockets(pid: int) -> bool:
    return any("socket:" in _behind(descriptor) for descriptor in Path(f"/proc/{pid}/fd").iterdir())
