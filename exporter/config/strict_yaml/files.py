"""Files that a document names: only regular files are read, and only as many bytes as asked for.

The value of a key that ends in _file is sometimes the secret itself, by mistake.  So a message shows it only if it is
surely a path.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from exporter.config.strict_yaml.document import show
from exporter.threads import Bounded, StillRunningError

T = TypeVar("T")

LOOK_SECONDS = 10.0
"""How long one look at a file may take.  On a busy machine it takes seconds."""

_looks: dict[Path, Bounded] = {}
"""Looks at files, by folder.  Where one hangs, no other begins: else each reload would leave a thread."""

UNSHOWN = "the file named here"
"""How messages call a file that is not shown."""

_SUFFIXES = {".cer", ".crt", ".csv", ".json", ".jwt", ".key", ".pem", ".secret", ".token", ".txt", ".yaml", ".yml"}
_CURES = {
    errno.ENOENT: "create it, or fix the path",
    errno.EACCES: "fix the permissions of the file and of the folders above it",
    errno.ELOOP: "fix the symbolic links, which lead in a circle",
}


def read_regular(path: Path, max_bytes: int) -> bytes:
    """The first `max_bytes` of the file; where it cannot be read, a ValueError says why and what to do."""
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
        raise unreadable(error) from None
    except ValueError:
        raise ValueError("cannot be read: its name holds a NUL character; fix the path") from None
    raise ValueError("is not a regular file; name a file")


def unreadable(error: OSError) -> ValueError:
    """Why a file cannot be read, and what to do."""
    code = error.errno or 0
    return ValueError(f"cannot be read: {os.strerror(code).lower()}; {_CURES.get(code, 'name a readable file')}")


def look_in_time(path: Path, look: Callable[[], T], seconds: float = LOOK_SECONDS) -> T:
    """What `look`, which reads the file `path`, returns or raises; ValueError where it does not end in time."""
    try:
        return _looks.setdefault(path.parent, Bounded("look-at-file")).run(look, seconds)
    except StillRunningError:
        raise ValueError("cannot be read: its mount gives no answer; see whether it hangs") from None


def read_named(folder: Path, name: str, max_bytes: int) -> tuple[Path, bytes]:
    """The absolute path and the first `max_bytes` of the file `name`; a relative name starts from `folder`.

    A ValueError says that it cannot be read or is empty, why, and what to do.
    """
    path = named(folder, name)
    try:
        content = read_regular(path, max_bytes)
    except ValueError as error:
        raise ValueError(f"{called(folder, path)} {error}") from None
    if not content:
        raise ValueError(f"{called(folder, path)} is empty; fill it")
    return path, content


def named(folder: Path, name: str) -> Path:
    """The path that `name` stands for; ValueError where it is empty."""
    if not name:
        raise ValueError("is empty; name a file")
    return folder / name


def called(folder: Path, path: Path) -> str:
    """`path` in quotes if it is surely a path: it exists, its first folder does, or it has a file's ending."""
    try:
        inside = path.relative_to(folder) if path.is_relative_to(folder) else path.relative_to(path.anchor)
        first = path.parents[len(inside.parts) - 2] if len(inside.parts) > 1 else None
        is_path = path.suffix in _SUFFIXES or os.path.lexists(path) or (first is not None and first.is_dir())
    except (OSError, ValueError):  # too long, or with a NUL
        is_path = False
    return show(str(path)) if is_path else UNSHOWN
