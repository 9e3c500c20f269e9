from __future__ import annotations

from random import Random

import pytest

from spirula.errors import InputOutput
from spirula.store.disk import freelist
from spirula.store.disk.engine import Batch, MemoryEngine
from spirula.store.disk.freelist import FreeList, groups, last_group, rewrite

BLOCK = 4096
SIZE = 1000 * BLOCK
FIRST = 2 * BLOCK


@pytest.fixture(autouse=True)
def small_numbers(monkeypatch):
    monkeypatch.setattr(freelist, "REGION_BLOCKS", 64)
    monkeypatch.setattr(freelist, "CHECKPOINT_GROUPS", 7)
    monkeypatch.setattr(freelist, "KEPT_BYTES", 2000)


@pytest.fixture
def engine():
    made, batch = MemoryEngine(), Batch()
    rewrite(batch, SIZE, [(FIRST, SIZE - FIRST)])
    made.write(batch)
    made.sync()
    return made


class World:
    """Groups at random; `taken` has the extents that the groups so far have and did not give."""

    def __init__(self, engine, seed):
        self.engine, self.rng, self.taken = engine, Random(seed), []
        self.free = FreeList(engine, SIZE)
        self.after = [list(self.free.allocator)]

    def group(self, *, checkpoint=False):
        rng, allocator = self.rng, self.free.allocator
        got = []
        for _ in range(rng.randrange(4)):
            want = rng.choice([1, 1, 3, 40, 90]) * BLOCK
            if want <= allocator.free:
                got += allocator.allocate(want)
        self.taken += got
        rng.shuffle(self.taken)  # what is taken and given in one group is among the given, too
        cut = rng.randrange(4)
        gone, self.taken = self.taken[:cut], self.taken[cut:]
        batch = Batch()
        batch.put(b"x%d" % rng.randrange(50), rng.randbytes(rng.randrange(200)))
        self.free.record(batch, got, gone, checkpoint=checkpoint)
        self.engine.write(batch)
        allocator.release(gone)
        self.after.append(list(allocator))


def records(engine):
    return [number for number, _, _ in groups(engine)]


def test_a_new_store_is_free_but_for_its_head(engine):
    free = FreeList(engine, SIZE)
    assert list(free.allocator) == [(FIRST, SIZE - FIRST)]
    assert free.sequence == last_group(engine) == 0


@pytest.mark.parametrize("seed", range(20))
def test_what_is_free_after_each_group_is_what_was(engine, seed):
    world = World(engine, seed)
    for number in range(1, 120):
        world.group(checkpoint=world.rng.random() < 0.02)
        found = FreeList(engine, SIZE)
        assert found.sequence == last_group(engine) == number
        assert list(found.allocator) == world.after[number]
        if world.rng.random() < 0.1:  # mounted anew
            world.free = found
    kept = records(engine)
    assert kept[-1] == 119
    assert kept == list(range(kept[0], 120))


@pytest.mark.parametrize("seed", range(10))
def test_a_crash_takes_back_whole_groups(engine, seed):
    world = World(engine, seed)
    for _ in range(12):
        for _ in range(world.rng.randrange(12)):
            world.group()
            if world.rng.random() < 0.2:
                world.engine.sync()
        crashed = world.engine.after_crash(world.rng.randrange(world.engine.unsynced + 1))
        found = FreeList(crashed, SIZE)
        assert list(found.allocator) == world.after[found.sequence]
        world = World(crashed, world.rng.random())
        world.after = [None] * found.sequence + world.after
        # The extents that are taken are what is not free.
        at, taken = FIRST, []
        for start, length in [*found.allocator, (SIZE, 0)]:
            taken += [(at, start - at)] if start > at else []
            at = start + length
        world.taken = taken


def test_groups_lost_anywhere_are_missed(engine):
    """As when the end of the manifest is lost: a run of groups, with all that they changed."""
    world = World(engine, 1)
    logged = []
    write = engine.write

    def log(batch):
        logged.append(Batch(dict(batch.changes), list(batch.ranges)))
        write(batch)

    engine.write = log
    for _ in range(60):
        world.group()
    rng = Random(2)
    for _ in range(200):
        first = rng.randrange(59)
        last = rng.randrange(first + 1, min(first + 15, 60))
        if sum(sum(map(len, filter(None, b.changes.values()))) for b in logged[first:]) > 2000:
            continue  # older than what is kept
        left, batch = MemoryEngine(), Batch()
        rewrite(batch, SIZE, [(FIRST, SIZE - FIRST)])
        for part in (batch, *logged[:first], *logged[last:]):
            left.write(part)
        with pytest.raises(InputOutput, match=r"missing|should have|freed twice|taken twice"):
            FreeList(left, SIZE)


def test_a_checkpoint_makes_small_what_is_read_at_mount(engine):
    world = World(engine, 3)
    for _ in range(300):
        world.group()
    assert len(records(engine)) < 100
    whole = list(engine.iterate(b"f", b"g"))
    assert len(whole) == 1 + -(-1000 // 64)


def test_fsck_can_write_it_anew(engine):
    world = World(engine, 4)
    for _ in range(50):
        world.group()
    free = [(10 * BLOCK, BLOCK), (100 * BLOCK, 300 * BLOCK)]
    batch = Batch()
    rewrite(batch, SIZE, free, sequence=50)
    engine.write(batch)
    found = FreeList(engine, SIZE)
    assert list(found.allocator) == free
    assert found.sequence == 50
    assert found.record(Batch(), [free[0]], []) == 51


@pytest.mark.parametrize("what", ["f", "region", "group", "value", "size", "version"])
def test_what_contradicts_itself_is_refused(engine, what):
    world = World(engine, 5)
    for _ in range(10):
        world.group()
    size, batch = SIZE, Batch()
    if what == "f":
        batch.delete(b"f")
    elif what == "region":
        batch.delete(b"f\0\0\0\3")
    elif what == "group":
        batch.delete(b"g" + (9).to_bytes(8, "big"))
    elif what == "value":
        batch.put(b"g" + (9).to_bytes(8, "big"), b"\1\2\0\0\0")
    elif what == "size":
        size += BLOCK
    else:
        batch.put(b"f", b"\7" + (engine.get(b"f") or b"")[1:])
    engine.write(batch)
    with pytest.raises(InputOutput, match=r"free space is damaged .* fsck"):
        FreeList(engine, size)


def test_an_engine_without_groups():
    with pytest.raises(InputOutput, match="no record of a group"):
        last_group(MemoryEngine())
