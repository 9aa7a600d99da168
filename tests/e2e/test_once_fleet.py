"""`--once` with discovery and health: the exit status, and what is written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.simulator import HEALTH, INSTANCES, PHONE_NUMBERS, STATUS, Refusal, Simulator, World, faults
from tests.support.fleet import SPACE, config, never_throttle, phones
from tests.support.patience import PATIENCE_SECONDS


def world_of(count: int) -> World:
    world = World()
    world.add_account("main", "key-main", "secret-main")
    never_throttle(world)
    world.add_space("main", SPACE)
    for phone in phones(count):
        world.add_number("main", SPACE, phone)
    return world


def once(world: World, folder: Path, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run `--once` for an account that has only `discover`, unless `more` says otherwise."""
    credentials = {"type": "access_key", "access_key_id": "key-main", "access_key_secret": "secret-main"}
    account = {"name": "main", "credentials": credentials, "discover": {}, "qps": 10} | more
    path = folder / "config.yml"
    with Simulator(world) as simulator:
        path.write_text(yaml.safe_dump(config(simulator.url, [account], scrape_interval="1m")))
        return subprocess.run(
            [sys.executable, "-m", "exporter", "--once", f"--config.file={path}"],
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )


def test_numbers_are_listed_polled_and_checked_once(tmp_path: Path) -> None:
    """Also where listing takes longer than the first polls: nothing is written before the last number is polled."""
    world = world_of(3)
    for place in range(4):
        world.add_number("main", f"cams-{place}", phones(1, 100 + place)[0])
    ran = once(world, tmp_path, health={})
    assert (ran.returncode, ran.stderr.count("level=error")) == (0, 0), ran.stderr
    assert ran.stdout.count('status="VERIFIED"} 1') == 7
    assert ran.stdout.count('verdict="AVAILABLE"} 1') == 7
    assert len(world.arrivals("main", STATUS)) == len(world.arrivals("main", HEALTH)) == 7
    assert len(world.arrivals("main", PHONE_NUMBERS)) == 5
    assert len(world.arrivals("main", INSTANCES)) == 1


@pytest.mark.parametrize("operation", [INSTANCES, PHONE_NUMBERS])
def test_a_refused_listing_is_a_failure_and_typed_numbers_are_written(tmp_path: Path, operation: str) -> None:
    world = world_of(2)
    world.accounts["main"].calls[operation].refusal = Refusal.PERMISSION_DENIED
    ran = once(world, tmp_path, numbers=[{"phone_number": phones(1)[0], "cust_space_id": SPACE}])
    assert ran.returncode == 1
    assert "some listings failed" in ran.stderr
    assert ran.stdout.count('status="VERIFIED"} 1') >= 1


def test_a_listing_that_fails_at_first_is_repeated(tmp_path: Path) -> None:
    world = world_of(2)
    world.inject(faults.bare(502), operation=PHONE_NUMBERS)
    ran = once(world, tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count('status="VERIFIED"} 1') == 2


def test_a_refused_key_is_a_failure_although_no_number_is_known(tmp_path: Path) -> None:
    world = world_of(2)
    world.remove_key("key-main")
    ran = once(world, tmp_path)
    assert ran.returncode == 1
    assert 'cams_account_up{account="main"} 0' in ran.stdout


def test_health_that_is_refused_is_no_failure(tmp_path: Path) -> None:
    """Each number has its status; the metrics say that health is not known."""
    world = world_of(2)
    world.accounts["main"].calls[HEALTH].refusal = Refusal.PERMISSION_DENIED
    ran = once(world, tmp_path, health={})
    assert ran.returncode == 0, ran.stderr
    assert "cams_phone_number_can_send{" not in ran.stdout
    assert f'cams_account_operation_up{{account="main",operation="{HEALTH}"}} 0' in ran.stdout


def test_an_account_without_any_number_is_no_failure(tmp_path: Path) -> None:
    ran = once(world_of(0), tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert 'cams_account_phone_numbers{account="main"} 0' in ran.stdout
