"""Disks that err, lose, tear, are full or slow, under a store."""

from __future__ import annotations

import random
from collections import deque

import pytest

from spirula.errors import InputOutput, NoSpace
from spirula.store.disk.faults import Faults, FaultyDevice
from spirula.store.disk.fsck import fsck
from spirula.store.disk.medium import FolderMedium, MemoryMedium
from spirula.store.disk.mkfs import mkfs
from spirula.store.disk.state import Options
from spirula.store.disk.store import DiskObjectStore
from tests.unit.store.conformance import META, PG, obj, txn

SIZE = 64 << 20
LARGE = 256 << 10


class FaultyMedium:
    """A medium in memory, on a disk that is not as it should be."""

    def __init__(self, faults):
        self.inner, self.faults = MemoryMedium(SIZE), faults

    def open(self, memory, *, read_only=False):
        opened = self.inner.open(memory, read_only=read_only)
        opened.device = FaultyDevice(opened.device, self.faults)
        opened.mark._device = opened.device
        return opened

    def __getattr__(self, name):
        return getattr(self.inner, name)


class World:
    def __init__(self, options=None):
        self.faults = Faults(random.Random(1))
        self.medium = FaultyMedium(self.faults)
        self.calls, self.told = deque(), []
        self.store = DiskObjectStore(self.medium, self.calls.append, options, threaded=False)
        self.store.mount()
        self.queue(("create_collection", META, 0), ("create_collection", PG, 0))
        self.settle()
        assert self.told == [None]

    def queue(self, *steps):
        self.store.queue_transactions(PG, [txn(*steps)], None, self.told.append)

    def settle(self):
        while self.store.land():
            pass
        while self.calls:
            self.calls.popleft()()

    def again(self):
        self.store.umount()
        self.store.mount()


def contents(count, seed=1):
    rng = random.Random(seed)
    sizes = [4096, 10_000, 70_000, LARGE]
    return {obj(f"o{n}", n): rng.randbytes(rng.choice(sizes)) for n in range(count)}


@pytest.mark.parametrize("fault", ["lost", "torn"])
def test_writes_that_the_disk_does_not_do_are_found(fault):
    world, expected = World(), contents(60)
    setattr(world.faults, fault, 0.3)
    for oid, data in expected.items():
        world.queue(("write", PG, oid, 0, data))
    world.settle()
    setattr(world.faults, fault, 0.0)
    world.again()
    outcomes = {True: 0, False: 0}
    for oid, data in expected.items():
        try:
            assert world.store.read(PG, oid) == data
            outcomes[True] += 1
        except InputOutput as error:
            assert str(oid) in str(error)
            assert "checksum" in str(error)
            outcomes[False] += 1
    assert world.faults.done[f"{fault} write"] > 5
    assert min(outcomes.values()) > 5
    assert world.store.counters["checksum_errors"] == outcomes[False]
    # A new write makes the object whole.
    for oid, data in expected.items():
        world.queue(("truncate", PG, oid, 0), ("write", PG, oid, 0, data[::-1]))
    world.settle()
    assert all(world.store.read(PG, oid) == data[::-1] for oid, data in expected.items())
    world.store.umount()
    opened = world.medium.open(0)
    assert fsck(opened, deep=True).is_clean


def test_a_range_that_cannot_be_read():
    world, expected = World(), contents(20)
    for oid, data in expected.items():
        world.queue(("write", PG, oid, 0, data))
    world.settle()
    world.again()
    world.faults.unreadable.append(range(1 << 20, 2 << 20))
    failed = 0
    for oid, data in expected.items():
        try:
            assert world.store.read(PG, oid) == data
        except InputOutput:
            failed += 1
        assert world.store.stat(PG, oid).size == len(data)
    assert 0 < failed < len(expected)
    world.faults.unreadable.clear()
    assert all(world.store.read(PG, oid) == data for oid, data in expected.items())


@pytest.mark.parametrize("fault", ["unwritable", "failing_syncs", "room"])
def test_after_a_failed_commit_all_commits_fail_until_it_is_mounted_anew(fault):
    world = World()
    world.queue(("write", PG, obj("before"), 0, bytes(LARGE)))
    world.settle()
    value = {"unwritable": [range(SIZE)], "failing_syncs": True, "room": LARGE // 2}[fault]
    setattr(world.faults, fault, value)
    world.queue(("write", PG, obj("during"), 0, b"x" * LARGE))
    world.settle()
    setattr(world.faults, fault, {"unwritable": [], "failing_syncs": False, "room": None}[fault])
    world.queue(("touch", PG, obj("after")))
    world.settle()
    assert world.told[:2] == [None, None]
    expected = NoSpace if fault == "room" else InputOutput
    assert [type(error) for error in world.told[2:]] == [expected] * 2
    assert world.store.exists(PG, obj("after"))  # it was queued
    world.again()
    assert world.store.collection_list(PG)[0] == [obj("before")]
    world.queue(("write", PG, obj("anew"), 0, b"x" * LARGE))
    world.settle()
    assert world.told[-1] is None
    assert world.store.read(PG, obj("anew")) == b"x" * LARGE


def test_a_slow_disk_delays_and_changes_nothing():
    world, waited = World(Options(log_new_below=0)), []
    world.faults.sleep, world.faults.delay_s = waited.append, 0.5
    world.queue(("write", PG, obj(), 0, b"x" * LARGE))
    assert world.store.exists(PG, obj())
    assert not waited  # what is queued does not wait for the disk
    world.settle()
    assert waited.count(0.5) >= 3  # data, its sync, the mark
    assert world.store.read(PG, obj()) == b"x" * LARGE


def test_faults_around_a_block_file(tmp_path):
    mkfs(tmp_path / "store", size=SIZE)
    faults, calls = Faults(), deque()
    medium = FolderMedium(tmp_path / "store", lambda device: FaultyDevice(device, faults))
    store = DiskObjectStore(medium, calls.append, threaded=False)
    store.mount()
    store.queue_transactions(PG, [txn(("create_collection", PG, 0))])
    store.queue_transactions(PG, [txn(("write", PG, obj(), 0, b"x" * LARGE))])
    while store.land():
        pass
    while calls:
        calls.popleft()()
    faults.unreadable.append(range(SIZE))
    with pytest.raises(InputOutput, match="injected"):
        store.read(PG, obj())
    faults.unreadable.clear()
    assert store.read(PG, obj()) == b"x" * LARGE
    store.umount()
    assert faults.done == {"read error": 1}
