"""Three exporters as one, and what fails: replicas, the store, the network between them, clocks.

Whatever fails, what surely arrives in one second stays within the budget, and no status is forgotten.
"""

from __future__ import annotations

import json
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from exporter.simulator import STATUS
from tests.support.exporter import ExporterProcess, until, value
from tests.support.redisserver import RedisServer, redis_server
from tests.support.replicas import ACCOUNTS, QPS, QUOTA, REPLICAS, SPARE_QPS, Replicas, holds
from tests.support.sentinel import Sentinel
from tests.support.storeproxy import StoreProxy
from tests.support.wallclock import WallClock

LEASE_SECONDS = 3.0
STALE_AFTER = "30s"


class Fleet(Replicas):
    """Replicas that reach a store through a proxy."""

    def __init__(self, stack: ExitStack, lease: str) -> None:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="cams-"))
        self.redis: RedisServer = stack.enter_context(redis_server(Path(folder)))
        self.proxy = stack.enter_context(StoreProxy(self.redis.socket))
        super().__init__(stack, {"url": self.proxy.url}, lease, stale_after=STALE_AFTER)


@pytest.fixture(scope="module")
def running() -> Iterator[Fleet]:
    with ExitStack() as stack:
        yield Fleet(stack, f"{LEASE_SECONDS:g}s")


@pytest.fixture
def fleet(running: Fleet) -> Fleet:
    """Three replicas; those of the test before where they still run."""
    missing = REPLICAS - len(running.alive)
    if missing:
        running.start(count=missing)
    return running


def test_a_replica_that_is_killed(fleet: Fleet) -> None:
    with fleet.survives() as holders:
        holders["one"].end(signal.SIGKILL)
        fleet.until_polled()


def test_a_replica_that_is_killed_while_the_store_loses_all_and_one_that_starts_then(fleet: Fleet) -> None:
    """It knows all statuses at once: the others told it."""
    with fleet.survives() as holders:
        fleet.redis.admin("FLUSHALL")
        holders["one"].end(signal.SIGKILL)
        fleet.start()


def test_replicas_that_are_replaced_one_after_another(fleet: Fleet) -> None:
    """Leaves and joins: a rolling restart."""
    with fleet.survives():
        for replica in fleet.alive:
            assert replica.end() == 0
            fleet.start()
            fleet.until(lambda scraped: all(each.get("/-/ready")[0] == 200 for each in scraped), "ready")


def test_a_holder_that_is_halted_for_three_leases_sends_one_late_request_at_most(fleet: Fleet) -> None:
    with fleet.survives(QPS + 1) as holders:
        with fleet.halted(holders["one"]):
            before = fleet.polls("one")
            fleet.pass_time(3 * LEASE_SECONDS)
            assert fleet.polls("one") > before, "another one holds it meanwhile"
        fleet.pass_time(LEASE_SECONDS / 3)


def test_a_replica_that_is_cut_off_from_the_store(fleet: Fleet) -> None:
    """It polls at the spare rate, the others hold all accounts."""
    with fleet.survives(QPS + SPARE_QPS) as holders, fleet.proxy.cut_off(holders["one"].process.pid):
        fleet.until_spare([holders["one"]])
        fleet.until_polled()
        shown = json.loads(holders["one"].get("/numbers?format=json")[1])["accounts"]
        assert {(each["is_polled_here"], each["replica"]) for each in shown} == {(True, None)}
        fleet.until(
            lambda scraped: sum(holds(of, name) for of in scraped.values() for name in ACCOUNTS) == len(ACCOUNTS),
            "the others hold all",
        )


def test_a_store_that_is_killed_and_comes_back_empty(fleet: Fleet) -> None:
    """Until then all replicas poll at the spare rate."""
    with fleet.survives(QUOTA):
        fleet.redis.kill()
        fleet.until_spare(fleet.alive)
        with fleet.at_most(REPLICAS * SPARE_QPS):
            fleet.until_polled(times=4)
        fleet.redis.start()


@pytest.mark.parametrize(("leases", "most"), [(0.5, QPS), (2.0, QUOTA)])
def test_a_store_that_is_frozen(fleet: Fleet, leases: float, most: int) -> None:
    with fleet.survives(most), fleet.redis.halted():
        fleet.pass_time(leases * LEASE_SECONDS)


def test_a_replica_that_ends_while_the_store_hangs(fleet: Fleet) -> None:
    """It does not wait for it."""
    with fleet.survives() as holders:
        with fleet.redis.halted():
            assert holders["one"].end() == 0
        assert "accounts cannot be handed over" in holders["one"].log


def test_a_store_a_second_away_and_wall_clocks_that_differ_by_a_minute_and_jump() -> None:
    """A poll's time is told as its age: each replica shows it by its own clock."""
    with ExitStack() as stack:
        fleet = Fleet(stack, "10s")
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(REPLICAS)]
        clocks = [WallClock(folder, ahead) for folder, ahead in zip(folders, (-30, 0, 30), strict=True)]
        fleet.start(clocks=clocks)
        with fleet.survives() as holders:
            fleet.proxy.delay_seconds = 0.5
            clocks[0].jump(30)
            clocks[2].jump(-30)
            holders["one"].end(signal.SIGKILL)
            fleet.until_polled()
            for replica, ahead in zip(fleet.all, (30, 0, -30), strict=True):
                if replica is not holders["one"]:
                    until(partial(times_are_right, fleet, replica, ahead), "each was polled after the jump")


def times_are_right(fleet: Fleet, replica: ExporterProcess, ahead: int) -> bool:
    """Whether what a replica shows as the time of each last poll, on a wall clock that is `ahead`, lies among them."""
    scraped = replica.scrape()

    def is_right(number: str) -> bool:
        shown = value(scraped, "cams_phone_number_last_success_timestamp_seconds", phone_number=number)
        polls = [each.unix for each in fleet.world.arrivals(operation=STATUS) if each.phone_number == number]
        return shown is not None and polls[0] - 1 <= shown - ahead <= polls[-1] + 1

    return all(is_right(number) for number in fleet.numbers)


def test_a_primary_that_freezes_and_comes_back_after_a_failover() -> None:
    """Sentinel makes another server the primary."""
    with ExitStack() as stack:
        sentinel = stack.enter_context(Sentinel())
        fleet = Replicas(stack, sentinel.section, f"{LEASE_SECONDS:g}s", stale_after=STALE_AFTER)
        fleet.start(count=REPLICAS)
        with fleet.survives(QUOTA), sentinel.halted_primary() as before:
            fleet.until(lambda _: sentinel.primary not in (None, before), "another primary")
            fleet.settle()
