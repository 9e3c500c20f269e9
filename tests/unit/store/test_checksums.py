from __future__ import annotations

import random

import pytest

from spirula.errors import InvalidArgument, InvariantBroken
from spirula.store.checksums import ChecksumType, checksums, verify

SIZES = {ChecksumType.CRC32C: 4, ChecksumType.CRC32C_16: 2, ChecksumType.CRC32C_8: 1}
DATA = random.Random(1).randbytes(5 * 4096)


def test_known_values():
    """CRC-32C of "123456789" is e3069283; without the inversion at the end, 1cf96d7c."""
    assert checksums(ChecksumType.CRC32C, b"123456789", 9) == bytes.fromhex("7c6df91c")
    assert checksums(ChecksumType.CRC32C_16, b"123456789", 9) == bytes.fromhex("7c6d")
    assert checksums(ChecksumType.CRC32C_8, b"123456789", 9) == bytes.fromhex("7c")
    assert checksums(ChecksumType.NONE, b"123456789", 9) == b""


@pytest.mark.parametrize("kind", SIZES)
def test_any_flipped_bit_is_found(kind):
    sums = checksums(kind, DATA, 4096)
    assert len(sums) == 5 * SIZES[kind]
    assert verify(kind, memoryview(DATA), 4096, memoryview(sums)) is None
    rng, missed = random.Random(2), 0
    for _ in range(100):
        changed = bytearray(DATA)
        at = rng.randrange(len(DATA))
        changed[at] ^= 1 << rng.randrange(8)
        mismatch = verify(kind, changed, 4096, sums)
        if mismatch is None:
            missed += 1
        else:
            assert mismatch.offset == at - at % 4096
            block = at // 4096 * SIZES[kind]
            kept = int.from_bytes(sums[block : block + SIZES[kind]], "little")
            assert mismatch.expected == kept != mismatch.found
    assert missed == 0 if kind == ChecksumType.CRC32C else missed < 10


def test_the_first_of_several_is_told():
    sums = bytearray(checksums(ChecksumType.CRC32C, DATA, 4096))
    sums[4] ^= 1
    sums[12] ^= 1
    mismatch = verify(ChecksumType.CRC32C, DATA, 4096, sums)
    assert mismatch
    assert (mismatch.offset, mismatch.expected ^ mismatch.found) == (4096, 1)
    assert str(mismatch).startswith("checksum at 0x1000 is 0x")


def test_none_checks_nothing():
    assert verify(ChecksumType.NONE, DATA, 4096, b"") is None


def test_what_is_not_whole():
    with pytest.raises(InvariantBroken, match="no whole blocks"):
        checksums(ChecksumType.CRC32C, DATA[:-1], 4096)
    with pytest.raises(InvariantBroken, match="for 5 blocks"):
        verify(ChecksumType.CRC32C, DATA, 4096, bytes(16))


def test_names():
    assert ChecksumType.parse("crc32c_16") == ChecksumType.CRC32C_16
    with pytest.raises(InvalidArgument, match="use none, crc32c, crc32c_16, crc32c_8"):
        ChecksumType.parse("md5")
