"""Random transactions on the store on disk and the one in memory: everything readable is the same.

Both get the same batches, and land them in groups of their own. Whatever happens in between - a
mount anew, a crash at which the disk keeps any part of what was not synced - the store on disk has
to read as the other one does.
"""

from __future__ import annotations

import random
from collections import deque
from copy import deepcopy

import pytest

from spirula.store.checksums import ChecksumType
from spirula.store.disk.compression import Algorithm, Compression, Mode
from spirula.store.disk.fsck import fsck
from spirula.store.disk.medium import MemoryMedium
from spirula.store.disk.state import Options
from spirula.store.memory import MemoryObjectStore
from spirula.store.objectstore import list_all, readv
from tests.unit.store.conformance import META, PG, History, Plain, txn
from tests.unit.store.disk.test_disk import DiskBench

KB = 1 << 10
SIZES = (1, 500, 4 * KB, 8 * KB, 20 * KB, 64 * KB, 130 * KB, 300 * KB)


class Wilder(History):
    """Larger objects with more ends of blocks and shards, and names of several pools."""

    SIZES = SIZES

    def extent(self):
        rng = self.rng
        size = rng.choice(SIZES)
        start = rng.choice([0, 4 * KB, 60 * KB, 256 * KB, 252 * KB, 4 * KB * rng.randrange(150)])
        if rng.random() < 0.3:
            start = rng.randrange(600 * KB)
        return start, rng.choice([size, rng.randrange(size + 1)])

    def write(self, made, cid, oid):
        offset, size = self.extent()
        data = self.rng.choice([self.rng.randbytes(size), (self.rng.randbytes(9) * size)[:size]])
        made.write(cid, oid, offset, data)
        self.model.objects.setdefault(oid, Plain()).put(offset, data)


def everything(store):
    """All that can be read of a store, apart from where holes are."""
    found = {}
    for cid in store.list_collections():
        found[cid] = store.collection_bits(cid), store.collection_empty(cid)
        for oid in list_all(store, cid, 5):
            found[oid] = (
                store.stat(cid, oid),
                store.read(cid, oid),
                store.getattrs(cid, oid),
                store.omap_get(cid, oid),
            )
    return found


def same(disk, memory):
    assert everything(disk) == everything(memory)
    taken = disk.statfs()
    assert taken.omap_allocated == memory.statfs().omap_allocated
    assert taken.data_stored >= memory.statfs().data_stored
    assert taken.available + taken.allocated + (8 << 10) == taken.total
    for cid in memory.list_collections():
        for oid in list_all(memory, cid):
            size = memory.stat(cid, oid).size
            # Holes of the store on disk are whole blocks: it may have less of them.
            theirs = memory.fiemap(cid, oid, 0, size)
            assert theirs <= disk.fiemap(cid, oid, 0, size)
            assert readv(disk, cid, oid, theirs.copy()) == readv(memory, cid, oid, theirs)


class Pair:
    """A store on disk, and one in memory that lands and loses the same."""

    def __init__(self, options, seed):
        self.disk = DiskBench(MemoryMedium(1 << 28), options, seed)
        self.calls = deque()
        self.memory = MemoryObjectStore(self.calls.append)
        self.memory.mount()
        self.acknowledged = 0

    def queue(self, batch):
        self.disk.store.queue_transactions(PG, batch, None, self._done)
        self.memory.queue_transactions(PG, batch)

    def _done(self, error):
        assert error is None
        self.acknowledged += 1

    def land(self):
        self.disk.land()
        self._follow()

    def settle(self):
        self.disk.settle()
        self._follow()

    def _follow(self):
        while self.memory.commits < self.acknowledged:
            self.calls.popleft()()

    def crash(self):
        """What is left is exactly what was acknowledged: how many batches of this life."""
        left = self.acknowledged
        self.disk.crash()
        self.calls = deque()
        self.memory = self.memory.after_crash(self.calls.append)
        self.memory.mount()
        self.acknowledged = 0
        return left

    def remount(self):
        self.disk.store.umount()
        opened = self.disk.medium.open(0)
        assert fsck(opened, deep=True).findings == []
        opened.close()
        self.disk.store.mount()
        self._follow()


OPTIONS = {
    "plain": {},
    "direct": {"log_new_below": 0, "checksums": ChecksumType.CRC32C_8},
    "tiny": {
        "log_bytes": 30_000,
        "memory_target": 20_000,
        "direct_from": 12_000,
        "discard_from": 8192,
        "discard_together": 1,
    },
    "packed": {
        "compression": Compression(Mode.FORCE, Algorithm.LZ4, min_blob=16 * KB),
        "checksums": ChecksumType.XXHASH64,
    },
}


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("seed", range(3))
def test_both_read_the_same(seed, options, scale):
    for number in range(scale):
        run(random.Random(f"{seed} {options} {number}"), Options(**OPTIONS[options]))


def run(rng, options):
    pair = Pair(options, rng.random())
    pair.queue([txn(("create_collection", META, 0), ("create_collection", PG, 0))])
    pair.settle()
    pair.crash()
    history = Wilder(rng)
    lives = [deepcopy(history.model)]
    for _ in range(70):
        pair.queue(history.batch())
        lives.append(deepcopy(history.model))
        what = rng.random()
        if what < 0.3:
            pair.land()
        elif what < 0.45:
            same(pair.disk.store, pair.memory)
        elif what < 0.5:
            pair.remount()
            same(pair.disk.store, pair.memory)
        elif what < 0.55:
            history.model = lives[pair.crash()]
            lives = [deepcopy(history.model)]
            same(pair.disk.store, pair.memory)
    pair.settle()
    pair.remount()
    same(pair.disk.store, pair.memory)
