"""`--storage.path`: answers survive a restart, a kill at any moment, and a full disk."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from exporter.model import SystemClock
from exporter.simulator import Simulator, World
from exporter.state.storage import Learnt, Storage
from exporter.state.store import State
from tests.support.exporter import ExporterProcess, awaited, run_exporter, statuses, until, value
from tests.support.fleet import config, fleet, phones
from tests.support.numbers import numbers

SUCCESS_TIME = "cams_phone_number_last_success_timestamp_seconds"


def test_a_restart_has_no_blind_spot(tmp_path: Path) -> None:
    world = World()
    section = fleet(world, 5, qps=10)
    folder = f"--storage.path={tmp_path}/state"
    with Simulator(world) as simulator:
        settings = config(simulator.url, [section], scrape_interval="10m")
        with ExporterProcess(settings, folder) as exporter:
            until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")
            before = exporter.scrape()
        simulator.stop()
        with ExporterProcess(settings, folder) as exporter:
            after = exporter.scrape()
            assert set(statuses(after).values()) == {"VERIFIED"}
            for phone in phones(5):
                assert value(after, SUCCESS_TIME, phone_number=phone) == value(before, SUCCESS_TIME, phone_number=phone)


def test_what_the_path_taught_outlives_two_restarts(tmp_path: Path) -> None:
    """An earlier process learnt a jitter of 0.2 s; then no server answers."""
    folder = tmp_path / "state"
    settings = config("http://127.0.0.1:1", [fleet(World(), 3, qps=10)])
    earlier = Storage(folder, State(SystemClock()), SystemClock(), learnt=Learnt(guards=lambda: {"main": 0.2}))
    earlier.save()
    earlier.stop()
    for _ in range(2):
        with ExporterProcess(settings, f"--storage.path={folder}") as exporter:
            until(lambda: value(exporter.scrape(), "cams_exporter_storage_up") == 1, "saved")
            assert value(exporter.scrape(), "cams_api_effective_qps") == pytest.approx(10 / 1.2, rel=0.01)


def stored(folder: Path) -> dict[str, float]:
    """Phone number to the stored time of success; empty while there is no store."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{folder}/answers.sqlite3?mode=ro", uri=True)) as store:
            return dict(store.execute("SELECT phone_number, success_unix FROM answers"))
    except sqlite3.OperationalError:  # not there, or just being written
        return {}


def test_kill_9_loses_nothing_that_was_saved_and_answers_are_saved_over_and_over(tmp_path: Path) -> None:
    world = World()
    section = fleet(world, 5, qps=10)
    folder = f"--storage.path={tmp_path}/state"
    with Simulator(world) as simulator:
        settings = config(simulator.url, [section])
        exporter = ExporterProcess(settings, folder).start()
        first = until(lambda: len(found := stored(tmp_path / "state")) == 5 and found, "all are saved")
        saved = awaited(
            lambda: stored(tmp_path / "state"),
            lambda saved: min(saved.values(), default=0.0) > max(first.values()),
            "newer ones too",
        )
        os.kill(exporter.process.pid, signal.SIGKILL)
        exporter.stop()
        with ExporterProcess(settings, folder, "--log.level=info") as again:
            restored = again.scrape()
            assert "numbers=5" in again.log
            assert "set aside" not in again.log
            for phone, success_unix in saved.items():
                assert (value(restored, SUCCESS_TIME, phone_number=phone) or 0) >= success_unix


SAVE_FOR_EVER = """
import itertools, sys
from pathlib import Path
from exporter.model import Answer, SystemClock
from exporter.state.store import State
from exporter.state.storage import Storage
from tests.support.numbers import numbers
from tests.support.patience import PATIENCE_SECONDS
state = State(SystemClock())
state.configure(numbers(300), {"main": 900.0})
storage = Storage(Path(sys.argv[1]), state, SystemClock())
storage.restore()
for turn in itertools.count(int(sys.argv[2])):
    for number in numbers(300):
        state.succeeded(number, Answer(f"TURN-{turn}", "1", "R"))
    storage.save()
    print(turn, flush=True)
"""


def test_kill_9_at_any_moment_leaves_the_last_save_or_the_one_before_it_whole(tmp_path: Path) -> None:
    """Killed again and again while it saves all the time: no half save, and no saved answer is lost."""
    rng = random.Random(1)
    turn = 0
    for _ in range(15):
        with subprocess.Popen(
            [sys.executable, "-c", SAVE_FOR_EVER, str(tmp_path), str(turn + 1)], stdout=subprocess.PIPE, text=True
        ) as saver:
            assert saver.stdout is not None
            saver.stdout.readline()
            time.sleep(rng.uniform(0.0, 0.1))
            saver.kill()
            said = [int(line) for line in saver.stdout.read().splitlines() if line.isdigit()]
        clock = SystemClock()
        state = State(clock)
        state.configure(numbers(300), {"main": 900.0})
        storage = Storage(tmp_path, state, clock)
        assert storage.restore() == 300
        storage.stop()
        (status,) = {record.status for record in state.snapshot().numbers}
        kept = int(status.removeprefix("TURN-"))
        last = max(said, default=turn + 1)
        assert last <= kept <= last + 1
        turn = kept
    assert not list(tmp_path.glob("*.unreadable-*"))


def test_the_time_that_the_exporter_was_down_counts_for_staleness(tmp_path: Path) -> None:
    world = World()
    section = fleet(world, 3, qps=10)
    folder = f"--storage.path={tmp_path}/state"
    with Simulator(world) as simulator:
        settings = config(simulator.url, [section], stale_after="3s")
        with ExporterProcess(settings, folder) as exporter:
            until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")
        stopped_at = time.time()
        simulator.stop()
        until(lambda: time.time() > stopped_at + 3, "it is down for as long as an answer counts")
        with ExporterProcess(settings, folder) as exporter:
            restored = exporter.scrape()
            assert set(statuses(restored).values()) == {"UNKNOWN"}
            for phone in phones(3):
                assert 0 < (value(restored, SUCCESS_TIME, phone_number=phone) or 0) <= stopped_at


def test_a_full_disk_is_logged_and_polling_continues(tmp_path: Path) -> None:
    """A limit on file sizes simulates a full disk: the save fails in the middle."""
    world = World()
    section = fleet(world, 300, qps=400, quota=500)
    world.accounts["main"].rate_limit = 10_000
    with (
        Simulator(world) as simulator,
        ExporterProcess(
            config(simulator.url, [section]),
            f"--storage.path={tmp_path}/state",
            prefix=["prlimit", "--fsize=20000"],
        ) as exporter,
    ):
        until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")
        exporter.logged("answers cannot be stored")
        assert exporter.get("/-/healthy")[0] == 200
        assert "Traceback" not in exporter.log
    with ExporterProcess(config("http://127.0.0.1:1", [section]), f"--storage.path={tmp_path}/state") as exporter:
        assert "set aside" not in exporter.log


def test_a_second_exporter_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    settings = config("http://127.0.0.1:1", [fleet(World(), 1)])
    folder = f"--storage.path={tmp_path}"
    with ExporterProcess(settings, folder) as exporter:
        done = run_exporter(f"--config.file={exporter.config_path}", folder, "--web.listen-address=127.0.0.1:0")
    assert done.returncode == 1
    assert "another exporter stores its answers there" in done.stderr
    assert "Traceback" not in done.stderr
