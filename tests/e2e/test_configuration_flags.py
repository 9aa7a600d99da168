"""Where the configuration comes from, and when it is read again: the flags, from outside."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from exporter.simulator import Simulator, World
from tests.support.exporter import ExporterProcess, run_exporter, until, value
from tests.support.fleet import config, fleet

EXPAND = "--config.expand-environment-variables"
RELOADED = "cams_exporter_config_last_reload_successful"


def minimal(**more: Any) -> dict[str, Any]:
    return {"accounts": [{"name": "main", "numbers": [{"phone_number": "12345", "cust_space_id": "s"}], **more}]}


def test_variables_give_the_key_and_the_endpoint() -> None:
    world = World()
    section = fleet(world, 2)
    section["credentials"] |= {"access_key_secret": "${THE_SECRET}"}
    with (
        Simulator(world) as simulator,
        ExporterProcess(
            config("http://${THE_HOST}", [section]),
            EXPAND,
            env={"THE_SECRET": "secret-main", "THE_HOST": simulator.url.partition("://")[2]},
        ) as exporter,
    ):
        until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")
        status, body, headers = exporter.get("/config")
        assert (status, headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
        assert b"access_key_id: <secret>" in body
        assert b'access_key_secret: "${THE_SECRET}"' in body
        assert b"secret-main" not in body
        assert "secret-main" not in exporter.log


def test_without_the_flag_a_variable_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text(json.dumps(minimal(stale_after="${HOME}")))
    done = run_exporter(cwd=tmp_path)
    assert done.returncode == 2
    assert f"accounts[0].stale_after: holds ${{...}}, and variables are not expanded without {EXPAND}" in done.stderr


def test_a_check_without_secrets_needs_no_variables(tmp_path: Path) -> None:
    text = json.dumps(minimal(credentials={"type": "access_key", "access_key_id": "${I}", "access_key_secret": "${S}"}))
    arguments = ("--config.check", "--config.file=/dev/stdin", EXPAND)
    assert "is not set in the environment" in run_exporter(*arguments, text=text).stderr
    done = run_exporter(*arguments, "--config.syntax-only", text=text)
    assert (done.returncode, done.stderr) == (0, "")
    assert "/dev/stdin: valid: 1 account, 1 number" in done.stdout


def test_the_configuration_comes_from_standard_input(tmp_path: Path) -> None:
    """Relative paths start from the working folder."""
    (tmp_path / "list.yml").write_text('[{phone_number: "12345", cust_space_id: s}]')
    text = '{"accounts": [{"name": "main", "number_files": ["list.yml"]}]}'
    done = run_exporter("--config.check", "--config.file=/dev/stdin", text=text, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "list.yml     main     1" in done.stdout


def test_a_pipe_is_read_once_and_a_reload_is_refused() -> None:
    world = World()
    section = fleet(world, 1)
    with Simulator(world) as simulator:
        text = json.dumps(config(simulator.url, [section]))
        shell = f"""exec "$0" -m exporter --config.file=<(printf %s '{text}') "$@" """
        with ExporterProcess(None, program=("bash", "-c", shell, sys.executable)) as exporter:
            until(lambda: set(exporter.statuses().values()) == {"VERIFIED"}, "all verified")
            exporter.reload()
            until(lambda: value(exporter.scrape(), RELOADED) == 0, "the reload is refused")
            exporter.logged("was read from a pipe, which gives its content only once")
            assert set(exporter.statuses().values()) == {"VERIFIED"}


def test_a_changed_file_is_in_force_without_a_signal() -> None:
    """As Kubernetes changes a ConfigMap; a refused content is logged once, and the old one stays in force."""
    world = World()
    section = fleet(world, 2)
    with (
        Simulator(world) as simulator,
        ExporterProcess(
            config(simulator.url, [section]), "--config.enable-auto-reload", "--config.auto-reload-interval=1s"
        ) as exporter,
    ):
        until(lambda: len(exporter.statuses()) == 2, "both are shown")
        exporter.config_path.write_text("accounts: []")
        until(lambda: value(exporter.scrape(), RELOADED) == 0, "the reload is refused")
        assert len(exporter.statuses()) == 2
        (exporter.home / "..one").mkdir()
        (exporter.home / "..one" / "config.yml").write_text(
            json.dumps(config(simulator.url, [{**section, "numbers": section["numbers"][:1]}]))
        )
        (exporter.home / "new.yml").symlink_to("..one/config.yml")
        (exporter.home / "new.yml").rename(exporter.config_path)
        until(lambda: len(exporter.statuses()) == 1, "the new list is in force")
        until(lambda: value(exporter.scrape(), RELOADED) == 1, "the reload succeeded")
        exporter.logged("configuration reloaded")
        _, body, _ = exporter.get("/config")
        assert body.count(b"phone_number: ") == 1
        assert exporter.log.count("configuration refused") == 1


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--config.auto-reload-interval=5s"], "--config.auto-reload-interval needs --config.enable-auto-reload"),
        (["--config.enable-auto-reload", "--config.auto-reload-interval=0"], "'0' is too short; write 1s or longer"),
        (["--config.enable-auto-reload", "--config.auto-reload-interval=5"], '"5" is not a duration; write for'),
        (["--demo", EXPAND], "--demo brings its own configuration"),
        (["--demo", "--config.enable-auto-reload"], "--demo brings its own configuration"),
        (["--config.file=/dev/stdin", "--config.enable-auto-reload"], "/dev/stdin: was read from a pipe, which cannot"),
    ],
)
def test_flags_that_do_not_fit_are_refused(flags: list[str], said: str) -> None:
    done = run_exporter(*flags, text=json.dumps(minimal()))
    assert done.returncode == 2
    assert said in done.stderr
