"""A path with jitter, with `qps` = `quota` = 10: how much is sent, and how much of it the server throttles.

The first two tables use virtual time: half an hour each, counted from the sixth minute on, the median of three seeds.
The jitter is the maximum extra time of a request to the server.  It is uniform, or exponential with a fifth as the
mean.  A spike is one more request a minute that comes 300 ms late.  The server accepts ten in any sliding second.  The
best fixed rate is the largest constant rate of which at most 1 in 1,000 is throttled.  The exporter's budget is
compared with the limiters of the benchmark `budget`, with their best settings.  They do not react to throttles.
pyrate-limiter's own bucket is used.  `limits` and `throttled-py` read the clock themselves, so their algorithms are
reproduced: a log of the last second, and GCRA.

The last table is real: the exporter as a process, its client, sockets on loopback, the simulator with `--jitter`.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path as File

import pyrate_limiter

from benchmarks.harness import Options, Progress, Result, Table, Target
from benchmarks.processes import exporter
from benchmarks.virtual import Admit, Pacer, Path, Sent, best_fixed_pace, send, sliding_second
from exporter.model import pace_qps
from exporter.polling.budget import Budget
from exporter.simulator import Simulator, World
from exporter.simulator.configfile import write
from exporter.simulator.scenarios import SCENARIOS

QPS = QUOTA = 10
LEARNING_SECONDS = 300.0
SEEDS = (1, 2, 3)
JITTERS = (0.0, 0.02, 0.05, 0.1, 0.2)
PATHS = [
    Path(jitter, exponential, spikes)
    for spikes in (False, True)
    for exponential in (False, True)
    for jitter in JITTERS
    if jitter or not exponential
]
SPIKY = Path(spikes=True)
OURS = "cams-exporter"
REAL_JITTERS = (0.0, 0.05, 0.1, 0.2)
REAL_LATENCY_SECONDS = (0.05, 0.4)
OTHERS_SECONDS = 300.0


class _Deaf:
    """A limiter that does not react to throttles."""

    def throttled(self, now: float, released_at: float, pause_seconds: float | None) -> None:
        pass


class Gcra(_Deaf):
    """GCRA from the planned slot, as in `throttled-py`; `burst` 1 is an even rate."""

    def __init__(self, rate: float, burst: int) -> None:
        self._gap = 1 / rate
        self._ahead = (burst - 1) * self._gap
        self._next = 0.0

    def ready_at(self, now: float) -> float:
        return max(now, self._next - self._ahead)

    def released(self, now: float) -> None:
        self._next = max(self._next, now) + self._gap


class Log(_Deaf):
    """At most `limit` in the last second, as in `limits`."""

    def __init__(self, limit: int) -> None:
        self._log: deque[float] = deque([-1.0] * limit, maxlen=limit)

    def ready_at(self, now: float) -> float:
        return max(now, self._log[0] + 1)

    def released(self, now: float) -> None:
        self._log.append(now)


class Pyrate(_Deaf):
    """pyrate-limiter's bucket.  Like its `Limiter`, it waits 50 ms longer than the bucket says."""

    def __init__(self, amount: int, milliseconds: int) -> None:
        self._bucket = pyrate_limiter.InMemoryBucket([pyrate_limiter.Rate(amount, milliseconds)])
        self._slot: float | None = None

    def ready_at(self, now: float) -> float:
        if self._slot is None:
            item = pyrate_limiter.RateItem("main", int(now * 1000))
            while not self._bucket.put(item):
                wait_milliseconds = self._bucket.waiting(item)
                assert isinstance(wait_milliseconds, int)
                item.timestamp += max(wait_milliseconds, 0) + 50
            self._bucket.leak(item.timestamp)
            self._slot = max(now, item.timestamp / 1000)
        return self._slot

    def released(self, now: float) -> None:  # noqa: ARG002 - the bucket noted it
        self._slot = None


LIMITERS: dict[str, Callable[[], Pacer]] = {
    OURS: lambda: Budget(QPS, QUOTA),
    "GCRA 9.8/s": lambda: Gcra(9.8, 1),
    "GCRA 9.5/s": lambda: Gcra(9.5, 1),
    "pyrate-limiter 10 in 1 s": lambda: Pyrate(10, 1000),
    "pyrate-limiter 1 in 102 ms": lambda: Pyrate(1, 102),
    "limits 10 in 1 s": lambda: Log(10),
    "throttled-py 10/s, burst 1": lambda: Gcra(10, 1),
    "throttled-py 10/s, burst 10": lambda: Gcra(10, 10),
}


@dataclass(frozen=True, slots=True)
class Cell:
    """The result of one limiter over one path: answered requests a second, and the throttled share."""

    pace: float
    throttled: float

    def __str__(self) -> str:
        return f"{self.pace:.2f}, {self.throttled * 1e3:.1f} ‰"


def run(options: Options, progress: Progress) -> Result:
    """Virtual time first, then real sockets, which are slower."""
    seconds, seeds = options.pick(1800.0, 360.0), SEEDS[: int(options.pick(3, 1))]
    paths = [Path(0.1), SPIKY] if options.quick else PATHS
    progress("paths: virtual time")
    best = {path: best_fixed_pace(path, QUOTA, seconds=seconds, seed=77) for path in paths}
    cells = {(path, name): _cell(path, make, seconds, seeds) for path in paths for name, make in LIMITERS.items()}
    real_seconds = options.pick(90.0, 2.0)
    progress(f"paths: sockets, {real_seconds:.0f} s")
    real = _real(real_seconds)
    tables = (_paths(best, cells), _limits(seconds, seeds), _sockets(real))
    return Result(tables, tuple(_targets(best, cells)))


