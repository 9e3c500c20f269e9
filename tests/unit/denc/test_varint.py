"""Short numbers: known encodings, every size, and what does not fit."""

from __future__ import annotations

import random

import pytest

from spirula.denc.varint import (
    get_lba,
    get_varint,
    get_varint_lowz,
    put_lba,
    put_varint,
    put_varint_lowz,
)
from spirula.errors import WireError

KINDS = {
    "varint": (put_varint, get_varint),
    "varint_lowz": (put_varint_lowz, get_varint_lowz),
    "lba": (put_lba, get_lba),
}


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("varint", 0, "00"),
        ("varint", 127, "7f"),
        ("varint", 128, "8001"),
        ("varint", 0x4000, "808001"),
        ("varint_lowz", 0, "00"),
        ("varint_lowz", 0x10, "05"),
        ("varint_lowz", 0x1000, "07"),
        ("varint_lowz", 0x100000, "8308"),
        ("lba", 0, "07000000"),
        ("lba", 0x1000, "02000000"),
        ("lba", 0x10000, "05000000"),
        ("lba", 0x100000, "0b000000"),
        ("lba", 1, "0f000000"),
    ],
)
def test_known_encodings(kind: str, value: int, expected: str) -> None:
    put, get = KINDS[kind]
    out = bytearray()
    put(out, value)
    assert out.hex() == expected
    assert get(bytes(out), 0) == (value, len(out))


@pytest.mark.parametrize("kind", ["varint", "lba"])
def test_numbers_of_every_size_come_back(kind: str) -> None:
    put, get = KINDS[kind]
    rng = random.Random(3)
    for bits in range(65):
        for _ in range(20):
            value = rng.getrandbits(bits) >> (cut := rng.choice([0, 4, 12, 16, 20, 24])) << cut
            out = bytearray(b"before")
            put(out, value)
            assert get(bytes(out) + b"after", 6) == (value, len(out))


def test_numbers_with_zeros_at_their_end_come_back() -> None:
    for value in range(0, 1 << 20, 273):
        for cut in (0, 4, 8, 12, 16):
            out = bytearray()
            put_varint_lowz(out, value << cut)
            assert get_varint_lowz(bytes(out), 0) == (value << cut, len(out))


@pytest.mark.parametrize("kind", ["varint", "lba"])
@pytest.mark.parametrize("value", [-1, 1 << 64])
def test_numbers_that_do_not_fit_are_refused(kind: str, value: int) -> None:
    with pytest.raises(ValueError, match="64 bits"):
        KINDS[kind][0](bytearray(), value)


@pytest.mark.parametrize("get", [get_varint, get_varint_lowz])
def test_endless_numbers_are_refused(get) -> None:
    with pytest.raises(WireError, match="64 bits"):
        get(b"\xff" * 1000, 0)
    with pytest.raises(IndexError):
        get(b"\xff\xff", 0)


def test_addresses_of_more_than_64_bits_are_refused() -> None:
    with pytest.raises(WireError, match="64 bits"):
        get_lba(b"\x00\x00\x00\x80" + b"\xff" * 8 + b"\x01", 0)
