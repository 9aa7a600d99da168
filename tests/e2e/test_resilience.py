"""Throttling, refusal, clocks and isolation, with the whole exporter against the simulator."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from exporter.polling.in_flight import MAX_POLLS_UNDER_WAY
from exporter.simulator import Key, Refusal, Simulator, Throttle, World, faults
from exporter.simulator.world import Arrival
from tests.support.exporter import ExporterProcess, errors, total, until, value
from tests.support.fleet import config, fleet, never_throttle
from tests.support.wallclock import WallClock

THROTTLED = "Throttling.User"
"""Requests that a busy machine delays may arrive together.  Other tests judge the budget."""


def test_an_account_with_a_lower_real_limit_slows_down_and_is_not_hammered() -> None:
    world = World()
    section = fleet(world, 60, qps=10)
    world.accounts["main"].rate_limit = 3
    with (
        Simulator(world) as simulator,
        ExporterProcess(config(simulator.url, [section], scrape_interval="10s")) as exporter,
    ):
        until(lambda: (value(exporter.scrape(), "cams_api_effective_qps") or 10) < 3, "the rate falls")
        before = len(world.arrivals())
        until(lambda: len(world.arrivals()) >= before + 20, "polling goes on")
        recent = world.arrivals()[before:]
        assert sum(arrival.outcome != "OK" for arrival in recent) <= len(recent) / 2  # at 10/s it would be 7 of 10
        scraped = exporter.scrape()
        assert value(scraped, "cams_api_budget_qps") == 10
        assert total(scraped, "cams_api_errors_total") == total(scraped, "cams_api_errors_total", code=THROTTLED)


PAUSES = {
    "retry-after": (Throttle(header="x-acs-retry-after", pause_ms=2500), 2.5),
    "user-api": (Throttle(header="x-ratelimit-user-api", pause_ms=2500), 2.5),
    "user": (Throttle(header="x-ratelimit-user", pause_ms=2500), 2.5),
    "none": (Throttle(header="none"), 1.0),
    "429": (Throttle(status=429, header="x-acs-retry-after", pause_ms=1500), 1.5),
    "503": (Throttle(status=503, header="x-acs-retry-after", pause_ms=1500), 1.5),
}


def has_paused(world: World, name: str, seconds: float) -> bool:
    """Whether an account sent nothing for so long, and then went on; what it had under way may come before."""
    instants = [arrival.at for arrival in world.arrivals(name)]
    return any(after - before >= seconds - 0.05 for before, after in itertools.pairwise(instants))


def is_silent(world: World, name: str) -> bool:
    """Whether no request of an account came for three seconds."""
    return world.clock.monotonic() - world.arrivals(name)[-1].at > 3.0


def test_a_throttled_account_pauses_as_long_as_the_answer_says_whichever_way_it_says_so() -> None:
    """Each form of header, none (1 s), and an hour (60 s at most); each account pauses separately."""
    world = World()
    sections = [fleet(world, 40, name=name, start=100 * i, qps=10) for i, name in enumerate([*PAUSES, "an-hour"])]
    for name, (throttle, _) in PAUSES.items():
        world.accounts[name].throttle = throttle
    world.accounts["an-hour"].throttle = Throttle(header="x-acs-retry-after", pause_ms=3_600_000)
    for account in world.accounts.values():
        account.rate_limit = 0
    with Simulator(world) as simulator, ExporterProcess(config(simulator.url, sections)) as exporter:
        until(lambda: all(world.arrivals(name) for name in world.accounts), "all are throttled")
        for account in world.accounts.values():
            account.rate_limit = 10
        for name, (_, pause) in PAUSES.items():
            until(partial(has_paused, world, name, pause), f"{name} pauses for {pause} s and goes on")
        until(lambda: is_silent(world, "an-hour"), "it pauses")
        assert 0 < (value(exporter.scrape(), "cams_api_effective_qps", account="an-hour") or 0) <= 5


def test_refused_accounts_are_probed_and_recover_without_a_restart(tmp_path: Path) -> None:
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
            until(lambda name=name: is_silent(world, name), f"{name} is not polled")  # type: ignore[misc] # bound now
        secret.write_text("secret-key")
        world.accounts["ram"].refusal = world.accounts["sub"].refusal = None
        until(lambda: total(exporter.scrape(), "cams_account_up") == 3, "all are accepted again")
        until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")
        codes = {code for _, code in errors(exporter.scrape())} - {THROTTLED}
        assert codes == {"SignatureDoesNotMatch", "Ram.PermissionDeny", "Product.Unsubscript"}


def key_files(folder: Path, section: dict[str, Any]) -> tuple[Path, Path]:
    """Read the account's key from files; returns their paths: ID and secret."""
    key, secret = folder / "id", folder / "secret"
    key.write_text("key-main\n")
    secret.write_text("secret-main\n")
    section["credentials"] = {
        "type": "access_key",
        "access_key_id_file": str(key),
        "access_key_secret_file": str(secret),
    }
    return key, secret


def all_are_ok(arrivals: Sequence[Arrival], count: int) -> bool:
    """Whether there are that many arrivals, and each got a good answer."""
    return len(arrivals) == count and {arrival.outcome for arrival in arrivals} == {"OK"}


def each_is_polled(world: World, times: int) -> None:
    """Wait until each number's poll has arrived that many more times."""
    before = len(world.arrivals())

    def fewest() -> int:
        polls = Counter(arrival.phone_number for arrival in world.arrivals()[before:])
        return min(polls[phone] for account in world.accounts.values() for _, phone in account.numbers)

    until(lambda: fewest() >= times, f"each is polled {times} times")