def _cell(path: Path, make: Callable[[], Pacer], seconds: float, seeds: Sequence[int]) -> Cell:
    found = [_settled(send(make(), path, sliding_second(QUOTA), seconds=seconds, seed=seed), seconds) for seed in seeds]
    return Cell(statistics.median(cell.pace for cell in found), statistics.median(cell.throttled for cell in found))


def _settled(sent: Sent, seconds: float) -> Cell:
    settled = sent.between(LEARNING_SECONDS, seconds)
    return Cell(settled.answered / (seconds - LEARNING_SECONDS), settled.throttled_share)


def _paths(best: dict[Path, float], cells: dict[tuple[Path, str], Cell]) -> Table:
    rows = [(str(path), f"{best[path]:.2f}", *(str(cells[path, name]) for name in LIMITERS)) for path in best]
    caption = "Answered requests a second and throttled ones in 1,000, virtual time"
    return Table(("path", "best fixed pace", *LIMITERS), tuple(rows), caption)


def _limits(seconds: float, seeds: Sequence[int]) -> Table:
    """Other causes than the path: a lower limit, and other callers."""
    low = [
        _settled(send(Budget(QPS, QUOTA), Path(), sliding_second(3), seconds=seconds, seed=seed), seconds)
        for seed in seeds
    ]
    used, throttled = (
        statistics.median(values) for values in zip(*((c.pace / 3, c.throttled) for c in low), strict=True)
    )
    rows = [("a real limit of 3/s", f"{used:.1%} of it used, {throttled:.2%} throttled")]
    kinds: dict[str, Callable[[random.Random], float]] = {
        "evenly": lambda _: 0.2,
        "at random": lambda rng: rng.expovariate(5),
    }
    for kind, gap in kinds.items():
        back = [_seconds_until_back(gap, seed) for seed in seeds]
        rows.append((f"others take 5/s {kind} for 5 min, and leave", f"full pace after {max(back):.0f} s at most"))
    return Table(("exporter, `qps: 10`", "result"), tuple(rows), "What is not the path's, virtual time")


def _seconds_until_back(gap: Callable[[random.Random], float], seed: int) -> float:
    """The time from the end of other callers until 97 % of the rate is sent."""
    rng, instants, instant = random.Random(seed), [], 60.0
    while instant < 60.0 + OTHERS_SECONDS:
        instants.append(instant)
        instant += gap(rng)
    left = 60.0 + OTHERS_SECONDS
    admit: Admit = sliding_second(QUOTA)
    sent = send(Budget(QPS, QUOTA), Path(), admit, seconds=left + 300.0, seed=seed, others=instants)
    after = left
    while after < left + 290.0 and sent.between(after, after + 10.0).answered < 97 * pace_qps(QPS, QUOTA) / 10:
        after += 1.0
    return after - left


def _real(seconds: float) -> dict[float, Cell]:
    """All jitters at the same time: forty requests a second are little."""
    with ExitStack() as stack:
        folder = File(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        worlds = {}
        for place, jitter in enumerate(REAL_JITTERS):
            scenario = replace(
                SCENARIOS["steady"](place), scrape_interval_seconds=10, latency_seconds=REAL_LATENCY_SECONDS
            )
            world = worlds[jitter] = scenario.world()
            world.jitter_seconds = jitter
            simulator = stack.enter_context(Simulator(world))
            config = folder / f"{place}.yml"
            write(config, scenario, simulator.url)
            stack.enter_context(exporter(config))
        time.sleep(seconds + 1.0)  # until the last ones arrived
        return {jitter: _seen(world, seconds) for jitter, world in worlds.items()}


def _seen(world: World, seconds: float) -> Cell:
    """The arrivals in that many seconds from the first request on, including the time of learning."""
    arrivals = [arrival for arrival in world.arrivals() if arrival.at < world.arrivals()[0].at + seconds]
    answered = sum(arrival.outcome == "OK" for arrival in arrivals)
    return Cell(answered / seconds, 1 - answered / len(arrivals))


def _sockets(real: dict[float, Cell]) -> Table:
    rows = [
        (
            f"0–{jitter * 1e3:.0f} ms",
            f"{cell.pace / pace_qps(QPS, QUOTA):.1%}",
            f"{1 / ((1 + jitter) * pace_qps(QPS, QUOTA) / QPS):.1%}",
            f"{cell.throttled * 1e3:.1f} ‰",
        )
        for jitter, cell in real.items()
    ]
    columns = ("jitter", "share of 9.8/s answered", "10/(1 + jitter) would be", "throttled")
    return Table(columns, tuple(rows), "On sockets, 90 s from the first request on, learning included")


def _targets(best: dict[Path, float], cells: dict[tuple[Path, str], Cell]) -> Iterator[Target]:
    calm = {path: cells[path, OURS] for path in best if not path.spikes}
    throttled = max(cell.throttled for cell in calm.values())
    share = min(cell.pace / best[path] for path, cell in calm.items())
    yield Target("paths: throttled, jitter up to 200 ms", "≤ 1 ‰", f"{throttled * 1e3:.1f} ‰", throttled <= 0.001)
    yield Target("paths: share of the best fixed pace", "≥ 95 %", f"{share:.1%}", share >= 0.95)
    spiky = cells[SPIKY, OURS].pace / pace_qps(QPS, QUOTA)
    yield Target("paths: share of 9.8/s, a spike a minute", "≥ 90 %", f"{spiky:.1%}", spiky >= 0.9)
