"""Jenkins' mix over arrays of unsigned 32-bit numbers, without making new arrays on the way.

The twin of `spirula.kernels.hash32` for many; called for blocks that fit the processor's cache, by
the vector mapper and the maps of placements.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

U32 = NDArray[np.uint32]

_SEED = np.uint32(1315423911)
_X, _Y = np.uint32(231232), np.uint32(1232)


class Hasher:
    """Scratch memory for blocks of up to `size` numbers; one a thread."""

    def __init__(self, size: int) -> None:
        self._memory = np.empty((8, size), np.uint32)

    def _take(self, shape: tuple[int, ...]) -> list[U32]:
        count = int(np.prod(shape))
        return [row[:count].reshape(shape) for row in self._memory]

    def hash2(self, a: U32, b: U32) -> U32:
        """The hash of two numbers, element by element (with broadcasting)."""
        va, vb, vx, vy, h, t, *_ = self._take(np.broadcast_shapes(a.shape, b.shape))
        va[...], vb[...], vx[...], vy[...] = a, b, _X, _Y
        np.bitwise_xor(va, vb, out=h)
        np.bitwise_xor(h, _SEED, out=h)
        for p, q in ((va, vb), (vx, va), (vb, vy)):
            _mix(p, q, h, t)
        return h

    def hash3(self, a: U32, b: U32, c: U32) -> U32:
        """The hash of three numbers, element by element (with broadcasting)."""
        shape = np.broadcast_shapes(a.shape, b.shape, c.shape)
        va, vb, vc, vx, vy, h, t, _ = self._take(shape)
        va[...], vb[...], vc[...], vx[...], vy[...] = a, b, c, _X, _Y
        np.bitwise_xor(va, vb, out=h)
        np.bitwise_xor(h, vc, out=h)
        np.bitwise_xor(h, _SEED, out=h)
        for p, q in ((va, vb), (vc, vx), (vy, va), (vb, vx), (vy, vc)):
            _mix(p, q, h, t)
        return h

    def hash4(self, a: U32, b: U32, c: U32, d: U32) -> U32:
        """The hash of four numbers, element by element (with broadcasting)."""
        shape = np.broadcast_shapes(a.shape, b.shape, c.shape, d.shape)
        va, vb, vc, vd, vx, vy, h, t = self._take(shape)
        va[...], vb[...], vc[...], vd[...], vx[...], vy[...] = a, b, c, d, _X, _Y
        np.bitwise_xor(va, vb, out=h)
        np.bitwise_xor(h, vc, out=h)
        np.bitwise_xor(h, vd, out=h)
        np.bitwise_xor(h, _SEED, out=h)
        for p, q in ((va, vb), (vc, vd), (va, vx), (vy, vb), (vc, vx), (vy, vd)):
            _mix(p, q, h, t)
        return h


def _mix(a: U32, b: U32, c: U32, t: U32) -> None:
    """One round, in place; `t` is scratch."""
    for p, q, r, shift in (
        (a, b, c, -13),
        (b, c, a, 8),
        (c, a, b, -13),
        (a, b, c, -12),
        (b, c, a, 16),
        (c, a, b, -5),
        (a, b, c, -3),
        (b, c, a, 10),
        (c, a, b, -15),
    ):
        np.subtract(p, q, out=p)
        np.subtract(p, r, out=p)
        if shift < 0:
            np.right_shift(r, np.uint32(-shift), out=t)
        else:
            np.left_shift(r, np.uint32(shift), out=t)
        np.bitwise_xor(p, t, out=p)
