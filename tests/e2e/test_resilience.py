"""Throttling, refusal, clocks and isolation, with the whole exporter against the simulator."""

from __future__ import annotations

import itertools
import re
import time
from pathlib import Path
from typing import Any

import pytest

from exporter.poller.bounds import MAX_POLLS_UNDER_WAY
from exporter.simulator import Key, Refusal, Simulator, Throttle, World, faults
from tests.support.exporter import ExporterProcess, errors, statuses, total, until, value
from tests.support.faketime import WallClock
from tests.support.fleet import config, fleet


def test_an_account_with_a_lower_real_limit_slows_down_and_is_not_hammered() -> None:
    world = World()
    section = fleet(world, 60, qps=10)
    world.accounts["main"].rate_limit = 3
    with (
        Simulator(world) as simulator,
        ExporterProcess(config(simulator.url, [section], scrape_interval="10s")) as exporter,
    ):
        until(lambda: (value(exporter.scrape(), "cams_api_effective_qps") or 10) < 3, "the rate falls")
        began = world.clock.monotonic()
        until(lambda: world.clock.monotonic() - began > 8, "it settles")
        recent = [arrival for arrival in world.arrivals() if arrival.at > began]
        refused = sum(arrival.outcome != "OK" for arrival in recent)
        assert 8 <= len(recent) <= 32
        assert refused <= 4
        scraped = exporter.scrape()
        assert value(scraped, "cams_api_budget_qps") == 10
        assert total(scraped, "cams_api_errors_total") == total(
            scraped, "cams_api_errors_total", code="Throttling.User"
        )


PAUSES = {
    "retry-after": (Throttle(header="x-acs-retry-after", pause_ms=2500), 2.5),
    "user-api": (Throttle(header="x-ratelimit-user-api", pause_ms=2500), 2.5),
    "user": (Throttle(header="x-ratelimit-user", pause_ms=2500), 2.5),
    "none": (Throttle(header="none"), 1.0),
    "429": (Throttle(status=429, header="x-acs-retry-after", pause_ms=1500), 1.5),
    "503": (Throttle(status=503, header="x-acs-retry-after", pause_ms=1500), 1.5),
    "an-hour": (Throttle(header="x-acs-retry-after", pause_ms=3_600_000), 60.0),
}


def test_a_throttled_account_pauses_as_long_as_the_answer_says_whichever_way_it_says_so() -> None:
    """Each form of header, none (1 s), and an hour (60 s at most); the accounts pause each for itself."""
    world = World()
    sections = [fleet(world, 40, name=name, start=100 * i, qps=10) for i, name in enumerate(PAUSES)]
    for name, (throttle, _) in PAUSES.items():
        world.accounts[name].rate_limit = 0
        world.accounts[name].throttle = throttle
    with Simulator(world) as simulator, ExporterProcess(config(simulator.url, sections)) as exporter:
        until(lambda: all(world.arrivals(name) for name in PAUSES), "all are throttled")
        for name in PAUSES:
            world.accounts[name].rate_limit = 10
        until(lambda: all(len(world.arrivals(name)) >= 3 for name in PAUSES if name != "an-hour"), "all go on")
        for name, (_, pause) in PAUSES.items():
            instants = [arrival.at for arrival in world.arrivals(name)]
            longest = max((after - before for before, after in itertools.pairwise(instants)), default=0.0)
            if name == "an-hour":
                assert len(instants) <= 4  # what was under way, and nothing since
                assert value(exporter.scrape(), "cams_api_effective_qps", account=name) == 5
            else:
                assert pause - 0.05 <= longest <= pause + 2.0, name


