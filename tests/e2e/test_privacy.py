"""docs/privacy.md: a removed number is not polled, shown or stored any more, and the commands delete the rest."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import tempfile
from pathlib import Path

from exporter.cluster.replica import KEEP_SECONDS
from exporter.simulator import Simulator, World
from tests.operations.tools import ROOT
from tests.support.exporter import ExporterProcess, until
from tests.support.fleet import config, fleet, phones
from tests.support.markdown import blocks, commands
from tests.support.patience import PATIENCE_SECONDS
from tests.support.redisserver import PREFIX, redis_server
from tests.support.servers import require_binary

PAGE = ROOT / "docs" / "privacy.md"
FOLDER = "/var/lib/cams-exporter"


def command(beginning: str) -> str:
    """The command of the page that begins so."""
    shown = (shown for block in blocks(PAGE, ROOT) for shown, _ in commands(block))
    (found,) = (each for each in shown if each.startswith(beginning))
    return found


def run(text: str, **environment: str) -> None:
    done = subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", text],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def stored(folder: Path) -> set[str]:
    """The phone numbers in the store; none while there is no store."""
    with (
        contextlib.suppress(sqlite3.OperationalError),  # not there, or its tables are not made yet
        contextlib.closing(sqlite3.connect(f"file:{folder}/answers.sqlite3?mode=ro", uri=True)) as store,
    ):
        return {number for (number,) in store.execute("SELECT phone_number FROM answers")}
    return set()


def test_a_removed_number_leaves_requests_pages_and_the_folder(tmp_path: Path) -> None:
    """Numbers are masked: in full they are in requests and in the folder only."""
    world = World()
    main = fleet(world, 2)
    kept, removed = phones(2)
    with (
        Simulator(world) as simulator,
        ExporterProcess(
            config(simulator.url, [main], scrape_interval="1s", phone_number_label="masked"),
            f"--storage.path={tmp_path}",
            "--log.level=debug",
        ) as exporter,
    ):
        until(lambda: stored(tmp_path) == {kept, removed}, "both are stored")
        (label,) = [label for label in exporter.statuses() if removed.endswith(label[-2:])]
        main["numbers"] = main["numbers"][:1]
        exporter.write_config(config(simulator.url, [main], scrape_interval="1s", phone_number_label="masked"))
        exporter.reload()
        exporter.logged("configuration reloaded")
        until(lambda: stored(tmp_path) == {kept}, "the number left the folder")
        for what in ("what was under way is answered", "polls go on"):
            before = len(world.arrivals())
            until(lambda before=before: len(world.arrivals()) > before, what)  # type: ignore[misc] # bound now
        assert {arrival.phone_number for arrival in world.arrivals()[before:]} == {kept}
        seen = "".join(exporter.get(page)[1].decode() for page in ("/metrics", "/numbers", "/config"))
        assert label not in seen
        assert not any(number in seen + exporter.log for number in (kept, removed))
    (tmp_path / "answers.sqlite3.unreadable-1").touch()
    run(command("rm ").replace(FOLDER, str(tmp_path)))
    assert [file.name for file in tmp_path.iterdir() if "answers" in file.name] == []


def test_the_keys_of_the_exporter_leave_the_store_and_no_other_key(tmp_path: Path) -> None:
    cli = require_binary("redis-cli")
    folder = Path(tempfile.mkdtemp(prefix="cams-"))  # its path must be short
    try:
        with redis_server(folder) as server:
            for key in (f"{PREFIX}:entries", f"{PREFIX}:log", "other"):
                server.admin("SET", key, "1")
            wrapper = tmp_path / "redis-cli"
            wrapper.write_text(f'#!/bin/sh\nexec {cli} -s {server.socket} "$@"\n', encoding="utf-8")
            wrapper.chmod(0o755)
            run(command("redis-cli "), PATH=f"{tmp_path}:{os.environ['PATH']}")
            assert server.admin("KEYS", "*") == [b"other"]
    finally:
        shutil.rmtree(folder)


def test_the_page_says_how_long_the_store_keeps_what_nobody_renews() -> None:
    assert f"{KEEP_SECONDS / 86400:.0f} days" in PAGE.read_text(encoding="utf-8")
