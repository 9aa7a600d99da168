"""Memory, start, stop, and check of a configuration, for different numbers of numbers.

A start lasts from the exec of `python -m exporter` to the last byte of a first scrape.  The connection is tried every 2
ms.  Keys are static, and each account polls ten times a second.  The value is the median of several starts.  A stop
lasts from SIGTERM to exit.  The check is `--config.check`, from exec to exit.  Memory is the resident set after every
number was polled at 1,000 polls a second, the extra threads ended, and three scrapes were served.  1 number stands for
none, because a configuration without numbers is refused.
"""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.fleet import Fleet
from benchmarks.harness import Options, Progress, Result, Table, Target, median
from benchmarks.processes import Child, Scraper, exporter, until
from exporter.polling.workers import IDLE_SECONDS

SIZES = (1, 1_000, 10_000, 50_000)
FOUND = 10_000
MAX_FOUND_RSS = 1.6
FILL_RATE = 1_000.0
ACCOUNT_RATE = 10.0
"""Polls a second of an account at Alibaba Cloud, as load during a start."""

COOL_SECONDS = IDLE_SECONDS + 5.0
"""The extra threads of a fast first pass end after this time."""

RETRY_SECONDS = 0.002


@dataclass(frozen=True, slots=True)
class Measured:
    """One fleet; seconds and MiB.  `scrape_seconds` is the CPU of one scrape with almost no polls."""

    numbers: int
    found: bool
    start_seconds: float
    stop_seconds: float
    check_seconds: float
    rss_mib: float
    scrape_seconds: float


def run(options: Options, progress: Progress) -> Result:
    """Measure all sizes."""
    found = [*measure(sizes(options), options, progress)]
    found += [_measured(numbers, options, progress, found=True) for numbers in (100 if options.quick else FOUND,)]
    table = Table(
        ("numbers", "exec to first scrape, s", "SIGTERM to exit, s", "--config.check, s", "RSS, MiB"),
        tuple(
            (
                f"{m.numbers:,}{' found' if m.found else ''}",
                f"{m.start_seconds:.2f}",
                f"{m.stop_seconds:.2f}",
                f"{m.check_seconds:.2f}",
                f"{m.rss_mib:.1f}",
            )
            for m in found
        ),
    )
    return Result((table,), tuple(_targets(found)))


def sizes(options: Options) -> tuple[int, ...]:
    return (1, 100) if options.quick else SIZES


@cache
def measure(sizes: tuple[int, ...], options: Options, progress: Progress) -> tuple[Measured, ...]:
    """Measure fleets of these sizes, once per process, because `growth` uses the same values."""
    return tuple(_measured(size, options, progress) for size in sizes)


def _measured(numbers: int, options: Options, progress: Progress, *, found: bool = False) -> Measured:
    progress(f"memory: {numbers} numbers{' found' if found else ''}")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        endpoint = stack.enter_context(Child("benchmarks.endpoint"))
        fleet = Fleet(numbers, endpoint.wait_for(r"serving (\S+)")[1], interval="1h", found=found)
        config = folder / "config.yml"
        fleet.write(config, fleet.accounts * ACCOUNT_RATE)
        starts, stops = zip(
            *(_start_and_stop_seconds(config) for _ in range(int(options.pick(5 if numbers < 50_000 else 3, 1)))),
            strict=True,
        )
        fleet.write(config, FILL_RATE)
        served = stack.enter_context(exporter(config))
        fleet.wait_filled(served.url)
        scraper = Scraper(served.url)
        for _ in range(3):
            scraper.scrape()
            time.sleep(options.pick(COOL_SECONDS / 3 if numbers >= FILL_RATE else 1.0, 0.1))
        rss = served.rss_mib()
        times = int(options.pick(20, 3))
        before = served.cpu_seconds()
        for _ in range(times):
            scraper.scrape()
        scrape_seconds = (served.cpu_seconds() - before) / times
        scraper.close()
    with _written(fleet) as path:
        return Measured(numbers, found, median(starts), median(stops), _check_seconds(path), rss, scrape_seconds)


@contextmanager
def _written(fleet: Fleet) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder) / "config.yml"
        fleet.write(path, FILL_RATE)
        yield path


def _start_and_stop_seconds(config: Path) -> tuple[float, float]:
    port = _free_port()
    with Child("exporter", f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}") as child:

        def answers() -> bool:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            with suppress(OSError):
                connection.request("GET", "/metrics", headers={"Accept-Encoding": "gzip"})
                return connection.getresponse().read() != b""
            return False

        until(answers, "the exporter answers a scrape", every_seconds=RETRY_SECONDS)
        started_at = time.monotonic()
        child.signal(signal.SIGTERM)
        child.output()
        return started_at - child.began, time.monotonic() - started_at


def _check_seconds(config: Path) -> float:
    began = time.monotonic()
    command = [sys.executable, "-m", "exporter", "--config.check", f"--config.file={config}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - began


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _targets(found: Sequence[Measured]) -> Iterator[Target]:
    by_size = {m.numbers: m for m in found if not m.found}
    if 50_000 not in by_size:
        return
    for numbers, limit in ((10_000, 85), (50_000, 160)):
        rss = by_size[numbers].rss_mib
        yield Target(f"RSS at {numbers:,} numbers", f"≤ {limit} MiB", f"{rss:.1f} MiB", rss <= limit)
    share = next(m.rss_mib for m in found if m.found) / by_size[FOUND].rss_mib
    what = f"RSS at {FOUND:,} numbers found, with health, against as many configured"
    yield Target(what, f"≤ {MAX_FOUND_RSS} ×", f"{share:.2f} ×", share <= MAX_FOUND_RSS)
    for numbers in (1, 1_000):
        start = by_size[numbers].start_seconds
        what = f"exec to first scrape, {numbers:,} number{'s' if numbers > 1 else ''}"
        yield Target(what, "≤ 0.6 s", f"{start:.2f} s", start <= 0.6)
    stop = by_size[50_000].stop_seconds
    yield Target("SIGTERM to exit, 50,000 numbers", "≤ 5 s", f"{stop:.2f} s", stop <= 5)
    check = by_size[50_000].check_seconds
    yield Target("check of a configuration of 50,000 numbers", "≤ 6 s", f"{check:.2f} s", check <= 6)
