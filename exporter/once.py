"""Poll every number once within the budget and write one exposition (`--once`).

For a first look, for cron and for node_exporter's textfile collector; serves nothing.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
from pathlib import Path
from typing import TextIO

from exporter.app import App
from exporter.exposition import Format
from exporter.logs import fields
from exporter.streams import write_out

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.1
BAR_WIDTH = 30


def run_once(app: App, output: Path | None, stopped: threading.Event) -> int:
    """Poll each number once and write the exposition to `output`, or to stdout; returns the exit status.

    1 if a number gave no status, or if the run was interrupted, in which case nothing is written.
    """
    if output is not None:
        output = checked_output(output)  # before the budget is spent
    app.start()
    progress = Progress(sys.stderr)
    while not app.finished():
        if stopped.wait(LOOK_SECONDS):
            progress.end()
            app.stop()
            logger.error("interrupted, nothing is written")
            return 1
        progress.show(*_counts(app))
    polled, failed, total = _counts(app)
    progress.show(polled, failed, total)
    progress.end()
    app.stop()
    text = app.exposition.scrape(Format.TEXT)
    if output is None:
        write_out(text)
    else:
        replace_file(output, text)
    missing = total - (polled - failed)
    if missing:
        logger.error("some numbers gave no status", extra=fields(numbers=total, without_status=missing))
    return 1 if missing else 0


def checked_output(path: Path) -> Path:
    """Where `path` leads, links followed; raises OSError, with a text for the user, where no file can be put there."""
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise OSError(f"--once.output={path}: is not a regular file; name one, or leave the flag out for stdout")
    if not target.parent.is_dir():
        raise OSError(f"--once.output={path}: there is no folder {target.parent}; create it")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise OSError(f"--once.output={path}: this user may not write to {target.parent}; grant it, or name another")
    return target


def replace_file(path: Path, content: bytes) -> None:
    """Put `content` at `path` at once: a reader sees the old file or the new one, never half of it."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)  # node_exporter reads it as another user
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _counts(app: App) -> tuple[int, int, int]:
    """(numbers polled, those of them that gave no status, numbers in all)."""
    snapshot, _ = app.view()
    outcomes = [record.last_poll_success for record in snapshot.numbers]
    return len(outcomes) - outcomes.count(None), outcomes.count(False), len(outcomes)


class Progress:
    """A bar on a terminal; silent anywhere else."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()

    def show(self, polled: int, failed: int, total: int) -> None:
        """Draw the bar anew."""
        if not self._is_terminal:
            return
        filled = BAR_WIDTH * polled // max(1, total)
        bar = "#" * filled + "." * (BAR_WIDTH - filled)
        without = f", {failed} without a status" if failed else ""
        self._stream.write(f"\r[{bar}] {polled}/{total} numbers{without}\x1b[K")
        self._stream.flush()

    def end(self) -> None:
        """Leave the bar as it stands and go to the next line."""
        if self._is_terminal:
            self._stream.write("\n")
            self._stream.flush()
