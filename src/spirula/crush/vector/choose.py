"""Picks an item in a bucket for many inputs at once; each input has a bucket of its own.

Those in straw2 buckets go to `spirula.kernels`. Others are put together by their buckets' algorithm
and size and dealt with in blocks that fit the processor's cache.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spirula.crush.map import BucketAlg
from spirula.crush.vector.tables import I64, NEGATED_LN, Tables
from spirula.kernels.jenkins import U32, Hasher
from spirula.kernels.straw2 import BLOCK, choose_straw2

_LOW_16 = np.uint32(0xFFFF)
_SHIFT_16, _SHIFT_32 = np.uint64(16), np.uint64(32)


class Chooser:
    """Picks by the tables of one map; one a thread."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        widest = int(tables.size.max(initial=1))
        self.hasher = Hasher(max(BLOCK, widest))

    def pick(self, buckets: I64, x: U32, r: U32, position: I64, *, permute: bool = False) -> I64:
        """An item for each input, by bucket index, input number, attempt and position in the
        result.

        Buckets must not be empty. `permute` goes by a random order whatever the algorithm is.
        """
        t = self.tables
        chosen = np.empty(len(buckets), np.int64)
        algs = np.full(len(buckets), BucketAlg.UNIFORM) if permute else t.alg[buckets]
        straw2 = algs == BucketAlg.STRAW2
        if straw2.all():
            return self._straw2(buckets, x, r, position)
        # sizes of one power of two go together, so that little is padded
        classes = algs * 64 + np.frexp(t.size[buckets] - 0.5)[1]
        classes[straw2] = BucketAlg.STRAW2 * 64
        for value in np.unique(classes):
            at = np.flatnonzero(classes == value)
            alg = int(value) // 64
            if alg == BucketAlg.STRAW2:
                chosen[at] = self._straw2(buckets[at], x[at], r[at], position[at])
            else:
                chosen[at] = self._pick_alike(alg, buckets[at], x[at], r[at])
        return chosen

    def _pick_alike(self, alg: int, buckets: I64, x: U32, r: U32) -> I64:
        t = self.tables
        width = int(t.size[buckets].max())
        rows = max(1, BLOCK // width)
        parts = []
        for at in range(0, len(buckets), rows):
            block = slice(at, at + rows)
            b, bx, br = buckets[block], x[block], r[block]
            match alg:
                case BucketAlg.UNIFORM:
                    parts.append(self._permuted(b, bx, br, width))
                case BucketAlg.STRAW:
                    parts.append(self._straw(b, bx, br, width))
                case BucketAlg.LIST:
                    parts.append(self._list(b, bx, br, width))
                case BucketAlg.TREE:
                    parts.append(self._tree(b, bx, br))
                case _:
                    parts.append(t.items[t.offset[b]])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _places(self, buckets: I64, width: int) -> I64:
        """Where the items of each bucket stand, one row each (a single row where all are one)."""
        t = self.tables
        first = int(buckets[0])
        columns = np.arange(width)
        if (buckets == first).all():
            row: I64 = (t.offset[first] + columns)[None, :]
            return row
        places: I64 = t.offset[buckets][:, None] + columns
        sizes = t.size[buckets]
        if int(sizes.min()) < width:
            places[columns >= sizes[:, None]] = t.pad
        return places

    def _straw2(self, buckets: I64, x: U32, r: U32, position: I64) -> I64:
        t = self.tables
        row = np.minimum(position, len(t.inverse) - 1)
        chosen = np.empty(len(buckets), np.int64)
        choose_straw2(
            x,
            r,
            t.offset[buckets],
            t.size[buckets],
            row,
            t.ids,
            t.inverse,
            NEGATED_LN,
            chosen,
        )
        found: I64 = t.items[chosen]
        return found

    def _items(self, places: I64, best: NDArray[np.intp]) -> I64:
        rows = np.arange(len(best)) if len(places) > 1 else np.zeros(len(best), np.intp)
        found: I64 = self.tables.items[places[rows, best]]
        return found

    def _straw(self, buckets: I64, x: U32, r: U32, width: int) -> I64:
        t = self.tables
        places = self._places(buckets, width)
        draw = self.hasher.hash3(x[:, None], t.items[places].astype(np.uint32), r[:, None])
        length = (draw & _LOW_16).astype(np.uint64)
        length *= self._derived(buckets, places)
        length[np.broadcast_to(places == t.pad, length.shape)] = 0
        return self._items(places, length.argmax(axis=1))

    def _derived(self, buckets: I64, places: I64) -> NDArray[np.uint64]:
        """The derived number of each item; lists and straws have one for each."""
        t = self.tables
        shift = (t.derived_offset - t.offset)[buckets[: len(places)]][:, None]
        at = np.where(places == t.pad, len(t.derived) - 1, places + shift)
        found: NDArray[np.uint64] = t.derived[at]
        return found

    def _list(self, buckets: I64, x: U32, r: U32, width: int) -> I64:
        t = self.tables
        places = self._places(buckets, width)
        ids = (-1 - buckets).astype(np.uint32)
        items = t.items[places].astype(np.uint32)
        draw = self.hasher.hash4(x[:, None], items, r[:, None], ids[:, None])
        scaled = (draw & _LOW_16).astype(np.uint64)
        scaled *= self._derived(buckets, places)
        hit = (scaled >> _SHIFT_16) < t.weights[places]
        last = width - 1 - hit[:, ::-1].argmax(axis=1)
        return self._items(places, np.where(hit.any(axis=1), last, 0))

    def _tree(self, buckets: I64, x: U32, r: U32) -> I64:
        t = self.tables
        ids = (-1 - buckets).astype(np.uint32)
        node = t.nodes[buckets] >> 1
        while True:
            inner = np.flatnonzero(node & 1 == 0)
            if not len(inner):
                break
            at, base = node[inner], t.derived_offset[buckets[inner]]
            draw = self.hasher.hash4(x[inner], at.astype(np.uint32), r[inner], ids[inner])
            point = draw.astype(np.uint64) * t.derived[base + at] >> _SHIFT_32
            half = (at & -at) >> 1
            left = point < t.derived[base + at - half]
            node[inner] = np.where(left, at - half, at + half)
        last = t.size[buckets] - 1
        found: I64 = t.items[t.offset[buckets] + np.minimum(node >> 1, last)]
        return found

    def _permuted(self, buckets: I64, x: U32, r: U32, width: int) -> I64:
        t = self.tables
        sizes = t.size[buckets]
        ids = (-1 - buckets).astype(np.uint32)
        place = (r % sizes.astype(np.uint32)).astype(np.int64)
        rows = np.arange(len(buckets))
        order = np.broadcast_to(np.arange(width), (len(buckets), width)).copy()
        for step in range(int(place.max()) + 1):
            active = np.flatnonzero((step <= place) & (step < sizes - 1))
            if not len(active):
                continue
            draw = self.hasher.hash3(x[active], ids[active], np.full(len(active), step, np.uint32))
            other = step + draw.astype(np.int64) % (sizes[active] - step)
            swapped = order[active, other].copy()
            order[active, other] = order[active, step]
            order[active, step] = swapped
        found: I64 = t.items[t.offset[buckets] + order[rows, place]]
        return found
