"""The standard streams, made fit for use: whatever they are, they cost no work that was asked for.

A stream may be closed, a full device, a pipe that nobody reads, or text of another encoding than UTF-8.
"""

from __future__ import annotations

import io
import os
import select
import sys
from types import TracebackType
from typing import Any, Self

STDIN, STDOUT, STDERR = range(3)


class _Stream(io.RawIOBase):
    """A descriptor without a buffer; what it does not take is lost, and `fault` then says why."""

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
    """Put the null device in the place of closed streams, and make output UTF-8 that is never refused.

    Else the next file or socket gets the descriptor of the closed stream, and a log line lands in the store.
    """
    for descriptor in (STDIN, STDOUT, STDERR):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free descriptor, which is this one
    sys.stdout = io.TextIOWrapper(_stdout, "utf-8", "backslashreplace", write_through=True)
    sys.stderr = io.TextIOWrapper(_stderr, "utf-8", "backslashreplace", write_through=True)


def write_out(content: bytes) -> None:
    """Write to stdout; raises OSError, with a text for the user, where it does not take all, now or before."""
    if content:  # a full device refuses nothing as well
        _stdout.write(content)
    fault, _stdout.fault = _stdout.fault, None
    if fault is not None:
        raise OSError(f"stdout cannot be written: {(fault.strerror or str(fault)).lower()}")


class Checked:
    """Looks at its end whether stdout took all; if not, one line on stderr says so and the exit status is `failed`.

    For text that others print, such as the help of argparse.
    """

    def __init__(self, failed: int) -> None:
        self._failed = failed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            write_out(b"")
        except OSError as fault:
            sys.stderr.write(f"{fault}\n")
            raise SystemExit(self._failed) from None


def write_all(descriptor: int, data: bytes) -> None:
    """Write `data` whole, waiting for as long as it takes; raises OSError where that fails."""
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:  # somebody else who has the terminal or pipe made it so
            select.select([], [descriptor], [])
