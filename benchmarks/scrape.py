"""A scrape like Prometheus's: OpenMetrics, gzip, over HTTP from a real exporter process.

It is compared with a reference: the same polling, state and custom collector in another process, exposed by
prometheus_client (`start_http_server`, `generate_latest`, its gzip).  Both are filled by real polls first, so that
every number has all its series.  Then, interleaved, each is scraped while it is idle (next to no polls); after that the
exporter is scraped ten times a second (50,000 numbers: four times) while it polls at 100/s, 500/s and 1,000/s.  CPU is
that of the whole process by the kernel's clock; under polling, what the same time without scrapes costs is taken off.
Latency is measured at the client, up to the last byte; machines differ, so it is also given as a multiple of the idle
p50 of the same run.  10,000 numbers are measured twice: configured, and found by `discover` and asked about their
health, which more than doubles their series.  The last table is the worst case: a scrape after 10 s without one at
1,000 polls/s, so that each of 10,000 numbers must be formatted again.
"""

from __future__ import annotations

import math
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.fleet import Fleet
from benchmarks.harness import Options, Progress, Result, Table, Target, interleaved, median, milliseconds, quantile
from benchmarks.processes import PROMETHEUS_HEADERS, Child, Scraper, Served, exporter

CASES = ((100, False), (1_000, False), (10_000, False), (10_000, True), (50_000, False))
"""How many numbers, and whether they are found."""

RATES = (100.0, 500.0, 1_000.0)
FILL_RATE = 1_000.0
TARGET_SIZE = 10_000
MAX_P99 = {100.0: 0.040, 1_000.0: 0.100}
"""Seconds, by polls a second."""

MAX_P99_TO_IDLE = {100.0: 5, 500.0: 15}
"""The p99 as a multiple of the idle p50, by polls a second."""

SETTLE_SECONDS = 2.0
SPREAD_SECONDS = 6.0
"""After a reload all accounts start together.  After this time they no longer poll at the same instants."""


@dataclass(slots=True)
class _Cell:
    """One way of scraping: CPU seconds of one scrape, and every scrape's latency in seconds."""

    cpu: float = math.nan
    latencies: list[float] = field(default_factory=list)

    @property
    def p50(self) -> float:
        return median(self.latencies)

    @property
    def p99(self) -> float:
        return quantile(self.latencies, 0.99)


@dataclass(slots=True)
class _Size:
    """All measurements of one fleet."""

    numbers: int
    found: bool
    series: int
    plain_bytes: int
    gzip_bytes: int
    reference: _Cell
    idle: _Cell
    polling: dict[float, _Cell] = field(default_factory=dict)
    after_a_pass: _Cell | None = None

    @property
    def title(self) -> str:
        return f"{self.numbers:,}{' found' if self.found else ''}"

    @property
    def ratio(self) -> float:
        return self.reference.cpu / self.idle.cpu

    def p99_to_idle(self, rate: float) -> float:
        """The p99 at so many polls a second, as a multiple of the idle p50."""
        return self.polling[rate].p99 / self.idle.p50


def run(options: Options, progress: Progress) -> Result:
    """Measure all sizes."""
    found = []
    for numbers, are_found in ((100, False), (100, True)) if options.quick else CASES:
        progress(f"scrape: {numbers} numbers{' found' if are_found else ''}")
        found.append(_measure(numbers, options, are_found=are_found))
    return Result(_tables(found), _targets(found))


def _measure(numbers: int, options: Options, *, are_found: bool) -> _Size:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        endpoint = stack.enter_context(Child("benchmarks.endpoint"))
        interval = "4s" if options.quick else "1s"
        fleet = Fleet(numbers, endpoint.wait_for(r"serving (\S+)")[1], interval=interval, found=are_found)
        config = folder / "config.yml"
        fleet.write(config, FILL_RATE)
        reference = stack.enter_context(Served("benchmarks.reference", config))
        ours = stack.enter_context(exporter(config))
        reference.wait_for("every number was asked")
        fleet.wait_filled(reference.url)
        fleet.wait_filled(ours.url)
        fleet.write(config, 0)
        for served in (reference, ours):
            served.reload()
        time.sleep(options.pick(SETTLE_SECONDS, 0.2))
        found = _idle(fleet, reference, ours, options)
        reference.stop()
        for rate in RATES:
            if rate <= numbers:
                fleet.write(config, rate)
                ours.reload()
                time.sleep(options.pick(SPREAD_SECONDS, 0.2))
                found.polling[rate] = _polling(numbers, ours, options)
        if numbers == TARGET_SIZE:
            found.after_a_pass = _after_a_pass(ours)
        return found


def _idle(fleet: Fleet, reference: Served, ours: Served, options: Options) -> _Size:
    """Rounds of one scrape of the reference and several of ours, because one of ours is too short to measure."""
    numbers = fleet.numbers
    found = _Size(numbers, fleet.found, *_contents(ours, numbers), _Cell(), _Cell())
    theirs, own = Scraper(reference.url), Scraper(ours.url)
    theirs.scrape()
    own.scrape()

    def cpu(served: Served, scraper: Scraper, cell: _Cell, times: int) -> float:
        before = served.cpu_seconds()
        cell.latencies += [scraper.scrape() for _ in range(times)]
        return (served.cpu_seconds() - before) / times

    rounds = int(options.pick(5 if numbers < 50_000 else 3, 1))
    spent = interleaved(
        {
            "reference": lambda: cpu(reference, theirs, found.reference, 1),
            "ours": lambda: cpu(ours, own, found.idle, int(options.pick(20, 3))),
        },
        rounds,
    )
    found.reference.cpu, found.idle.cpu = median(spent["reference"]), median(spent["ours"])
    theirs.close()
    own.close()
    return found


