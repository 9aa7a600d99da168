"""A mount that hangs, as if its server is down: a call that opens, reads or looks at a file in it never ends.

A FUSE file system whose server answers the first message only.  Only root may mount it.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_INIT = 26
_HEADER = struct.Struct("<IIQQIIII")
_INIT_OUT = struct.Struct("<IIIIHHIIHHI28x")
_ANSWER = struct.Struct("<IiQ")
_MNT_DETACH = 2


@contextmanager
def hanging_mount(folder: Path) -> Iterator[Path]:
    """`folder`, which hangs for the length of the block; skips the test if this user may not mount."""
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        pytest.skip(f"no FUSE here: {error}")
    options = f"fd={device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()},allow_other"
    if libc.mount(b"hanging", os.fsencode(folder), b"fuse", 0, options.encode()):
        os.close(device)
        pytest.skip(f"this user may not mount: {os.strerror(ctypes.get_errno())}")
    try:
        _, operation, unique, *_ = _HEADER.unpack_from(os.read(device, 1 << 16))
        assert operation == _INIT
        body = _INIT_OUT.pack(7, 31, 1 << 16, 0, 12, 9, 1 << 16, 1, 0, 0, 0)
        os.write(device, _ANSWER.pack(_ANSWER.size + len(body), 0, unique) + body)
        yield folder
    finally:
        libc.umount2(os.fsencode(folder), _MNT_DETACH)
        os.close(device)  # waiting calls get an error now
