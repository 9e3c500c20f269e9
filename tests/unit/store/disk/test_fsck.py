"""Fsck finds nothing in a store that is whole, and everything that was done to one that is not."""

from __future__ import annotations

import random
from array import array

import pytest

from spirula.store.disk.bits import Bits
from spirula.store.disk.engine import Batch
from spirula.store.disk.fsck import fsck
from spirula.store.disk.layout import (
    FIRST_BLOCK,
    NEXT_ID,
    OBJECT,
    POOL,
    SHARD,
    SHARED,
    encode_counts,
    encode_number,
    log_key,
    omap_prefix,
    shard_key,
    shared_key,
)
from spirula.store.disk.medium import MemoryMedium
from spirula.store.disk.onode import decode_onode, encode_onode
from spirula.store.keys import object_of_key
from spirula.store.objectstore import BLOCK_SIZE
from tests.unit.store.conformance import META, PG, History, obj, queue, txn
from tests.unit.store.disk.test_disk import DiskBench


def made_bench(seed=0, steps=0):
    """A store with collections, and after `steps` random transactions."""
    bench = DiskBench(MemoryMedium(1 << 28), seed=seed)
    bench.store.queue_transactions(META, [txn(("create_collection", META, 0))])
    bench.store.queue_transactions(PG, [txn(("create_collection", PG, 0))])
    history = History(random.Random(seed))
    for _ in range(steps):
        bench.store.queue_transactions(PG, history.batch())
        if bench.rng.random() < 0.3:
            bench.land()
    return bench


def full_bench():
    """A store with one of each thing that fsck looks at."""
    bench = made_bench()
    queue(
        bench, ("write", PG, obj("a"), 0, b"a" * 600_000), ("setattrs", PG, obj("a"), {"x": b"1"})
    )
    queue(bench, ("omap_setkeys", PG, obj("a"), {"key": b"value"}))
    queue(bench, ("write", PG, obj("b"), 0, b"b" * 5000))
    queue(bench, ("clone", PG, obj("b"), obj("b", snap=4)))
    bench.settle()
    return bench


def checked(bench, **how):
    bench.store.umount()
    opened = bench.medium.open(1 << 20)
    try:
        return fsck(opened, **how)
    finally:
        opened.close()


def found(report):
    return " | ".join(finding.text for finding in report.findings)


@pytest.mark.parametrize("seed", range(10))
def test_nothing_is_found_after_random_transactions(seed):
    bench = made_bench(seed, steps=60)
    objects = bench.store.collection_list(PG, limit=10_000)[0]
    report = checked(bench, deep=True)
    assert report.is_clean, found(report)
    assert report.objects >= len(objects) > 0


@pytest.mark.parametrize("seed", range(10))
def test_nothing_is_found_after_a_power_cut(seed):
    bench = made_bench(seed, steps=60)
    medium = bench.medium.after_crash(bench.rng, lambda left: bench.rng.randint(0, left))
    report = fsck(medium.open(1 << 20), deep=True)
    assert report.is_clean, found(report)
    assert report.collections > 0


def first(engine, kind):
    return next(iter(engine.iterate(kind, bytes([kind[0] + 1]))))


def change_onode(engine, batch, **values):
    key, value = first(engine, OBJECT)
    onode = decode_onode(object_of_key(key[1:]), key, value)
    for name, new in values.items():
        setattr(onode, name, new)
    batch.put(key, encode_onode(onode))


def add_group(engine, batch, *, taken=(), given=()):
    """One more group, which says that it took or gave one block."""
    key = max(key for key, _ in engine.iterate(b"g", b"h"))
    following = b"g" + (int.from_bytes(key[1:], "big") + 1).to_bytes(8, "big")
    blocks = array("Q", [number for block in (*taken, *given) for number in (block, 1)])
    head = bytes([1]) + len(taken).to_bytes(4, "little")
    batch.put(following, head + blocks.tobytes())


REPAIRABLE = {
    "said to have 1 bytes of data": lambda e, b: change_onode(e, b, stored=1),
    "data map 77 is no object's": lambda e, b: b.put(shard_key(77, 1), b"x"),
    "does not know": lambda e, b: b.put(shard_key(1, 9), first(e, SHARD)[1]),
    "omap 99 is no object's": lambda e, b: b.put(omap_prefix(99) + b"key", b"x"),
    "ids are given out from 1": lambda e, b: b.put(NEXT_ID, encode_number(1)),
    "shares blocks from 0x0 on are wrong": lambda e, b: b.put(
        shared_key(0), encode_counts(array("I", [7] * 64))
    ),
    "shares blocks from 0x80 on are wrong": lambda e, b: b.delete(first(e, SHARED)[0]),
    "pool 5 is said to take": lambda e, b: b.delete(first(e, POOL)[0]),
    "4096 bytes are free and in use": lambda e, b: add_group(e, b, given=[FIRST_BLOCK]),
    "4096 bytes are nobody's and not free": lambda e, b: add_group(e, b, taken=[60_000]),
    "freed twice": lambda e, b: add_group(e, b, given=[60_000]),
    "there is no checkpoint": lambda e, b: b.delete(b"f"),
}


