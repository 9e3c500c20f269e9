"""Rules that try all of their steps again (19.2), for many inputs at once.

The twin of `spirula.crush.msr`, which is the one to read first: each array here has an element (or
a row) for each input. Called by `vector.mapper`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from spirula.crush.mapper import ITEM_NONE, ITEM_UNDEF
from spirula.crush.msr import MsrBlock, MsrRule, retry_value
from spirula.crush.vector.choose import Chooser
from spirula.crush.vector.tables import I64
from spirula.kernels.jenkins import U32

Refuses = Callable[[I64, U32], NDArray[np.bool_]]
"""Which devices are out for which inputs."""


_BATCH = 16_384
"""Tries that are made at once at most, of all inputs together."""


class MsrSearch:
    """The search for all inputs `x`. `values` and `found` are the result: places, and how many."""

    def __init__(self, rule: MsrRule, chooser: Chooser, x: U32, refuses: Refuses) -> None:
        self.rule, self.chooser, self.x, self.refuses = rule, chooser, x, refuses
        self.values = np.full((len(x), rule.count), ITEM_NONE, np.int64)
        self.found = np.zeros(len(x), np.int64)
        self.choices: tuple[tuple[int, int], ...] = ()
        self.used: list[I64] = []

    def run(self) -> None:
        """Fills the result."""
        exists = self.chooser.tables.exists
        for block in self.rule.blocks:
            root = -1 - block.take
            if block.take >= 0:
                if block.start < block.end:
                    rows = np.arange(len(self.x))
                    self._emit(rows, block.start, np.full(len(rows), block.take))
            elif root < len(exists) and exists[root] and block.choices:
                self._fill(block, root)

    def _emit(self, rows: I64, place: int, devices: I64) -> None:
        self.values[rows, self.found[rows] if self.rule.firstn else place] = devices
        self.found[rows] += 1

    def _fill(self, block: MsrBlock, root: int) -> None:
        self.choices = block.choices
        shape = len(self.x), self.rule.count
        self.used = [np.full(shape, ITEM_UNDEF, np.int64) for _ in block.choices]
        limit = self.found + block.end - block.start
        for descent in range(self.rule.descents):
            rows = np.flatnonzero(self.found < limit)
            if not len(rows):
                break
            roots = np.full(len(rows), root)
            self._choose(rows, roots, block.fanout, block.start, block.end, 0, descent)

    def _choose(
        self, rows: I64, bucket: I64, fanout: int, start: int, end: int, level: int, descent: int
    ) -> I64:
        strides, kind = self.choices[level]
        length = fanout // strides
        used, is_last = self.used[level], level + 1 == len(self.choices)
        mapped = np.zeros(len(rows), np.int64)
        unused: list[tuple[I64, int, int]] = []
        for index, low in enumerate(range(start, end, length)):
            high = min(low + length, end)
            open_places = (self.used[-1][rows, low:high] == ITEM_UNDEF).any(axis=1)
            at = np.flatnonzero(open_places)
            others = np.concatenate([used[rows[at], start:low], used[rows[at], high:end]], axis=1)
            item = self._find(rows[at], bucket[at], kind, index, others, descent)
            at, item = at[item != ITEM_UNDEF], item[item != ITEM_UNDEF]
            if kind == 0:
                if length == 1 and is_last:
                    fits = ~self.refuses(item, self.x[rows[at]])
                    at, item = at[fits], item[fits]
                    used[rows[at], low] = item
                    self._emit(rows[at], low, item)
                    mapped[at] += 1
                continue
            at, item = at[item < 0], item[item < 0]
            if is_last or not len(at):
                continue
            below = self._choose(rows[at], -1 - item, length, low, high, level + 1, descent)
            mapped[at] += below
            fresh = ~(used[rows[at], low:high] == item[:, None]).any(axis=1)
            pushed = rows[at[fresh]]
            first = (used[pushed, low:high] == ITEM_UNDEF).argmax(axis=1)
            used[pushed, low + first] = item[fresh]
            unused.append((rows[at[fresh & (below == 0)]], low, high))
        for emptied, low, high in unused:
            count = (used[emptied, low:high] != ITEM_UNDEF).sum(axis=1)
            used[emptied, low + count - 1] = ITEM_UNDEF
        return mapped

    def _find(
        self, rows: I64, bucket: I64, kind: int, index: int, others: I64, descent: int
    ) -> I64:
        """An item for each row, ITEM_UNDEF for none.

        Tries do not depend on one another: the first is made alone, then more and more at once.
        """
        found = np.full(len(rows), ITEM_UNDEF, np.int64)
        live = np.arange(len(rows))
        tried, batch = 0, 1
        while len(live) and tried < self.rule.collision_tries:
            batch = max(1, min(batch, self.rule.collision_tries - tried, _BATCH // len(live)))
            attempts = self._attempts(index, descent, range(tried, tried + batch))
            item = self._descend(
                np.repeat(rows[live], batch),
                np.repeat(bucket[live], batch),
                kind,
                index,
                np.tile(attempts, len(live)),
            ).reshape(len(live), batch)
            collides = (others[live][:, None, :] == item[:, :, None]).any(axis=2)
            good = (item != ITEM_UNDEF) & ~collides
            some, first = good.any(axis=1), good.argmax(axis=1)
            found[live[some]] = item[some, first[some]]
            live = live[~some]
            tried += batch
            batch *= 4
        return found

    def _attempts(self, index: int, descent: int, collisions: range) -> U32:
        count = self.rule.count
        values = [retry_value(count, index, descent, collision) for collision in collisions]
        return np.array(values, np.uint32)

    def _descend(self, rows: I64, bucket: I64, kind: int, index: int, attempt: U32) -> I64:
        t = self.chooser.tables
        found = np.full(len(rows), ITEM_UNDEF, np.int64)
        live = np.flatnonzero(t.size[bucket] > 0)
        while len(live):
            position = np.full(len(live), index)
            item = self.chooser.pick(bucket[live], self.x[rows[live]], attempt[live], position)
            device = item >= 0
            found[live[device]] = item[device]
            live, lower = live[~device], -1 - item[~device]
            known = lower < len(t.exists)
            known[known] = t.exists[lower[known]]
            live, lower = live[known], lower[known]
            there = t.kind[lower] == kind
            found[live[there]] = -1 - lower[there]
            bucket[live] = lower
            live = live[~there & (t.size[lower] > 0)]
        return found
