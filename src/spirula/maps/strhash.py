"""The hashes of object names that decide on an object's PG.

Called by `placement` for every object that a client names, so they are written for speed. Format:
upstream `src/common/ceph_hash.cc`; the mixing is Robert Jenkins' of 1996 (evahash).
"""

from __future__ import annotations

import struct as _struct
from enum import IntEnum

_GOLDEN = 0x9E3779B9
_MASK = 0xFFFFFFFF
_TWELVE = _struct.Struct("<III")


class StringHash(IntEnum):
    """`PGPool.object_hash`: how names become numbers."""

    LINUX = 1
    RJENKINS = 2


def str_hash(kind: int, name: bytes) -> int:
    """The 32-bit hash of a name; all ones for a kind that does not exist, as upstream has it."""
    if kind == StringHash.RJENKINS:
        return rjenkins(name)
    if kind == StringHash.LINUX:
        return linux(name)
    return _MASK


def rjenkins(name: bytes) -> int:
    """Jenkins' hash: 12 bytes at a time, then the rest and the length."""
    size = len(name)
    whole = size - size % 12
    rest = int.from_bytes(name[whole:], "little")
    blocks = [*_TWELVE.iter_unpack(name[:whole])]
    # the lowest byte of the last word is kept for the length
    blocks.append((rest & _MASK, rest >> 32 & _MASK, size + (rest >> 64 << 8)))
    a = b = _GOLDEN
    c = 0
    for x, y, z in blocks:
        # `a` is only ever shifted left: its carries and signs cannot reach the low 32 bits
        b += y
        c = c + z & _MASK
        a = a + x - b - c ^ c >> 13
        b = (b - c - a ^ a << 8) & _MASK
        c = (c - a - b & _MASK) ^ b >> 13
        a = a - b - c ^ c >> 12
        b = (b - c - a ^ a << 16) & _MASK
        c = (c - a - b & _MASK) ^ b >> 5
        a = a - b - c ^ c >> 3
        b = (b - c - a ^ a << 10) & _MASK
        c = (c - a - b & _MASK) ^ b >> 15
    return c


def linux(name: bytes) -> int:
    """The hash of Linux' directory cache."""
    found = 0
    for byte in name:
        found = (found + (byte << 4) + (byte >> 4)) * 11 & _MASK
    return found
