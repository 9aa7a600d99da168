"""Read a file that someone named: a regular one only, and no more of it than asked for."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

_CURES = {
    errno.ENOENT: "create it, or mend the path",
    errno.EACCES: "mend the permissions of the file and of the folders above it",
    errno.ELOOP: "mend the symbolic links, which lead in a circle",
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
        raise ValueError("cannot be read: its name holds a NUL character; mend the path") from None
    raise ValueError("is not a regular file; name a file")
