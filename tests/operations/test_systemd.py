"""The systemd unit, checked by systemd itself; test_systemd_live.py runs it."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from exporter.cli.flags import flags
from tests.operations.tools import ROOT, system_tool
from tests.support.patience import PATIENCE_SECONDS

UNIT = ROOT / "deploy" / "systemd" / "cams-exporter.service"
SOCKET = UNIT.with_suffix(".socket")
PROGRAM = "/opt/cams-exporter/bin/cams_exporter"
MAX_EXPOSURE = 2.5
"""On systemd's scale from 0 (best) to 10."""


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a program that exists on every machine in place of the exporter."""
    file = tmp_path / UNIT.name
    text = UNIT.read_text()
    assert text.count(f"={PROGRAM} ") == 1
    file.write_text(text.replace(f"={PROGRAM} ", "=/bin/true "))
    return file


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [system_tool("systemd-analyze", "systemd"), "--no-pager", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )


def test_systemd_finds_nothing_to_say_about_the_unit(unit: Path) -> None:
    """systemd would ignore an unknown or misplaced setting, with only a log line."""
    done = analyze("verify", "--man=no", unit)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_systemd_finds_nothing_to_say_about_the_socket(unit: Path) -> None:
    """Its service is beside it, as after the installation."""
    file = unit.with_name(SOCKET.name)
    file.write_text(SOCKET.read_text())
    done = analyze("verify", "--man=no", file, unit)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_socket_belongs_to_the_service_and_has_the_default_port() -> None:
    """systemd starts the service of the same name; the exporter needs the sockets that listen, not connections."""
    assert SOCKET.stem == UNIT.stem
    text = SOCKET.read_text()
    assert re.findall(r"(?m)^ListenStream=(.*)$", text) == ["10106"]
    assert "Accept=" not in re.sub("(?m)^#.*", "", text)
    (given,) = re.findall(r"ARGS=\"(.*)\"'", text)
    assert flags().parse_args(given.split()).web_systemd_socket is True


def test_the_service_is_exposed_less_than_most(unit: Path) -> None:
    done = analyze("security", "--offline=true", f"--threshold={MAX_EXPOSURE * 10:.0f}", unit)
    assert done.returncode == 0, done.stdout
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert level is not None
    assert float(level[1]) <= MAX_EXPOSURE


def test_every_page_says_that_a_rotated_key_needs_a_restart_of_the_service() -> None:
    """systemd copies credentials at the start of the service (systemd.exec(5)); the exporter cannot see a new one."""
    assert "\nLoadCredential=cams-exporter.access-key-secret\n" in UNIT.read_text()
    pages = ["README.md", "docs/deploy.md", "deploy/systemd/cams-exporter.service"]
    pages += ["docs/security.md", "docs/credentials.md", "docs/runbooks/CamsCredentialsFailing.md"]
    for page in pages:
        text = re.sub(r"\n#? *", " ", (ROOT / page).read_text())
        assert re.search(r"rotat[^.:]*run `systemctl restart cams-exporter`", text), page


def test_it_starts_with_flags_the_exporter_knows() -> None:
    (command,) = re.findall(r"^ExecStart=(.+)$", UNIT.read_text(), re.MULTILINE)
    program, *arguments = command.split()
    assert program == PROGRAM
    assert arguments.pop() == "$ARGS"
    parsed = flags().parse_args(arguments)
    assert str(parsed.config_file) == "/etc/cams-exporter/config.yml"
    assert str(parsed.storage_path) == "${STATE_DIRECTORY}"
