"""CRC-32C in Ceph's convention: a running register, seeded by the caller, not inverted at the end.

Checksums of frames, of BlueStore blobs and of placement-group logs are all this function. It is
not the CRC-32C of iSCSI or of most libraries: those start at zero and invert the register before
and after. Called by the messenger for every frame, by the stores and by types that carry a CRC.
`IMPLEMENTATION` says which twin `crc32c` is; daemons log it at start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

try:
    from crc32c import crc32c as _inverting

    IMPLEMENTATION = "native"
except ImportError:  # no wheel for this platform: slow, but everything works
    IMPLEMENTATION = "pure"

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer

_INVERT = 0xFFFFFFFF
_POLYNOMIAL_REFLECTED = 0x82F63B78


def _make_tables() -> list[list[int]]:
    """Eight tables: `tables[k][b]` is what byte `b` does to the register `k` bytes later."""
    first = []
    for byte in range(256):
        register = byte
        for _ in range(8):
            register = register >> 1 ^ (_POLYNOMIAL_REFLECTED if register & 1 else 0)
        first.append(register)
    tables = [first]
    for _ in range(7):
        previous = tables[-1]
        tables.append([first[register & 0xFF] ^ register >> 8 for register in previous])
    return tables


_TABLES = _make_tables()


def pure_crc32c(seed: int, data: Buffer) -> int:
    """The twin in Python: same arguments, same results, about 10 MB/s."""
    t0, t1, t2, t3, t4, t5, t6, t7 = _TABLES
    view = memoryview(data).cast("B")
    register = seed
    whole = len(view) & ~7
    for at in range(0, whole, 8):
        a, b, c, d, e, f, g, h = view[at : at + 8]
        a ^= register & 0xFF
        b ^= register >> 8 & 0xFF
        c ^= register >> 16 & 0xFF
        d ^= register >> 24
        register = t7[a] ^ t6[b] ^ t5[c] ^ t4[d] ^ t3[e] ^ t2[f] ^ t1[g] ^ t0[h]
    for byte in view[whole:]:
        register = t0[(register ^ byte) & 0xFF] ^ register >> 8
    return register


def native_crc32c(seed: int, data: Buffer) -> int:
    """The processor's instruction, through the `crc32c` package: tens of GB/s, 0.1 us a call."""
    return _inverting(data, seed ^ _INVERT) ^ _INVERT


crc32c: Callable[[int, Buffer], int] = native_crc32c if IMPLEMENTATION == "native" else pure_crc32c
"""The CRC-32C register after `data`, started from `seed` (both 32-bit).

`data` is any contiguous buffer and is not copied. Pieces chain: the result of one is the seed of
the next. Frames use the seed 0xFFFFFFFF for payloads and 0 for preambles (upstream
`common/crc32c.h`).
"""
