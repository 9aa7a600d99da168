"""The standard streams: none of their faults stops the work that was asked for.

A stream may be closed, a full device, a pipe that nobody reads, or have another encoding than UTF-8.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
from collections.abc import Iterator
from typing import Any

STDIN, STDOUT, STDERR = range(3)


class _Stream(io.RawIOBase):
    """A descriptor without a buffer; bytes that it does not take are lost, and `fault` says why."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self.fault: OSError | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: Any, /) -> int:
        try:
            write_all(self._descriptor, bytes(data))
        except OSError as error:
            self.fault = error
        return len(data)


_stdout, _stderr = _Stream(STDOUT), _Stream(STDERR)


def prepare() -> None:
    """Open the null device for each closed stream, and make output UTF-8 that no character fails.

    Otherwise the next file or socket gets the descriptor of the closed stream, and log lines are written into it.
    """
    for descriptor in (STDIN, STDOUT, STDERR):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free descriptor, which is this one
    sys.stdout = io.TextIOWrapper(_stdout, "utf-8", "backslashreplace", write_through=True)
    sys.stderr = io.TextIOWrapper(_stderr, "utf-8", "backslashreplace", write_through=True)


def write_out(content: bytes) -> None:
    """Write to stdout; raises OSError, with a text for the user, if it did not take all, now or before."""
    if content:  # a full device refuses even an empty write
        _stdout.write(content)
    fault, _stdout.fault = _stdout.fault, None
    if fault is not None:
        raise OSError(f"stdout cannot be written: {(fault.strerror or str(fault)).lower()}")


@contextlib.contextmanager
def checked(failed: int) -> Iterator[None]:
    """Check at the end of the block that stdout took all; else write one line to stderr and exit with `failed`.

    For text that others print, such as argparse's help.
    """
    try:
        yield
    finally:
        try:
            write_out(b"")
        except OSError as fault:
            sys.stderr.write(f"{fault}\n")
            raise SystemExit(failed) from None


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`, however long that takes; raises OSError."""
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:  # another process that shares the terminal or pipe set it to non-blocking
            select.select([], [descriptor], [])
