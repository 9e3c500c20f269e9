"""The journal before the engine: what was synced is there after any power cut, damage is told."""

from __future__ import annotations

import random
from uuid import UUID

import pytest
from hypothesis import given

from spirula.errors import InputOutput
from spirula.store.disk.engine import Batch, MemoryEngine
from spirula.store.disk.journal import (
    LARGEST_JOURNAL,
    SEGMENTS,
    SMALLEST_JOURNAL,
    Journal,
    journal_size,
)
from spirula.store.disk.journaled import JournaledEngine, needed
from spirula.store.disk.layout import LOG, log_key
from spirula.store.disk.memory_block import MemoryBlockDevice
from tests.unit.store.disk.fuses import Fuse, PowerCut, _Fused
from tests.unit.store.disk.test_engine import STEPS, batch_of

STORE = UUID(int=5)
FIRST = b"S"


def journal_of(device):
    return Journal(device, STORE)


def content(engine):
    """All that is in it, but for what the journal keeps there for itself."""
    return {key: value for key, value in engine.iterate(b"") if key[:1] != FIRST}


@given(STEPS)
def test_a_record_is_read_as_it_was_written(steps):
    device, batch = MemoryBlockDevice(SMALLEST_JOURNAL), batch_of(steps)
    journal = journal_of(device)
    record = journal.encode(7, batch)
    assert len(record) % 4096 == 0
    journal.write(0, record)
    [place] = journal.places(7)
    assert (place.number, place.offset, place.length) == (7, 0, len(record))
    assert journal.read(place) == batch
    assert journal.places(8) == []
    assert Journal(device, UUID(int=6)).places(1) == []
    device.flip(random.Random(len(record)).randrange(40))
    assert journal.places(7) == []
    with pytest.raises(InputOutput, match="record 7"):
        journal.read(place)


def test_sizes():
    assert journal_size(1 << 20) == SMALLEST_JOURNAL
    assert journal_size((64 << 20) + 4096) == 4 << 20
    assert journal_size(1 << 40) == LARGEST_JOURNAL


