"""The hash that placement rests on: Robert Jenkins' 32-bit mix, of two to four numbers.

The functions are the compiled twins where they were built, else those in Python; `IMPLEMENTATION`
says which. All arguments and results are 32 bits; negative ones count as their two's complement.
Called by `spirula.crush.mapper` and `spirula.maps.placement`; of many numbers at once:
`spirula.kernels.jenkins`. Upstream: `src/crush/hash.c`.
"""

from __future__ import annotations

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

_SEED = 1315423911
_X, _Y = 231232, 1232
_MASK = 0xFFFFFFFF


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    a = (a - b - c ^ c >> 13) & _MASK
    b = (b - c - a ^ a << 8) & _MASK
    c = (c - a - b & _MASK) ^ b >> 13
    a = (a - b - c & _MASK) ^ c >> 12
    b = (b - c - a ^ a << 16) & _MASK
    c = (c - a - b & _MASK) ^ b >> 5
    a = (a - b - c & _MASK) ^ c >> 3
    b = (b - c - a ^ a << 10) & _MASK
    c = (c - a - b & _MASK) ^ b >> 15
    return a, b, c


def pure_hash32_2(a: int, b: int) -> int:
    """The twin in Python: about 4 us."""
    a &= _MASK
    b &= _MASK
    a, b, h = _mix(a, b, _SEED ^ a ^ b)
    _, a, h = _mix(_X, a, h)
    _, _, h = _mix(b, _Y, h)
    return h


def pure_hash32_3(a: int, b: int, c: int) -> int:
    """The twin in Python: about 7 us."""
    a &= _MASK
    b &= _MASK
    c &= _MASK
    a, b, h = _mix(a, b, _SEED ^ a ^ b ^ c)
    c, x, h = _mix(c, _X, h)
    y, a, h = _mix(_Y, a, h)
    _, _, h = _mix(b, x, h)
    _, _, h = _mix(y, c, h)
    return h


def pure_hash32_4(a: int, b: int, c: int, d: int) -> int:
    """The twin in Python: about 8 us."""
    a &= _MASK
    b &= _MASK
    c &= _MASK
    d &= _MASK
    a, b, h = _mix(a, b, _SEED ^ a ^ b ^ c ^ d)
    c, d, h = _mix(c, d, h)
    a, x, h = _mix(a, _X, h)
    y, b, h = _mix(_Y, b, h)
    c, x, h = _mix(c, x, h)
    _, _, h = _mix(y, d, h)
    return h


hash32_2: Callable[[int, int], int] = pure_hash32_2 if _native is None else _native.hash32_2
"""Of two numbers."""
hash32_3: Callable[[int, int, int], int] = pure_hash32_3 if _native is None else _native.hash32_3
"""Of three numbers."""
hash32_4: Callable[[int, int, int, int], int] = (
    pure_hash32_4 if _native is None else _native.hash32_4
)
"""Of four numbers."""
