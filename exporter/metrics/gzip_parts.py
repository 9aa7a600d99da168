"""One gzip file from parts, each of which was compressed on its own.

A part that did not change is not compressed again.  Parts end on byte boundaries and refer to nothing outside, so they
can be joined in any order.  The checksum of the whole is made from theirs.

Source: RFC 1951, RFC 1952.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from isal import isal_zlib  # five times as fast as zlib, which would be most of a scrape's cost

LEVEL = 1
"""The levels above save one byte in two hundred."""

_RAW = -isal_zlib.MAX_WBITS
_GZIP = 16 + isal_zlib.MAX_WBITS
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # deflate, no name, no time, unknown system: the same each time
_END = b"\x03\x00"  # an empty last block


class Part(NamedTuple):
    """`size` bytes, deflated; `checksum` is their CRC-32."""

    deflated: bytes
    size: int
    checksum: int


def part(content: bytes) -> Part:
    """`content` compressed; lets other threads run meanwhile."""
    compressor = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, _RAW)
    deflated = compressor.compress(content) + compressor.flush(isal_zlib.Z_FULL_FLUSH)
    return Part(deflated, len(content), isal_zlib.crc32(content))


def member(parts: Iterable[Part]) -> bytes:
    """The gzip file that holds the contents of `parts`, one after the other."""
    pieces, size, checksum = [_HEADER], 0, 0
    for one in parts:
        pieces.append(one.deflated)
        size += one.size
        checksum = isal_zlib.crc32_combine(checksum, one.checksum, one.size)
    trailer = checksum.to_bytes(4, "little") + (size % 2**32).to_bytes(4, "little")
    return b"".join([*pieces, _END, trailer])


def content(compressed: bytes) -> bytes:
    """What a gzip file of ours holds."""
    return isal_zlib.decompress(compressed, _GZIP)
