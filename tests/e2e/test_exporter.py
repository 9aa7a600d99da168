"""The exporter as a process, against the simulator over real sockets."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from exporter.simulator import Simulator, World
from tests.support.exporter import ExporterProcess, labels_of, run_exporter, series, statuses, total, until, value
from tests.support.fleet import SPACE, config, fleet, phones
from tests.support.patience import PATIENCE_SECONDS

STATUS = "cams_phone_number_verification_status"


def blocked_numbers(exporter: ExporterProcess) -> list[str]:
    scraped = exporter.scrape()
    can_send = labels_of(scraped, "cams_phone_number_can_send", verdict="BLOCKED")
    return [of["phone_number"] for of in can_send if value(scraped, "cams_phone_number_can_send", **of) == 1]


def test_the_demo_needs_nothing_and_shows_each_number_with_exactly_one_status() -> None:
    """`make demo`, then a scrape: statuses of some thirty numbers in two accounts, one of them found; counters move."""
    with ExporterProcess(None, "--demo") as exporter:
        until(lambda: exporter.get("/-/ready")[0] == 200, "the demo is ready")
        shown = exporter.statuses()
        assert 29 <= len(shown) <= 30  # one appears after 90 s
        assert {"VERIFIED", "NOT_VERIFIED", "EXPIRED", "UNKNOWN"} == set(shown.values())
        (blocked,) = until(lambda: blocked_numbers(exporter), "one number cannot send")
        assert re.search(rf"what to expect.*phone_number={blocked} .*is BLOCKED", exporter.log)
        first = total(exporter.scrape(), "cams_api_requests_total")
        until(lambda: total(exporter.scrape(), "cams_api_requests_total") > first, "counters move")
        scraped = exporter.scrape()
        assert {dict(labels)["account"] for name, labels in scraped if name == "cams_account_up"} == {
            "retail",
            "support",
        }
        assert "simulated" in exporter.log
        assert "simulated" in exporter.get("/")[1].decode()


def test_statuses_of_the_api_are_shown_and_changes_follow() -> None:
    world = World()
    section = fleet(world, 4)
    first, second, third, _ = phones(4)
    world.find_numbers(first)[0].status = "NOT_VERIFIED"
    world.find_numbers(second)[0].status = "MORE_INFORMATION_REQUESTED"
    with Simulator(world) as simulator, ExporterProcess(config(simulator.url, [section])) as exporter:
        until(lambda: exporter.get("/-/ready")[0] == 200, "ready")
        until(
            lambda: (
                list(exporter.statuses().values())
                == ["NOT_VERIFIED", "MORE_INFORMATION_REQUESTED", "VERIFIED", "VERIFIED"]
            ),
            "statuses",
        )
        world.find_numbers(third)[0].status = "EXPIRED"
        scraped = exporter.scraped(lambda scraped: statuses(scraped)[third] == "EXPIRED", "the change is seen")
        assert value(scraped, STATUS, phone_number=third, status="VERIFIED") == 0
        changed = value(scraped, "cams_phone_number_status_change_timestamp_seconds", phone_number=third)
        unchanged = value(scraped, "cams_phone_number_status_change_timestamp_seconds", phone_number=first)
        assert changed is not None
        assert unchanged is not None
        assert changed > unchanged
        exporter.logged("status changed")


def test_a_first_pass_at_the_quota_asks_each_number_once_and_never_overspends() -> None:
    """`qps: 10`, 0.3 s latency: at most 10 in any sliding second for certain, and the simulator refuses no request."""
    world = World(latency_seconds=(0.3, 0.3))
    section = fleet(world, 100, qps=10)
    world.accounts["main"].rate_limit = 1000
    with (
        Simulator(world) as simulator,
        ExporterProcess(config(simulator.url, [section], scrape_interval="10m")) as exporter,
    ):
        until(lambda: exporter.get("/-/ready")[0] == 200, "the first pass is done")
        assert set(exporter.statuses().values()) == {"VERIFIED"}
    assert sorted(arrival.phone_number for arrival in world.arrivals()) == phones(100)
    assert world.surely_in_a_second("main") <= 10


def test_with_the_endpoint_down_from_the_start_every_number_is_unknown() -> None:
    """If the API cannot be reached, no status changes, errors are counted by code, and the exporter is healthy."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        section = fleet(World(), 20)
        with ExporterProcess(config(endpoint, [section], scrape_interval="60s")) as exporter:
            until(lambda: exporter.get("/-/ready")[0] == 200, "each number was attempted")
            assert exporter.get("/-/healthy")[0] == 200
            scraped = exporter.scraped(
                lambda scraped: total(scraped, "cams_api_errors_total", code="connection_error") >= 20, "all failed"
            )
            assert set(statuses(scraped).values()) == {"UNKNOWN"}
            assert value(scraped, "cams_api_errors_total", code="timeout") == 0
            assert value(scraped, "cams_account_up", account="main") == 1


