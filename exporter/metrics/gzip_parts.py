"""One gzip member put together from parts that were compressed before, each on its own.

A part that did not change since it was compressed costs nothing but its bytes.  Parts end on byte boundaries and refer
to nothing outside themselves, so that their order is free; the member's checksum is worked out from theirs.

Source: RFC 1951, RFC 1952; for the checksum of a concatenation zlib's crc32_combine, which Python does not offer.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from isal import isal_zlib  # five times as fast as zlib, which would be most of a scrape's cost

LEVEL = 1
"""As small as zlib's level 1; the levels above save one byte in two hundred."""

_RAW = -isal_zlib.MAX_WBITS
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"  # deflate, no name, no time, unknown system: the same each time
_END = b"\x03\x00"  # an empty last block
_POLYNOMIAL = 0xEDB88320
_ONE = 1 << 31  # polynomials have their highest power in the lowest bit


class Part(NamedTuple):
    """`size` bytes, deflated; `checksum` is their CRC-32, `shift` what that of all before them is multiplied by."""

    deflated: bytes
    size: int
    checksum: int
    shift: int


def part(content: bytes) -> Part:
    """`content` compressed; lets other threads run meanwhile."""
    compressor = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, _RAW)
    deflated = compressor.compress(content) + compressor.flush(isal_zlib.Z_FULL_FLUSH)
    return Part(deflated, len(content), isal_zlib.crc32(content), _shift(len(content)))


def member(parts: Iterable[Part]) -> bytes:
    """The gzip file that holds the contents of `parts`, one after the other."""
    pieces, size, checksum = [_HEADER], 0, 0
    for one in parts:
        pieces.append(one.deflated)
        size += one.size
        checksum = _product(checksum, one.shift) ^ one.checksum
    trailer = checksum.to_bytes(4, "little") + (size % 2**32).to_bytes(4, "little")
    return b"".join([*pieces, _END, trailer])


def _shift(size: int) -> int:
    """The power of x that is eight times `size`, modulo the CRC's polynomial."""
    found, power = _ONE, 3
    while size:
        if size & 1:
            found = _product(found, _power(power))
        size >>= 1
        power += 1
    return found


@lru_cache(maxsize=64)
def _power(exponent: int) -> int:
    """The power of x that is 2 to the power of `exponent`."""
    return _ONE >> 1 if exponent == 0 else _product(_power(exponent - 1), _power(exponent - 1))


def _product(one: int, other: int) -> int:
    """The product of two polynomials modulo the CRC's."""
    found = 0
    while one:
        if one & _ONE:
            found ^= other
        one = (one << 1) & 0xFFFFFFFF
        other = other >> 1 ^ (_POLYNOMIAL if other & 1 else 0)
    return found
