"""Shared by all benchmarks: options, results as tables and targets, medians, facts about the machine, Markdown."""

from __future__ import annotations

import math
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Options:
    """`quick` runs each benchmark for a second or two, to check that it works; its numbers mean nothing."""

    quick: bool = False

    def pick(self, full: float, quick: float) -> float:
        """A duration or a count for this kind of run."""
        return quick if self.quick else full


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a result; every cell is text."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """A target, and the measured value."""

    what: str
    wanted: str
    measured: str
    met: bool


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one benchmark."""

    tables: tuple[Table, ...]
    targets: tuple[Target, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """A result with the facts to print it: name, docstring of the benchmark's module, seconds it ran."""

    name: str
    docstring: str
    result: Result
    seconds: float


@dataclass(slots=True, eq=False)
class Progress:
    """Show progress on stderr, because a silent benchmark looks hung."""

    say: Callable[[str], None]
    began: float = field(default_factory=time.monotonic)

    def __call__(self, text: str) -> None:
        self.say(f"[{time.monotonic() - self.began:6.1f} s] {text}")


def interleaved(calls: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """The results of each call, round by round.  So a slow phase of the machine affects all calls equally."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            found[name].append(call())
    return found


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of `values` do not exceed (nearest rank); NaN for none."""
    if not values:
        return math.nan
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]


def median(values: Sequence[float]) -> float:
    """The middle of `values`; NaN for none."""
    return statistics.median(values) if values else math.nan


def milliseconds(seconds: float) -> str:
    """``12.3``; ``–`` if there is no value."""
    if math.isnan(seconds):
        return "–"
    return f"{seconds * 1e3:.2f}" if seconds < 0.01 else f"{seconds * 1e3:.1f}"


def facts() -> list[tuple[str, str]]:
    """When, what and where was measured."""
    return [
        ("date", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
        ("commit", _commit()),
        ("processor", f"{_cpu_model()}, {os.cpu_count()} cores"),
        ("kernel", f"{platform.system()} {platform.release()}"),
        ("Python", f"{platform.python_implementation()} {platform.python_version()}"),
        ("load before", _load()),
    ]


def markdown(heading: Sequence[tuple[str, str]], reports: Sequence[Report]) -> str:
    """RESULTS.md."""
    targets = [target for report in reports for target in report.result.targets]
    lines = ["# Benchmark results", "", "Made by `make bench`; do not edit.", ""]
    lines += _table(("", ""), heading)
    if targets:
        rows = [(t.what, t.wanted, t.measured, "yes" if t.met else "**no**") for t in targets]
        lines += ["", "## Must reach", "", *_table(("what", "target", "measured", "met"), rows)]
    for report in reports:
        lines += ["", f"## {report.name.capitalize()}", "", report.docstring.strip(), ""]
        for table in report.result.tables:
            lines += [f"{table.caption}:", ""] if table.caption else []
            lines += [*_table(table.columns, table.rows), ""]
        lines.append(f"({report.seconds:.0f} s)")
    return "\n".join(lines) + "\n"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    ruler = ["---", *["---:"] * (len(columns) - 1)] if len(columns) > 2 else ["---"] * len(columns)
    return [f"| {' | '.join(cells)} |" for cells in (columns, ruler, *rows)]


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _load() -> str:
    """The load average of the last minute, with a warning if the machine had other work."""
    load = os.getloadavg()[0]
    warning = "" if load < 0.5 * (os.cpu_count() or 1) else " (other work shared the cores: latencies are its, too)"
    return f"{load:.2f}{warning}"


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
