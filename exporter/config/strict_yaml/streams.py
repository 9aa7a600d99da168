"""Files that give their content once: pipes, and what the caller has opened, as ``/dev/stdin`` or ``/dev/fd/63``."""

from __future__ import annotations

import os
import re
import select
import stat
from pathlib import Path

from exporter.config.strict_yaml.files import unreadable

WRITER_SECONDS = 10.0
"""How long a pipe with a name may have no writer.  What the caller has opened may take as long as it wants."""

_OPENED = re.compile(r"/dev/stdin|/dev/fd/[0-9]+|/proc/(?:self|[0-9]+)/fd/[0-9]+")


def is_stream(path: Path) -> bool:
    """Whether `path` is a pipe, or names what the caller has opened."""
    try:
        return bool(_OPENED.fullmatch(str(path))) or stat.S_ISFIFO(path.stat().st_mode)
    except (OSError, ValueError):  # reading it gives the better error
        return False


def read_stream(path: Path, max_bytes: int, writer_seconds: float = WRITER_SECONDS) -> bytes:
    """The first `max_bytes` of the stream, up to its end; where it cannot be read, a ValueError says why.

    Blocks until the writer has closed it.
    """
    try:
        # O_NONBLOCK: opening a pipe that nobody writes to would wait for ever
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise unreadable(error) from None
    with os.fdopen(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode) or os.isatty(descriptor)):
            raise ValueError("is neither a file nor a pipe; name one")
        if stat.S_ISFIFO(mode) and not _OPENED.fullmatch(str(path)):
            _await_writer(descriptor, writer_seconds)
        os.set_blocking(descriptor, True)
        try:
            return file.read(max_bytes)
        except OSError as error:
            raise unreadable(error) from None


def _await_writer(descriptor: int, seconds: float) -> None:
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    if not waiting.poll(seconds * 1000):
        raise ValueError(f"is a pipe that nobody writes to within {seconds:.0f} s; start the program that does")