@pytest.mark.parametrize("latency", [0.0, 0.4])
def test_a_key_rotated_in_its_file_is_picked_up_without_a_restart(tmp_path: Path, latency: float) -> None:
    """The old key is invalid at once, but only the first poll and the requests in flight fail."""
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
        arrived = len(world.arrivals())
        until(lambda: all_are_ok(world.arrivals()[arrived:][-30:], 30), "nothing fails any more")
        answers = [(arrival.phone_number, arrival.outcome) for arrival in world.arrivals()[arrived:]]
        failed = [answer for answer in answers if answer[1] not in ("OK", THROTTLED)]
        assert len(failed) == len(set(failed))  # once at most for each, with the old key, or with a part of the new one
        assert value(exporter.scrape(), "cams_account_up") == 1
        assert "account is refused" not in exporter.log


def test_a_key_rotated_while_the_old_one_still_works_costs_no_poll(tmp_path: Path) -> None:
    world = World()
    section = fleet(world, 5, qps=10)
    never_throttle(world)
    key, secret = key_files(tmp_path, section)
    with Simulator(world) as simulator, ExporterProcess(config(simulator.url, [section])) as exporter:
        until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")
        world.set_key("main", "key-new", Key("secret-new"))
        secret.write_text("secret-new")
        key.write_text("key-new")
        exporter.logged("credentials changed on disk")  # the first time with one half, maybe
        arrived = len(world.arrivals())
        until(lambda: all_are_ok(world.arrivals()[arrived:][-10:], 10), "each is polled with the new key")
        world.remove_key("key-main")
        arrived = len(world.arrivals())
        until(lambda: len(world.arrivals()) > arrived + 10, "polling goes on")
        assert {outcome for outcome in world.outcomes() if outcome != "OK"} <= {"SignatureDoesNotMatch"}  # half-written
        assert len([arrival for arrival in world.arrivals()[arrived:] if arrival.outcome != "OK"]) == 0


def test_a_clock_that_is_an_hour_off_is_measured_logged_and_corrected() -> None:
    world = World()
    section = fleet(world, 5, qps=10)
    world.clock_skew_seconds = 3600.0
    with Simulator(world) as simulator, ExporterProcess(config(simulator.url, [section])) as exporter:
        until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")
        clock = re.compile(r"clock_behind_seconds=(35\d\d|360\d)\b")  # minus a stall of the machine
        until(lambda: clock.search(exporter.log), "it is logged")
        scraped = exporter.scrape()
        assert total(scraped, "cams_api_errors_total", code="InvalidTimeStamp.Expired") >= 1
        assert value(scraped, "cams_account_up") == 1


def test_a_wall_clock_that_jumps_an_hour_either_way_disturbs_nothing(tmp_path: Path) -> None:
    """Schedule and budget use the monotonic clock, signatures use the API's time, and stale statuses stay stale."""
    clock = WallClock(tmp_path)
    world = World(latency_seconds=(0.3, 0.3))
    section = fleet(world, 6, qps=10)
    never_throttle(world)
    with (
        Simulator(world) as simulator,
        ExporterProcess(
            config(simulator.url, [section], stale_after="3s"), env=clock.environment, program=clock.program
        ) as exporter,
    ):
        until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")
        for hours in (1, -1):
            before = len(world.arrivals())
            clock.jump(hours * 3600)
            each_is_polled(world, 3)
            polls = world.arrivals()[before:]
            refused = [arrival for arrival in polls if arrival.outcome != "OK"]
            assert {arrival.outcome for arrival in refused} == {"InvalidTimeStamp.Expired"}
            assert len(refused) == len({arrival.phone_number for arrival in refused})  # once at most, in flight by then
            until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")
            assert value(exporter.scrape(), "cams_account_up") == 1
        assert world.surely_in_a_second("main") <= 10
        for ahead in ("-", ""):  # a busy machine may lose some seconds, and the API's Date has whole seconds
            assert re.search(rf"clock_behind_seconds={ahead}(35\d\d|36\d\d)\b", exporter.log)
        simulator.stop()
        clock.jump(-2 * 3600)
        until(lambda: set(exporter.statuses().values()) == {"UNKNOWN"}, "what is stale is not fresh again")


def threads(exporter: ExporterProcess) -> int:
    return len(list(Path(f"/proc/{exporter.process.pid}/task").iterdir()))


def test_hanging_accounts_delay_no_other_account_and_no_scrape() -> None:
    """100 accounts, of which 50 hang until the timeout: all numbers of the other accounts are still polled.

    At most 1,000 threads for polls, one for each account's loop, and a few for the process.
    """
    world = World(latency_seconds=(0.05, 0.3))
    sections = [fleet(world, 4, name=f"a{i}", start=100 * i, qps=2) for i in range(100)]
    hanging, others = [f"a{i}" for i in range(0, 100, 2)], [f"a{i}" for i in range(1, 100, 2)]
    for name in hanging:
        world.accounts[name].fault = faults.hang()
    most_threads = 0
    with (
        Simulator(world) as simulator,
        ExporterProcess(config(simulator.url, sections, api_timeout="5m")) as exporter,
    ):

        def all_go_on() -> bool:
            nonlocal most_threads
            most_threads = max(most_threads, threads(exporter))
            scraped = exporter.scrape()
            return all(value(scraped, "cams_api_requests_in_flight", account=name) for name in hanging) and all(
                world.outcomes(name)["OK"] >= 12 for name in others
            )

        until(all_go_on, "half of the accounts hang, the others go on")
        assert most_threads <= MAX_POLLS_UNDER_WAY + 100 + 30
        assert all(world.surely_in_a_second(name) <= 4 for name in others)
