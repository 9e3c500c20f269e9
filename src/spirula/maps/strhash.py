"""The hashes of object names that decide on an object's PG.

Called by `placement` for every object that a client names. Format: upstream
`src/common/ceph_hash.cc`.
"""

from __future__ import annotations

from enum import IntEnum

from spirula.kernels.names import rjenkins

_MASK = 0xFFFFFFFF


class StringHash(IntEnum):
    """`PGPool.object_hash`: how names become numbers."""

    LINUX = 1
    RJENKINS = 2


def str_hash(kind: int, name: bytes) -> int:
    """The 32-bit hash of a name; all ones for a kind that does not exist, as upstream has it."""
    if kind == 2:  # RJENKINS; a member of the enumeration costs more than comparing numbers
        return rjenkins(name)
    if kind == StringHash.LINUX:
        return linux(name)
    return _MASK


def linux(name: bytes) -> int:
    """The hash of Linux' directory cache."""
    found = 0
    for byte in name:
        found = (found + (byte << 4) + (byte >> 4)) * 11 & _MASK
    return found
