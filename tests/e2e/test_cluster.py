"""Three exporters as one: a real Redis, the simulator, and what is killed, halted or stopped."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from exporter.simulator import HEALTH, PHONE_NUMBERS, STATUS, Simulator, World
from tests.support.exporter import ExporterProcess, current, run_exporter, statuses, until, value
from tests.support.fleet import config, exported, fleet, found, phones
from tests.support.patience import PATIENCE_SECONDS
from tests.support.redisserver import PASSWORD, RedisServer, redis_server

QPS, QUOTA = 5, 10
LEASE_SECONDS = 3.0
TYPED = ("one", "two", "three")
HELD = "cams_account_held"


class Replicas:
    """The replicas of a test, and what they poll."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack = stack
        self.redis: RedisServer = stack.enter_context(redis_server(folder))
        self.world = World()
        sections = [
            fleet(self.world, 3, name=name, start=100 * index, qps=QPS, quota=QUOTA) for index, name in enumerate(TYPED)
        ]
        listed = {"cams-found": phones(3, 1000)}
        sections.append(
            found(
                self.world,
                listed,
                name="found",
                qps=QPS,
                quota=QUOTA,
                health={"interval": "2s"},
                discover_refresh_interval="2s",
            )
        )
        simulator = stack.enter_context(Simulator(self.world))
        self.config: dict[str, Any] = config(simulator.url, sections, cluster=self.section())
        self.all: list[ExporterProcess] = []

    def section(self) -> dict[str, Any]:
        return {
            "url": f"unix://{self.redis.socket}",
            "username": "cams",
            "password": PASSWORD,
            "lease": f"{LEASE_SECONDS:g}s",
            "replicas": 3,
        }

    def start(self, *flags: str) -> ExporterProcess:
        replica = ExporterProcess(self.config, *flags)
        self.all.append(self._stack.enter_context(replica))
        return replica

    @property
    def alive(self) -> list[ExporterProcess]:
        return [each for each in self.all if each.process.poll() is None]

    def holders(self) -> dict[str, list[ExporterProcess]]:
        """Who holds each account, as the replicas say themselves."""
        scraped = {each: each.scrape() for each in self.alive}
        return {
            name: [each for each, of in scraped.items() if value(of, HELD, account=name)] for name in (*TYPED, "found")
        }

    def settle(self) -> dict[str, ExporterProcess]:
        """Each account has one holder, evenly; returns them."""

        def settled() -> dict[str, ExporterProcess] | None:
            holders = self.holders()
            held = [sum(each in found for found in holders.values()) for each in self.alive]
            if max(held) - min(held) > 1 or any(len(found) != 1 for found in holders.values()):
                return None
            return {name: found[0] for name, found in holders.items()}

        holders: dict[str, ExporterProcess] = until(settled, "each account has one holder")
        return holders

    def polls(self, name: str) -> int:
        return len(self.world.arrivals(name))

    def check_the_budget(self) -> None:
        """Requests are judged by what surely arrived in one second."""
        for name in (*TYPED, "found"):
            assert self.world.surely_in_a_second(name) <= QUOTA


@pytest.fixture
def replicas() -> Iterator[Replicas]:
    with tempfile.TemporaryDirectory(prefix="cams-") as folder, ExitStack() as stack:
        made = Replicas(stack, Path(folder))
        for _ in range(3):
            made.start()
        yield made
        made.check_the_budget()


def verdict(replica: ExporterProcess, phone: str) -> str | None:
    return current(replica.scrape(), "cams_phone_number_can_send", "verdict", phone_number=phone)


def sent(replica: ExporterProcess, name: str) -> float:
    """How many polls of an account this replica has sent."""
    return value(replica.scrape(), "cams_api_requests_total", account=name, operation=STATUS) or 0.0


def all_known(replicas: Replicas) -> bool:
    wanted = {number for name in (*TYPED, "found") for number in numbers_of(replicas, name)}
    shown = [statuses(each.scrape()) for each in replicas.alive]
    return all(each == dict.fromkeys(wanted, "VERIFIED") for each in shown)


def numbers_of(replicas: Replicas, name: str) -> list[str]:
    return phones(3, 1000) if name == "found" else phones(3, 100 * TYPED.index(name))


