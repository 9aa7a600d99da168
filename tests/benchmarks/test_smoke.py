"""Benchmarks and soak run, for a second or two each.  Their measurements are not checked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import BENCHMARKS
from benchmarks.harness import interleaved, quantile
from benchmarks.soak import Soak, run
from tests.support.patience import PATIENCE_SECONDS
from tests.support.servers import require_binary


def bench(*flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)


@pytest.mark.parametrize("name", sorted(set(BENCHMARKS) - {"growth", "budget"}))
def test_a_benchmark_runs_and_prints_its_table(name: str) -> None:
    if name in {"cluster", "handover"}:
        require_binary("redis-server")
    ran = bench("--quick", "--only", f"{name},growth" if name == "memory" else name)
    assert ran.returncode == 0, ran.stderr
    assert f"## {name.capitalize()}" in ran.stdout
    assert ran.stdout.count("| ---") >= 2, "facts and a table"
    assert " nan" not in ran.stdout


def test_an_unknown_benchmark_is_refused() -> None:
    ran = bench("--only", "speed")
    assert ran.returncode == 2
    assert "'speed' is none of scrape" in ran.stderr


def test_a_soak_asks_every_number_and_sees_moments() -> None:
    seen, size = run(Soak(seconds=2.0, numbers=50, seed=1, warm_up_seconds=0.0))
    assert seen.moments
    assert not seen.silent
    assert max(seen.busiest.values()) > 0
    assert "faults" in size


def test_results_are_written_where_asked(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    ran = bench("--quick", "--only", "budget", "--output", str(path))
    assert ran.returncode == 0, ran.stderr
    assert not ran.stdout
    text = path.read_text()
    assert "| commit |" in text
    assert "## Must reach" in text
    assert "\n## Profile\n" in text
    assert text.count("| cams-exporter |") == 2


def test_a_quantile_is_a_value_that_was_seen() -> None:
    values = [float(i) for i in range(1, 101)]
    assert (quantile(values, 0.99), quantile(values, 0.5), quantile([7.0], 0.99)) == (99.0, 50.0, 7.0)


def test_calls_are_interleaved_round_by_round() -> None:
    order: list[str] = []

    def call(name: str) -> float:
        order.append(name)
        return float(len(order))

    found = interleaved({"a": lambda: call("a"), "b": lambda: call("b")}, 2)
    assert (order, found) == (["a", "b", "a", "b"], {"a": [1.0, 3.0], "b": [2.0, 4.0]})
