"""The progress of `--once`."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from exporter.once import Progress, checked_output


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar() -> None:
    terminal = Terminal()
    progress = Progress(terminal)
    progress.show(10, 0, 30)
    progress.show(30, 1, 30)
    progress.end()
    assert "[##########....................] 10/30 numbers\x1b[K" in terminal.getvalue()
    assert terminal.getvalue().endswith("30/30 numbers, 1 without a status\x1b[K\n")


def test_anything_else_gets_nothing() -> None:
    """A log file or a pipe is not for drawing."""
    pipe = io.StringIO()
    progress = Progress(pipe)
    progress.show(10, 0, 30)
    progress.end()
    assert pipe.getvalue() == ""


def test_an_output_that_cannot_be_written_is_said_before_anything_is_asked(tmp_path: Path) -> None:
    """A whole pass of the budget would be spent for nothing; and a device or a pipe must not become a file."""
    os.mkfifo(tmp_path / "pipe")
    for path, why in (
        ("pipe", "not a regular file"),
        (".", "not a regular file"),
        ("none/x.prom", "there is no folder"),
    ):
        with pytest.raises(OSError, match=f"^--once.output=.*{why}"):
            checked_output(tmp_path / path)


def test_an_output_that_is_a_link_is_written_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "link.prom").symlink_to(tmp_path / "real.prom")
    assert checked_output(tmp_path / "link.prom") == tmp_path / "real.prom"
