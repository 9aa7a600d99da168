"""What `--config.check` prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.config import plan
from exporter.config.durations import approximately
from exporter.config.settings import DEFAULT_ENDPOINT
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
        f"{config.path}: valid: 2 accounts, 601 numbers, asked every 1m at {DEFAULT_ENDPOINT}",
        "",
        "account      numbers  qps  quota  pace    one pass  each number                stale after",
        "big, far     600      5    10     4.99/s  2m        every 2m, does not fit 1m  15m",
        "small\\u202e  1        10   10     9.8/s   102ms     every 1m                   15m",
        "",
        f"warning: {config.warnings[0]}",
    ]


def test_the_plan_of_accounts_that_find_or_check_numbers(tmp_path: Path) -> None:
    """The requests for what is known are counted.  The check asks no API, and says what it cannot know."""
    config = loaded(
        tmp_path,
        f"""
        accounts:
          - {{name: all, discover: {{}}, health: {{}}}}
          - {{name: two, discover: {{spaces: [a, b], max_numbers: 1}}, credentials: {{type: ecs_ram_role}}}}
          - {{name: typed, health: {{interval: 10m}}, credentials: {{type: sts, access_key_id: i, access_key_secret: s,
             security_token: t}}, numbers: [{NUMBER}]}}
        """,
    )
    assert plan(config).splitlines() == [
        (
            f"{config.path}: valid: 3 accounts, 1 number and those that discovery finds, asked every 1m at "
            f"{DEFAULT_ENDPOINT}"
        ),
        "",
        "account  numbers  qps  quota  pace    one pass  each number  stale after",
        "all      0        5    10     4.99/s  0s        every 1m     15m",
        "two      0        5    10     4.99/s  0s        every 1m     15m",
        "typed    1        5    10     4.99/s  200ms     every 1m     15m",
        "",
        "account  listing     each space  health of each number  listing and health  room for",
        "all      all spaces  every 5m    every 5m               0.00333/s           249 numbers",
        "two      2 spaces    every 5m    none                   0.00667/s           299 numbers",
        "typed    none        none        every 10m              0.00167/s           272 numbers",
        "",
        (
            "account all: the spaces and numbers that discovery finds are not counted, because the check sends no "
            "request; with 10000 more numbers (max_numbers) each is polled every 37m7s and checked every 5h36m15s"
        ),
        (
            "account two: the numbers that discovery finds are not counted, because the check sends no request; "
            "with 1 more number (max_numbers) each is polled every 1m"
        ),
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
