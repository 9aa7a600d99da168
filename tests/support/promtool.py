"""PromQL on series of a test, evaluated by the real promtool: no server, no clock, no scrapes."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

from tests.support.patience import PATIENCE_SECONDS
from tests.support.servers import require_binary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

MINUTES = 60
"""A series has a value a minute; instants are given in minutes."""


def evaluate(
    directory: Path,
    series: Mapping[str, str],
    checks: Sequence[tuple[str, int, Mapping[str, float]]],
) -> None:
    """Check each (expression, minute, result by labels such as ``{account="a"}``) against `series`.

    `series` maps a selector to its values in promtool's notation, from minute 0 on: ``1x10 _x5 0x3``.  Fails with
    promtool's own text about the differences.
    """
    tests = [
        {
            "expr": expression,
            "eval_time": f"{minute}m",
            "exp_samples": [{"labels": labels, "value": value} for labels, value in result.items()],
        }
        for expression, minute, result in checks
    ]
    case = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": tests,
    }
    file = directory / "case.json"
    file.write_text(json.dumps({"evaluation_interval": "1m", "tests": [case]}), encoding="utf-8")
    ran = subprocess.run(
        [require_binary("promtool", "PROMTOOL_BINARY"), "test", "rules", str(file)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
