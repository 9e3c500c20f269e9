"""Hashes of names: known answers, and a plain reading of the definition."""

from __future__ import annotations

import random

import pytest

from spirula.kernels.names import pure_rjenkins, rjenkins
from spirula.maps.strhash import StringHash, linux, str_hash

GOLDEN = 0x9E3779B9


def mixed(a: int, b: int, c: int) -> tuple[int, int, int]:
    """The nine lines of Jenkins' mix, all in 32 bits."""
    for right, left, last in ((13, 8, 13), (12, 16, 5), (3, 10, 15)):
        a = (a - b - c) % 2**32 ^ c >> right
        b = (b - c - a) % 2**32 ^ (a << left) % 2**32
        c = (c - a - b) % 2**32 ^ b >> last
    return a, b, c


def slow(name: bytes) -> int:
    a = b = GOLDEN
    c = 0
    rest = name
    while len(rest) >= 12:
        x, y, z = (int.from_bytes(rest[i : i + 4], "little") for i in (0, 4, 8))
        a, b, c = mixed((a + x) % 2**32, (b + y) % 2**32, (c + z) % 2**32)
        rest = rest[12:]
    c = (c + len(name) + (int.from_bytes(rest[8:], "little") << 8)) % 2**32
    a = (a + int.from_bytes(rest[:4], "little")) % 2**32
    b = (b + int.from_bytes(rest[4:8], "little")) % 2**32
    return mixed(a, b, c)[2]


def test_every_length():
    rng = random.Random(1)
    for size in range(80):
        for _ in range(20):
            name = rng.randbytes(size)
            assert rjenkins(name) == pure_rjenkins(name) == slow(name)


def test_long_names_stay_in_32_bits():
    name = b"\xff" * 4096
    assert rjenkins(name) == pure_rjenkins(name) == slow(name) < 2**32
    assert linux(name) < 2**32


@pytest.mark.parametrize(
    ("name", "expected"),
    [(b"", 0xBD49D10D), (b"foo", 0x7FC1F406), (b"rbd_directory", 0x30A98C1C)],
)
def test_known_answers(name, expected):
    assert rjenkins(name) == expected


def test_linux_by_hand():
    assert linux(b"\x12") == (0x120 + 0x1) * 11
    assert linux(b"\x12\x01") == ((0x121 * 11) + 0x10) * 11


def test_kinds():
    assert str_hash(StringHash.RJENKINS, b"foo") == rjenkins(b"foo")
    assert str_hash(StringHash.LINUX, b"foo") == linux(b"foo")
    assert str_hash(7, b"foo") == 0xFFFFFFFF