def test_an_outage_keeps_the_last_status_until_it_is_stale_and_then_reads_unknown() -> None:
    world = World()
    section = fleet(world, 3)
    with (
        Simulator(world) as simulator,
        ExporterProcess(config(simulator.url, [section], stale_after="4s")) as exporter,
    ):
        until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")
        simulator.stop()
        before = exporter.scraped(
            lambda scraped: total(scraped, "cams_phone_number_last_poll_success") == 0, "polls fail"
        )
        after = exporter.scraped(
            lambda scraped: set(statuses(scraped).values()) == {"UNKNOWN"}, "the status goes stale"
        )
        for phone in phones(3):
            name = "cams_phone_number_last_success_timestamp_seconds"
            succeeded_at = value(before, name, phone_number=phone)
            assert succeeded_at is not None
            assert value(after, name, phone_number=phone) == succeeded_at  # a failed poll never moves it


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_requests_that_hang_hold_back_no_scrape_and_no_end(number: signal.Signals) -> None:
    """They would hang longer than any test waits."""
    world = World(latency_seconds=(3600, 3600))
    section = fleet(world, 30, qps=10)
    with Simulator(world) as simulator:
        exporter = ExporterProcess(config(simulator.url, [section], api_timeout="5m")).start()
        until(lambda: len(world.arrivals()) >= 5, "requests are under way")
        assert set(exporter.statuses().values()) == {"UNKNOWN"}
        assert exporter.get("/-/healthy")[0] == 200
        exporter.stop(number)
        assert exporter.process.returncode == 0
        assert "Traceback" not in exporter.log


def test_a_port_in_use_is_a_failure_at_run_time_with_a_clear_text() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run_exporter("--demo", f"--web.listen-address=127.0.0.1:{port}")
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr
    assert "in use" in done.stderr
    assert "Traceback" not in done.stderr


class TestOnce:
    """`--once` for cron and node_exporter's textfile collector."""

    @staticmethod
    def write(tmp_path: Path, text: str) -> str:
        path = tmp_path / "config.yml"
        path.write_text(text)
        return f"--config.file={path}"

    def test_it_prints_every_status_and_nothing_else_on_stdout(self, tmp_path: Path) -> None:
        world = World()
        section = fleet(world, 5, qps=10)
        with Simulator(world) as simulator:
            done = run_exporter("--once", self.write(tmp_path, json.dumps(config(simulator.url, [section]))))
        assert done.returncode == 0, done.stderr
        shown = series(done.stdout)
        assert set(statuses(shown).values()) == {"VERIFIED"}
        assert len(statuses(shown)) == 5
        assert not any(name.startswith(("process_", "python_")) for name, _ in shown)
        assert world.surely_in_a_second("main") <= 10

    def test_a_number_without_a_status_is_exit_1_and_the_others_are_printed(self, tmp_path: Path) -> None:
        world = World()
        section = fleet(world, 3, qps=10)
        section["numbers"].append({"phone_number": "447700999999", "cust_space_id": SPACE})
        with Simulator(world) as simulator:
            done = run_exporter("--once", self.write(tmp_path, json.dumps(config(simulator.url, [section]))))
        assert done.returncode == 1
        assert sorted(statuses(series(done.stdout)).values()) == ["UNKNOWN", "VERIFIED", "VERIFIED", "VERIFIED"]
        assert "without_status=1" in done.stderr

    def test_output_replaces_the_file_at_once_and_leaves_no_other(self, tmp_path: Path) -> None:
        output = tmp_path / "textfile" / "cams.prom"
        output.parent.mkdir()
        output.write_text("old")
        done = run_exporter("--demo", "--once", f"--once.output={output}", "--log.level=error")
        assert done.returncode == 1  # one number of the demo always fails
        assert done.stdout == ""
        assert 29 <= len(statuses(series(output.read_text()))) <= 30  # one appears after 90 s
        assert output.stat().st_mode & 0o777 == 0o644
        assert list(output.parent.iterdir()) == [output]

    def test_a_folder_that_is_not_there_is_exit_1_with_its_name(self, tmp_path: Path) -> None:
        done = run_exporter("--demo", "--once", f"--once.output={tmp_path}/nowhere/cams.prom")
        assert done.returncode == 1
        assert "nowhere" in done.stderr
        assert "Traceback" not in done.stderr

    def test_an_interrupt_writes_nothing(self, tmp_path: Path) -> None:
        world = World(latency_seconds=(30, 30))

        with Simulator(world) as simulator:
            flag = self.write(tmp_path, json.dumps(config(simulator.url, [fleet(world, 3)], api_timeout="60s")))
            process = subprocess.Popen(
                ["python3", "-m", "exporter", "--once", flag],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            )
            until(world.arrivals, "a request is under way")
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 1
        assert out == ""
        assert "interrupted" in err


