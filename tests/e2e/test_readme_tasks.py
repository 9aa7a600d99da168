"""The README's first start and its everyday tasks, by its own commands and configuration, with one exporter.

Only addresses are others: that of the API, which is simulated, and the ports of the exporter and of Alertmanager.
"""

from __future__ import annotations

import html
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from exporter.simulator import Arrival, Key, Simulator, World
from tests.support.alertmanager import RealAlertmanager
from tests.support.exporter import ExporterProcess, until, value
from tests.support.markdown import Block, blocks, commands
from tests.support.patience import PATIENCE_SECONDS
from tests.support.servers import require_binary
from tests.support.shipped import quick_alertmanager

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCKS = [block for page in PAGES for block in blocks(page, ROOT)]
EXPORTER, ALERTMANAGER = "http://localhost:10106", "http://localhost:9093"
SPACE, NUMBER, SECOND = "cams-kei0001", "8613800001234", "8613800005678"


def block(language: str, beginning: str, page: str = "README.md") -> Block:
    """The page's block that begins so."""
    (found,) = (
        each
        for each in BLOCKS
        if each.where.startswith(f"{page}:") and each.language == language and each.text.startswith(beginning)
    )
    return found


class Terminal:
    """A shell in a folder, with the exporter's command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = EXPORTER

    def run(self, block: Block, *typed: str) -> str:
        """Run the block's commands in one shell; each `cat > FILE` reads the next of `typed`.  Returns all output."""
        lines = iter(typed)
        script = []
        for command, _ in commands(block):
            keys = f"printf '%s\\n' {shlex.quote(next(lines))} | " if command.startswith("cat >") else ""
            script.append(f"{keys}{command.replace(EXPORTER, self.url)}")
        assert next(lines, None) is None
        return run("\n".join(script), self.folder)


def run(command: str, folder: Path) -> str:
    """The output of a command that must succeed."""
    done = subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "NO_PROXY": "*"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def start(terminal: Terminal) -> ExporterProcess:
    """The README's command, but on a free port."""
    ((command, _),) = commands(block("console", "$ cams_exporter --config.file=config.yml --web"))
    program, *flags = shlex.split(command)
    flags.remove("--web.listen-address=127.0.0.1:10106")
    flags = [flag.replace("=config.yml", f"={terminal.folder / 'config.yml'}") for flag in flags]
    return ExporterProcess(None, *flags, program=[str(Path(sys.executable).parent / program)])


def test_the_readmes_first_start_and_tasks(tmp_path: Path) -> None:
    """The configuration as it is shown, its two key files, a start; then another number, another key, a look at why."""
    for tool in ("curl", "jq"):
        require_binary(tool)
    world = World()
    world.add_account("main", "first-id", "first-secret")
    first = world.add_number("main", SPACE, NUMBER)
    world.add_number("main", SPACE, SECOND)
    terminal = Terminal(tmp_path)
    with Simulator(world) as simulator:
        shown = block("yaml", "accounts:\n").text
        api = json.dumps({"endpoint": simulator.url, "timeout": "60s"})
        (tmp_path / "config.yml").write_text(f"scrape_interval: 1s\napi: {api}\n{shown}", encoding="utf-8")
        terminal.run(block("console", "$ mkdir --mode=700 secrets\n"), "first-id", "first-secret")
        assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
        with start(terminal) as exporter:
            terminal.url = exporter.url
            until(lambda: exporter.statuses() == {NUMBER: "VERIFIED"}, "the first number is polled")

            assert "in force" in terminal.run(block("console", "$ echo '      - {phone_number"))
            until(lambda: exporter.statuses() == {NUMBER: "VERIFIED", SECOND: "VERIFIED"}, "the second is polled too")

            rotated(world, terminal, exporter)

            first.status = "NOT_VERIFIED"
            until(lambda: exporter.statuses()[NUMBER] == "NOT_VERIFIED", "the status is polled")
            told_why(terminal, exporter)