def test_refused_accounts_are_probed_and_recover_without_a_restart_whatever_is_mended(tmp_path: Path) -> None:
    """Key, permission and subscription: `cams_account_up` 0, ready, a probe each 10 s, 1 after the first success."""
    world = World()
    sections = {name: fleet(world, 20, name=name, start=100 * i, qps=7) for i, name in enumerate(("key", "ram", "sub"))}
    secret = tmp_path / "secret"
    secret.write_text("mistyped")
    sections["key"]["credentials"] = {
        "type": "access_key",
        "access_key_id": "key-key",
        "access_key_secret_file": str(secret),
    }
    world.accounts["ram"].refusal = Refusal.PERMISSION_DENIED
    world.accounts["sub"].refusal = Refusal.UNSUBSCRIBED
    with Simulator(world) as simulator, ExporterProcess(config(simulator.url, list(sections.values()))) as exporter:
        until(lambda: total(exporter.scrape(), "cams_account_up") == 0, "all are refused")
        assert exporter.get("/-/ready")[0] == 200
        assert set(exporter.statuses().values()) == {"UNKNOWN"}
        for name in sections:
            assert len(world.arrivals(name)) <= 8  # three in a row, and what was under way
        secret.write_text("secret-key")
        world.accounts["ram"].refusal = world.accounts["sub"].refusal = None
        until(lambda: total(exporter.scrape(), "cams_account_up") == 3, "all are let in again")
        until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")
        for name in sections:
            answered_at = next(arrival.at for arrival in world.arrivals(name) if arrival.outcome == "OK")
            refused_at = max(arrival.at for arrival in world.arrivals(name) if arrival.at < answered_at)
            assert answered_at - refused_at >= 9.5
        codes = {code for _, code in errors(exporter.scrape())}
        assert codes == {"SignatureDoesNotMatch", "Ram.PermissionDeny", "Product.Unsubscript"}


def key_files(folder: Path, section: dict[str, Any]) -> tuple[Path, Path]:
    """Have the account's key read from files; returns them: ID and secret."""
    key, secret = folder / "id", folder / "secret"
    key.write_text("key-main\n")
    secret.write_text("secret-main\n")
    section["credentials"] = {
        "type": "access_key",
        "access_key_id_file": str(key),
        "access_key_secret_file": str(secret),
    }
    return key, secret


@pytest.mark.parametrize("latency", [0.0, 0.4])
def test_a_key_rotated_in_its_file_is_picked_up_without_a_restart(tmp_path: Path, latency: float) -> None:
    """Though the old key ends at once: nothing fails but the first poll, and what was under way with it by then."""
    world = World(latency_seconds=(latency, latency))
    section = fleet(world, 12, qps=10)
    key, secret = key_files(tmp_path, section)
    with Simulator(world) as simulator, ExporterProcess(config(simulator.url, [section])) as exporter:
        until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")
        world.set_key("main", "key-new", Key("secret-new"))
        for path, text in ((secret, "secret-new\n"), (key, "key-new\n")):
            fresh = path.with_suffix(".new")
            fresh.write_text(text)
            fresh.replace(path)
        world.remove_key("key-main")
        removed_at, arrived = world.clock.monotonic(), len(world.arrivals())
        until(lambda: len(world.arrivals()) > arrived + 30, "polling goes on")
        failed = [arrival.at for arrival in world.arrivals()[arrived:] if arrival.outcome != "OK"]
        first = min(failed, default=removed_at)
        assert len([at for at in failed if at > first + latency + 0.5]) == 0
        assert len(failed) <= 2 + 10 * latency
        assert value(exporter.scrape(), "cams_account_up") == 1
        assert "account is refused" not in exporter.log


def test_a_key_rotated_while_the_old_one_still_works_costs_no_poll(tmp_path: Path) -> None:
    world = World()
    section = fleet(world, 5, qps=10)
    key, secret = key_files(tmp_path, section)
    with Simulator(world) as simulator, ExporterProcess(config(simulator.url, [section])) as exporter:
        until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")
        world.set_key("main", "key-new", Key("secret-new"))
        secret.write_text("secret-new")
        key.write_text("key-new")
        until(lambda: "credentials changed on disk" in exporter.log, "the new key is seen")
        world.remove_key("key-main")
        arrived = len(world.arrivals())
        until(lambda: len(world.arrivals()) > arrived + 10, "polling goes on")
        assert {outcome for outcome in world.outcomes() if outcome != "OK"} <= {"SignatureDoesNotMatch"}  # half-written
        assert len([arrival for arrival in world.arrivals()[arrived:] if arrival.outcome != "OK"]) == 0


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


