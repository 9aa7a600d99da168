"""Exporter processes that share accounts, the simulator which they poll, and what must hold whatever fails.

Requests are judged by the simulator's own log: by what surely arrived in one second.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from exporter.model import UNKNOWN
from exporter.simulator import STATUS, Simulator, World
from exporter.simulator.world.arrivals import surely_in_a_second
from tests.support.exporter import ExporterProcess, Series, series, statuses, value
from tests.support.fleet import config, fleet, found, phones
from tests.support.patience import PATIENCE_SECONDS
from tests.support.redisserver import PASSWORD
from tests.support.wallclock import WallClock

QPS, QUOTA, REPLICAS = 5, 10, 3
SPARE_QPS = (QUOTA - QPS) // REPLICAS
TYPED, FOUND = ("one", "two", "three"), "found"
ACCOUNTS = (*TYPED, FOUND)
SPACE = "cams-found"
LOOK_SECONDS = 0.2
HELD = "cams_account_held"
LOOKED_AT = ("cams_phone_number_verification_status{", "cams_account_", "cams_cluster_", "cams_api_requests_total{")


class Replicas:
    """Replicas of one configuration, with four accounts of three numbers each.

    `store` says where the store is.  Each look at a replica fails if it shows less than it showed before.
    """

    def __init__(self, stack: ExitStack, store: Mapping[str, Any], lease: str = "3s", **more: Any) -> None:
        self._stack = stack
        self.world = World()
        sections = [
            fleet(self.world, 3, name=name, start=100 * index, qps=QPS, quota=QUOTA) for index, name in enumerate(TYPED)
        ]
        discovered: dict[str, Any] = {"health": {"interval": "2s"}, "discover_refresh_interval": "2s"}
        sections.append(found(self.world, {SPACE: phones(3, 1000)}, name=FOUND, qps=QPS, quota=QUOTA, **discovered))
        self.simulator = stack.enter_context(Simulator(self.world))
        self.cluster = {"username": "cams", "password": PASSWORD, "lease": lease, "replicas": REPLICAS, **store}
        self.config: dict[str, Any] = config(self.simulator.url, sections, cluster=self.cluster, **more)
        self.all: list[ExporterProcess] = []
        self._knowing: set[ExporterProcess] = set()
        self._halted: set[ExporterProcess] = set()

    def start(self, *flags: str, count: int = 1, clocks: Sequence[WallClock] = ()) -> list[ExporterProcess]:
        """Start replicas at once, on these clocks, or `count` of them on the machine's."""
        own: list[dict[str, Any]] = [{"env": each.environment, "program": each.program} for each in clocks]
        made = [ExporterProcess(self.config, *flags, **more) for more in own or [{}] * count]
        with ThreadPoolExecutor(len(made)) as pool:
            for each in pool.map(self._stack.enter_context, made):
                self.all.append(each)
        return made

    @property
    def alive(self) -> list[ExporterProcess]:
        return [each for each in self.all if each.process.poll() is None and each not in self._halted]

    @contextlib.contextmanager
    def halted(self, replica: ExporterProcess) -> Iterator[None]:
        """Frozen inside the block."""
        self._halted.add(replica)
        replica.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            replica.process.send_signal(signal.SIGCONT)
            self._halted.discard(replica)

    # What they show

    def look(self) -> dict[ExporterProcess, Series]:
        """A scrape of each; who once knew all statuses must know them now."""
        scraped = {each: scrape(each) for each in self.alive}
        for each, of in scraped.items():
            shown = statuses(of)
            unknown = [number for number in self.numbers if shown.get(number, UNKNOWN) == UNKNOWN]
            if not unknown:
                self._knowing.add(each)
            assert not unknown or each not in self._knowing, f"forgotten: {unknown}\n{each.log}"
            refused = [name for name in ACCOUNTS if value(of, "cams_account_up", account=name) == 0]
            assert not refused, f"{refused} are refused\n{each.log}"
        return scraped

    def until(self, condition: Callable[[dict[ExporterProcess, Series]], Any], what: str) -> Any:
        """Look until `condition` is true of what they show; returns its value."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            found = condition(self.look())
            if found:
                return found
            logs = "\n\n".join(each.log[-2000:] for each in self.alive)
            assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS:.0f} s: {what}\n{logs}"  # bounds a hang
            time.sleep(LOOK_SECONDS)

    def pass_time(self, seconds: float) -> None:
        """Look for so long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.look()
            time.sleep(LOOK_SECONDS)

    @property
    def numbers(self) -> list[str]:
        """All phone numbers at the start."""
        return [number for index in range(len(TYPED)) for number in phones(3, 100 * index)] + phones(3, 1000)

    def settle(self) -> dict[str, ExporterProcess]:
        """All replicas know all, each account has one holder, evenly, and is polled; returns the holders."""

        def settled(scraped: dict[ExporterProcess, Series]) -> dict[str, ExporterProcess] | None:
            if not self._knowing.issuperset(scraped):
                return None
            holders = {name: [each for each, of in scraped.items() if holds(of, name)] for name in ACCOUNTS}
            held = [sum(each in found for found in holders.values()) for each in scraped]
            if max(held) - min(held) > 1 or any(len(found) != 1 for found in holders.values()):
                return None
            return {name: found[0] for name, found in holders.items()}

        holders: dict[str, ExporterProcess] = self.until(settled, "each account has one holder")
        self.until_polled()
        return holders

    def until_polled(self, names: Sequence[str] = ACCOUNTS, times: int = 2) -> None:
        """The accounts are polled, from now on."""
        before = {name: self.polls(name) for name in names}
        self.until(lambda _: all(self.polls(name) >= before[name] + times for name in names), f"{names} are polled")

    def until_spare(self, replicas: Sequence[ExporterProcess]) -> None:
        """These replicas found out that the store is away: each polls all accounts itself, and holds none."""

        def away(of: Series) -> bool:
            return value(of, "cams_cluster_store_up") == 0 and not any(holds(of, name) for name in ACCOUNTS)

        self.until(lambda scraped: all(away(scraped[each]) for each in replicas), "the store is away")
        before = {(each, name): sent(scrape(each), name) for each in replicas for name in ACCOUNTS}
        self.until(
            lambda scraped: all(sent(scraped[each], name) > count + 1 for (each, name), count in before.items()),
            "each polls all on its own",
        )

    # What they sent

    def polls(self, name: str) -> int:
        return len(self.world.arrivals(name, STATUS))

    @contextlib.contextmanager
    def at_most(self, most: int) -> Iterator[None]:
        """No account gets more requests in a second, from the begin of the block on, all operations counted."""
        began = {name: len(self.world.arrivals(name)) for name in ACCOUNTS}
        yield
        for name in ACCOUNTS:
            arrived = surely_in_a_second(self.world.arrivals(name)[began[name] :])
            assert arrived <= most, f"{name}: {arrived} requests arrived in a second"
            assert self.world.surely_in_a_second(name) <= QUOTA

    @contextlib.contextmanager
    def survives(self, most: int = QPS) -> Iterator[dict[str, ExporterProcess]]:
        """The fault in the block costs no budget and no status, and afterwards all is as before."""
        with self.at_most(most):
            yield self.settle()
            self.settle()


def scrape(replica: ExporterProcess) -> Series:
    """The series that a look needs: to parse all takes six times as long."""
    status, body, _ = replica.get()
    assert status == 200, body
    return series("\n".join(line for line in body.decode().splitlines() if line.startswith(LOOKED_AT)) + "\n")


def holds(scraped: Series, name: str) -> bool:
    """Whether a replica says that it holds an account."""
    return value(scraped, HELD, account=name) == 1


def sent(scraped: Series, name: str) -> float:
    """How many polls of an account a replica has sent."""
    return value(scraped, "cams_api_requests_total", account=name, operation=STATUS) or 0.0
