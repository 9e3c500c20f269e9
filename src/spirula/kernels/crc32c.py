"""CRC-32C in Ceph's convention: a running register, seeded by the caller, not inverted at the end.

Checksums of frames, of BlueStore blobs and of placement-group logs are all this function. It is
not the CRC-32C of iSCSI or of most libraries: those start at zero and invert the register before
and after. Called by the messenger for every frame, by the stores and by types that carry a CRC.
`IMPLEMENTATION` says which twin `crc32c` is; daemons log it at start.
"""

from __future__ import annotations

import functools
import importlib.util
from importlib.machinery import PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer


def _load_native() -> Callable[[Buffer, int], int] | None:
    """The function of the package `crc32c`, or None where it has no wheel (slow, but all works).

    Its compiled module alone: the package around it reads its own metadata with
    `importlib.metadata` and `email`, which is a good part of what importing `spirula.rados` takes.
    """
    package = importlib.util.find_spec("crc32c")
    if package is None:
        return None
    spec = PathFinder.find_spec("_crc32c", package.submodule_search_locations)
    if spec is None or spec.loader is None:
        return None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function: Callable[[Buffer, int], int] = module.crc32c
    return function


_compiled: ModuleType | None
try:
    from spirula.kernels import _frames

    _compiled = _frames
except ImportError:  # no compiler when it was installed
    _compiled = None
_inverting: Any = _load_native() if _compiled is None else None
IMPLEMENTATION = "pure" if _compiled is None and _inverting is None else "native"

_INVERT = 0xFFFFFFFF
_POLYNOMIAL_REFLECTED = 0x82F63B78


@functools.cache
def _tables() -> list[list[int]]:
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


def pure_crc32c(seed: int, data: Buffer) -> int:
    """The twin in Python: same arguments, same results, about 10 MB/s."""
    t0, t1, t2, t3, t4, t5, t6, t7 = _tables()
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


def _packaged_crc32c(seed: int, data: Buffer) -> int:
    """The same through the `crc32c` package, whose calls take four times as long."""
    register: int = _inverting(data, seed ^ _INVERT) ^ _INVERT
    return register


native_crc32c: Callable[[int, Buffer], int] = (
    _packaged_crc32c if _compiled is None else _compiled.crc32c
)
"""The processor's instruction: tens of GB/s, 0.05 us a call."""
crc32c: Callable[[int, Buffer], int] = native_crc32c if IMPLEMENTATION == "native" else pure_crc32c
"""The CRC-32C register after `data`, started from `seed` (both 32-bit).

`data` is any contiguous buffer and is not copied. Pieces chain: the result of one is the seed of
the next. Frames use the seed 0xFFFFFFFF for payloads and 0 for preambles (upstream
`common/crc32c.h`).
"""
