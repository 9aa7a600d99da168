"""docs/rehearsal.md: its commands change the simulated API, and its queries find the change in a scrape.

Only ports are others, and the written configuration gets shorter intervals and a larger budget.
"""

from __future__ import annotations

import contextlib
import operator
import os
import re
import shlex
import subprocess
import sys
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.simulator.scenarios import SCENARIOS
from tests.operations import rulebook
from tests.operations.tools import ROOT, system_tool
from tests.support.exporter import ExporterProcess, Series, until
from tests.support.markdown import Block, blocks, commands
from tests.support.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = ROOT / "docs" / "rehearsal.md"
BLOCKS = list(blocks(PAGE, ROOT))
START, *CHANGES = [block for block in BLOCKS if block.language == "console"]
SIMULATOR, EXPORTER = "127.0.0.1:8080", "127.0.0.1:10106"
QUICK = {"scrape_interval: 10s": "scrape_interval: 3s", "15s": "3s", "qps: 5": "qps: 10"}
CONDITION = re.compile(r"(\w+)\{(.*)\} (==|>) (\d+)\n")
COMPARE = {"==": operator.eq, ">": operator.gt}


@contextlib.contextmanager
def simulated(command: str, folder: Path) -> Iterator[str]:
    """The address of the simulator that the command starts."""
    program, *flags = shlex.split(command.replace(SIMULATOR, "127.0.0.1:0"))
    assert program == "python"
    with subprocess.Popen(
        [sys.executable, *flags],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip().removeprefix("listening on http://")
        finally:
            process.terminate()


def started(command: str, folder: Path) -> ExporterProcess:
    program, *flags = shlex.split(command)
    flags.remove(f"--web.listen-address={EXPORTER}")
    (config,) = (flag.partition("=")[2] for flag in flags)
    file = folder / config
    text = file.read_text(encoding="utf-8")
    for before, after in QUICK.items():
        assert before in text
        text = text.replace(before, after)
    file.write_text(text, encoding="utf-8")
    return ExporterProcess(None, f"--config.file={file}", program=[str(Path(sys.executable).parent / program)])


def holds(query: str, scraped: Series) -> bool:
    """Whether a series of the scrape fits the query of the page."""
    found = CONDITION.fullmatch(query)
    assert found, query
    name, matchers, comparison, wanted = found.groups()
    labels = set(re.findall(r'(\w+)="([^"]*)"', matchers))
    return any(
        name == series and labels <= has and COMPARE[comparison](value, float(wanted))
        for (series, has), value in scraped.items()
    )


def is_seen(query: str, exporter: ExporterProcess) -> bool:
    return holds(query, exporter.scrape())


def sections() -> list[list[Block]]:
    """The blocks below each heading."""
    text = PAGE.read_text(encoding="utf-8").splitlines()
    heads = [number for number, line in enumerate(text, 1) if line.startswith("## ")]
    after = [block for block in BLOCKS if block is not START]
    return [
        list(group)
        for _, group in groupby(after, lambda block: sum(head < int(block.where.rpartition(":")[2]) for head in heads))
    ]


def test_every_change_of_the_page_is_seen_by_the_exporter(tmp_path: Path) -> None:
    """The changes of a section are made, then all its queries hold."""
    curl = system_tool("curl", "curl")
    (simulator, _), (exporter, _) = commands(START)
    with simulated(simulator, tmp_path) as address, started(exporter, tmp_path) as running:
        until(lambda: running.get("/-/ready")[0] == 200, "ready")
        for section in sections():
            for command, _ in (
                command for block in section if block.language == "console" for command in commands(block)
            ):
                there = re.sub(
                    "^curl ", f"{curl} --fail-with-body --silent --noproxy '*' ", command.replace(SIMULATOR, address)
                )
                done = subprocess.run(
                    ["/bin/bash", "-euc", there], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
                )
                assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
            for query in (block.text for block in section if block.language == "promql"):
                until(partial(is_seen, query, running), query)


def test_every_flag_of_the_page_exists() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "exporter.simulator", "--help"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    rows = re.findall(r"(?m)^\| `(--[^`]+)`", PAGE.read_text(encoding="utf-8"))
    assert rows
    for row in rows:
        for flag in re.findall(r"--[a-z-]+", row):
            assert f"[{flag} " in done.stdout, flag
    assert {row.split()[1] for row in rows if row.startswith("--scenario")} == set(SCENARIOS)


def test_the_times_of_the_page_are_those_of_the_alerts() -> None:
    rows = re.findall(r"(?m)\[(Cams\w+)\]\(.*\| (\d+) (minute|hour)s? \|$", PAGE.read_text(encoding="utf-8"))
    assert len(rows) > 3
    for name, count, unit in rows:
        assert f"{count}{unit[0]}" in {alert.for_ for alert in rulebook.alerts() if alert.name == name}, name
