"""What it costs to share accounts by a Redis: CPU, memory and traffic, of replicas and of the store.

First 10,000 numbers in 100 accounts: one exporter alone, and four replicas of a cluster with `replicas: 3`.  Three of
them poll; the fourth only reads what the others write.  The rates are those of all replicas together; the one alone
polls at the same rate, except at 1,000/s, where it rests.  CPU is that of a whole process by the kernel's clock; nobody
scrapes.  Memory is the resident set after every number was polled at 1,000 polls a second, and the extra threads ended.
The store's commands are calls of its scripts, and what these run.

Then 40 accounts with a budget that is too large for any machine: polls a second of 1, 2 and 4 replicas, and of one
exporter alone.  The API, the store and all replicas share the machine's cores, so more replicas than cores poll no
faster; the CPU of a poll is what another machine needs, too.  The API is a bare server that answers at once, without
TLS.  The last column is how much older a number's last success is on one replica than on another, at most.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.fleet import Fleet
from benchmarks.harness import Options, Progress, Result, Table, Target
from benchmarks.memory import COOL_SECONDS
from benchmarks.processes import Child, Served, exporter, series, total, wait_ready
from benchmarks.redisserver import Counts, RedisServer
from benchmarks.replicas import Replicas

REQUESTS = "cams_api_requests_total"
LAST_SUCCESS = "cams_phone_number_last_success_timestamp_seconds"
NUMBERS, SEATS = 10_000, 3
FILL_RATE = 1_000.0
IDLE, STEADY = 0.0, 100.0
RATES = (IDLE, STEADY, FILL_RATE)
FLAT_ACCOUNTS, FLAT_NUMBERS, FLAT_RATE = 40, 4_000, 10_000.0
FLAT_SIZES = (1, 2, 4)
SETTLE_SECONDS = 5.0

MAX_RSS_SHARE = 1.25
MAX_IDLE_CPU = 0.03
"""Cores that a replica takes while it polls next to nothing, more than one exporter alone."""

MAX_CALLS_AT_REST = 7.0
"""Calls of the store a second and replica: a contact and an exchange at each look."""


@dataclass(frozen=True, slots=True)
class _Window:
    """What was seen for a while: CPU and polls a second of each exporter, and what the store counted.

    `behind_seconds` is how much older a number's last success is on one replica than on another, at most.
    """

    cpu: tuple[float, ...]
    polls: tuple[float, ...]
    store: Counts
    behind_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Shared:
    """One exporter alone, then the replicas that poll and the one that reads, in this order; and the store's memory."""

    rss: tuple[float, ...]
    windows: dict[float, _Window]
    store_bytes: float


def run(options: Options, progress: Progress) -> Result:
    """Measure the cost at even rates, then the maximum of polls."""
    shared = _shared(options, progress)
    flat = _flat(options, progress)
    tables = (_processes(shared), _traffic(shared.windows), _memory(shared, options), _throughput(flat))
    return Result(tables, tuple(_targets(shared)))


def _shared(options: Options, progress: Progress) -> _Shared:
    numbers = int(options.pick(NUMBERS, 300))
    progress(f"cluster: {numbers} numbers")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        endpoint = stack.enter_context(Child("benchmarks.endpoint"))
        store = stack.enter_context(RedisServer(folder))
        alone = Fleet(numbers, endpoint.wait_for(r"serving (\S+)")[1])
        ours = replace(alone, store=store.url, replicas=SEATS, lease=int(options.pick(15, 3)))
        paths = folder / "alone.yml", folder / "cluster.yml"
        alone.write(paths[0], FILL_RATE)
        ours.write(paths[1], FILL_RATE)
        empty = store.used_bytes()
        single = stack.enter_context(exporter(paths[0]))
        replicas = Replicas(stack, paths[1], SEATS)
        replicas.start(SEATS + 1)
        for each in (single, *replicas.running):
            wait_ready(each.url)
        replicas.settle()

        def pace(rate: float) -> None:
            alone.write(paths[0], rate if rate < FILL_RATE else IDLE)
            ours.write(paths[1], rate)
            single.reload()
            replicas.reload()
            time.sleep(options.pick(SETTLE_SECONDS, 0.5))

        pace(IDLE)
        time.sleep(options.pick(COOL_SECONDS, 0.0))
        held = sorted(replicas.running, key=lambda each: not replicas.held(each))
        every = (single, *held)
        rss = tuple(each.rss_mib() for each in every)
        store_bytes = (store.used_bytes() - empty) / numbers
        windows = {}
        for rate in RATES if not options.quick else (IDLE, STEADY):
            progress(f"cluster: {rate:g} polls/s")
            if rate != IDLE:
                pace(rate)
            windows[rate] = _window(every, store, options.pick(20.0, 1.0))
        return _Shared(rss, windows, store_bytes)


def _window(every: Sequence[Served], store: RedisServer, seconds: float) -> _Window:
    polls = [total(each.url, REQUESTS) for each in every]
    counts, cpu = store.counts(), [each.cpu_seconds() for each in every]
    time.sleep(seconds)
    spent = [each.cpu_seconds() - before for each, before in zip(every, cpu, strict=True)]
    seen = store.counts().since(counts)
    asked = [total(each.url, REQUESTS) - before for each, before in zip(every, polls, strict=True)]
    return _Window(tuple(each / seen.at for each in spent), tuple(each / seen.at for each in asked), seen)


