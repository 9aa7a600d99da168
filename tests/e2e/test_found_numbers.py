"""Found numbers come in force in the running exporter, whatever else it does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from exporter.app import App
from exporter.config import Config, load
from exporter.model import SystemClock
from exporter.simulator import HEALTH, Refusal, Simulator, World, faults
from tests.support.exporter import awaited, until
from tests.support.fleet import SPACE, config, phones
from tests.support.patience import PATIENCE_SECONDS

CREDENTIALS = {"type": "access_key", "access_key_id": "key-main", "access_key_secret": "secret-main"}


def world_of(count: int) -> World:
    world = World()
    world.add_account("main", "key-main", "secret-main")
    for phone in phones(count):
        world.add_number("main", SPACE, phone)
    return world


def settings(url: str, folder: Path, **more: object) -> Path:
    account = {"name": "main", "credentials": CREDENTIALS, "discover": {"refresh_interval": "1s"}, "qps": 10, **more}
    path = folder / "config.yml"
    path.write_text(yaml.safe_dump(config(url, [account])))
    return path


@contextmanager
def running(path: Path, storage_path: Path | None = None) -> Iterator[App]:
    app = App(load(path), SystemClock(), version="1", revision="1", storage_path=storage_path)
    app.start()
    try:
        yield app
    finally:
        app.stop()


def numbers(app: App) -> set[str]:
    snapshot, _ = app.view()
    return {record.number.phone_number for record in snapshot.numbers}


def test_a_reload_that_hangs_does_not_keep_found_numbers_out_of_force(tmp_path: Path) -> None:
    """The configuration is on a mount that hangs: that must not stop the fleet from being followed."""
    world = world_of(1)
    with Simulator(world) as simulator:
        path = settings(simulator.url, tmp_path)
        with running(path) as app:
            until(lambda: numbers(app) == {*phones(1)}, "found")
            reading, end = threading.Event(), threading.Event()

            def slow() -> Config:
                reading.set()
                assert end.wait(PATIENCE_SECONDS)
                return load(path)

            reload = threading.Thread(target=app.reload, args=(slow,))
            reload.start()
            try:
                assert reading.wait(PATIENCE_SECONDS)
                world.add_number("main", SPACE, phones(1, 7)[0])
                until(lambda: numbers(app) == {*phones(1), *phones(1, 7)}, "the new one is found")
            finally:
                end.set()
                reload.join()
            assert numbers(app) == {*phones(1), *phones(1, 7)}  # a reload takes no found number away


def test_the_default_stale_after_counts_found_numbers(tmp_path: Path) -> None:
    """300 numbers at 0.3/s take 1,000 s: with the 15 minutes of a few numbers they would read UNKNOWN in between."""
    world = world_of(300)
    with Simulator(world) as simulator, running(settings(simulator.url, tmp_path, qps=0.3)) as app:
        snapshot, _ = awaited(
            app.view, lambda view: len(view[0].numbers) == view[1][0].phone_numbers == 300, "found and in force"
        )
        assert snapshot.at - snapshot.fresh_since["main"] > 3 * 300 / 0.3 - 1
        assert snapshot.at - snapshot.listing_fresh_since["main"] == 6 * 3600


def test_the_log_says_once_what_found_numbers_crowd_out_and_again_after_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Also while the API is down, with the numbers that were kept."""
    path, store = tmp_path / "config.yml", tmp_path / "store"

    def said() -> list[str]:
        return [
            record.message.partition(",")[0] for record in caplog.records if record.name == "exporter.config.crowding"
        ]

    expected = ["asking all numbers takes 5m34s", "checking 300 numbers every 5m takes 1 requests per second"]
    with Simulator(world_of(300)) as simulator:
        settings(simulator.url, tmp_path, qps=1, health={})
        with running(path, store) as app:
            until(lambda: len(said()) == len(expected), "the log says it")
            assert said() == expected
            assert len(numbers(app)) == 300
            app.reload(lambda: load(path))
            assert said() == expected
    caplog.clear()
    with running(path, store):
        assert said() == expected


def test_a_verdict_that_is_too_old_is_unknown_or_not_shown_where_health_is_refused(tmp_path: Path) -> None:
    """Unknown says that something is wrong with the answers; a refusal says that nobody may ask."""
    world = world_of(1)
    with Simulator(world) as simulator:
        path = settings(simulator.url, tmp_path, health={"interval": "1s"})
        path.write_text(f"stale_after: 2s\n{path.read_text()}")
        with running(path) as app:

            def verdicts() -> list[str]:
                snapshot, _ = app.view()
                return [snapshot.verdict(record) for record in snapshot.numbers]

            until(lambda: verdicts() == ["AVAILABLE"], "checked")
            world.accounts["main"].calls[HEALTH].fault = faults.bare(502)
            until(lambda: verdicts() == ["UNKNOWN"], "too old")
            world.accounts["main"].calls[HEALTH].fault = None
            world.accounts["main"].calls[HEALTH].refusal = Refusal.PERMISSION_DENIED
            until(lambda: verdicts() == [""], "refused")
            world.accounts["main"].calls[HEALTH].refusal = None
            until(lambda: verdicts() == ["AVAILABLE"], "checked again")


def test_ready_names_what_it_waits_for(tmp_path: Path) -> None:
    world = world_of(2)
    with Simulator(world) as simulator:
        path = settings(simulator.url, tmp_path)
        app = App(load(path), SystemClock(), version="1", revision="1")
        try:
            assert app.not_ready() == ("account main: its spaces are not listed yet",)
            app.start()
            until(lambda: app.not_ready() == (), "ready")
            assert len(numbers(app)) == 2
            for phone in phones(100, 10):
                world.add_number("main", SPACE, phone)
            until(lambda: len(numbers(app)) == 102, "more are found")
            snapshot, _ = app.view()
            assert None in {record.last_poll_success for record in snapshot.numbers}
            assert app.not_ready() == ()  # numbers that come later are no reason to take it out of service
            app.reload(lambda: load(path))
            assert app.not_ready() != ()
        finally:
            app.stop()
