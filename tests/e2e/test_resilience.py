"""Throttling, refusal, clocks, reloads, isolation and restarts, with the whole exporter against the simulator."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from exporter.simulator import Key, Refusal, Simulator, World, faults
from tests.support.exporter import ExporterProcess, Series, statuses, total, until, value
from tests.support.fleet import config, fleet, phones

SUCCESS_TIME = "cams_phone_number_last_success_timestamp_seconds"


def open_files(exporter: ExporterProcess) -> int:
    return len(list(Path(f"/proc/{exporter.process.pid}/fd").iterdir()))


def errors(scraped: Series) -> dict[tuple[str, str], float]:
    """(account, code) of every error counted so far."""
    found = ((dict(labels), number) for (name, labels), number in scraped.items() if name == "cams_api_errors_total")
    return {(labels["account"], labels["code"]): number for labels, number in found if number}


def threads(exporter: ExporterProcess) -> int:
    return len(list(Path(f"/proc/{exporter.process.pid}/task").iterdir()))


def test_an_account_with_a_lower_real_limit_slows_down_and_is_not_hammered() -> None:
    world = World()
    section = fleet(world, 60, qps=10)
    world.accounts["main"].rate_limit = 3
    with (
        Simulator(world) as simulator,
        ExporterProcess(config(simulator.url, [section], scrape_interval="10s")) as exporter,
    ):
        until(lambda: (value(exporter.scrape(), "cams_api_effective_qps") or 10) < 10, "the rate falls")
        time.sleep(20)
        recent = [arrival for arrival in world.arrivals() if arrival.at > world.clock.monotonic() - 10]
        refused = sum(arrival.outcome != "OK" for arrival in recent)
        assert len(recent) <= 45
        assert refused <= 10
        scraped = exporter.scrape()
        assert value(scraped, "cams_api_budget_qps") == 10
        assert total(scraped, "cams_api_errors_total") == total(
            scraped, "cams_api_errors_total", code="Throttling.User"
        )


def test_a_refused_account_is_probed_and_recovers_without_a_restart() -> None:
    world = World()
    section = fleet(world, 20, qps=10)
    world.accounts["main"].refusal = Refusal.UNSUBSCRIBED
    with Simulator(world) as simulator, ExporterProcess(config(simulator.url, [section])) as exporter:
        until(lambda: value(exporter.scrape(), "cams_account_up") == 0, "refused")
        assert exporter.get("/-/ready")[0] == 200
        assert len(world.arrivals()) <= 8  # three in a row, what was under way, then probes
        assert set(exporter.statuses().values()) == {"UNKNOWN"}
        world.accounts["main"].refusal = None
        until(lambda: value(exporter.scrape(), "cams_account_up") == 1, "let in again")
        until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")


def test_a_key_rotated_in_its_file_is_picked_up_without_a_restart(tmp_path: Path) -> None:
    world = World()
    section = fleet(world, 5, qps=10)
    key, secret = tmp_path / "id", tmp_path / "secret"
    key.write_text("key-main\n")
    secret.write_text("secret-main\n")
    section["credentials"] = {
        "type": "access_key",
        "access_key_id_file": str(key),
        "access_key_secret_file": str(secret),
    }
    with Simulator(world) as simulator, ExporterProcess(config(simulator.url, [section])) as exporter:
        until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")
        world.set_key("main", "key-new", Key("secret-new"))
        for path, text in ((secret, "secret-new\n"), (key, "key-new\n")):
            fresh = path.with_suffix(".new")
            fresh.write_text(text)
            fresh.replace(path)
        world.remove_key("key-main")
        arrived = len(world.arrivals())
        until(lambda: len(world.arrivals()) > arrived + 20, "polling goes on")
        failed = [arrival for arrival in world.arrivals()[arrived:] if arrival.outcome != "OK"]
        assert len(failed) <= 2
        assert value(exporter.scrape(), "cams_account_up") == 1


def test_a_clock_that_is_an_hour_off_is_measured_said_and_made_up_for() -> None:
    world = World()
    section = fleet(world, 5, qps=10)
    world.clock_skew_seconds = 3600.0
    with Simulator(world) as simulator, ExporterProcess(config(simulator.url, [section])) as exporter:
        until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")
        assert "clock_behind_seconds=3600" in exporter.log or "clock_behind_seconds=3599" in exporter.log
        scraped = exporter.scrape()
        assert total(scraped, "cams_api_errors_total", code="InvalidTimeStamp.Expired") >= 1
        assert value(scraped, "cams_account_up") == 1


class TestReload:
    """SIGHUP applies a changed configuration atomically."""

    def test_numbers_that_stay_keep_their_status_and_counters_survive(self) -> None:
        world = World()
        section = fleet(world, 6, qps=10)
        with (
            Simulator(world) as simulator,
            ExporterProcess(config(simulator.url, [section], scrape_interval="5m")) as exporter,
        ):
            until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")
            before = exporter.scrape()
            kept = phones(6)[:4]
            section["numbers"] = section["numbers"][:4]
            exporter.write_config(config(simulator.url, [section], scrape_interval="5m"))
            exporter.reload()
            until(lambda: len(exporter.statuses()) == 4, "the new configuration is in force")
            after = exporter.scrape()
            assert statuses(after) == dict.fromkeys(kept, "VERIFIED")
            for phone in kept:
                assert value(after, SUCCESS_TIME, phone_number=phone) == value(before, SUCCESS_TIME, phone_number=phone)
            assert total(after, "cams_api_requests_total") >= total(before, "cams_api_requests_total") == 6
            stamp = "cams_exporter_config_last_reload_success_timestamp_seconds"
            assert (value(after, stamp) or 0) > (value(before, stamp) or 0)

    def test_a_bad_file_keeps_the_old_configuration_and_every_fault_is_logged(self) -> None:
        world = World()
        section = fleet(world, 2)
        with Simulator(world) as simulator, ExporterProcess(config(simulator.url, [section])) as exporter:
            until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")
            exporter.config_path.write_text("accounts: []\nscrape_interval: never\nodd: 1\n")
            exporter.reload()
            until(
                lambda: value(exporter.scrape(), "cams_exporter_config_last_reload_successful") == 0,
                "the reload failed",
            )
            assert len(exporter.statuses()) == 2
            for place in ("accounts", "scrape_interval", "odd"):
                assert place in exporter.log
            exporter.write_config(config(simulator.url, [section]))
            exporter.reload()
            until(lambda: value(exporter.scrape(), "cams_exporter_config_last_reload_successful") == 1, "mended")

    def test_a_hundred_reloads_with_requests_under_way_leak_nothing(self) -> None:
        world = World(latency_seconds=(0.1, 0.4))
        staying, coming = fleet(world, 10, qps=10), fleet(world, 10, name="coming", start=100, qps=10)
        with Simulator(world) as simulator, ExporterProcess(config(simulator.url, [staying, coming])) as exporter:
            until(lambda: exporter.get("/-/ready")[0] == 200, "ready")
            time.sleep(2)
            series_before, files_before, threads_before = (
                len(exporter.scrape()),
                open_files(exporter),
                threads(exporter),
            )
            for turn in range(100):
                timeout = f"{10 + turn % 7}s"  # a new client each time
                accounts = [staying] if turn % 2 == 0 else [staying, coming]
                exporter.write_config(config(simulator.url, accounts, api_timeout=timeout))
                exporter.reload()
                until(lambda turn=turn: exporter.log.count("configuration reloaded") == turn + 1, "reloaded")  # type: ignore[misc] # bound now
            until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")
            time.sleep(3)
            assert len(exporter.scrape()) <= series_before + 4
            assert open_files(exporter) <= files_before + 12
            assert threads(exporter) <= threads_before + 12
            assert errors(exporter.scrape()) == {}
            assert world.busiest_second("main") <= 10
            assert world.busiest_second("coming") <= 10


def test_hanging_accounts_do_not_delay_the_others() -> None:
    """20 accounts of which 10 hang until the timeout: the others keep at least 95 % of their budgets."""
    world = World(latency_seconds=(0.05, 0.15))
    sections = [fleet(world, 40, name=f"a{i}", start=100 * i, qps=4) for i in range(20)]
    for i in range(0, 20, 2):
        world.accounts[f"a{i}"].fault = faults.hang()
    with (
        Simulator(world) as simulator,
        ExporterProcess(config(simulator.url, sections, api_timeout="5s")) as exporter,
    ):
        time.sleep(4)
        began = world.clock.monotonic()
        time.sleep(15)
        ended = world.clock.monotonic()
        for i in range(1, 20, 2):
            answered = sum(began <= arrival.at < ended for arrival in world.arrivals(f"a{i}"))
            assert answered >= 0.95 * 4 * (ended - began) - 1, f"a{i}"
        assert threads(exporter) <= 20 + 20 * 50 + 30
        took = time.monotonic()
        exporter.get()
        assert time.monotonic() - took < 2.0


class TestStorage:
    """`--storage.path` keeps answers over a restart."""

    def test_a_restart_has_no_blind_spot(self, tmp_path: Path) -> None:
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
                    assert value(after, SUCCESS_TIME, phone_number=phone) == value(
                        before, SUCCESS_TIME, phone_number=phone
                    )

    def test_kill_9_loses_at_most_ten_seconds_and_never_the_store(self, tmp_path: Path) -> None:
        world = World()
        section = fleet(world, 30, qps=10)
        folder = f"--storage.path={tmp_path}/state"
        with Simulator(world) as simulator:
            settings = config(simulator.url, [section])
            for _ in range(2):
                exporter = ExporterProcess(settings, folder).start()
                until(lambda e=exporter: set(e.statuses().values()) == {"VERIFIED"}, "verified")  # type: ignore[misc] # bound now
                time.sleep(11)
                os.kill(exporter.process.pid, signal.SIGKILL)
                killed_at = time.time()
                exporter.stop()
                with ExporterProcess(settings, folder, "--log.level=info") as again:
                    restored = again.scrape()
                    assert "numbers=30" in again.log
                    assert "set aside" not in again.log
                    early = [arrival for arrival in world.arrivals() if arrival.unix <= killed_at - 10]
                    assert early
                    for arrival in early:  # answered 10 s before the kill or earlier: kept
                        assert (value(restored, SUCCESS_TIME, phone_number=arrival.phone_number) or 0) >= arrival.unix