def _flat(options: Options, progress: Progress) -> dict[str, _Window]:
    """Flat out: alone, then 1, 2 and 4 replicas of the same cluster."""
    found = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        endpoint = stack.enter_context(Child("benchmarks.endpoint"))
        store = stack.enter_context(RedisServer(folder))
        numbers = int(options.pick(FLAT_NUMBERS, 80))
        alone = Fleet(numbers, endpoint.wait_for(r"serving (\S+)")[1], wanted_accounts=FLAT_ACCOUNTS)
        sizes = FLAT_SIZES if not options.quick else FLAT_SIZES[:1]
        ours = replace(alone, store=store.url, replicas=sizes[-1], lease=int(options.pick(15, 3)))
        paths = folder / "alone.yml", folder / "cluster.yml"
        alone.write(paths[0], FLAT_RATE)
        ours.write(paths[1], FLAT_RATE)
        settle, seconds = options.pick(SETTLE_SECONDS, 0.2), options.pick(10.0, 0.5)
        progress("cluster: flat out, alone")
        with exporter(paths[0]) as single:
            wait_ready(single.url)
            time.sleep(settle)
            found["alone"] = _window([single], store, seconds)
        replicas = Replicas(stack, paths[1], sizes[-1])
        for size in sizes:
            progress(f"cluster: flat out, {size} replicas")
            replicas.start(size - len(replicas.running))
            replicas.settle()
            time.sleep(settle)
            window = _window(replicas.running, store, seconds)
            name = f"{size} replica{'s' if size > 1 else ''}"
            found[name] = replace(window, behind_seconds=_behind(replicas.running))
    return found


def _behind(every: Sequence[Served]) -> float:
    shown = [series(each.url, LAST_SUCCESS) for each in every]
    times = [[values[number] for values in shown] for number in set.intersection(*map(set, shown))]
    return max((max(each) - min(each) for each in times), default=0.0)


def _processes(shared: _Shared) -> Table:
    rates = list(shared.windows)
    columns = ["", "RSS, MiB", *(f"cores, {_rate(rate)}" for rate in rates)]
    places = {"alone": (0,), "a replica that polls": (1, 2, 3), "a replica that only reads": (4,)}
    rows = []
    for name, chosen in places.items():
        cells = [f"{_mean(shared.rss, chosen):.1f}"]
        for rate in rates:
            is_measured = name != "alone" or rate < FILL_RATE
            cells.append(f"{_mean(shared.windows[rate].cpu, chosen):.4f}" if is_measured else "–")
        rows.append((name, *cells))
    return Table(tuple(columns), tuple(rows), f"{NUMBERS:,} numbers, {SEATS} replicas and a reader")


def _traffic(windows: dict[float, _Window]) -> Table:
    rows = []
    for rate, window in windows.items():
        store, is_idle = window.store, rate == IDLE
        per = store.at if is_idle else sum(window.polls[1:]) * store.at / 1000
        counts = store.calls, store.commands, store.bytes_in / 1e3, store.bytes_out / 1e3, store.cpu_seconds * 1e3
        calls, commands, kb_in, kb_out, cpu = (each / per for each in counts)
        cells = f"{calls:.0f}", f"{commands:.0f}", f"{kb_in:.1f}", f"{kb_out:.1f}", f"{cpu:.1f}"
        rows.append((f"{_rate(rate)}, {'a second' if is_idle else '1,000 polls'}", *cells))
    columns = ("", "calls of scripts", "commands in them", "kB to the store", "kB from it", "its CPU, ms")
    return Table(columns, tuple(rows), "The store")


def _memory(shared: _Shared, options: Options) -> Table:
    numbers = int(options.pick(NUMBERS, 300))
    row = (f"{numbers:,}", f"{shared.store_bytes:.0f}", f"{shared.store_bytes * numbers / 2**20:.1f}")
    return Table(("numbers", "bytes a number", "MiB"), (row,), "The store's memory, connections included")


def _throughput(flat: dict[str, _Window]) -> Table:
    rows = []
    for name, window in flat.items():
        polls, cpu = sum(window.polls), sum(window.cpu)
        of_store = window.store.cpu_seconds / window.store.at
        shared = (
            f"{of_store / polls * 1e3:.3f}",
            f"{window.store.bytes_out / window.store.at / 1e6:.2f}",
            f"{window.behind_seconds:.1f}",
        )
        cells = (f"{polls:,.0f}", f"{cpu:.2f}", f"{cpu / polls * 1e3:.2f}")
        rows.append((name, *cells, *(shared if name != "alone" else ("–", "–", "–"))))
    columns = ("", "polls/s", "cores", "CPU a poll, ms", "the store's", "MB/s from it", "oldest answer behind, s")
    return Table(columns, tuple(rows), f"Flat out, {FLAT_ACCOUNTS} accounts")


def _targets(shared: _Shared) -> Iterator[Target]:
    share = max(shared.rss[1:]) / shared.rss[0]
    what = f"RSS of a replica at {NUMBERS:,} numbers against one alone"
    yield Target(what, f"≤ {MAX_RSS_SHARE} ×", f"{share:.2f} ×", share <= MAX_RSS_SHARE)
    idle = shared.windows[IDLE]
    more = max(idle.cpu[1:]) - idle.cpu[0]
    what = "CPU of a replica that polls next to nothing, more than alone"
    yield Target(what, f"≤ {MAX_IDLE_CPU:.0%} of a core", f"{more:.1%}", more <= MAX_IDLE_CPU)
    calls = idle.store.calls / idle.store.at / (SEATS + 1)
    what = "calls of the store a second and replica at rest"
    yield Target(what, f"≤ {MAX_CALLS_AT_REST:.0f}", f"{calls:.1f}", calls <= MAX_CALLS_AT_REST)


def _mean(values: Sequence[float], places: Sequence[int]) -> float:
    return sum(values[place] for place in places) / len(places)


def _rate(rate: float) -> str:
    return "idle" if rate == IDLE else f"{rate:,.0f} polls/s"
