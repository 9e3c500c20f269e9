"""Compressors: upstream's framings byte by byte, and what happens to damage and to bombs."""

from __future__ import annotations

import random
import struct
import zlib

import lz4.block
import pytest

from spirula.errors import LimitExceeded, WireError
from spirula.kernels.compressors import BY_NAME, Lz4, Snappy, Zlib, Zstd

TEXT = b"the quick brown fox jumps over the lazy dog. " * 100
KINDS = [pytest.param(make(), id=name) for name, make in BY_NAME.items()]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("data", [b"x", TEXT, bytes(100_000), random.Random(1).randbytes(5000)])
@pytest.mark.parametrize("view", [bytes, bytearray, memoryview])
def test_what_goes_in_comes_out(kind: Zlib, data: bytes, view: type) -> None:
    packed = kind.compress(view(data))
    assert kind.decompress(view(packed), len(data)) == data


@pytest.mark.parametrize("kind", KINDS)
def test_text_gets_smaller(kind: Zlib) -> None:
    assert len(kind.compress(TEXT)) < len(TEXT) // 10


@pytest.mark.parametrize("kind", KINDS)
def test_more_than_allowed_is_refused(kind: Zlib) -> None:
    with pytest.raises(LimitExceeded):
        kind.decompress(kind.compress(bytes(1 << 20)), (1 << 20) - 1)


@pytest.mark.parametrize("kind", KINDS)
def test_damage_raises_only_wire_errors(kind: Zlib) -> None:
    packed = kind.compress(TEXT)
    rng = random.Random(2)
    for size in range(0, len(packed), 7):
        with pytest.raises(WireError):
            kind.decompress(packed[:size], len(TEXT))
    for _ in range(500):
        bad = bytearray(packed)
        bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        try:
            kind.decompress(bytes(bad), len(TEXT))
        except WireError:
            continue


def test_framings() -> None:
    assert Zlib().compress(TEXT)[:1] == b"\0"
    assert zlib.decompress(Zlib().compress(TEXT)[1:], -15) == TEXT
    assert Zlib().decompress(b"\x01" + Zlib().compress(TEXT)[1:], len(TEXT)) == TEXT
    assert Zstd().compress(TEXT)[:8] == struct.pack("<I", len(TEXT)) + b"\x28\xb5\x2f\xfd"
    block = lz4.block.compress(TEXT, store_size=False)
    assert Lz4().compress(TEXT) == struct.pack("<III", 1, len(TEXT), len(block)) + block
    assert Snappy().compress(b"a")[0] == 1


def test_an_lz4_block_may_refer_to_the_one_before() -> None:
    first = lz4.block.compress(TEXT, store_size=False)
    second = lz4.block.compress(TEXT, store_size=False, dict=TEXT)
    assert len(second) < len(first)
    head = struct.pack("<IIIII", 2, len(TEXT), len(first), len(TEXT), len(second))
    assert Lz4().decompress(head + first + second, 2 * len(TEXT)) == TEXT * 2


def test_absurd_lengths_take_no_memory() -> None:
    for kind, data in (
        (Zstd(), b"\xff\xff\xff\xff" + Zstd().compress(TEXT)[4:]),
        (Lz4(), b"\xff\xff\xff\xff" + bytes(100)),
        (Lz4(), struct.pack("<III", 1, 0xFFFFFFFF, 5) + b"12345"),
        (Snappy(), b"\xff\xff\xff\xff\x0f" + b"abc"),
    ):
        with pytest.raises(LimitExceeded):
            kind.decompress(data, 1 << 20)