def test_each_account_is_polled_by_one_and_known_to_all(replicas: Replicas) -> None:
    """Statuses, listings, verdicts and found numbers; asked by the holder alone, at the rate of one exporter."""
    holders = replicas.settle()
    until(lambda: all_known(replicas), "all replicas show all numbers")
    one = phones(1, 1000)[0]
    until(lambda: all(verdict(each, one) for each in replicas.alive), "all have a verdict")
    until(lambda: all(each.get("/-/ready")[0] == 200 for each in replicas.alive), "all are ready")
    for each in replicas.alive:
        assert verdict(each, one) == "AVAILABLE"
        scraped = each.scrape()
        assert value(scraped, "cams_phone_number_listed", phone_number=one) == 1
        assert value(scraped, "cams_account_discovered_phone_numbers", account="found", cust_space_id="cams-found") == 3
        assert value(scraped, "cams_account_phone_numbers", account="found") == 3
        assert value(scraped, "cams_cluster_store_up") == 1
        assert value(scraped, "cams_cluster_replicas") == 3
        for name, holder in holders.items():
            assert value(scraped, "cams_account_up", account=name) == 1
            assert (value(scraped, "cams_api_budget_qps", account=name) is not None) == (each is holder)
    assert len({value(each.scrape(), "cams_exporter_config_hash") for each in replicas.alive}) == 1
    before = {name: len(replicas.world.arrivals("found", name)) for name in (PHONE_NUMBERS, HEALTH)}
    began_at = time.monotonic()
    time.sleep(6)
    passed = time.monotonic() - began_at
    after = {name: len(replicas.world.arrivals("found", name)) for name in (PHONE_NUMBERS, HEALTH)}
    assert after[PHONE_NUMBERS] - before[PHONE_NUMBERS] <= passed / 2 + 1
    assert after[HEALTH] - before[HEALTH] <= 3 * (passed / 2 + 1)
    for name in TYPED:
        assert replicas.world.surely_in_a_second(name) <= QPS


def test_a_change_is_shown_by_all_wherever_it_was_learnt(replicas: Replicas) -> None:
    replicas.settle()
    until(lambda: all_known(replicas), "all replicas show all numbers")
    number = phones(1)[0]
    replicas.world.find_numbers(number)[0].status = "EXPIRED"
    until(lambda: all(each.statuses()[number] == "EXPIRED" for each in replicas.alive), "all show it")
    replicas.world.remove_number(replicas.world.find_numbers(phones(1, 1000)[0])[0])
    gone = phones(1, 1000)[0]
    until(
        lambda: all(
            value(each.scrape(), "cams_phone_number_listed", phone_number=gone) == 0 for each in replicas.alive
        ),
        "all say that it is not listed any more",
    )
    replicas.world.add_number("found", "cams-found", phones(1, 2000)[0])
    until(lambda: all(phones(1, 2000)[0] in each.statuses() for each in replicas.alive), "all show the new one")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_accounts_of_a_replica_that_ends_are_polled_by_the_others(
    replicas: Replicas, number: signal.Signals
) -> None:
    holders = replicas.settle()
    until(lambda: all_known(replicas), "all replicas show all numbers")
    ended = holders["one"]
    ended.process.send_signal(number)
    ended.process.wait()
    before = replicas.polls("one")
    until(lambda: replicas.polls("one") >= before + 3, "polled by another")
    assert all_known(replicas)
    after = replicas.settle()
    assert after["one"] is not ended
    for each in replicas.alive:
        assert value(each.scrape(), "cams_account_up", account="one") == 1
    replicas.start()
    replicas.settle()
    until(lambda: all_known(replicas), "the new one knows all")
    for name in TYPED:
        assert replicas.world.surely_in_a_second(name) <= QPS


def test_polling_goes_on_slowly_without_the_store_and_as_before_with_it(replicas: Replicas) -> None:
    replicas.settle()
    until(lambda: all_known(replicas), "all replicas show all numbers")
    replicas.redis.kill()
    until(lambda: all(value(each.scrape(), "cams_cluster_store_up") == 0 for each in replicas.alive), "it is away")
    time.sleep(2 * LEASE_SECONDS)
    before = {(each, name): sent(each, name) for each in replicas.alive for name in TYPED}
    until(lambda: all(sent(*of) > count + 2 for of, count in before.items()), "each polls all on its own")
    for each in replicas.alive:
        scraped = each.scrape()
        assert [value(scraped, HELD, account=name) for name in TYPED] == [0, 0, 0]
    assert all_known(replicas)
    replicas.redis.start()
    replicas.settle()
    assert all_known(replicas)


def test_a_replica_that_is_halted_for_three_leases_sends_one_late_request_at_most(replicas: Replicas) -> None:
    holder = replicas.settle()["one"]
    until(lambda: all_known(replicas), "all replicas show all numbers")
    holder.process.send_signal(signal.SIGSTOP)
    try:
        before = replicas.polls("one")
        time.sleep(3 * LEASE_SECONDS)
        assert replicas.polls("one") > before, "another replica holds it meanwhile"
    finally:
        holder.process.send_signal(signal.SIGCONT)
    time.sleep(LEASE_SECONDS)
    for name in TYPED:
        assert replicas.world.surely_in_a_second(name) <= QPS + 1
    replicas.settle()
    assert all_known(replicas)


@pytest.mark.parametrize("fault", ["wiped", "killed", "frozen"])
def test_a_store_that_fails_for_a_moment_costs_no_budget_and_no_status(replicas: Replicas, fault: str) -> None:
    replicas.settle()
    until(lambda: all_known(replicas), "all replicas show all numbers")
    if fault == "wiped":
        replicas.redis.admin("FLUSHALL")
    elif fault == "killed":
        replicas.redis.kill()
        replicas.redis.start()
    else:
        with replicas.redis.halted():
            time.sleep(LEASE_SECONDS / 2)
    deadline = time.monotonic() + 2 * LEASE_SECONDS
    while time.monotonic() < deadline:
        assert all_known(replicas)
        time.sleep(0.2)
    replicas.settle()
    before = replicas.polls("one")
    until(lambda: replicas.polls("one") > before + 3, "polled")
    for name in TYPED:
        assert replicas.world.surely_in_a_second(name) <= QPS


