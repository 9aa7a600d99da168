"""Three replicas on a real store that fails: never more than `qps` leave, and polling goes on."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from exporter.model import PhoneNumber
from tests.support.clusternodes import Node, most_in_a_second, wait_until
from tests.support.redisserver import RedisServer, redis_server
from tests.support.storeproxy import StoreProxy

QPS = 5
LEASE = 3.0
NUMBERS = [PhoneNumber(f"account-{index}", "cams-1", f"861380000{index}", f"861380000{index}") for index in range(3)]
ACCOUNTS = {number.account for number in NUMBERS}


class Fleet:
    """The nodes of a test, each behind a network of its own."""

    def __init__(self, server: RedisServer, stack: ExitStack) -> None:
        self.server = server
        self._stack = stack
        self.nodes: list[Node] = []
        self.proxies: dict[str, StoreProxy] = {}

    def start(self) -> Node:
        name = f"node-{len(self.nodes)}"
        proxy = self.proxies[name] = self._stack.enter_context(StoreProxy(self.server.socket))
        node = Node(name, self.server.store(LEASE / 5, proxy.url), NUMBERS, lease=LEASE, qps=QPS)
        self.nodes.append(node)
        self._stack.callback(node.replica.leave)
        self._stack.callback(node.kill)
        return node

    @property
    def alive(self) -> list[Node]:
        return [node for node in self.nodes if not node.stopped.is_set()]

    def settles(self) -> None:
        """All accounts are held, each once, evenly; requests of each leave again."""
        wait_until("each account has one holder", self._is_even)
        began_at = time.clock_gettime(time.CLOCK_BOOTTIME)
        wait_until("each account is polled", lambda: {account for account, _ in self._since(began_at)} == ACCOUNTS)

    def check(self) -> None:
        assert max(most_in_a_second(self.nodes, account) for account in ACCOUNTS) <= QPS

    def _is_even(self) -> bool:
        held = [node.held() for node in self.alive]
        even = max(map(len, held)) - min(map(len, held)) <= 1
        return even and sorted(account for each in held for account in each) == sorted(ACCOUNTS)

    def _since(self, at: float) -> list[tuple[str, float]]:
        return [each for node in self.alive for each in list(node.sent) if each[1] > at]


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with (
        tempfile.TemporaryDirectory(prefix="cams-") as folder,
        redis_server(Path(folder)) as server,
        ExitStack() as stack,
    ):
        found = Fleet(server, stack)
        for _ in range(3):
            found.start()
        found.settles()
        yield found


def flushed(fleet: Fleet) -> None:
    fleet.server.admin("FLUSHALL")


def killed(fleet: Fleet) -> None:
    """It comes back empty."""
    fleet.server.kill()
    time.sleep(1)
    fleet.server.start()


def frozen(fleet: Fleet) -> None:
    with fleet.server.halted():
        time.sleep(2 * LEASE)


def one_cut_off(fleet: Fleet) -> None:
    fleet.proxies["node-0"].is_cut = True
    wait_until("it holds nothing any more", lambda: len(fleet.nodes[1].held()) + len(fleet.nodes[2].held()) == 3)
    fleet.proxies["node-0"].is_cut = False


def one_slow(fleet: Fleet) -> None:
    fleet.proxies["node-0"].delay_seconds = 0.1
    time.sleep(LEASE)


def one_killed(fleet: Fleet) -> None:
    fleet.nodes[0].kill()


def one_replaced(fleet: Fleet) -> None:
    fleet.nodes[0].stop()
    fleet.start()


@pytest.mark.parametrize("fault", [flushed, killed, frozen, one_cut_off, one_slow, one_killed, one_replaced])
def test_never_more_than_qps_leave_and_polling_goes_on(fleet: Fleet, fault: Callable[[Fleet], None]) -> None:
    fault(fleet)
    fleet.settles()
    fleet.check()


def test_what_one_replica_learns_all_know_and_so_does_one_that_starts_after_a_wipe(fleet: Fleet) -> None:
    number = NUMBERS[0]
    first, second, _ = fleet.nodes
    first.known.polled(number, "VERIFIED")
    first.replica.post(("number", *number.key))

    def knows(node: Node) -> bool:
        record = node.known.get(number.key)
        return record is not None and record.status == "VERIFIED"

    wait_until("the others know it", lambda: all(map(knows, fleet.nodes)))
    ages = [record.success_at for node in fleet.nodes if (record := node.known.get(number.key)) is not None]
    assert max(ages) - min(ages) < 1  # bounds a hang
    first.kill()
    fleet.server.admin("FLUSHALL")
    newcomer = fleet.start()
    wait_until("the one that starts knows it", lambda: knows(newcomer))
    assert knows(second)
