"""Three exporters as one: a real Redis, the simulator, and what they tell each other.

For faults see `test_cluster_faults`.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from exporter.simulator import HEALTH, PHONE_NUMBERS, Simulator, World
from tests.support.exporter import ExporterProcess, current, run_exporter, statuses, until, value
from tests.support.fleet import config, fleet, phones
from tests.support.redisserver import redis_server
from tests.support.replicas import FOUND, QPS, QUOTA, REPLICAS, SPACE, Replicas, holds

LEASE = "3s"
CAN_SEND = ("cams_phone_number_can_send", "verdict")


class Fleet(Replicas):
    """Replicas and their store."""

    def __init__(self, stack: ExitStack) -> None:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="cams-"))
        self.redis = stack.enter_context(redis_server(Path(folder)))
        super().__init__(stack, {"url": f"unix://{self.redis.socket}"}, LEASE)


@pytest.fixture(scope="module")
def replicas() -> Iterator[Fleet]:
    with ExitStack() as stack:
        made = Fleet(stack)
        made.start(count=REPLICAS)
        with made.at_most(QPS):
            yield made


def test_each_account_is_polled_by_one_and_known_to_all(replicas: Fleet) -> None:
    """Statuses, listings, verdicts and found numbers; asked by the holder alone, at the rate of one exporter."""
    holders = replicas.settle()
    one = phones(1, 1000)[0]
    until(lambda: all(each.get("/-/ready")[0] == 200 for each in replicas.alive), "all are ready")
    for each in replicas.alive:
        scraped = each.scraped(lambda scraped: current(scraped, *CAN_SEND, phone_number=one) == "AVAILABLE", "checked")
        assert set(statuses(scraped).values()) == {"VERIFIED"}
        assert value(scraped, "cams_phone_number_listed", phone_number=one) == 1
        assert value(scraped, "cams_account_discovered_phone_numbers", account=FOUND, cust_space_id=SPACE) == 3
        assert value(scraped, "cams_account_phone_numbers", account=FOUND) == 3
        assert value(scraped, "cams_cluster_store_up") == 1
        assert value(scraped, "cams_cluster_replicas") == 3
        for name, holder in holders.items():
            assert value(scraped, "cams_account_up", account=name) == 1
            assert (value(scraped, "cams_api_budget_qps", account=name) is not None) == (each is holder)
    assert len({value(each.scrape(), "cams_exporter_config_hash") for each in replicas.alive}) == 1
    began_at = time.monotonic()
    before = {name: len(replicas.world.arrivals(FOUND, name)) for name in (PHONE_NUMBERS, HEALTH)}
    time.sleep(4)
    after = {name: len(replicas.world.arrivals(FOUND, name)) for name in (PHONE_NUMBERS, HEALTH)}
    passed = time.monotonic() - began_at
    most = passed / 2 + 2  # each 2 s, and one that a busy machine delayed until then; three replicas would ask thrice
    assert after[PHONE_NUMBERS] - before[PHONE_NUMBERS] <= most
    assert after[HEALTH] - before[HEALTH] <= 3 * most


def test_a_change_is_shown_by_all_wherever_it_was_learnt(replicas: Fleet) -> None:
    replicas.settle()
    number, new = phones(1)[0], phones(1, 2000)[0]
    try:
        replicas.world.find_numbers(number)[0].status = "EXPIRED"
        replicas.world.add_number(FOUND, SPACE, new)
        until(lambda: all(each.statuses()[number] == "EXPIRED" for each in replicas.alive), "all show it")
        until(lambda: all(new in each.statuses() for each in replicas.alive), "all show the new one")
    finally:
        replicas.world.find_numbers(number)[0].status = "VERIFIED"
        replicas.world.remove_number(replicas.world.find_numbers(new)[0])
    until(
        lambda: all(value(each.scrape(), "cams_phone_number_listed", phone_number=new) == 0 for each in replicas.alive),
        "all say that it is not listed any more",
    )
    until(lambda: all(each.statuses()[number] == "VERIFIED" for each in replicas.alive), "all show it")


def test_a_configuration_that_names_another_store_is_refused_while_the_exporter_runs(replicas: Fleet) -> None:
    replica = replicas.alive[0]
    replica.write_config({**replicas.config, "cluster": {**replicas.cluster, "lease": "5s"}})
    replica.reload()
    replica.logged("cluster: changed; restart this replica to use it")
    assert value(replica.scrape(), "cams_exporter_config_last_reload_successful") == 0
    replica.write_config(replicas.config)


def test_an_account_that_leaves_the_configuration_of_one_replica_is_polled_by_another(replicas: Fleet) -> None:
    """As in a rollout."""
    holder = replicas.settle()["one"]
    holder.write_config({**replicas.config, "accounts": replicas.config["accounts"][1:]})
    holder.reload()
    others = [each for each in replicas.alive if each is not holder]
    until(lambda: any(holds(each.scrape(), "one") for each in others), "another holds it")
    before = replicas.polls("one")
    until(lambda: replicas.polls("one") > before + 3, "and polls it")
    until(
        lambda: len({value(each.scrape(), "cams_exporter_config_hash") for each in replicas.alive}) == 2, "two hashes"
    )
    holder.write_config(replicas.config)
    holder.reload()
    until(lambda: value(holder.scrape(), "cams_account_up", account="one") == 1, "it has the account again")


def test_replicas_that_start_without_the_store_poll_slowly_or_not_at_all(tmp_path: Path) -> None:
    world = World()
    sections = [fleet(world, 3, name=name, start=100 * index, qps=QPS, quota=QUOTA) for index, name in enumerate("ab")]
    cluster = {"url": f"unix://{tmp_path}/nowhere.sock", "lease": LEASE, "replicas": REPLICAS}
    with (
        Simulator(world) as simulator,
        ExporterProcess(config(simulator.url, sections[:1], cluster=cluster)) as slow,
        ExporterProcess(config(simulator.url, sections[1:], cluster={**cluster, "without_store": "stop"})) as none,
    ):
        until(lambda: slow.statuses() == dict.fromkeys(phones(3), "VERIFIED"), "polled")
        until(lambda: slow.get("/-/ready")[0] == 200, "ready")
        before = len(world.arrivals("a"))
        until(lambda: len(world.arrivals("a")) >= before + 3, "polled on")
        scraped = slow.scrape()
        assert value(scraped, "cams_cluster_store_up") == 0
        assert value(scraped, "cams_account_held", account="a") == 0
        assert none.get("/-/healthy")[0] == 200
        assert none.get("/-/ready")[0] == 503
    assert world.surely_in_a_second("a") <= (QUOTA - QPS) // REPLICAS
    assert world.arrivals("b") == ()


def test_answers_that_one_replica_stored_reach_all_after_everything_was_lost(tmp_path: Path) -> None:
    """All replicas and the store went down; only the folder of one is left, and the API does not answer."""
    with ExitStack() as stack:
        replicas = Fleet(stack)
        (first,) = replicas.start(f"--storage.path={tmp_path}")
        numbers = {number for number in replicas.numbers if number not in phones(3, 1000)}
        until(lambda: shown(first) >= numbers, "polled")
        first.end()
        replicas.redis.admin("FLUSHALL")
        replicas.config["api"]["endpoint"] = "http://127.0.0.1:9"
        replicas.start(f"--storage.path={tmp_path}")
        (other,) = replicas.start()
        until(lambda: shown(other) >= numbers, "told by the other")


def shown(replica: ExporterProcess) -> set[str]:
    """The numbers that a replica shows as verified."""
    return {number for number, status in replica.statuses().items() if status == "VERIFIED"}


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
