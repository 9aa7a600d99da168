"""No test has an upper bound for a real duration, and no unit test sleeps: it would fail on a busy or slow machine.

Tests of pace and phase use fake time; `benchmarks/` measures durations.  Only a hang may reach a bound, which is that
of `tests.support.patience`.  A line with the comment ``# bounds a hang`` is allowed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
CLOCKS = {"time.monotonic", "time.perf_counter", "time.time", "world.clock.monotonic", "world.clock.unix"}
DURATIONS = {"elapsed_seconds"}
EXCUSE = "# bounds a hang"


def is_duration(node: ast.expr, names: set[str]) -> bool:
    """Whether a value comes from a difference of clock readings, or has the name of a duration."""
    return any(
        (isinstance(part, ast.BinOp) and isinstance(part.op, ast.Sub) and any(map(is_reading, ast.walk(part))))
        or (isinstance(part, ast.Name) and part.id in names)
        or (isinstance(part, ast.Attribute) and part.attr in DURATIONS)
        for part in ast.walk(node)
    )


def is_reading(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) in CLOCKS


def faults(source: str, *, may_sleep: bool) -> Iterator[int]:
    """The lines with a bound for a duration, or a sleep."""
    tree, lines = ast.parse(source), source.splitlines()
    names = {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and is_duration(node.value, set())
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    compared = (part for node in ast.walk(tree) if isinstance(node, ast.Assert) for part in ast.walk(node))
    for node in compared:
        if isinstance(node, ast.Compare):
            operands = [node.left, *node.comparators]
            for left, operator, right in zip(operands, node.ops, operands[1:], strict=False):
                smaller = left if isinstance(operator, ast.Lt | ast.LtE) else right
                is_order = isinstance(operator, ast.Lt | ast.LtE | ast.Gt | ast.GtE)
                if is_order and is_duration(smaller, names) and EXCUSE not in lines[node.lineno - 1]:
                    yield node.lineno
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "time.sleep" and not may_sleep:
            yield call.lineno


def test_no_test_bounds_a_duration() -> None:
    found = []
    for file in sorted(TESTS.rglob("*.py")):
        path = file.relative_to(TESTS)
        lines = faults(file.read_text(encoding="utf-8"), may_sleep=path.parts[0] not in {"unit", "property"})
        found += [f"{path}:{line}" for line in lines]
    assert found == []


@pytest.mark.parametrize(
    ("line", "is_fault"),
    [
        ("assert time.monotonic() - began < 5", True),
        ("assert 5.0 > time.perf_counter() - began", True),
        ("assert 1 <= time.monotonic() - began < LATE", True),
        ("took = time.time() - began\nassert took <= 5", True),
        ("assert 0 < answer.elapsed_seconds < 20", True),
        ("time.sleep(1)", True),
        ("assert time.monotonic() - began >= 0.2", False),
        ("assert count <= 1 + qps * (time.monotonic() - began)", False),
        ("assert abs(clock.unix() - time.time()) < 60  # bounds a hang", False),
    ],
)
def test_the_kind_is_found(line: str, is_fault: bool) -> None:
    assert bool(list(faults(line, may_sleep=False))) is is_fault
