"""Checksums of stored data, one for each block: made when it is written, checked at every read.

Kinds and values are BlueStore's (upstream `src/common/Checksummer.h`): all begin with all ones;
CRC-32C whole or its lowest bits where space counts more, or an xxHash. For the object store on
disk.
"""

from __future__ import annotations

from array import array
from enum import IntEnum

import xxhash

from spirula.errors import InvalidArgument, InvariantBroken
from spirula.kernels.blocks import sum_blocks
from spirula.kernels.crc32c import crc32c
from spirula.types.transaction import Buffer


class ChecksumType(IntEnum):
    """What is kept of each block (upstream Checksummer::CSumType)."""

    NONE = 1
    XXHASH32 = 2
    XXHASH64 = 3
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


SEED = 0xFFFFFFFF
"""What a CRC-32C starts from."""
_SEED_64 = 0xFFFFFFFFFFFFFFFF
MASKS = {
    ChecksumType.NONE: 0,
    ChecksumType.CRC32C: 0xFFFFFFFF,
    ChecksumType.CRC32C_16: 0xFFFF,
    ChecksumType.CRC32C_8: 0xFF,
}
"""Of kinds that can be had from a CRC-32C, which bits of it they are."""
CODES = dict.fromkeys(ChecksumType, "I") | {ChecksumType.XXHASH64: "Q"}
"""Codes of arrays that hold checksums in memory."""
_STORED = CODES | {
    ChecksumType.NONE: "",
    ChecksumType.CRC32C_16: "H",
    ChecksumType.CRC32C_8: "B",
}
WIDTHS = {kind: array(code).itemsize if code else 0 for kind, code in _STORED.items()}
"""Bytes that each checksum takes where it is stored: their lowest ones."""


def checksum(kind: ChecksumType, block: Buffer) -> int:
    """The checksum of one block."""
    if kind in MASKS:
        return crc32c(SEED, block) & MASKS[kind]
    if kind == ChecksumType.XXHASH32:
        return xxhash.xxh32_intdigest(block, SEED)
    return xxhash.xxh64_intdigest(block, _SEED_64)


def checksums(kind: ChecksumType, data: Buffer, block: int) -> array[int]:
    """The checksums of all blocks of `block` bytes. InvariantBroken unless the data is whole ones.

    Of `NONE` they are zeros.
    """
    size = len(data)
    if size % block:
        raise InvariantBroken(f"{size} bytes of data are no whole blocks of {block}")
    if kind not in MASKS:
        view = memoryview(data)
        found = [checksum(kind, view[at : at + block]) for at in range(0, size, block)]
        return array(CODES[kind], found)
    sums = array("I", bytes(size // block * 4))
    if kind == ChecksumType.NONE:
        return sums
    sum_blocks(data, block, sums)
    return narrowed(kind, sums)


def narrowed(kind: ChecksumType, sums: array[int]) -> array[int]:
    """What CRC-32Cs (some bits of them, at least those) are as checksums of a kind in `MASKS`."""
    if kind == ChecksumType.CRC32C:
        return sums
    mask = MASKS[kind]
    return array("I", [value & mask for value in sums])


def unpacked(kind: ChecksumType, data: bytes, at: int, count: int) -> tuple[array[int], int]:
    """So many checksums from the bytes that each has (`WIDTHS`), and where they end.

    ValueError if there are fewer.
    """
    code = _STORED[kind]
    if not code:
        return array("I", bytes(4 * count)), at
    stored = array(code)
    end = at + count * stored.itemsize
    stored.frombytes(data[at:end])
    if len(stored) != count:
        raise ValueError(f"{len(stored)} of {count} checksums")
    return stored if code == CODES[kind] else array(CODES[kind], stored), end
