"""`--once`: list the numbers, poll each once within the budget, and write one exposition.  Nothing is served.

With `health` each number is also checked once.

For a first look, for cron and for node_exporter's textfile collector.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TextIO

from exporter.app import App
from exporter.logs import fields
from exporter.metrics.exposition import Format
from exporter.streams import write_all, write_out

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.1
BAR_WIDTH = 30

_IN_PLACE = os.O_WRONLY | os.O_CLOEXEC
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

STUCK_SECONDS = 10.0
"""An account whose loop has only failed for this long is given up, for example because there is no thread left."""


def run_once(app: App, path: Path | None) -> int:
    """Poll each number once and write the exposition to the file at `path`, or to stdout; returns the exit status.

    1 if a number gave no status, or a listing failed: numbers may be missing then.  1 also if not every number could be
    polled; then nothing is written.  A failed health check changes nothing: its number has its status.  A signal
    raises SystemExit.
    """
    try:
        return _run(app, path)
    except SystemExit:
        logger.error("interrupted, nothing is written")  # noqa: TRY400 - no traceback for a signal
        raise
    finally:
        app.stop()


def _run(app: App, path: Path | None) -> int:
    # before any request; the metrics of now are about as long as the later ones
    output = check_output(path, app.exposition.scrape(Format.TEXT)) if path is not None else None
    if not _polled(app):
        return 1
    polled, failed, total = _counts(app)
    text = app.exposition.scrape(Format.TEXT)
    if output is None:
        write_out(text)
    else:
        write_output(output, text)
    missing = total - (polled - failed)
    if missing:
        logger.error("some numbers gave no status", extra=fields(numbers=total, without_status=missing))
    unlisted = app.unlisted()
    if unlisted:
        logger.error("some listings failed: numbers may be missing", extra=fields(listings=unlisted))
    return 1 if missing or unlisted else 0


def _polled(app: App) -> bool:
    """Whether every number was polled; if not, the reason is logged."""
    progress = Progress(sys.stderr)
    if app.start():
        logger.error("nothing is written: not every account can be polled")
        return False
    while not app.finished():
        if stuck := app.stuck(STUCK_SECONDS):
            progress.end()
            logger.error("nothing is written: polling makes no progress", extra=fields(accounts=", ".join(stuck)))
            return False
        progress.show(*_counts(app))
        time.sleep(LOOK_SECONDS)
    progress.show(*_counts(app))
    progress.end()
    return True


def check_output(path: Path, sample: bytes) -> Path:
    """The file to write for `path`, links followed; raises OSError, with a text for the user, if that is impossible.

    `sample` is as long as the later content: it is tried whether that much can be written.
    """
    target = Path(os.path.realpath(path))
    is_there = target.exists()
    if is_there and not target.is_file():
        raise OSError(f"--once.output={path}: is not a regular file; name one, or leave the flag out for stdout")
    if not target.parent.is_dir():
        raise OSError(f"--once.output={path}: there is no folder {target.parent}; create it")
    try:
        # a read-only mount, perhaps of this file alone: opening it tells so
        if is_there and os.statvfs(target).f_flag & os.ST_RDONLY:
            os.close(os.open(target, _IN_PLACE))
        try:
            _written_beside(target, sample).unlink()
        except OSError as error:
            if not is_there or error.errno in _NO_ROOM:
                raise
            os.close(os.open(target, _IN_PLACE))
    except OSError as error:
        why = (error.strerror or "unusable").lower()
        raise OSError(
            f"--once.output={path}: cannot be written: {why}; name another file, or see to this one"
        ) from None
    return target


def write_output(path: Path, content: bytes) -> None:
    """Replace the file at `path`.  If it cannot be replaced, write it in place: then a reader may see half of it."""
    try:
        replace_file(path, content)
    except OSError as error:
        if error.errno in _NO_ROOM or not path.exists():
            raise
        logger.info("the file cannot be replaced and is written in place", extra=fields(file=path))
        write_in_place(path, content)


def replace_file(path: Path, content: bytes) -> None:
    """Replace the file at `path`: a reader sees the old file or the new one, never half of it."""
    temporary = _written_beside(path, content)
    try:
        temporary.chmod(0o644)  # node_exporter reads it as another user
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_in_place(path: Path, content: bytes) -> None:
    """Overwrite the file at `path`."""
    handle = os.open(path, _IN_PLACE)
    try:
        write_all(handle, content)
        os.ftruncate(handle, len(content))
        os.fsync(handle)
    finally:
        os.close(handle)


def _written_beside(path: Path, content: bytes) -> Path:
    """A new file in the folder of `path`; no textfile collector reads files with its name."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".cams-exporter-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)


def _counts(app: App) -> tuple[int, int, int]:
    """Counts of numbers: polled, polled without a status, all."""
    snapshot, _ = app.view()
    outcomes = [record.last_poll_success for record in snapshot.numbers]
    return len(outcomes) - outcomes.count(None), outcomes.count(False), len(outcomes)


class Progress:
    """A progress bar on a terminal; nothing elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()

    def show(self, polled: int, failed: int, total: int) -> None:
        """Draw the bar."""
        if not self._is_terminal:
            return
        filled = BAR_WIDTH * polled // max(1, total)
        bar = "#" * filled + "." * (BAR_WIDTH - filled)
        without = f", {failed} without a status" if failed else ""
        self._stream.write(f"\r[{bar}] {polled}/{total} numbers{without}\x1b[K")
        self._stream.flush()

    def end(self) -> None:
        """Leave the bar and go to the next line."""
        if self._is_terminal:
            self._stream.write("\n")
            self._stream.flush()
