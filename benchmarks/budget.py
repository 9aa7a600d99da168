"""The used share of an account's budget, and the maximum of requests in any sliding second, with `qps` = `quota` = 10.

Ours is the exporter's own poller with its schedule, budget and worker threads.  Its client waits instead of sending. It
is compared with `limits`, `pyrate-limiter` and `throttled-py`, each with its best settings for evenly spaced requests,
and with eight threads that wait in the same way.  All run at the same time, for the same time, in two runs of latency:
50–400 ms, and 0–1 s.  The sender counts a request when it is released.  The server counts it up to 10 ms of path jitter
later. If the server counts more than 10 in any second, Alibaba Cloud answers with a throttle.  The share is relative to
9.8/s, the rate that allows 20 ms of jitter at a quota of 10/s.  A faster limiter uses more than 100 %.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import limits
import pyrate_limiter
import throttled

from benchmarks.harness import Options, Progress, Result, Table, Target
from benchmarks.processes import Child
from exporter.cams.operations import Operation
from exporter.metrics.counters import Counters
from exporter.model import Answer, Health, PhoneNumber, Slot, SystemClock, pace_qps
from exporter.polling import AccountPoller
from exporter.polling.budget import Budget
from exporter.polling.workers import Workers
from exporter.simulator.window import busiest_second
from exporter.state.store import State

QPS = QUOTA = 10
WORKERS = 8
PATH_JITTER_SECONDS = 0.010
LATENCIES = ((0.05, 0.4), (0.0, 1.0))
NUMBERS = 1_000
OURS = "cams-exporter"

Latency = tuple[float, float]


@dataclass(slots=True)
class Log:
    """When each request was released, in monotonic seconds; thread-safe."""

    sent: list[float] = field(default_factory=list)

    def between(self, start: float, end: float) -> list[float]:
        """The instants from `start` to `end`, in order."""
        return sorted(instant for instant in self.sent if start <= instant < end)


T = TypeVar("T")


class Waiting:
    """The poller's client: enters the gate, notes the instant, and waits as long as an answer takes."""

    def __init__(self, log: Log, latency: Latency) -> None:
        self._log = log
        self._latency = latency

    def fetch(self, number: PhoneNumber, gate: Callable[[], Slot]) -> Answer:
        with gate():
            self._log.sent.append(time.monotonic())
        elapsed = random.uniform(*self._latency)
        time.sleep(elapsed)
        return Answer("VERIFIED", number.phone_number, "R", elapsed)

    def check_health(self, number: PhoneNumber, gate: Callable[[], Slot]) -> Health:
        raise NotImplementedError("the account has no health checks")

    def call(self, operation: Operation[T], gate: Callable[[], Slot]) -> T:
        raise NotImplementedError("the account has no discovery")

    def ready(self) -> bool:
        return True

    def credential_changes(self) -> int:
        return 1


@contextmanager
def _ours(log: Log, latency: Latency) -> Iterator[None]:
    clock, workers = SystemClock(), Workers()
    state, counters = State(clock), Counters([])
    numbers = [PhoneNumber("main", "space", str(86138 * 10**8 + i), str(i)) for i in range(NUMBERS)]
    state.configure(numbers, {"main": 900.0})
    counters.register("main")
    poller = AccountPoller(
        "main",
        budget=Budget(QPS, QUOTA),
        client=Waiting(log, latency),
        state=state,
        counters=counters,
        workers=workers,
        clock=clock,
        rng=random.Random(),
    )
    poller.configure(numbers, interval_seconds=60.0, qps=QPS, quota=QUOTA, timeout_seconds=10.0, accounts=1)
    poller.start()
    try:
        yield
    finally:
        poller.stop()
        workers.stop()


@contextmanager
def _threads(acquire: Callable[[], None], log: Log, latency: Latency) -> Iterator[None]:
    """Eight threads that send whenever `acquire` returns."""
    stopped = threading.Event()

    def work() -> None:
        while not stopped.is_set():
            acquire()
            log.sent.append(time.monotonic())
            time.sleep(random.uniform(*latency))

    for _ in range(WORKERS):
        threading.Thread(target=work, daemon=True).start()
    try:
        yield
    finally:
        stopped.set()


