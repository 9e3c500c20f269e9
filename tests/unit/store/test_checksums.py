from __future__ import annotations

import random
from array import array

import pytest

from spirula.errors import InvalidArgument, InvariantBroken
from spirula.store.checksums import ChecksumType, checksum, checksums, unpacked
from spirula.store.disk.onode import Shard, encode_shard

SIZES = {
    ChecksumType.NONE: 0,
    ChecksumType.XXHASH32: 4,
    ChecksumType.XXHASH64: 8,
    ChecksumType.CRC32C: 4,
    ChecksumType.CRC32C_16: 2,
    ChecksumType.CRC32C_8: 1,
}


def packed(kind, sums):
    """Checksums as the record of a shard has them at its end."""
    return encode_shard(Shard(kind, array("Q", range(1, len(sums) + 1)), sums))[14:]


def test_known_values():
    """CRC-32C of "123456789" is e3069283; without the inversion at the end, 1cf96d7c."""

    def kept(kind):
        return packed(kind, checksums(kind, b"123456789", 9))

    assert kept(ChecksumType.CRC32C) == bytes.fromhex("7c6df91c")
    assert kept(ChecksumType.CRC32C_16) == bytes.fromhex("7c6d")
    assert kept(ChecksumType.CRC32C_8) == bytes.fromhex("7c")
    assert kept(ChecksumType.NONE) == b""


@pytest.mark.parametrize("kind", SIZES)
def test_all_blocks_at_once_and_back_from_their_bytes(kind):
    data = random.Random(1).randbytes(5 * 4096)
    sums = checksums(kind, memoryview(data), 4096)
    each = [checksum(kind, data[at : at + 4096]) for at in range(0, len(data), 4096)]
    assert list(sums) == each
    assert len(set(each)) == (1 if kind == ChecksumType.NONE else 5)
    assert max(each) < 1 << 8 * SIZES[kind] or kind == ChecksumType.NONE
    stored = packed(kind, sums)
    assert len(stored) == 5 * SIZES[kind]
    assert unpacked(kind, b".." + stored + b".", 2, 5) == (sums, 2 + len(stored))
    if stored:
        with pytest.raises(ValueError, match=r"multiple|of 5 checksums"):
            unpacked(kind, stored[:-1], 0, 5)
    with pytest.raises(InvariantBroken, match="no whole blocks"):
        checksums(kind, data[:-1], 4096)


def test_names():
    assert ChecksumType.parse("crc32c_16") == ChecksumType.CRC32C_16
    with pytest.raises(InvalidArgument, match="use none, xxhash32, xxhash64, crc32c, "):
        ChecksumType.parse("md5")
