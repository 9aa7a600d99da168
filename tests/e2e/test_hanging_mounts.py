"""A file on a mount that hangs: it delays no poll, no scrape and not the end.  The last good content is used."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from exporter.simulator import Simulator, World
from tests.support.exporter import ExporterProcess, until, value
from tests.support.fleet import config, fleet
from tests.support.hangingmount import hanging_mount
from tests.support.patience import PATIENCE_SECONDS


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "mount").mkdir()
    with hanging_mount(tmp_path / "mount") as folder:
        yield folder


class Swapped:
    """Files in a folder; the folder is replaced by one that hangs."""

    def __init__(self, tmp_path: Path, mount: Path) -> None:
        self._mount = mount
        (tmp_path / "good").mkdir()
        self.folder = tmp_path / "files"
        self.folder.symlink_to(tmp_path / "good")

    def hang(self) -> None:
        new = self.folder.with_name("new")
        new.symlink_to(self._mount)
        new.replace(self.folder)


def arrivals_grow(world: World, account: str) -> None:
    before = len(world.arrivals(account))
    until(lambda: len(world.arrivals(account)) > before + 3, f"{account} is polled")


@pytest.mark.parametrize(
    ("what", "flags"),
    [
        ("config.file", []),
        ("config.file", ["--config.check"]),
        ("config.file", ["--once"]),
        ("web.config.file", []),
        ("web.config.file", ["--config.check"]),
        ("storage.path", []),
        ("storage.path", ["--once"]),
        ("REQUESTS_CA_BUNDLE", []),
        ("REQUESTS_CA_BUNDLE", ["--once"]),
    ],
)
def test_a_signal_during_the_start_ends_it(tmp_path: Path, mount: Path, what: str, flags: list[str]) -> None:
    good = tmp_path / "config.yml"
    good.write_text(json.dumps(config("https://127.0.0.1:9", [fleet(World(), 1)])))
    given = {"config.file": str(good), what: f"{mount}/x"}
    variables = {name: given.pop(name) for name in list(given) if name.isupper()}
    process = subprocess.Popen(
        [
            *[sys.executable, "-m", "exporter", "--web.listen-address=127.0.0.1:0"],
            *[f"--{name}={path}" for name, path in given.items()],
            *flags,
        ],
        env={**os.environ, **variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: _waits_in_fuse(process.pid), "it waits for the mount")
        process.terminate()
        process.wait(PATIENCE_SECONDS)
    finally:
        process.kill()
        process.wait(PATIENCE_SECONDS)
    assert process.returncode >= 0  # not by the signal itself: then no handler would have run


def _waits_in_fuse(pid: int) -> bool:
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that has ended meanwhile
            if "request_wait" in (task / "wchan").read_text():
                return True
    return False


def test_a_reload_of_a_configuration_that_does_not_come_leaves_the_old_one_in_force(
    tmp_path: Path, mount: Path
) -> None:
    world, swapped = World(), Swapped(tmp_path, mount)
    with Simulator(world) as simulator:
        path = swapped.folder / "config.yml"
        path.write_text(json.dumps(config(simulator.url, [fleet(world, 2, qps=10)])))
        with ExporterProcess(None, f"--config.file={path}") as exporter:
            until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")
            swapped.hang()
            for _ in range(5):
                exporter.reload()
            exporter.logged("still being read")
            until(lambda: value(exporter.scrape(), "cams_exporter_config_last_reload_successful") == 0, "it is told")
            arrivals_grow(world, "main")
            assert exporter.get("/-/healthy")[0] == 200
            assert exporter.end() == 0


def test_scrapes_go_on_with_the_web_configuration_that_was_in_force(tmp_path: Path, mount: Path) -> None:
    world, swapped = World(), Swapped(tmp_path, mount)
    path = swapped.folder / "web.yml"
    hashed = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()
    path.write_text(json.dumps({"basic_auth_users": {"prometheus": hashed}}))
    login = {"Authorization": "Basic " + base64.b64encode(b"prometheus:right").decode()}
    with (
        Simulator(world) as simulator,
        ExporterProcess(config(simulator.url, [fleet(world, 2)]), f"--web.config.file={path}") as exporter,
    ):
        assert exporter.get("/metrics", login)[0] == 200
        swapped.hang()
        for _ in range(5):
            assert exporter.get("/metrics", login)[0] == 200
            assert exporter.get("/metrics")[0] == 401
        exporter.logged("no look at the web configuration")
        assert exporter.end() == 0


def test_key_files_that_do_not_come_stop_no_account_that_had_its_key(tmp_path: Path, mount: Path) -> None:
    world, swapped = World(), Swapped(tmp_path, mount)
    sections = [fleet(world, 2, name=name, start=start, qps=10) for name, start in (("filed", 0), ("plain", 100))]
    (swapped.folder / "secret").write_text("secret-filed")
    credentials: dict[str, Any] = sections[0]["credentials"]
    del credentials["access_key_secret"]
    credentials["access_key_secret_file"] = str(swapped.folder / "secret")
    with Simulator(world) as simulator, ExporterProcess(config(simulator.url, sections)) as exporter:
        until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")
        swapped.hang()
        exporter.logged("keeping the credentials read before")
        arrivals_grow(world, "plain")
        arrivals_grow(world, "filed")
        assert exporter.end() == 0


def test_a_start_without_key_files_that_do_not_come_polls_the_other_accounts(tmp_path: Path, mount: Path) -> None:
    world = World()
    sections = [fleet(world, 2, name=name, start=start, qps=10) for name, start in (("filed", 0), ("plain", 100))]
    credentials: dict[str, Any] = sections[0]["credentials"]
    del credentials["access_key_secret"]
    credentials["access_key_secret_file"] = str(mount / "secret")
    with Simulator(world) as simulator, ExporterProcess(config(simulator.url, sections)) as exporter:
        arrivals_grow(world, "plain")
        assert "its mount gives no answer" in exporter.log
        reloaded = exporter.log.count("configuration reloaded")
        exporter.reload()
        until(lambda: exporter.log.count("configuration reloaded") > reloaded, "a reload ends as well")
        assert exporter.get("/-/healthy")[0] == 200
        assert exporter.end() == 0


def test_a_hanging_store_shows_in_its_metric(tmp_path: Path, mount: Path) -> None:
    """From the start, and later while it runs."""
    world, swapped = World(), Swapped(tmp_path, mount)
    settings = [fleet(world, 2, qps=10)]
    with Simulator(world) as simulator:
        with ExporterProcess(config(simulator.url, settings), f"--storage.path={swapped.folder}/state") as exporter:
            until(lambda: value(exporter.scrape(), "cams_exporter_storage_up") == 1, "it is stored")
            swapped.hang()
            until(lambda: value(exporter.scrape(), "cams_exporter_storage_up") == 0, "it is told")
            arrivals_grow(world, "main")
            assert exporter.get("/-/healthy")[0] == 200
            assert exporter.end() == 0
        with ExporterProcess(config(simulator.url, settings), f"--storage.path={mount}/state") as exporter:
            assert "the store does not answer" in exporter.log
            assert value(exporter.scrape(), "cams_exporter_storage_up") == 0
            arrivals_grow(world, "main")
            assert exporter.end() == 0
