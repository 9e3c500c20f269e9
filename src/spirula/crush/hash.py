"""The hash that placement rests on: Robert Jenkins' 32-bit mix, of one to five numbers.

All arguments and results are 32 bits; negative ones count as their two's complement. Upstream:
`src/crush/hash.c`. The vectorised twin is in `vector`.
"""

from __future__ import annotations

_SEED = 1315423911
_X, _Y = 231232, 1232
_MASK = 0xFFFFFFFF

RJENKINS1 = 0
"""The only hash there is, as buckets name it."""


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


def hash32(a: int) -> int:
    """Of one number."""
    a &= _MASK
    h = _SEED ^ a
    _, _, h = _mix(a, _X, h)
    _, _, h = _mix(_Y, a, h)
    return h


def hash32_2(a: int, b: int) -> int:
    """Of two numbers."""
    a &= _MASK
    b &= _MASK
    a, b, h = _mix(a, b, _SEED ^ a ^ b)
    _, a, h = _mix(_X, a, h)
    _, _, h = _mix(b, _Y, h)
    return h


def hash32_3(a: int, b: int, c: int) -> int:
    """Of three numbers."""
    a &= _MASK
    b &= _MASK
    c &= _MASK
    a, b, h = _mix(a, b, _SEED ^ a ^ b ^ c)
    c, x, h = _mix(c, _X, h)
    y, a, h = _mix(_Y, a, h)
    _, _, h = _mix(b, x, h)
    _, _, h = _mix(y, c, h)
    return h


def hash32_4(a: int, b: int, c: int, d: int) -> int:
    """Of four numbers."""
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


def hash32_5(a: int, b: int, c: int, d: int, e: int) -> int:
    """Of five numbers."""
    a &= _MASK
    b &= _MASK
    c &= _MASK
    d &= _MASK
    e &= _MASK
    a, b, h = _mix(a, b, _SEED ^ a ^ b ^ c ^ d ^ e)
    c, d, h = _mix(c, d, h)
    e, x, h = _mix(e, _X, h)
    y, a, h = _mix(_Y, a, h)
    b, x, h = _mix(b, x, h)
    y, c, h = _mix(y, c, h)
    d, _, h = _mix(d, x, h)
    _, _, h = _mix(y, e, h)
    return h
