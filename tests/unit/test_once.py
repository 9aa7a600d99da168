"""The progress of `--once`."""

from __future__ import annotations

import io

from exporter.once import Progress


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
