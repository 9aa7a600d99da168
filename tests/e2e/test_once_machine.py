"""`--once` on real machines: a mounted file, a folder with other files, no thread available."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import pytest

from exporter.simulator import Simulator, World
from tests.support.exporter import run_exporter
from tests.support.fleet import config, fleet
from tests.support.node_exporter import node_exporter
from tests.support.patience import PATIENCE_SECONDS

EXPORTER = [sys.executable, "-m", "exporter"]


def run_in_bash(script: str, command: Sequence[str], prefix: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*prefix, "bash", "-c", f'{script} && exec "$@"', "-", *command],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def write_config(folder: Path, world: World, url: str, count: int = 2, accounts: int = 1) -> str:
    path = folder / "config.yml"
    fleets = [fleet(world, count, name=f"account-{index}", start=index * count, qps=10) for index in range(accounts)]
    path.write_text(json.dumps(config(url, fleets)))
    return f"--config.file={path}"


@pytest.fixture
def own_mounts() -> list[str]:
    """The start of a command that may mount file systems."""
    command = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system lets nobody make a mount namespace")
    return command


def test_a_file_that_is_mounted_is_written_in_place(tmp_path: Path, own_mounts: list[str]) -> None:
    """Containers mount single files.  Such a file cannot be replaced (EBUSY), and earlier this was noticed too late."""
    world, host, mounted = World(), tmp_path / "host.prom", tmp_path / "cams metrics.prom"
    host.write_text("PREVIOUS " * 10_000)
    mounted.touch()
    with Simulator(world) as simulator:
        flag = write_config(tmp_path, world, simulator.url)
        mount = f"mount --bind '{host}' '{mounted}'"
        done = run_in_bash(mount, [*EXPORTER, "--once", f"--once.output={mounted}", flag], own_mounts)
    assert done.returncode == 0, done.stderr
    text = host.read_text()
    assert "cams_phone_number_verification_status" in text
    assert "PREVIOUS" not in text
    assert "written in place" in done.stderr


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_read_only_file_system_is_said_before_the_first_request(
    tmp_path: Path, own_mounts: list[str], what: str
) -> None:
    world, output = World(), tmp_path / "out" / "cams.prom"
    output.parent.mkdir()
    output.write_text("old")
    mounted = output if what == "file" else output.parent
    with Simulator(world) as simulator:
        flag = write_config(tmp_path, world, simulator.url)
        mount = f"mount --bind '{mounted}' '{mounted}' && mount -o remount,bind,ro '{mounted}'"
        done = run_in_bash(mount, [*EXPORTER, "--once", f"--once.output={output}", flag], own_mounts)
    assert done.returncode == 1
    assert "read-only file system" in done.stderr
    assert "Traceback" not in done.stderr
    assert not world.arrivals()
    assert output.read_text() == "old"


def test_two_files_of_two_configurations_live_in_one_folder(tmp_path: Path) -> None:
    """node_exporter reads all files of its folder as one exposition, and refuses it if a series appears twice."""
    folder = tmp_path / "textfile"
    folder.mkdir()
    (tmp_path / "web.yml").touch()
    for start, name in ((0, "one"), (100, "two")):
        world = World()
        with Simulator(world) as simulator:
            path = tmp_path / f"{name}.yml"
            path.write_text(json.dumps(config(simulator.url, [fleet(world, 2, name=name, start=start, qps=10)])))
            output, store = f"--once.output={folder}/{name}.prom", f"--storage.path={tmp_path}/{name}"
            done = run_exporter("--once", output, store, f"--config.file={path}")
            assert done.returncode == 0, done.stderr
    flags = ("--collector.textfile", f"--collector.textfile.directory={folder}")
    with (
        node_exporter(tmp_path / "web.yml", tmp_path / "log", *flags) as address,
        urllib.request.urlopen(f"http://{address}/metrics", timeout=PATIENCE_SECONDS) as answer,
    ):
        text = answer.read().decode()
    assert 'account="one"' in text
    assert 'account="two"' in text
    assert "node_textfile_scrape_error 0" in text
    assert "cams_exporter_" not in text


GIB = 1 << 20
"""In units of ulimit."""


@pytest.mark.parametrize(
    ("threads", "accounts", "flags", "said"),
    [
        (0, 1, ["--once"], "no thread can be started for configuration"),
        (2, 2, ["--once"], "an account cannot be polled"),
        (2, 1, ["--once"], "polling makes no progress"),
        (2, 1, ["--web.listen-address=127.0.0.1:0"], "no thread can be started for"),
    ],
    ids=["configuration", "poller", "worker", "server"],
)
def test_a_machine_without_threads_is_said_and_exit_status_1(
    tmp_path: Path, threads: int, accounts: int, flags: list[str], said: str
) -> None:
    """Each thread needs 8 GiB of address space for its stack; there is enough for `threads` threads."""
    world = World()
    with Simulator(world) as simulator:
        flag = write_config(tmp_path, world, simulator.url, accounts=accounts)
        limits = f"ulimit -s {8 * GIB} && ulimit -v {(8 * threads + 4) * GIB}"
        done = run_in_bash(limits, [*EXPORTER, flag, *flags])
    assert done.returncode == 1, done.stderr
    assert said in done.stderr
    assert not world.arrivals()