def test_a_wall_clock_that_jumps_an_hour_either_way_disturbs_nothing(tmp_path: Path) -> None:
    """Schedule and budget hang on the monotonic clock; signatures are made with the API's time; stale stays stale."""
    clock = WallClock(tmp_path)
    world = World(latency_seconds=(0.3, 0.3))
    section = fleet(world, 12, qps=10)
    with (
        Simulator(world) as simulator,
        ExporterProcess(
            config(simulator.url, [section], scrape_interval="2s", stale_after="6s"), env=clock.environment
        ) as exporter,
    ):
        until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")
        for hours in (1, -1):
            clock.jump(hours * 3600)
            began, before = world.clock.monotonic(), len(world.arrivals())
            until(lambda began=began: world.clock.monotonic() - began > 5, "some intervals pass")  # type: ignore[misc] # bound now
            polls = world.arrivals()[before:]
            refused = [arrival for arrival in polls if arrival.outcome != "OK"]
            assert {arrival.outcome for arrival in refused} == {"InvalidTimeStamp.Expired"}
            assert max(arrival.at for arrival in refused) - began < 4  # the first, and what was under way with it
            assert len({arrival.phone_number for arrival in polls if arrival.outcome == "OK"}) == 12
            assert 0.75 * 12 * 5 / 2 <= len(polls) <= 1.6 * 12 * 5 / 2
            scraped = exporter.scrape()
            assert set(statuses(scraped).values()) == {"VERIFIED"}
            assert value(scraped, "cams_account_up") == 1
        assert world.surely_in_a_second("main") <= 10
        for ahead in ("-", ""):  # a second or two is lost on a busy machine: the API's Date has whole seconds
            assert re.search(rf"clock_behind_seconds={ahead}(359\d|360\d)\b", exporter.log)
        simulator.stop()
        clock.jump(-2 * 3600)
        until(lambda: set(exporter.statuses().values()) == {"UNKNOWN"}, "what is stale is not fresh again")


def threads(exporter: ExporterProcess) -> int:
    return len(list(Path(f"/proc/{exporter.process.pid}/task").iterdir()))


def test_hanging_accounts_do_not_delay_the_others() -> None:
    """100 accounts of which 50 hang until the timeout: the others keep at least 95 % of their budgets.

    No more threads than 1,000 for the polls, one for each account's loop, and a few of the process.
    """
    world = World(latency_seconds=(0.05, 0.3))
    sections = [fleet(world, 20, name=f"a{i}", start=100 * i, qps=2) for i in range(100)]
    for i in range(0, 100, 2):
        world.accounts[f"a{i}"].fault = faults.hang()
    most_threads, took = 0, list[float]()
    with (
        Simulator(world) as simulator,
        ExporterProcess(config(simulator.url, sections, api_timeout="5s")) as exporter,
    ):
        until(lambda: total(exporter.scrape(), "cams_api_errors_total", code="timeout") >= 50, "the others hang")
        for _ in range(6):  # a machine that stalls is no fault of the exporter: one window must do
            began = world.clock.monotonic()
            while world.clock.monotonic() < began + 6:
                most_threads = max(most_threads, threads(exporter))
                asked_at = time.monotonic()
                exporter.get()
                took.append(time.monotonic() - asked_at)
                time.sleep(0.5)
            budget = 2 * (world.clock.monotonic() - began)
            answered = {
                f"a{i}": sum(arrival.at >= began for arrival in world.arrivals(f"a{i}")) for i in range(1, 100, 2)
            }
            if sum(answered.values()) >= 0.95 * 50 * budget and min(answered.values()) >= 0.95 * budget - 1:
                break  # less one: the window cuts a slot off
        else:
            pytest.fail(f"of {budget:.1f} requests each: {answered}")
        assert sorted(took)[len(took) // 2] < 1.0
        assert most_threads <= MAX_POLLS_UNDER_WAY + 100 + 30
        assert all(world.surely_in_a_second(name) <= 4 for name in answered)