class TestCommandLine:
    """Flags, exit statuses, stdout and stderr."""

    def test_version_and_help_go_to_stdout(self) -> None:
        version = run_exporter("--version")
        assert version.returncode == 0
        assert re.match(r"cams_exporter, version \d+\.\d+\.\d+ \(revision: ", version.stdout)
        shown = run_exporter("--help")
        assert shown.returncode == 0
        for flag in ("--config.file", "--config.check", "--once", "--demo", "--web.listen-address", "--log.format"):
            assert flag in shown.stdout

    @pytest.mark.parametrize(
        ("flags", "text"),
        [
            (["--no-such-flag"], "--no-such-flag"),
            (["--config.chec"], "--config.chec"),
            (["--log.level=loud"], "loud"),
            (["--web.listen-address=nowhere"], "has no port"),
            (["--web.telemetry-path=metrics"], 'does not start with "/"'),
            (["--web.max-requests=-1"], "not a whole number"),
            (["--demo", "--config.file=x.yml"], "--demo brings its own configuration"),
            (["--once.output=x.prom"], "--once.output needs --once"),
            (["--config.file=a.yml", "--config.file=b.yml"], "--config.file: is given twice; keep one"),
        ],
    )
    def test_bad_flags_are_exit_2_with_what_is_wrong(self, flags: list[str], text: str) -> None:
        done = run_exporter(*flags)
        assert done.returncode == 2
        assert text in done.stderr
        assert done.stdout == ""
        assert "Traceback" not in done.stderr

    def test_a_missing_config_is_exit_2_with_its_name(self, tmp_path: Path) -> None:
        done = run_exporter(f"--config.file={tmp_path}/nowhere.yml")
        assert done.returncode == 2
        assert "nowhere.yml" in done.stderr
        assert "Traceback" not in done.stderr

    def test_every_fault_of_a_bad_config_is_a_line(self, tmp_path: Path) -> None:
        path = tmp_path / "config.yml"
        path.write_text(
            "scrape_intervall: 60s\naccounts:\n  - name: a\n    qps: 20\n    numbers:\n      - phone_number: 861\n"
        )
        done = run_exporter(f"--config.file={path}")
        assert done.returncode == 2
        assert len([line for line in done.stderr.splitlines() if line.startswith(f"{path}:")]) >= 4
        assert "did you mean" in done.stderr

    def test_config_check_prints_the_plan_and_asks_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "config.yml"
        path.write_text(
            "accounts:\n"
            "  - name: main\n"
            "    credentials: {type: access_key, access_key_id: LTAIx, access_key_secret: s3cr3t}\n"
            '    numbers: [{phone_number: "8613800001234", cust_space_id: cams-kei0001}]\n'
        )
        done = run_exporter("--config.check", f"--config.file={path}")
        assert done.returncode == 0
        assert "main" in done.stdout
        assert "s3cr3t" not in done.stdout + done.stderr

    def test_json_logs_are_json(self) -> None:

        with ExporterProcess(None, "--demo", "--log.format=json", "--log.level=info") as exporter:
            lines = [json.loads(line) for line in exporter.log.splitlines()]
        assert any(line["msg"] == "listening" for line in lines)


def test_no_secret_reaches_the_log_the_metrics_or_a_page() -> None:
    world = World()
    section = fleet(world, 2)
    section["credentials"]["access_key_secret"] = "a-wrong-secret-that-must-not-show"
    with (
        Simulator(world) as simulator,
        ExporterProcess(config(simulator.url, [section]), "--log.level=debug") as exporter,
    ):
        until(lambda: value(exporter.scrape(), "cams_account_up", account="main") == 0, "the account is refused")
        exporter.logged("SignatureDoesNotMatch")
        seen = exporter.log + exporter.get()[1].decode() + exporter.get("/")[1].decode()
    assert "a-wrong-secret" not in seen
    assert "key-main" not in seen


def test_a_masked_number_is_nowhere_shown_in_full() -> None:
    world = World()
    section = fleet(world, 1)
    section["numbers"].append({"phone_number": "447700999999", "cust_space_id": SPACE})
    with (
        Simulator(world) as simulator,
        ExporterProcess(config(simulator.url, [section], phone_number_label="masked"), "--log.level=debug") as exporter,
    ):
        until(lambda: exporter.get("/-/ready")[0] == 200, "ready")
        exporter.logged("poll failed")
        seen = exporter.log + exporter.get()[1].decode()
    assert "44770*****00" in seen
    for phone in (*phones(1), "447700999999"):
        assert phone not in seen


def test_it_is_light() -> None:
    """Below 75 MiB at 1,000 numbers; generous here, measured in benchmarks."""
    world = World()
    section = fleet(world, 1000)
    with (
        Simulator(world) as simulator,
        ExporterProcess(config(simulator.url, [section], scrape_interval="10m")) as exporter,
    ):
        until(lambda: len(world.arrivals()) > 10, "polling goes on")
        resident = value(exporter.scrape(), "process_resident_memory_bytes")
        assert resident is not None
        assert resident < 90 * 2**20
