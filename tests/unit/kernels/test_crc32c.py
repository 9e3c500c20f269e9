"""CRC-32C: known answers, chaining and buffers, the same for the native kernel and its twin."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spirula.kernels.crc32c import IMPLEMENTATION, crc32c, native_crc32c, pure_crc32c

twins = pytest.mark.parametrize("crc", [native_crc32c, pure_crc32c], ids=["native", "pure"])

# Seeds, data and registers that upstream publishes in src/test/common/test_crc32c.cc.
KNOWN = [
    (0, b"foo bar baz", 4119623852),
    (1234, b"foo bar baz", 881700046),
    (0, b"whiz bang boom", 2360230088),
    (5678, b"whiz bang boom", 3743019208),
    (0, b"\x01" * 5, 2715569182),
    (0, b"\x01" * 35, 440531800),
    (0, b"\x01" * 4096000, 31583199),
    (1234, b"\x01" * 4096000, 1400919119),
]


@twins
@pytest.mark.parametrize(("seed", "data", "register"), KNOWN)
def test_known_answers(crc, seed, data, register):
    assert crc(seed, data) == register


@twins
def test_inverted_at_both_ends_it_is_the_crc_of_iscsi(crc):
    assert crc(0xFFFFFFFF, b"123456789") ^ 0xFFFFFFFF == 0xE3069283


@twins
@pytest.mark.parametrize("seed", [0, 1, 0xDEADBEEF, 0xFFFFFFFF])
def test_nothing_leaves_the_register_as_it_was(crc, seed):
    assert crc(seed, b"") == seed


@given(st.binary(max_size=200), st.integers(0, 2**32 - 1))
def test_the_twins_agree(data, seed):
    assert pure_crc32c(seed, data) == native_crc32c(seed, data)


def test_the_twins_agree_on_what_is_summed_in_several_ways():
    """Long buffers go through wide registers first, and what is behind them through others."""
    rng = random.Random(5)
    content = memoryview(rng.randbytes(20_000))
    sizes = [*range(250, 260), *range(1000, 1300), 4095, 4096, 4097, 12_287, 12_288, 19_000]
    for size in sizes:
        start, seed = rng.randrange(1000), rng.choice([0, 0xFFFFFFFF, rng.getrandbits(32)])
        piece = content[start : start + size]
        assert pure_crc32c(seed, piece) == native_crc32c(seed, piece)
        cut = rng.randrange(size)
        assert native_crc32c(native_crc32c(seed, piece[:cut]), piece[cut:]) == pure_crc32c(
            seed, piece
        )


@given(st.binary(max_size=100), st.binary(max_size=100), st.integers(0, 2**32 - 1))
def test_pieces_chain(first, second, seed):
    assert crc32c(crc32c(seed, first), second) == crc32c(seed, first + second)


@twins
def test_any_contiguous_buffer_serves(crc):
    data = bytes(range(100))
    whole = crc(7, data[10:90])
    assert crc(7, memoryview(data)[10:90]) == whole
    assert crc(7, bytearray(data[10:90])) == whole
    assert crc(7, memoryview(bytearray(data)).toreadonly()[10:90]) == whole


def test_the_native_kernel_is_in_use_here():
    assert IMPLEMENTATION == "native"
    assert crc32c is native_crc32c
