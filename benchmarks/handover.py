"""How long accounts rest when a replica ends, seen by the API.

Three exporters share six accounts of 20 numbers, each polled at nine requests a second, by a real Redis.  The API is
the simulator, which notes when each request arrives.  One replica is ended with SIGTERM, or killed with SIGKILL.
Another is started in its place, and the next round begins when the accounts are spread evenly again.  Only the accounts
that the ended replica held count.  After SIGTERM, the gap is the longest time between two requests of an account;
undisturbed it is 0.11 s.  After SIGKILL, the time is from the signal to the first request that another replica sends,
and to the end of the first pass, when each number was polled again.  The default of `lease` is 15 s, the minimum 3 s.
"""

from __future__ import annotations

import itertools
import signal
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.fleet import account_lines, account_name, phone_number, space
from benchmarks.harness import Options, Progress, Result, Table, Target, median
from benchmarks.processes import Served, until
from benchmarks.redisserver import RedisServer
from benchmarks.replicas import Replicas
from exporter.simulator import Simulator, World

ACCOUNTS, NUMBERS = 6, 20
QPS, QUOTA = 9, 10
SEATS = 3
DEFAULT_LEASE, SHORTEST_LEASE = 15, 3
MAX_GAP_SECONDS = 1.0
AFTER_SECONDS = 1.0
"""How long requests are noted after each number was polled again."""


@dataclass(slots=True)
class _Ends:
    """One way to end, account by account: seconds until the next poll, of the gap, and until a pass ended."""

    signal: signal.Signals
    lease: int
    rests: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    passes: list[float] = field(default_factory=list)


def run(options: Options, progress: Progress) -> Result:
    """Measure both ways to end, for both leases."""
    leases = {SHORTEST_LEASE: (1, 0)} if options.quick else {DEFAULT_LEASE: (3, 2), SHORTEST_LEASE: (3, 3)}
    found = []
    for lease, (stops, kills) in leases.items():
        progress(f"handover: lease {lease} s")
        found += _measured(lease, stops, kills)
    return Result((_table(found),), tuple(_targets(found)))


def _measured(lease: int, stops: int, kills: int) -> list[_Ends]:
    ends = {number: _Ends(number, lease) for number in (signal.SIGTERM, signal.SIGKILL)}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        store = stack.enter_context(RedisServer(folder))
        world = _world()
        simulator = stack.enter_context(Simulator(world))
        config = folder / "config.yml"
        config.write_text(_config(simulator.url, store.url, lease), encoding="utf-8")
        replicas = Replicas(stack, config, SEATS)
        for number in [signal.SIGTERM] * stops + [signal.SIGKILL] * kills:
            replicas.start(SEATS - len(replicas.running))
            replicas.settle()
            time.sleep(AFTER_SECONDS)
            _end(replicas, replicas.running[0], world, ends[number])
    return [each for each in ends.values() if each.gaps]


def _end(replicas: Replicas, victim: Served, world: World, ends: _Ends) -> None:
    """End one, and note what became of its accounts."""
    accounts = replicas.held(victim)
    replicas.remove(victim)
    at = world.clock.monotonic()
    victim.signal(ends.signal)
    victim.wait()
    ended = world.clock.monotonic()
    until(lambda: _all_polled(world, accounts, ended), "its numbers are polled again", every_seconds=0.2)
    time.sleep(AFTER_SECONDS)
    for account in accounts:
        arrivals = [each for each in world.arrivals(account) if each.at >= at - AFTER_SECONDS]
        instants = [each.at for each in arrivals]
        gap, next_at = max((after - before, after) for before, after in itertools.pairwise(instants))
        again = {each.phone_number: each.at for each in reversed(arrivals) if each.at >= next_at}
        ends.gaps.append(gap)
        ends.rests.append(next_at - at)
        ends.passes.append(max(again.values()) - at)


def _all_polled(world: World, accounts: Sequence[str], since: float) -> bool:
    return all(
        len({each.phone_number for each in world.arrivals(account) if each.at >= since}) == NUMBERS
        for account in accounts
    )


def _world() -> World:
    world = World()
    for account in range(ACCOUNTS):
        world.add_account(account_name(account), f"key-{account:03d}", "secret", rate_limit=QUOTA)
        for index in _numbers(account):
            world.add_number(account_name(account), space(account), phone_number(index))
    return world


def _config(endpoint: str, store: str, lease: int) -> str:
    lines = ["scrape_interval: 1s", f"api: {{endpoint: '{endpoint}'}}"]
    lines += [f"cluster: {{url: '{store}', replicas: {SEATS}, lease: {lease}s}}", "accounts:"]
    for account in range(ACCOUNTS):
        lines += account_lines(account, _numbers(account), QPS, QUOTA)
    return "\n".join(lines) + "\n"


def _numbers(account: int) -> range:
    return range(account * NUMBERS, (account + 1) * NUMBERS)


def _table(found: Sequence[_Ends]) -> Table:
    columns = ("ended by", "lease", "accounts", "fastest", "median", "slowest", "each number again, slowest")
    rows = []
    for ends in found:
        times = _times(ends)
        seconds = [min(times), median(times), max(times), max(ends.passes)]
        cells = [f"{each:.2f} s" for each in seconds]
        rows.append((ends.signal.name, f"{ends.lease} s", str(len(times)), *cells))
    return Table(columns, tuple(rows), "Gap after SIGTERM, time to the next poll after SIGKILL")


def _times(ends: _Ends) -> list[float]:
    return ends.gaps if ends.signal == signal.SIGTERM else ends.rests


def _targets(found: Sequence[_Ends]) -> list[Target]:
    targets = []
    for ends in found:
        slowest = max(_times(ends))
        if ends.signal == signal.SIGTERM:
            what, limit = f"SIGTERM, lease {ends.lease} s: gap between polls of an account", MAX_GAP_SECONDS
        else:
            what, limit = f"SIGKILL, lease {ends.lease} s: time to the next poll of an account", float(ends.lease)
        targets.append(Target(what, f"≤ {limit:.0f} s", f"{slowest:.2f} s", slowest <= limit))
    return targets