def rotated(world: World, terminal: Terminal, exporter: ExporterProcess) -> None:
    """The new key is used without a reload, and the account never refused, also once the old key is off."""
    world.set_key("main", "second-id", Key("second-secret"))
    said = terminal.run(block("console", "$ mkdir --mode=700 secrets/new\n"), "second-id", "second-secret")
    assert 'cams_account_up{account="main"} 1.0' in said
    logged = "credentials changed on disk"
    assert logged in (ROOT / "README.md").read_text(encoding="utf-8")
    until(lambda: logged in exporter.log, "the log says that the key is another one")
    polled(world, 2)  # with the new key, so none with the old one is on its way
    world.remove_key("first-id")
    assert {arrival.outcome for arrival in polled(world, 2)} == {"OK"}
    assert value(exporter.scrape(), "cams_account_up", account="main") == 1


def polled(world: World, count: int) -> list[Arrival]:
    """Wait for that many more polls; returns them."""
    before = len(world.arrivals("main"))
    until(lambda: len(world.arrivals("main")) >= before + count, f"{count} more polls")
    return list(world.arrivals("main")[before:])


def told_why(terminal: Terminal, exporter: ExporterProcess) -> None:
    """The address in the README shows the number, and its own page says what to do."""
    (address,) = re.findall(rf"`{EXPORTER}(/numbers\?[^`]+)`", (ROOT / "README.md").read_text(encoding="utf-8"))
    listing = exporter.get(address)[1].decode()
    assert SECOND not in listing
    (page,) = set(re.findall(rf'href="([^"]+)">{NUMBER}<', listing))
    status, body, _ = exporter.get(f"/{html.unescape(page)}")
    assert status == 200
    assert all(text in body.decode() for text in ("NOT_VERIFIED", "CamsNumberNotVerified.md", "RequestId"))
    (number,) = json.loads(terminal.run(block("console", "$ curl --silent 'http://localhost:10106/numbers?")))[
        "numbers"
    ]
    assert (number["phone_number"], number["status"]) == (NUMBER, "NOT_VERIFIED")
    assert number["troubles"][0]["runbook"].endswith("CamsNumberNotVerified.md")
    every = terminal.run(block("console", "$ next=", "docs/status-page.md")).splitlines()
    assert [json.loads(line)["phone_number"] for line in every] == [NUMBER, SECOND]


SILENCES = [
    pytest.param(each, id=each.where) for each in BLOCKS if each.language == "console" and "amtool silence" in each.text
]


@pytest.fixture(scope="module")
def alertmanager() -> Any:
    """With the shipped routes and inhibition; it sends to nobody."""
    require_binary("amtool")
    with RealAlertmanager(quick_alertmanager("http://127.0.0.1:9")) as running:
        yield running


@pytest.mark.parametrize("block", SILENCES)
def test_the_shown_command_mutes_one_number(block: Block, alertmanager: RealAlertmanager, tmp_path: Path) -> None:
    """Its alerts are suppressed, those of another number of the account are not, and the silence is shown and ended."""
    (muted,) = set(re.findall(r"\bphone_number=(\S+)", block.text.replace('"', "")))
    alert = "amtool alert add CamsNumberNotVerified severity=critical account=main"
    for number in (muted, SECOND):
        run(f"{alert} phone_number={number} --alertmanager.url={alertmanager.url}", tmp_path)

    def states() -> dict[str, str]:
        return {each["labels"]["phone_number"]: each["status"]["state"] for each in alertmanager.alerts()}

    added, *others = [command.replace(ALERTMANAGER, alertmanager.url) for command, _ in commands(block)]
    name = run(added, tmp_path).strip()
    until(lambda: states() == {muted: "suppressed", SECOND: "active"}, "only that number is muted")
    for command in others:
        said = run(re.sub(r" ID$", f" {name}", command), tmp_path)
        assert "silence expire" in command or (muted in said and SECOND not in said)
    if "silence expire" in others[-1]:
        until(lambda: states() == {muted: "active", SECOND: "active"}, "it alerts again")
    else:
        run(f"amtool silence expire --alertmanager.url={alertmanager.url} {name}", tmp_path)
