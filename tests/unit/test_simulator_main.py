"""The simulator alone, as a process."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from exporter.config import load
from exporter.simulator import INSTANCES, STATUS
from exporter.simulator.configfile import render, write
from exporter.simulator.scenarios import SCENARIOS
from tests.support.patience import PATIENCE_SECONDS
from tests.support.simulated import Call, Connection

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "exporter.simulator"]


@contextmanager
def served(*flags: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The running process, and the URL that it printed."""
    with subprocess.Popen(
        [*COMMAND, *flags], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            match = re.fullmatch(r"listening on (http://127\.0\.0\.1:\d+)\n", line)
            assert match, f"{line!r}; stderr: {process.stderr and process.stderr.read()}"
            yield process, match[1]
        finally:
            process.kill()


def run(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *flags], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly(number: signal.Signals) -> None:
    with served() as (process, _):
        process.send_signal(number)
        assert process.wait(PATIENCE_SECONDS) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_it_serves_the_scenario_that_the_written_config_names(tmp_path: Path) -> None:
    file = tmp_path / "config.yml"
    with served("--scenario", "demo", "--write-config", str(file)) as (_, url):
        config = yaml.safe_load(file.read_text())
        assert config["api"]["endpoint"] == url
        with Connection(url) as connection:
            for account in config["accounts"]:
                keys = account["credentials"]
                typed = [
                    {"CustSpaceId": number["cust_space_id"], "PhoneNumber": number["phone_number"]}
                    for number in account.get("numbers", [])
                ]
                call = Call(
                    typed[0] if typed else {},
                    action=STATUS if typed else INSTANCES,
                    key=keys["access_key_id"],
                    secret=keys["access_key_secret"],
                    host=connection.host,
                )
                assert connection.call(call).document["Code"] == "OK"


def test_time_passes_faster() -> None:
    with served("--speed", "100000") as (_, url), Connection(url) as connection:
        assert connection.send("GET", "/_simulator/state").document["elapsed_seconds"] > 10


def test_a_fleet_to_discover_has_the_size_asked_for() -> None:
    with (
        served("--scenario", "discovery", "--numbers", "60", "--spaces", "7") as (_, url),
        Connection(url) as connection,
    ):
        retail, support = connection.send("GET", "/_simulator/state").document["accounts"]
    assert (len(retail["numbers"]), len(support["numbers"]), len(support["spaces"])) == (16, 60, 7)


def test_jitter_delays_requests_before_they_are_counted() -> None:
    """The first request of seed 0 has the delay of that seed."""
    world = SCENARIOS["steady"](0).world()
    world.jitter_seconds = 0.5
    delay_seconds = world.draw_jitter()
    with served("--scenario", "steady", "--jitter", "0.5") as (_, url), Connection(url) as connection:
        began = time.time()
        connection.send("GET", "/")
        (arrival,) = connection.send("GET", "/_simulator/arrivals").document
    assert arrival["unix"] - began >= delay_seconds - 0.05
    assert delay_seconds > 0.2


def test_its_own_file_is_written_again_and_anybody_elses_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "config.yml"
    write(file, SCENARIOS["steady"](0), "http://127.0.0.1:1")
    with served("--write-config", str(file)) as (_, url):
        assert url in file.read_text()
    file.write_text("accounts: mine\n")
    with pytest.raises(FileExistsError):
        write(file, SCENARIOS["steady"](0), "http://127.0.0.1:1")
    refused = run("--write-config", str(file))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "was not written by the simulator" in refused.stderr
    assert file.read_text() == "accounts: mine\n"


def test_a_taken_port_fails_with_a_line() -> None:
    with served() as (_, url):
        failed = run("--listen", url.removeprefix("http://"))
    assert failed.returncode == 1
    assert re.fullmatch(r"exporter\.simulator: .*address already in use.*\n", failed.stderr)


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--listen", "8080"], "is no HOST:PORT"),
        (["--listen", "127.0.0.1:65536"], "is no HOST:PORT"),
        (["--listen", "0.0.0.0:8080"], "0.0.0.0 is no loopback address"),
        (["--speed", "0"], "is no number above 0"),
        (["--speed", "fast"], "is no number above 0"),
        (["--jitter", "-1"], "is no number of seconds from 0 to 10"),
        (["--jitter", "nan"], "is no number of seconds from 0 to 10"),
        (["--jitter", "much"], "is no number of seconds from 0 to 10"),
        (["--scenario", "none"], "invalid choice"),
        (["--scenario", "steady", "--spaces", "2"], "--numbers and --spaces do not go with --scenario steady"),
        (["--scenario", "discovery", "--numbers", "4"], "5 to 50000 numbers and at least one space"),
        (["--scenario", "discovery", "--spaces", "0"], "5 to 50000 numbers and at least one space"),
        (["--scenario", "discovery", "--numbers", "many"], "invalid int value"),
    ],
)
def test_wrong_flags_are_refused(flags: list[str], complaint: str) -> None:
    refused = run(*flags)
    assert refused.returncode == 2
    assert complaint in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_exporter_takes_a_written_config(tmp_path: Path, name: str) -> None:
    scenario = SCENARIOS[name](0)
    write(tmp_path / "config.yml", scenario, "http://127.0.0.1:1234")
    config = load(tmp_path / "config.yml")
    assert [account.name for account in config.accounts] == [plan.name for plan in scenario.accounts]
    assert [account.discover is not None for account in config.accounts] == [
        plan.discovery is not None for plan in scenario.accounts
    ]


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_written_config_says_what_the_scenario_says(name: str) -> None:
    scenario = SCENARIOS[name](0)
    config = yaml.safe_load(render(scenario, "http://127.0.0.1:1234"))
    assert config["scrape_interval"] == f"{scenario.scrape_interval_seconds}s"
    for plan, account in zip(scenario.accounts, config["accounts"], strict=True):
        assert (account["name"], account["qps"]) == (plan.name, plan.qps)
        if plan.discovery:
            assert account["discover"] == {"spaces": "all", "refresh_interval": "15s", "forget_after": "180s"}
            assert account["health"] == {"interval": "15s"}
            assert "numbers" not in account
            continue
        written = [
            (number["cust_space_id"], number["phone_number"], number["name"], number.get("labels", {}))
            for number in account["numbers"]
        ]
        assert written == [
            (number.cust_space_id, number.phone_number, number.name, dict(number.labels)) for number in plan.numbers
        ]
