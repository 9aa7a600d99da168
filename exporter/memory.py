"""What the interpreter and the C library do with the process's memory, made fit for many threads and much that stays.

Changes the process as a whole: called by whoever runs it, never at import.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc

GC_THRESHOLD = 10_000
"""Net new objects between two runs of the collector: more than a scrape makes for a moment, so that none meets one."""

MAX_ARENAS = 2
"""glibc gives threads heaps of their own, here up to 16, and what is freed in one serves no other: with hundreds of
polling threads 10 MiB lie idle.  The interpreter lets one thread allocate at a time anyway."""

MMAP_BYTES = 1024 * 1024
"""What is larger goes back to the system as soon as it is freed.  glibc raises this bound up to 32 MiB by itself, and
then keeps scrapes of many megabytes that nobody holds any more."""

_M_ARENA_MAX, _M_MMAP_THRESHOLD = -8, -3
"""glibc's malloc.h."""


def tune() -> None:
    """Before threads are started, once a process."""
    gc.set_threshold(GC_THRESHOLD)
    with contextlib.suppress(OSError, AttributeError):  # another C library has no such call, nor the trouble
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, MAX_ARENAS)
        mallopt(_M_MMAP_THRESHOLD, MMAP_BYTES)


def freeze_gc() -> None:
    """Take what is there now out of the collector's sight.

    It lives as long as the configuration does, and looking for garbage in 10,000 numbers stops every thread for 100 ms
    again and again.  What was taken out before is looked at once more, since part of it may have become garbage.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """Give memory that is free between what stays back to the system, as after a crowd of connections.

    glibc does so by itself only at the end of its heaps.  Takes milliseconds, during which other threads run.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
