"""Checksums of stored data, one for each block: made when it is written, checked at every read.

Kinds and values are BlueStore's (upstream `src/common/Checksummer.h`): CRC-32C from all ones,
whole or its lowest bits where space counts more. For the object store on disk.
"""

from __future__ import annotations

import sys
from array import array
from dataclasses import dataclass
from enum import IntEnum

from spirula.errors import InvalidArgument, InvariantBroken
from spirula.kernels.crc32c import crc32c
from spirula.types.transaction import Buffer


class ChecksumType(IntEnum):
    """What is kept of each block (upstream Checksummer::CSumType); the others are absent."""

    NONE = 1
    CRC32C = 4
    CRC32C_16 = 5
    CRC32C_8 = 6

    @classmethod
    def parse(cls, text: str) -> ChecksumType:
        """The kind that an option names (`crc32c_16`). InvalidArgument otherwise."""
        try:
            return cls[text.upper()]
        except KeyError:
            names = ", ".join(kind.name.lower() for kind in cls)
            raise InvalidArgument(f"{text!r} is no kind of checksum: use {names}") from None


_CODES = {ChecksumType.CRC32C: "I", ChecksumType.CRC32C_16: "H", ChecksumType.CRC32C_8: "B"}
_MASKS = {ChecksumType.CRC32C: ~0, ChecksumType.CRC32C_16: 0xFFFF, ChecksumType.CRC32C_8: 0xFF}
_ALL_ONES = 0xFFFFFFFF


@dataclass(slots=True, frozen=True)
class Mismatch:
    """The first block that is not what was written: its offset in the data, and both checksums."""

    offset: int
    expected: int
    found: int

    def __str__(self) -> str:
        return f"checksum at {self.offset:#x} is {self.found:#x}, expected {self.expected:#x}"


def checksums(kind: ChecksumType, data: Buffer, block: int) -> bytes:
    """The checksums of all blocks of `block` bytes, little-endian, one behind the other.

    InvariantBroken unless the data is whole blocks.
    """
    return b"" if kind == ChecksumType.NONE else _stored(_calculated(kind, data, block))


def verify(kind: ChecksumType, data: Buffer, block: int, sums: Buffer) -> Mismatch | None:
    """None if the data has these checksums, else where it first has not.

    InvariantBroken unless the data is whole blocks, with a checksum for each.
    """
    if kind == ChecksumType.NONE:
        return None
    found = _calculated(kind, data, block)
    if len(sums) != len(found) * found.itemsize:
        raise InvariantBroken(f"{len(sums)} bytes of checksums for {len(found)} blocks")
    if _stored(found) == sums:
        return None
    expected = array(_CODES[kind], bytes(sums))
    if sys.byteorder == "big":
        expected.byteswap()
    pairs = enumerate(zip(expected, found, strict=True))
    number, (wanted, got) = next(pair for pair in pairs if pair[1][0] != pair[1][1])
    return Mismatch(number * block, wanted, got)


def _calculated(kind: ChecksumType, data: Buffer, block: int) -> array[int]:
    size = len(data)
    if size % block:
        raise InvariantBroken(f"{size} bytes of data are no whole blocks of {block}")
    view, mask = memoryview(data), _MASKS[kind]
    found = [crc32c(_ALL_ONES, view[at : at + block]) & mask for at in range(0, size, block)]
    return array(_CODES[kind], found)


def _stored(sums: array[int]) -> bytes:
    if sys.byteorder == "big":
        sums = sums[:]
        sums.byteswap()
    return sums.tobytes()
