"""SIGTERM ends the exporter at any moment: while it loads, or logs to a pipe that nobody reads."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from exporter.simulator import Simulator, World
from tests.support.exporter import ExporterProcess, series, statuses, until
from tests.support.fleet import config, fleet
from tests.support.patience import PATIENCE_SECONDS

F_SETPIPE_SZ = 1031


def test_the_end_does_not_wait_for_reloads_and_requests_during_a_reload_become_one() -> None:
    """Loading 20,000 numbers takes more than a second; ten requests to reload must not take ten times that."""
    with ExporterProcess(config("http://127.0.0.1:9", [fleet(World(), 20_000)])) as exporter:
        for _ in range(10):
            exporter.reload()
            exporter.get("/-/healthy")  # the signal was handled; pending signals of one kind are one signal
        exporter.logged("configuration reloaded")
        exporter.reload()
        exporter.get("/-/healthy")
        assert exporter.end() == 0
        assert exporter.log.count("configuration reloaded") <= 6  # of eleven: a busy machine may be slow
        assert "level=error" not in exporter.log
        assert "Traceback" not in exporter.log


def test_a_log_that_nobody_reads_stops_neither_polls_nor_scrapes_nor_the_end(tmp_path: Path) -> None:
    world = World()
    section = fleet(world, 200, qps=400, quota=500)
    world.accounts["main"].rate_limit = 10_000
    for number in section["numbers"][20:]:  # each poll of these fails, which gives a log line
        del world.accounts["main"].numbers[number["cust_space_id"], number["phone_number"]]
    reading, writing = os.pipe()
    fcntl.fcntl(writing, F_SETPIPE_SZ, 4096)
    with Simulator(world) as simulator:
        path = tmp_path / "config.yml"
        path.write_text(json.dumps(config(simulator.url, [section], scrape_interval="1s")))
        command = ["--log.level=debug", "--web.listen-address=127.0.0.1:0", f"--config.file={path}"]
        process = subprocess.Popen([sys.executable, "-m", "exporter", *command], stderr=writing)
        os.close(writing)
        said = b""
        while not (found := re.search(rb"listening.* address=(\S+)\s", said)):
            said += os.read(reading, 4096)
        url = found[1].decode()
        until(lambda: len(world.arrivals()) > 600, "polling goes on")
        with urllib.request.urlopen(f"{url}/-/healthy", timeout=PATIENCE_SECONDS) as answer:
            assert answer.status == 200

        def verified() -> int:
            with urllib.request.urlopen(f"{url}/metrics", timeout=PATIENCE_SECONDS) as answer:
                return list(statuses(series(answer.read().decode())).values()).count("VERIFIED")

        until(lambda: verified() == 20, "scrapes go on")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 0
        os.close(reading)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    ("flag", "stream", "status"), [("--help", "stdout", 1), ("--version", "stdout", 1), ("--unknown", "stderr", 0)]
)
def test_an_unread_message_about_flags_does_not_block_the_end(
    flag: str, stream: str, status: int, number: signal.Signals
) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writing, b"x" * 4096)
    os.set_blocking(writing, True)
    process = subprocess.Popen(
        [sys.executable, "-m", "exporter", flag],
        stdout=writing if stream == "stdout" else subprocess.DEVNULL,
        stderr=writing if stream == "stderr" else subprocess.DEVNULL,
    )
    os.close(writing)
    try:
        until(lambda: "pipe" in Path(f"/proc/{process.pid}/wchan").read_text(), "it waits for the pipe's reader")
        process.send_signal(number)
        assert process.wait(PATIENCE_SECONDS) == status
    finally:
        process.kill()
        process.wait()
        os.close(reading)
