"""What `--config.check` prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.config import plan
from exporter.config.plan import approximately
from tests.support.configs import NUMBER, loaded


def test_the_plan_of_each_account(tmp_path: Path) -> None:
    many = ", ".join(f'{{phone_number: "86138{i:08d}", cust_space_id: s}}' for i in range(600))
    config = loaded(
        tmp_path,
        f"""
        stale_after: 15m
        accounts:
          - {{name: "big, far", numbers: [{many}]}}
          - {{name: "small\\u202e", qps: 10, credentials: {{type: ecs_ram_role}}, numbers: [{NUMBER}]}}
        """,
    )
    assert plan(config).splitlines() == [
        f"{config.path}: valid: 2 accounts, 601 numbers, asked every 1m at {config.api.endpoint}",
        "",
        "account      numbers  qps  quota  pace    one pass  each number                stale after",
        "big, far     600      5    10     4.99/s  2m        every 2m, does not fit 1m  15m",
        "small\\u202e  1        10   10     9.8/s   102ms     every 1m                   15m",
        "",
        f"warning: {config.warnings[0]}",
    ]


def test_one_of_each_is_not_plural(tmp_path: Path) -> None:
    text = f"accounts: [{{name: main, numbers: [{NUMBER}]}}]"
    assert "valid: 1 account, 1 number, asked" in plan(loaded(tmp_path, text))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.20041, "200ms"), (9.9996, "10s"), (20.0401, "20s"), (59.96, "1m"), (120.24, "2m")],
)
def test_times_are_rounded_for_people(seconds: float, text: str) -> None:
    assert approximately(seconds) == text