def test_a_replica_that_starts_knows_all_at_once_also_where_the_store_was_wiped(replicas: Replicas) -> None:
    replicas.settle()
    until(lambda: all_known(replicas), "all replicas show all numbers")
    replicas.redis.admin("FLUSHALL")
    replicas.all[0].process.kill()
    replicas.all[0].process.wait()
    replicas.start()
    until(lambda: all_known(replicas), "the others told it")
    until(lambda: replicas.alive[-1].get("/-/ready")[0] == 200, "ready")


def test_a_configuration_that_names_another_store_is_refused_while_the_exporter_runs(replicas: Replicas) -> None:
    replica = replicas.alive[0]
    replica.write_config({**replicas.config, "cluster": {**replicas.section(), "lease": "5s"}})
    replica.reload()
    until(lambda: "cluster: changed; restart this replica to use it" in replica.log, "said")
    assert value(replica.scrape(), "cams_exporter_config_last_reload_successful") == 0


def test_an_account_that_leaves_the_configuration_of_one_replica_is_polled_by_another(replicas: Replicas) -> None:
    """As in a rollout."""
    holder = replicas.settle()["one"]
    holder.write_config({**replicas.config, "accounts": replicas.config["accounts"][1:]})
    holder.reload()
    until(lambda: [each for each in replicas.holders()["one"] if each is not holder], "another holds it")
    before = replicas.polls("one")
    until(lambda: replicas.polls("one") > before + 3, "and polls it")
    hashes = {value(each.scrape(), "cams_exporter_config_hash") for each in replicas.alive}
    assert len(hashes) == 2


def test_a_replica_that_starts_without_the_store_polls_slowly(tmp_path: Path) -> None:
    world = World()
    section = fleet(world, 3, qps=QPS, quota=QUOTA)
    cluster = {"url": f"unix://{tmp_path}/nowhere.sock", "lease": "3s", "replicas": 3}
    with exported(world, section, cluster=cluster) as replica:
        until(lambda: replica.statuses() == dict.fromkeys(phones(3), "VERIFIED"), "polled")
        until(lambda: replica.get("/-/ready")[0] == 200, "ready")
        scraped = replica.scrape()
        assert value(scraped, "cams_cluster_store_up") == 0
        assert value(scraped, HELD, account="main") == 0
        time.sleep(3)
    assert world.surely_in_a_second("main") <= (QUOTA - QPS) // 3


def test_who_stops_without_the_store_sends_nothing(tmp_path: Path) -> None:
    world = World()
    section = fleet(world, 3, qps=QPS, quota=QUOTA)
    cluster = {"url": f"unix://{tmp_path}/nowhere.sock", "lease": "3s", "replicas": 3, "without_store": "stop"}
    with exported(world, section, cluster=cluster) as replica:
        time.sleep(2 * LEASE_SECONDS)
        assert replica.get("/-/healthy")[0] == 200
        assert replica.get("/-/ready")[0] == 503
    assert world.arrivals("main") == ()


def test_an_end_does_not_wait_for_a_store_that_hangs(replicas: Replicas) -> None:
    replicas.settle()
    with replicas.redis.halted():
        began_at = time.monotonic()
        replicas.all[0].process.terminate()
        assert replicas.all[0].process.wait() == 0
        assert time.monotonic() - began_at < PATIENCE_SECONDS  # bounds a hang
    assert "accounts cannot be handed over" in replicas.all[0].log


def test_answers_that_one_replica_stored_reach_all_after_everything_was_lost(tmp_path: Path) -> None:
    """All replicas and the store went down; only the folder of one is left, and the API does not answer."""
    with tempfile.TemporaryDirectory(prefix="cams-") as folder, ExitStack() as stack:
        replicas = Replicas(stack, Path(folder))
        first = replicas.start(f"--storage.path={tmp_path}")
        until(lambda: all_known(replicas), "polled")
        first.process.terminate()
        first.process.wait()
        replicas.redis.admin("FLUSHALL")
        replicas.config["api"]["endpoint"] = "http://127.0.0.1:9"
        replicas.start(f"--storage.path={tmp_path}")
        other = replicas.start()
        numbers = {number for name in TYPED for number in numbers_of(replicas, name)}
        until(lambda: numbers <= {n for n, of in other.statuses().items() if of == "VERIFIED"}, "told by the other")


def test_the_check_needs_no_store(tmp_path: Path) -> None:
    done = run_exporter("--config.check", f"--config.file={written(tmp_path)}")
    assert done.returncode == 0, done.stderr
    assert "while the store is away each replica polls each account at this rate:" in done.stdout


def written(folder: Path) -> Path:
    path = folder / "config.yml"
    path.write_text(
        "cluster: {url: unix:///nowhere.sock, replicas: 3}\n"
        'accounts: [{name: main, numbers: [{phone_number: "8613800001234", cust_space_id: cams-1}]}]\n'
    )
    return path
