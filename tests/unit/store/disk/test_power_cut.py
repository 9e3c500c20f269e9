"""The power fails at any operation of the disk: what was written since its last sync is dropped,
torn or there. Transactions carry their number: what is left has to be the content after one of
those that were queued, and none that was acknowledged may be missing.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import replace

import pytest

from spirula.errors import NoSpace
from spirula.store.disk.fsck import fsck
from spirula.store.disk.journal import SMALLEST_JOURNAL
from spirula.store.disk.medium import MemoryMedium
from spirula.store.disk.memory_block import MemoryBlockDevice
from spirula.store.disk.state import Options
from spirula.store.disk.store import DiskObjectStore
from tests.unit.store.conformance import META, PG, History, Model, obj, txn
from tests.unit.store.disk.fuses import FusedMedium, PowerCut

COUNTER = obj("counter", pool=-1)
SIZE = 6 << 20


def copy_of(model):
    """As deepcopy, in a tenth of the time."""
    made = Model()
    made.bits = model.bits.copy()
    for oid, plain in model.objects.items():
        parts = {"data": plain.data[:], "attrs": plain.attrs.copy(), "omap": plain.omap.copy()}
        made.objects[oid] = replace(plain, **parts)
    return made


class World:
    """A store, and the content after each transaction that it may have."""

    def __init__(self, seed, *, journaled):
        self.rng = random.Random(seed)
        journal = MemoryBlockDevice(SMALLEST_JOURNAL) if journaled else None
        self.medium = FusedMedium(MemoryMedium(SIZE), self.rng, journal)
        self.history = History(self.rng)
        self.states = {0: copy_of(self.history.model)}
        self.committed = self.number = 0
        self.seen = set()
        self.mount()
        first = [("create_collection", META, 0), ("create_collection", PG, 0)]
        first += [("touch", META, COUNTER), ("setattr", META, COUNTER, "n", b"0")]
        self.store.queue_transactions(META, [txn(*first)])
        self.land(everything=True)

    def mount(self):
        options = Options(
            log_new_below=self.rng.choice([0, 64 << 10]),
            log_bytes=self.rng.choice([1 << 16, 1 << 18, 16 << 20]),
            discard_from=self.rng.choice([4096, 65536]),
            discard_together=self.rng.choice([1, 1 << 16, 16 << 20]),
        )
        self.calls = deque()
        self.store = DiskObjectStore(self.medium, self.calls.append, options, threaded=False)
        self.store.mount()

    def land(self, *, everything=False):
        more = True
        while more:
            most = self.rng.choice([1, 1, 3, 50])
            more = self.store.land(most, apply=self.rng.random() < 0.5) and everything
        self.call()

    def call(self):
        while self.calls:
            self.calls.popleft()()

    def queue(self):
        batch = self.history.batch()
        number = self.number + 1
        batch[-1].setattr(META, COUNTER, "n", b"%d" % number)

        def done(error):
            assert error is None
            assert number == self.committed + 1
            self.committed = number

        try:
            self.store.queue_transactions(PG, batch, None, done)
        except NoSpace:
            self.history.model = copy_of(self.states[self.number])
            return
        self.number = number
        self.states[number] = copy_of(self.history.model)

    def live(self):
        """Do things until the fuse blows."""
        rng = self.rng
        try:
            while True:
                what = rng.random()
                if what < 0.5:
                    self.queue()
                elif what < 0.97:
                    self.land()
                else:
                    self.store.umount()
                    self.call()
                    self.mount()
        except PowerCut:
            self.call()  # what had landed by then has been told

    def cut(self):
        """Bring back what is left, perhaps with another cut on the way, and look at it."""
        while True:
            self.medium = self.medium.after_crash()
            self.medium.fuse.left = self.rng.choice([None, self.rng.randrange(1, 12)])
            try:
                self.mount()
                break
            except PowerCut:
                continue
        self.medium.fuse.left = None
        found = int(self.store.getattr(META, COUNTER, "n"))
        assert self.committed <= found <= self.number
        self.seen.add((found > self.committed, found < self.number))
        self.history.model = copy_of(self.states[found])
        self.history.model.check(self.store)
        self.committed = self.number = found
        self.states = {found: self.states[found]}

    def check(self):
        """Let fsck look at what the last cut has left, before anybody mounts it."""
        self.medium = self.medium.after_crash()
        opened = self.medium.open(0)
        report = fsck(opened, deep=True)
        assert report.is_clean, report.findings
        opened.close()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_a_power_cut_at_any_operation(seed, scale):
    world = World(seed, journaled=seed % 2 == 0)
    for _ in range(24 * scale):
        world.medium.fuse.left = world.rng.randrange(1, world.rng.choice([10, 60, 200]))
        world.live()
        if world.rng.random() < 0.3:
            world.check()
        world.cut()
    assert {(False, True), (True, False), (False, False)} <= world.seen
