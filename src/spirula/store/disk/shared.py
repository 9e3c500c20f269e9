"""How many objects share a block of the disk, after they were cloned.

Counts stand in regions of 64 blocks of the disk; 0 means that nobody shares. What was changed stays
in memory until the engine has it. For `writing`, which marks addresses of shared blocks.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from spirula.store.disk.engine import Batch, Engine
from spirula.store.disk.layout import (
    SHARD_BLOCKS,
    damaged,
    decode_counts,
    encode_counts,
    shared_key,
)

_KEPT = 512
"""Regions in memory beyond those that are changed: 150 KB."""


class SharedBlocks:
    """The counts of all blocks; `begin` opens a change that `end` or `undo` closes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._regions: dict[int, array[int]] = {}
        self._dirty: dict[int, int] = {}
        self._was: dict[int, array[int]] = {}

    def count(self, block: int) -> int:
        """How many have the block; 0 if it is not shared."""
        region, at = divmod(block, SHARD_BLOCKS)
        return self._region(region)[at]

    def add(self, block: int, count: int, by: int) -> None:
        """Let `by` more have each of `count` blocks from `block` on."""
        for region, start, stop in _within_regions(block, count):
            counts = self._changed(region)
            counts[start:stop] = _added(counts[start:stop], by)

    def drop(self, block: int, count: int) -> list[tuple[int, int]]:
        """Let one less have each; the runs of blocks that nobody has any more.

        InputOutput if nobody shared them.
        """
        free: list[tuple[int, int]] = []
        for region, start, stop in _within_regions(block, count):
            counts = self._changed(region)
            before = counts[start:stop]
            if 0 in before:
                raise damaged("shared blocks", f"{before.tolist()} of them in region {region}")
            left = _added(before, -1)
            counts[start:stop] = left
            first = region * SHARD_BLOCKS + start
            for at, value in enumerate(left) if 0 in left else ():
                if value:
                    continue
                if free and sum(free[-1]) == first + at:
                    free[-1] = (free[-1][0], free[-1][1] + 1)
                else:
                    free.append((first + at, 1))
        return free

    @property
    def is_changed(self) -> bool:
        """Whether there is anything for `end`."""
        return bool(self._was)

    def end(self, batch: Batch, sequence: int) -> list[int]:
        """Put what was changed into the batch of an entry; the regions."""
        for region in self._was:
            value = encode_counts(self._regions[region])
            if value is None:
                batch.delete(shared_key(region))
            else:
                batch.put(shared_key(region), value)
            self._dirty[region] = sequence
        changed = list(self._was)
        self._was.clear()
        return changed

    def undo(self) -> None:
        """Take back what was changed since the last `end`."""
        self._regions.update(self._was)
        self._was.clear()

    def landed(self, regions: list[int], sequence: int) -> None:
        """The engine has what an entry said of these regions."""
        for region in regions:
            if self._dirty.get(region) == sequence:
                del self._dirty[region]
        if len(self._regions) > _KEPT + len(self._dirty):
            for region in [region for region in self._regions if region not in self._dirty]:
                if region not in self._was:
                    del self._regions[region]

    def _region(self, region: int) -> array[int]:
        counts = self._regions.get(region)
        if counts is None:
            value = self._engine.get(shared_key(region))
            counts = array("I", bytes(4 * SHARD_BLOCKS)) if value is None else decode_counts(value)
            self._regions[region] = counts
        return counts

    def _changed(self, region: int) -> array[int]:
        counts = self._region(region)
        if region not in self._was:
            self._was[region] = counts[:]
        return counts


def _within_regions(block: int, count: int) -> Iterator[tuple[int, int, int]]:
    """A run of blocks cut at the ends of regions: region, first and last place in it."""
    while count:
        region, start = divmod(block, SHARD_BLOCKS)
        taken = min(count, SHARD_BLOCKS - start)
        yield region, start, start + taken
        block, count = block + taken, count - taken


def _added(counts: array[int], by: int) -> array[int]:
    """Counts that are all more by this much; they mostly are all the same."""
    first = counts[0]
    if counts.count(first) == len(counts):
        return array("I", [first + by]) * len(counts)
    return array("I", [count + by for count in counts])