def _contents(ours: Served, numbers: int) -> tuple[int, int, int]:
    """The series a number, and the bytes of a scrape, plain and compressed."""
    scraper = Scraper(ours.url)
    plain, compressed = scraper.read(), scraper.read(PROMETHEUS_HEADERS)
    scraper.close()
    return plain.count(b'phone_number="') // numbers, len(plain), len(compressed)


def _polling(numbers: int, ours: Served, options: Options) -> _Cell:
    """Scrapes at an even rate.  The CPU of polling, measured for the same time before and after, is subtracted."""
    cell = _Cell()
    scraper = Scraper(ours.url)
    scraper.scrape()
    gap = options.pick(0.1 if numbers < 50_000 else 0.25, 0.05)
    count = int(options.pick(120 if numbers < 50_000 else 40, 4))

    def cpu_per_second(scrapes: int, seconds: float) -> float:
        before, began = ours.cpu_seconds(), time.monotonic()
        for place in range(scrapes):
            time.sleep(max(0.0, began + place * gap - time.monotonic()))
            cell.latencies.append(scraper.scrape())
        time.sleep(max(0.0, began + seconds - time.monotonic()))
        return (ours.cpu_seconds() - before) / (time.monotonic() - began)

    quiet = [cpu_per_second(0, options.pick(3.0, 0.2))]
    busy = cpu_per_second(count, count * gap)
    quiet.append(cpu_per_second(0, options.pick(3.0, 0.2)))
    cell.cpu = max(0.0, busy - sum(quiet) / len(quiet)) * gap
    scraper.close()
    return cell


def _after_a_pass(ours: Served) -> _Cell:
    cell = _Cell()
    for _ in range(3):
        time.sleep(TARGET_SIZE / RATES[-1])
        scraper = Scraper(ours.url)
        cell.latencies.append(scraper.scrape())
        scraper.close()
    return cell


def _tables(found: list[_Size]) -> tuple[Table, ...]:
    idle = Table(
        ("numbers", "reference CPU", "p50", "p99", "exporter CPU", "p50", "p99", "CPU ratio"),
        tuple(
            (
                size.title,
                *(milliseconds(v) for v in (size.reference.cpu, size.reference.p50, size.reference.p99)),
                *(milliseconds(v) for v in (size.idle.cpu, size.idle.p50, size.idle.p99)),
                f"{size.ratio:.0f} ×",
            )
            for size in found
        ),
        "Idle, milliseconds a scrape",
    )
    polling = Table(
        ("numbers", "polls/s", "CPU", "p50", "p99", "worst", "p99 to idle p50"),
        tuple(
            (
                size.title,
                f"{rate:,.0f}",
                *(milliseconds(v) for v in (cell.cpu, cell.p50, cell.p99)),
                milliseconds(max(cell.latencies)),
                f"{size.p99_to_idle(rate):.1f} ×",
            )
            for size in found
            for rate, cell in size.polling.items()
        ),
        "The exporter while it polls, milliseconds a scrape",
    )
    worst = [size for size in found if size.after_a_pass is not None]
    last = tuple(
        (size.title, *(milliseconds(v) for v in sorted(size.after_a_pass.latencies)))
        for size in worst
        if size.after_a_pass is not None
    )
    contents = Table(
        ("numbers", "series a number", "MB", "MB, gzip"),
        tuple(
            (size.title, str(size.series), f"{size.plain_bytes / 1e6:.2f}", f"{size.gzip_bytes / 1e6:.3f}")
            for size in found
        ),
        "What a scrape has",
    )
    tables = [contents, idle, polling]
    if last:
        tables.append(
            Table(
                ("numbers", "fastest", "middle", "slowest"),
                last,
                "The exporter at 1,000 polls/s after 10 s without a scrape, latency in milliseconds",
            )
        )
    return tuple(tables)


def _targets(found: list[_Size]) -> tuple[Target, ...]:
    targets = []
    for size in found:
        if size.numbers != TARGET_SIZE:
            continue
        if size.found:
            targets.append(_against_configured(found, size))
            continue
        targets.append(
            Target(
                "scrape of 10,000 numbers: CPU against the reference", "≥ 30 ×", f"{size.ratio:.0f} ×", size.ratio >= 30
            )
        )
        for rate, limit in MAX_P99.items():
            p99 = size.polling[rate].p99
            what = f"scrape of 10,000 numbers: p99 at {rate:,.0f} polls/s"
            targets.append(Target(what, f"≤ {limit * 1e3:.0f} ms", f"{milliseconds(p99)} ms", p99 <= limit))
        for rate, most in MAX_P99_TO_IDLE.items():
            times = size.p99_to_idle(rate)
            what = f"scrape of 10,000 numbers: p99 at {rate:,.0f} polls/s against the idle p50"
            targets.append(Target(what, f"≤ {most} ×", f"{times:.1f} ×", times <= most))
    return tuple(targets)


def _against_configured(found: list[_Size], size: _Size) -> Target:
    """A series of a found number costs no more than one of a configured number."""
    configured = next(other for other in found if other.numbers == size.numbers and not other.found)
    times = size.idle.cpu / configured.idle.cpu
    what = f"scrape of {size.numbers:,} numbers found, with health: CPU against as many configured"
    most = size.series / configured.series
    return Target(what, f"≤ {most:.1f} ×, as their series", f"{times:.2f} ×", times <= most)
