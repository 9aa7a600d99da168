"""Read a file that someone named: a regular one only, no more of it than asked for, and in time where others wait."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any, TypeVar

from exporter.threads import begin

T = TypeVar("T")

LOOK_SECONDS = 10.0
"""How long a look at one file may take that must not hold up what does not need it: a busy machine takes seconds."""

_hanging: dict[Path, Future[Any]] = {}
"""Looks that did not end, by folder: no other is begun there before, else each reload would leave a thread."""

_NO_ANSWER = "cannot be read: its mount gives no answer; see whether it hangs"

_CURES = {
    errno.ENOENT: "create it, or fix the path",
    errno.EACCES: "fix the permissions of the file and of the folders above it",
    errno.ELOOP: "fix the symbolic links, which lead in a circle",
}


def read_regular(path: Path, max_bytes: int) -> bytes:
    """The first `max_bytes` of the file; a ValueError says why not and what to do."""
    try:
        # O_NONBLOCK: opening a FIFO that nobody writes to would wait for ever
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                with open(descriptor, "rb", closefd=False) as file:
                    return file.read(max_bytes)
        finally:
            os.close(descriptor)
    except OSError as error:
        code = error.errno or 0
        cure = _CURES.get(code, "name a readable file")
        raise ValueError(f"cannot be read: {os.strerror(code).lower()}; {cure}") from None
    except ValueError:
        raise ValueError("cannot be read: its name holds a NUL character; fix the path") from None
    raise ValueError("is not a regular file; name a file")


def look_in_time(path: Path, look: Callable[[], T], seconds: float = LOOK_SECONDS) -> T:
    """What `look`, which is one at the file `path`, returns or raises; ValueError where it does not end in time."""
    before = _hanging.get(path.parent)
    if before is not None and not before.done():
        raise ValueError(_NO_ANSWER)
    try:
        looking = begin(look, "look-at-file")
    except OSError:  # the machine has no thread left
        return look()
    if wait([looking], seconds).not_done:
        _hanging[path.parent] = looking
        raise ValueError(_NO_ANSWER)
    return looking.result()