def _moving_window(amount: int, milliseconds: int) -> Callable[[], None]:
    """`limits` does not wait by itself, and counts in whole seconds."""
    limiter = limits.strategies.MovingWindowRateLimiter(limits.storage.MemoryStorage())
    item = limits.RateLimitItemPerSecond(amount, milliseconds // 1000)

    def acquire() -> None:
        while not limiter.hit(item, "main"):
            time.sleep(0.005)

    return acquire


def _pyrate(amount: int, milliseconds: int) -> Callable[[], None]:
    limiter = pyrate_limiter.Limiter(pyrate_limiter.Rate(amount, milliseconds))

    def acquire() -> None:
        limiter.try_acquire("main")

    return acquire


def _throttled(burst: int) -> Callable[[], None]:
    quota = throttled.per_sec(QPS, burst=burst)
    limiter = throttled.Throttled(using="gcra", quota=quota, store=throttled.MemoryStore(), key="main", timeout=30)

    def acquire() -> None:
        while limiter.limit().limited:
            pass  # 30 s without a slot

    return acquire


def _contenders() -> dict[str, Callable[[], None]]:
    return {
        "limits MovingWindow 10 in 1 s": _moving_window(10, 1000),
        "pyrate-limiter Rate(10, 1 s)": _pyrate(10, 1000),
        "pyrate-limiter Rate(1, 102 ms)": _pyrate(1, 102),
        "throttled-py GCRA 10/s, burst 1": _throttled(1),
        "throttled-py GCRA 10/s, burst 10": _throttled(10),
    }


@dataclass(frozen=True, slots=True)
class _Row:
    """The result of one limiter at one latency."""

    name: str
    latency: Latency
    share: float
    at_sender: int
    at_server: int


def run(options: Options, progress: Progress) -> Result:
    """Run everything at once; it mostly sleeps.  Ours has its own process, so that the others do not delay it."""
    warm_up, seconds = options.pick(5.0, 0.2), options.pick(60.0, 1.5)
    progress(f"budget: {warm_up + seconds:.0f} s")
    children = [Child("benchmarks.budget", side, str(warm_up), str(seconds)) for side in ("ours", "theirs")]
    rows = []
    for child in children:
        with child:
            for name, low, high, sent in json.loads(child.output().strip().splitlines()[-1]):
                rows.append(_judged(name, (low, high), sent, seconds))
    rows.sort(key=lambda row: LATENCIES.index(row.latency))
    return Result((_table(rows),), tuple(_targets(rows)))


def main() -> None:
    """One side: prints, as JSON, a list of [name, latency from, to, instants of releases]."""
    side, warm_up, seconds = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
    logs: list[tuple[str, Latency, Log]] = []
    running: list[AbstractContextManager[None]] = []
    for latency in LATENCIES:
        for name, acquire in [(OURS, None)] if side == "ours" else _contenders().items():
            logs.append((name, latency, log := Log()))
            running.append(_threads(acquire, log, latency) if acquire else _ours(log, latency))
    with ExitStack() as stack:
        for each in running:
            stack.enter_context(each)
        time.sleep(warm_up)
        start = time.monotonic()
        time.sleep(seconds)
    print(
        json.dumps([(name, *latency, log.between(start, start + seconds)) for name, latency, log in logs]), flush=True
    )
    os._exit(0)  # do not wait for threads that wait for a slot


def _judged(name: str, latency: Latency, sent: Sequence[float], seconds: float) -> _Row:
    arrived = sorted(instant + random.uniform(0.0, PATH_JITTER_SECONDS) for instant in sent)
    share = len(sent) / (seconds * pace_qps(QPS, QUOTA))
    return _Row(name, latency, share, busiest_second(sent), busiest_second(arrived))


def _table(rows: Sequence[_Row]) -> Table:
    return Table(
        ("limiter", "latency", "share of the pace", "most in 1 s, sender", "most in 1 s, server"),
        tuple(
            (row.name, _span(row.latency), f"{row.share:.1%}", str(row.at_sender), str(row.at_server)) for row in rows
        ),
    )


def _targets(rows: Sequence[_Row]) -> Iterator[Target]:
    for row in rows:
        if row.name == OURS:
            met = row.share >= 0.995 and row.at_server <= QUOTA
            measured = f"{row.share:.1%}, {row.at_server}"
            wanted = f"≥ 99.5 %, ≤ {QUOTA}"
            yield Target(f"budget: share of the pace, most at the server ({_span(row.latency)})", wanted, measured, met)


def _span(latency: Latency) -> str:
    return f"{latency[0] * 1e3:.0f}–{latency[1] * 1e3:.0f} ms"


if __name__ == "__main__":
    main()