@pytest.mark.parametrize("text", REPAIRABLE)
def test_what_follows_from_the_objects_is_found_and_repaired(text):
    bench = full_bench()
    content = bench.store.read(PG, obj("a"))
    bench.store.umount()
    batch = Batch()
    REPAIRABLE[text](bench.medium.engine, batch)
    bench.medium.engine.write(batch)
    opened = bench.medium.open(1 << 20)
    report = fsck(opened, repair=True)
    assert text in found(report), found(report)
    assert report.repaired
    assert not report.left
    again = fsck(opened, deep=True)
    assert again.is_clean, found(again)
    opened.close()
    bench._mount(bench.medium)
    assert bench.store.read(PG, obj("a")) == content
    queue(bench, ("write", PG, obj("new"), 0, b"n" * 70_000))
    bench.settle()
    assert checked(bench, deep=True).is_clean


LOST = {
    "misses a part of its data map": lambda e, b: b.delete(first(e, SHARD)[0]),
    "cannot be read": lambda e, b: b.put(first(e, OBJECT)[0], b"\x01\x02"),
    "is in no collection": lambda e, b: b.delete_range(b"c", b"d"),
    "data behind its end": lambda e, b: change_onode(e, b, size=300_000),
    "blocks 0x": lambda e, b: b.put(shard_key(1, 1), e.get(shard_key(1, 2))),
}


@pytest.mark.parametrize("text", LOST)
def test_what_cannot_be_repaired_is_said(text):
    bench = full_bench()
    bench.store.umount()
    batch = Batch()
    LOST[text](bench.medium.engine, batch)
    bench.medium.engine.write(batch)
    report = fsck(bench.medium.open(1 << 20), repair=True)
    assert text in found(report), found(report)
    assert report.left


def test_deep_finds_changed_data_and_shallow_does_not():
    bench = full_bench()
    bench.store.umount()
    device = bench.medium.device
    block = device.read(FIRST_BLOCK * BLOCK_SIZE, BLOCK_SIZE)
    device.write(FIRST_BLOCK * BLOCK_SIZE, [bytes([block[0] ^ 1]) + block[1:]])
    opened = bench.medium.open(1 << 20)
    assert fsck(opened).is_clean
    report = fsck(opened, deep=True)
    assert "checksum is" in found(report)
    assert report.bytes_read > 600_000


def test_what_is_logged_counts_as_written():
    """After a crash the log has what the disk has not: deep reads see the log's."""
    bench = made_bench()
    queue(bench, ("write", PG, obj("a"), 0, b"1" * 8192))
    bench.settle()
    queue(bench, ("write", PG, obj("a"), 0, b"2" * 8192))
    while bench.store.land(1):
        pass
    medium = bench.medium.after_crash()  # what was written in place is gone
    assert list(medium.engine.iterate(log_key(0), log_key(1 << 60)))
    report = fsck(medium.open(1 << 20), deep=True)
    assert report.is_clean, found(report)


def test_lost_groups_are_found_and_their_loss_can_be_accepted():
    bench = full_bench()
    bench.store.umount()
    bench.medium.open(0).mark.write(10_000)
    bench.medium.in_use = False
    opened = bench.medium.open(1 << 20)
    report = fsck(opened, repair=True)
    assert "10000 was committed" in found(report)
    opened.close()
    bench._mount(bench.medium)
    assert bench.store.exists(PG, obj("a"))


def test_progress_is_told():
    bench = made_bench()
    made = [("touch", PG, obj(f"o{n}")) for n in range(2500)]
    queue(bench, *made)
    told = []
    report = checked(bench, progress=told.append)
    assert report.objects == 2500
    assert told == [1000, 2000]


@pytest.mark.parametrize("seed", range(5))
def test_bits_are_a_set(seed):
    rng, bits, model = random.Random(seed), Bits(), set()
    for _ in range(300):
        first_one, count = rng.randrange(3000), rng.choice([1, 1, 7, 8, 64, 300])
        numbers = set(range(first_one, first_one + count))
        assert bits.add(first_one, count) == len(numbers & model)
        model |= numbers
    assert [n for n in range(4000) if n in bits] == sorted(model)
    missing = {n for low, count in bits.missing(10, 3900) for n in range(low, low + count)}
    assert missing == set(range(10, 3900)) - model