class World:
    """Random batches over a journal and an engine, and what there is after each of them."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.engine, self.device = MemoryEngine(), MemoryBlockDevice(SMALLEST_JOURNAL)
        self.states, self.synced, self.group = [{}], 0, 0
        self.logs = []
        self.open()

    def open(self):
        self.fuse = Fuse(self.rng)
        self.under = _Fused(self.engine, self.fuse, ["write", "sync"])
        journal = journal_of(_Fused(self.device, self.fuse, ["write", "sync"]))
        self.fuse.left = self.rng.choice([None, self.rng.randrange(1, 6)])
        self.journaled = JournaledEngine(self.under, journal)
        self.fuse.left = self.rng.randrange(1, self.rng.choice([4, 40, 200]))

    def batch(self):
        """Records, the log of a group, and now and then the end of some logs, as commits write."""
        rng, batch = self.rng, Batch()
        for _ in range(rng.randrange(4)):
            start, end = sorted((rng.randrange(60), rng.randrange(60)))
            batch.delete_range(b"o%02d" % start, b"o%02d" % min(end, start + 5))
        if self.logs and rng.random() < 0.1:
            count = rng.randrange(len(self.logs)) + 1
            batch.delete_range(log_key(self.logs[0]), log_key(self.logs[count - 1] + 1))
            del self.logs[:count]
        for _ in range(rng.randrange(6)):
            key = b"o%02d" % rng.randrange(60)
            if rng.random() < 0.3:
                batch.delete(key)
            else:
                batch.put(key, rng.randbytes(rng.choice([0, 20, 300])))
        if rng.random() < 0.8:
            self.group += 1
            self.logs.append(self.group)
            size = rng.choice([100, 5000, 30_000, 5000, 30_000, 70_000])
            batch.put(log_key(self.group), rng.randbytes(size))
        return batch

    def write(self):
        batch = self.batch()
        expected = self.states[-1].copy()
        for start, end in batch.ranges:
            for key in [key for key in expected if start <= key < end]:
                del expected[key]
        for key, value in batch.changes.items():
            if value is None:
                expected.pop(key, None)
            else:
                expected[key] = value
        self.states.append(expected)
        self.journaled.write(batch)
        if self.rng.random() < 0.8:
            self.journaled.sync()
            self.synced = len(self.states) - 1
            seen = {key: value for key, value in expected.items() if key[:1] != LOG}
            for number in range(60):  # what the engine has not got yet is seen as well
                assert self.journaled.get(b"o%02d" % number) == seen.get(b"o%02d" % number)
            if self.rng.random() < 0.1:
                found = {key: v for key, v in content(self.journaled).items() if key[:1] != LOG}
                assert found == seen
            self.journaled.settle(idle=self.rng.random() < 0.1)

    def live(self):
        try:
            while True:
                self.write()
                if self.rng.random() < 0.02:
                    self.journaled.close()
                    self.synced = len(self.states) - 1
                    self.engine = self.engine.after_crash(self.engine.unsynced)
                    assert needed(self.engine, journal_of(self.device), bool)[0] == []
                    self.open()
        except PowerCut:
            pass

    def cut(self):
        while True:
            keep = self.rng.randint(0, self.engine.unsynced)
            self.engine = self.engine.after_crash(keep)
            self.device = self.device.after_crash(self.rng)
            try:
                self.open()
                break
            except PowerCut:
                continue
        left = content(self.engine)
        numbers = [n for n in range(self.synced, len(self.states)) if self.states[n] == left]
        assert numbers, "neither what was synced, nor that and some of what came after"
        self.states, self.synced = [left], 0
        self.logs = sorted(int.from_bytes(key[1:], "big") for key in left if key[:1] == LOG)


@pytest.mark.parametrize("seed", range(4))
def test_after_any_power_cut_all_that_was_synced_is_there(seed, scale):
    world = World(seed)
    for _ in range(60 * scale):
        world.live()
        world.cut()


def test_a_record_that_is_needed_and_missing_is_told():
    engine, device = MemoryEngine(), MemoryBlockDevice(SMALLEST_JOURNAL)
    journal = journal_of(device)
    journaled = JournaledEngine(engine, journal)
    for number in range(40):
        batch = Batch()
        batch.put(b"o%d" % number, bytes(3000))
        journaled.write(batch)
        journaled.sync()
    segments = {place.offset // journal.segment_size for place in journal.places(1)}
    assert len(segments) == SEGMENTS - 1
    device.flip(5000)
    engine = engine.after_crash()
    with pytest.raises(InputOutput, match=r"record 2 of the journal is missing.* last one is 40"):
        JournaledEngine(engine, journal)
    device.flip(5000)
    assert len(content(JournaledEngine(engine, journal))) == 40


def test_an_engine_that_has_more_than_the_journal_is_not_taken_back():
    engine, device = MemoryEngine(), MemoryBlockDevice(SMALLEST_JOURNAL)
    journaled = JournaledEngine(engine, journal_of(device))
    for value in (b"1", b"2", b"3"):
        journaled.write(batch_of([("put", b"o", value)]))
        journaled.sync()
    journaled.settle(idle=True)
    device.flip(2 * 4096 + 20)  # in the last record, which as such could be what a crash cut short
    with pytest.raises(InputOutput, match="ends with record 2, and the engine has 3"):
        JournaledEngine(engine, journal_of(device))
    assert content(JournaledEngine(engine.after_crash(), journal_of(device))) == {b"o": b"2"}


def test_the_engine_gets_what_is_durable_some_at_a_time():
    engine, device = MemoryEngine(), MemoryBlockDevice(journal_size(1 << 40))
    journaled = JournaledEngine(engine, journal_of(device))

    def put(*numbers, size=100):
        changes = [("put", b"o%d" % number, bytes(size)) for number in numbers]
        journaled.write(batch_of([*changes, ("put", b"p", b"q")]))
        journaled.sync()

    for number in range(0, 510, 5):  # 512 keys with those that are written each time
        assert engine.get(b"o0") is None
        assert journaled.get(b"p") == (b"q" if number else None)
        put(*range(number, number + 5))
        if number < 505:
            journaled.settle()
    journaled.settle()
    assert len(content(engine)) == 511
    put(1000, size=1_100_000)
    journaled.settle()
    assert engine.get(b"o1000")
    for number in range(2000, 2012):
        put(number, size=400_000)  # nobody has time to settle
    assert engine.get(b"o2009")
    assert not engine.get(b"o2011")
    assert journaled.get(b"o2011")
    journaled.close()


def test_after_a_failure_nothing_is_written_any_more():
    engine, device = MemoryEngine(), MemoryBlockDevice(SMALLEST_JOURNAL)
    journaled = JournaledEngine(engine, journal_of(device))
    device.fail(InputOutput("gone"))
    with pytest.raises(InputOutput, match="gone"):
        journaled.write(batch_of([("put", b"o", b"1")]))
    device.fail(None)
    for change in (journaled.sync, lambda: journaled.write(Batch())):
        with pytest.raises(InputOutput, match="gone"):
            change()
    journaled.close()
    assert content(engine.after_crash()) == {}
