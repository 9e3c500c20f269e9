"""Jenkins' hash of a name: what decides on an object's PG, asked for at every operation.

`rjenkins` is the compiled twin where it was built, else the one in Python; `IMPLEMENTATION` says
which. Called by `spirula.maps.strhash`. Format: upstream `src/common/ceph_hash.cc`; the mixing is
that of 1996 (evahash).
"""

from __future__ import annotations

import struct as _struct
from types import ModuleType
from typing import TYPE_CHECKING

_native: ModuleType | None
try:
    from spirula.kernels import _placement

    _native = _placement
except ImportError:  # no compiler when it was installed: slower, but everything works
    _native = None

if TYPE_CHECKING:
    from collections.abc import Callable

IMPLEMENTATION = "pure" if _native is None else "native"

_GOLDEN = 0x9E3779B9
_MASK = 0xFFFFFFFF
_TWELVE = _struct.Struct("<III")


def pure_rjenkins(name: bytes) -> int:
    """The twin in Python: about 1.5 us for a name of 30 bytes."""
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


rjenkins: Callable[[bytes], int] = pure_rjenkins if _native is None else _native.rjenkins
"""The 32-bit hash of a name: 12 bytes at a time, then the rest and the length."""
