"""What every object store has to do, whatever it keeps its objects in.

A store's test module subclasses `Conformance` and gives a fixture `bench`. The random histories are
compared with `Model`, which is as simple as can be: whole collections of whole objects, copied.
"""

from __future__ import annotations

import random
from copy import deepcopy
from dataclasses import dataclass, field
from errno import ENODATA
from functools import cmp_to_key
from itertools import pairwise
from typing import Protocol

import pytest

from spirula.errors import CephError, InvariantBroken, NotFound
from spirula.store.objectstore import LIST_MAX, ObjectStore, list_all, readv, sparse_read
from spirula.types.hobject import GHMAX, GHMIN, NOSNAP, POOL_TEMP_START, GHObject, HObject
from spirula.types.interval_set import IntervalSet
from spirula.types.pg import Coll, PGId, SPGId
from spirula.types.transaction import Transaction, TxnOp, TxnOpCode

META = Coll()
POOL = 5
PG = Coll.of(SPGId(PGId(POOL, 0)))


class Bench(Protocol):
    """A store, and the power over its disk."""

    store: ObjectStore

    def settle(self) -> None:
        """Let all that was queued become durable, and its callbacks be called."""

    def land(self) -> None:
        """Let the oldest batch that is not durable become so (at least that one)."""

    def crash(self) -> None:
        """Cut the power; `store` is then what is left, mounted."""


def obj(name="a", hash=0, pool=POOL, *, snap=NOSNAP, nspace="", key="", gen=None, shard=-1):
    hobj = HObject.of(pool, name, hash, snap=snap, nspace=nspace, key=key)
    return GHObject(hobj, GHMIN.generation if gen is None else gen, shard)


def txn(*steps):
    """A transaction of (method, arguments...)."""
    made = Transaction()
    for method, *arguments in steps:
        getattr(made, method)(*arguments)
    return made


def queue(bench, *steps, cid=PG):
    bench.store.queue_transactions(cid, [txn(*steps)])


# --- the model ---


@dataclass
class Plain:
    data: bytearray = field(default_factory=bytearray)
    attrs: dict = field(default_factory=dict)
    omap: dict = field(default_factory=dict)
    header: bytes = b""

    def put(self, offset, data):
        if data:
            self.data.extend(bytes(max(0, offset + len(data) - len(self.data))))
            self.data[offset : offset + len(data)] = data

    def resize(self, size):
        del self.data[size:]
        self.data.extend(bytes(size - len(self.data)))


def ordered(oids):
    return sorted(oids, key=cmp_to_key(compared))


def compared(a, b):
    """Upstream's comparison of ghobject_t, field by field (src/common/hobject.cc)."""

    def fields(o):
        h = o.hobj
        name, key = h.oid.encode(), h.key.encode()
        bits = int(f"{h.hash:032b}"[::-1], 2)
        fixed = (o.shard, h.pool, bits, h.nspace.encode(), key or name, name, h.snap)
        return (*fixed, o.generation)

    return (fields(a) > fields(b)) - (fields(a) < fields(b))


class Model:
    """Collections by name: their bits, and objects by name."""

    def __init__(self):
        self.bits = {}
        self.objects = {}

    def inside(self, cid):
        mask = (1 << self.bits[cid]) - 1
        return [o for o in self.objects if o.hobj.hash & mask == cid.pgid.seed & mask]

    def check(self, store):
        """Everything readable of the store is as it is here."""
        assert store.list_collections() == sorted([META, *self.bits])
        for cid, bits in self.bits.items():
            assert store.collection_bits(cid) == bits
            inside = ordered(self.inside(cid))
            assert list(list_all(store, cid, 3)) == inside
            assert store.collection_empty(cid) == (not inside)
            for oid in inside:
                self.check_object(store, cid, oid)
        stored = store.statfs().data_stored
        assert stored <= sum(len(plain.data) for plain in self.objects.values())

    def check_object(self, store, cid, oid):
        plain = self.objects[oid]
        assert store.stat(cid, oid).size == len(plain.data)
        assert store.read(cid, oid) == plain.data
        assert store.getattrs(cid, oid) == plain.attrs
        header, omap = store.omap_get(cid, oid)
        assert (header, list(omap.items())) == (plain.header, sorted(plain.omap.items()))
        middle, size = len(plain.data) // 3, len(plain.data) // 2
        assert store.read(cid, oid, middle, size) == plain.data[middle : middle + size]
        # What is no data is zeros.
        ranges, data = sparse_read(store, cid, oid, 0, len(plain.data))
        holed, at = bytearray(len(plain.data)), 0
        for start, length in ranges:
            holed[start : start + length] = data[at : at + length]
            at += length
        assert holed == plain.data


class History:
    """Random transactions, given to the store and to the model."""

    SIZES = (1, 100, 4096, 5000, 65536, 70000, 200_000)

    def __init__(self, rng):
        self.rng = rng
        self.model = Model()
        self.model.bits[PG] = 0
        self.temporary = POOL_TEMP_START - POOL

    def name(self):
        rng = self.rng
        pool = rng.choice([POOL, POOL, POOL, self.temporary])
        hash = rng.choice([0, 1, 2, 3, 0x80000000, 0xFFFFFFFF])
        return obj(f"o{rng.randrange(3)}", hash, pool, snap=rng.choice([NOSNAP, 4]))

    def present(self):
        return self.rng.choice(list(self.model.objects)) if self.model.objects else None

    def home(self, oid):
        """The collection whose hashes the object's is one of."""
        for cid, bits in self.model.bits.items():
            if oid.hobj.matches(bits, cid.pgid.seed):
                return cid
        raise AssertionError(oid)

    def step(self, made):
        rng, objects = self.rng, self.model.objects
        oid = self.present() if objects and rng.random() < 0.7 else self.name()
        cid = self.home(oid)
        there = oid in objects
        kind = rng.choice(self.KINDS)
        if kind in {"write", "zero", "touch"} or there or kind in {"truncate", "remove", "rename"}:
            getattr(self, kind)(made, cid, oid)

    KINDS = (
        *("write", "write", "write", "zero", "truncate", "touch", "remove", "attrs", "rmattr"),
        *("rmattrs", "clone", "clone_range", "rename", "omap", "omap_rm", "omap_range", "header"),
        *("omap_clear",),
    )

    def extent(self):
        size = self.rng.choice(self.SIZES)
        return self.rng.choice([0, 4096, self.rng.randrange(150_000)]), self.rng.randrange(size + 1)

    def write(self, made, cid, oid):
        offset, size = self.extent()
        data = self.rng.randbytes(size)
        made.write(cid, oid, offset, data)
        self.model.objects.setdefault(oid, Plain()).put(offset, data)

    def zero(self, made, cid, oid):
        offset, size = self.extent()
        made.zero(cid, oid, offset, size)
        self.model.objects.setdefault(oid, Plain()).put(offset, bytes(size))

    def touch(self, made, cid, oid):
        made.touch(cid, oid)
        self.model.objects.setdefault(oid, Plain())

    def truncate(self, made, cid, oid):
        size = sum(self.extent())
        made.truncate(cid, oid, size)
        if oid in self.model.objects:
            self.model.objects[oid].resize(size)

    def remove(self, made, cid, oid):
        made.remove(cid, oid)
        self.model.objects.pop(oid, None)

    def rename(self, made, cid, oid):
        new = self.name()
        if new in self.model.objects or self.home(new) != cid:
            return
        if self.rng.random() < 0.5:
            made.try_rename(cid, oid, new)
        else:
            made.collection_move_rename(cid, oid, cid, new)
        if oid in self.model.objects:
            self.model.objects[new] = self.model.objects.pop(oid)

    def clone(self, made, cid, oid):
        new = obj(f"o{self.rng.randrange(3)}", oid.hobj.hash, oid.hobj.pool, snap=9)
        if new != oid:
            made.clone(cid, oid, new)
            self.model.objects[new] = deepcopy(self.model.objects[oid])

    def clone_range(self, made, cid, oid):
        new, plain = self.name(), self.model.objects[oid]
        if self.home(new) != cid or new == oid:
            return
        offset = self.rng.choice([0, self.rng.randrange(len(plain.data) + 1)])
        size = self.rng.choice([len(plain.data) - offset, 0])
        start = self.rng.choice([offset, self.rng.randrange(100_000)])
        made.clone_range(cid, oid, new, offset, size, start)
        copied = bytes(plain.data[offset : offset + size])
        self.model.objects.setdefault(new, Plain()).put(start, copied)

    def keys(self):
        return [f"k{self.rng.randrange(8)}" for _ in range(self.rng.randrange(1, 4))]

    def attrs(self, made, cid, oid):
        new = {key: self.rng.randbytes(9) for key in self.keys()}
        made.setattrs(cid, oid, new)
        self.model.objects[oid].attrs.update(new)

    def rmattr(self, made, cid, oid):
        key = self.keys()[0]
        made.rmattr(cid, oid, key)
        self.model.objects[oid].attrs.pop(key, None)

    def rmattrs(self, made, cid, oid):
        made.rmattrs(cid, oid)
        self.model.objects[oid].attrs.clear()

    def omap(self, made, cid, oid):
        new = {key: self.rng.randbytes(9) for key in self.keys()}
        made.omap_setkeys(cid, oid, new)
        self.model.objects[oid].omap.update(new)

    def omap_rm(self, made, cid, oid):
        keys = self.keys()
        made.omap_rmkeys(cid, oid, keys)
        for key in keys:
            self.model.objects[oid].omap.pop(key, None)

    def omap_range(self, made, cid, oid):
        first, end = self.keys()[0], self.keys()[0]
        made.omap_rmkeyrange(cid, oid, first, end)
        omap = self.model.objects[oid].omap
        for key in [key for key in omap if first <= key < end]:
            del omap[key]

    def header(self, made, cid, oid):
        plain = self.model.objects[oid]
        plain.header = self.rng.randbytes(5)
        made.omap_setheader(cid, oid, plain.header)

    def omap_clear(self, made, cid, oid):
        made.omap_clear(cid, oid)
        self.model.objects[oid].omap.clear()
        self.model.objects[oid].header = b""

    def split_or_merge(self, made):
        bits = self.model.bits
        child = Coll.of(SPGId(PGId(POOL, 1)))
        if child in bits:
            made.merge_collection(child, PG, 0)
            del bits[child]
            bits[PG] = 0
        else:
            made.create_collection(child, 1)
            made.split_collection(PG, 1, 1, child)
            bits[PG] = bits[child] = 1

    def batch(self):
        """Transactions for one call."""
        batch = [Transaction() for _ in range(self.rng.randrange(1, 3))]
        for made in batch:
            for _ in range(self.rng.randrange(1, 6)):
                self.step(made)
            if self.rng.random() < 0.1:
                self.split_or_merge(made)
        # Half of them come as a replica gets them.
        return [
            Transaction.decode_view(made.encode()) if self.rng.random() < 0.5 else made
            for made in batch
        ]


# --- the suite ---


class Conformance:
    """Subclasses bring the fixture `bench`, with an empty, mounted store."""

    @pytest.fixture
    def store(self, bench):
        bench.store.queue_transactions(META, [txn(("create_collection", META, 0))])
        bench.store.queue_transactions(PG, [txn(("create_collection", PG, 0))])
        bench.settle()
        return bench.store

    # histories

    @pytest.mark.parametrize("seed", range(12))
    def test_random_transactions(self, bench, store, seed, scale):
        for number in range(scale):
            history = History(random.Random(seed + 1000 * number))
            for _ in range(60):
                store.queue_transactions(PG, history.batch())
                if history.rng.random() < 0.2:
                    bench.land()
                    history.model.check(store)
            bench.settle()
            store.umount()
            store.mount()
            history.model.check(store)
            self.emptied(bench, history)

    def emptied(self, bench, history):
        """Removing everything gives all space back."""
        made = Transaction()
        for oid in history.model.objects:
            made.remove(history.home(oid), oid)
        if len(history.model.bits) == 2:
            history.split_or_merge(made)
        bench.store.queue_transactions(PG, [made])
        bench.settle()
        left = bench.store.statfs()
        assert (left.data_stored, left.allocated, left.omap_allocated) == (0, 0, 0)

    @pytest.mark.parametrize("seed", range(12))
    def test_a_crash_leaves_what_was_committed(self, bench, store, seed):
        history = History(random.Random(seed))
        for _ in range(6):
            states, told = [deepcopy(history.model)], []
            for number in range(history.rng.randrange(1, 15)):
                store.queue_transactions(PG, history.batch(), None, _noting(told, number))
                states.append(deepcopy(history.model))
                if history.rng.random() < 0.5:
                    bench.land()
            assert told == [(number, None) for number in range(len(told))]
            bench.crash()
            store = bench.store
            history.model = states[len(told)]
            history.model.check(store)

    # callbacks

    def test_callbacks_come_later_and_in_order(self, bench, store):
        told = []
        for number in range(5):
            store.queue_transactions(
                PG,
                [txn(("touch", PG, obj(str(number))))],
                lambda number=number: told.append((number, "applied")),
                _noting(told, number),
            )
            assert store.exists(PG, obj(str(number)))
        assert not told
        assert not store.flush_commit(PG, _noting(told, "flushed"))
        bench.settle()
        applied = [number for number, what in told if what == "applied"]
        committed = [number for number, what in told if what is None]
        assert (applied, committed) == ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4, "flushed"])
        assert all(told.index((n, "applied")) < told.index((n, None)) for n in range(5))
        assert store.flush_commit(PG, _noting(told, "idle"))
        bench.settle()
        assert len(told) == 11

    def test_umount_makes_all_durable_and_calls_back(self, bench, store):
        told = []
        store.queue_transactions(PG, [txn(("touch", PG, obj()))], None, _noting(told, 1))
        store.umount()
        assert told == [(1, None)]
        for use in (
            lambda: store.exists(PG, obj()),
            lambda: store.queue_transactions(PG, []),
            store.list_collections,
            store.statfs,
            store.umount,
        ):
            with pytest.raises(InvariantBroken, match="not mounted"):
                use()
        store.mount()
        assert store.exists(PG, obj())
        with pytest.raises(InvariantBroken, match="mounted"):
            store.mount()
        bench.crash()
        assert bench.store.exists(PG, obj())

    def test_words_about_the_store(self, bench, store):
        with pytest.raises(NotFound, match="whoami"):
            store.read_meta("whoami")
        store.write_meta("whoami", "3")
        bench.crash()
        assert bench.store.read_meta("whoami") == "3"

    # data

    def test_sizes_and_ends(self, bench, store):
        queue(bench, ("write", PG, obj(), 1 << 20, b""))
        assert store.stat(PG, obj()).size == 0
        queue(bench, ("zero", PG, obj(), 1 << 20, 0))
        assert store.stat(PG, obj()).size == 0
        queue(bench, ("zero", PG, obj(), 5, 10))
        assert store.read(PG, obj()) == bytes(15)
        queue(bench, ("write", PG, obj(), 3, b"abc"), ("truncate", PG, obj(), 5))
        assert store.read(PG, obj()) == b"\0\0\0ab"
        queue(bench, ("truncate", PG, obj(), 5000))
        stat = store.stat(PG, obj())
        assert (stat.size, stat.block_size, stat.blocks) == (5000, 4096, 2)
        assert store.read(PG, obj(), 3, 3) == b"ab\0"  # what was cut off does not come back
        assert store.read(PG, obj(), 4999, 10) == b"\0"
        assert store.read(PG, obj(), 5000, 10) == store.read(PG, obj(), 9999) == b""
        assert store.read(PG, obj(), 0, 0) == b""

    def test_holes_are_holes(self, bench, store):
        step = 4 << 20
        queue(bench, *[("write", PG, obj(), step * at, b"x" * 4096) for at in range(5)])
        size = step * 4 + 4096
        assert store.stat(PG, obj()).size == size
        ranges = store.fiemap(PG, obj(), 0, size)
        assert list(ranges) == [(step * at, 4096) for at in range(5)]
        assert list(store.fiemap(PG, obj(), 4000, step)) == [(4000, 96), (step, 4000)]
        assert not store.fiemap(PG, obj(), size, 10)
        ranges, data = sparse_read(store, PG, obj(), 0, size)
        assert data == b"x" * 4096 * 5
        before = store.statfs()
        queue(bench, ("zero", PG, obj(), 4096, size))
        bench.settle()
        after = store.statfs()
        assert before.data_stored - after.data_stored == 4 * 4096
        assert before.allocated - after.allocated == 4 * 4096
        assert after.available - before.available == 4 * 4096
        assert store.stat(PG, obj()).size == 4096 + size

    def test_readv_cuts_what_is_not_there(self, bench, store):
        queue(bench, ("write", PG, obj(), 0, b"0123456789"))
        ranges = IntervalSet([(1, 2), (8, 4), (20, 5)])
        assert readv(store, PG, obj(), ranges) == b"1289"
        assert list(ranges) == [(1, 2), (8, 2)]

    def test_written_buffers_may_change_afterwards(self, bench, store):
        data = bytearray(b"first" * 20000)
        queue(bench, ("write", PG, obj(), 0, memoryview(data)))
        data[:] = bytes(len(data))
        assert store.read(PG, obj()) == b"first" * 20000

    def test_clones_share_space_until_they_differ(self, bench, store):
        size, snap = 1 << 20, obj(snap=3)
        queue(bench, ("write", PG, obj(), 0, b"x" * size), ("clone", PG, obj(), snap))
        bench.settle()
        both = store.statfs()
        assert (both.data_stored, both.allocated) == (2 * size, size)
        assert store.pool_statfs(POOL).allocated == size
        assert store.pool_statfs(POOL + 1).allocated == 0
        queue(bench, ("write", PG, obj(), 0, b"y" * (size // 2)))
        assert store.read(PG, snap) == b"x" * size
        assert store.statfs().allocated == size + size // 2
        queue(bench, ("remove", PG, snap))
        bench.settle()
        assert store.statfs().allocated == size

    # names

    def test_any_name(self, bench, store):
        names = ["x" * 2000, "\udcff\udc80", "%/:\0\n", "ä", "..", "a" * 127 + "/"]
        oids = [obj(name, 7, nspace=name[:9], key=name[::-1]) for name in names]
        queue(bench, *[("touch", PG, oid) for oid in oids], ("touch", PG, obj("", 7)))
        bench.settle()
        bench.crash()
        found = list(list_all(bench.store, PG))
        assert set(found) == {*oids, obj("", 7)}
        assert all(a < b for a, b in pairwise(found))

    def test_listing(self, bench, store):
        rng = random.Random(1)
        oids = [
            obj(
                rng.choice("abc"),
                rng.choice([0, 1, 0x80000000, 0xFFFFFFFF, rng.getrandbits(32)]),
                rng.choice([POOL, POOL, POOL_TEMP_START - POOL]),
                snap=rng.choice([1, 2, NOSNAP]),
                nspace=rng.choice(["", "n", "ä"]),
                key=rng.choice(["", "b", "z"]),
                gen=rng.choice([None, 3]),
            )
            for _ in range(150)
        ]
        queue(bench, *[("touch", PG, oid) for oid in oids])
        expected = ordered(set(oids))
        assert list(list_all(store, PG, 7)) == expected
        assert store.collection_list(PG, limit=4)[1] == expected[4]
        assert len(store.collection_list(PG)[0]) == LIST_MAX
        for _ in range(50):
            first, last = sorted(rng.sample(range(len(expected)), 2))
            limit = rng.randrange(1, 60)
            found, following = store.collection_list(PG, expected[first], expected[last], limit)
            end = min(last, first + limit)
            assert (found, following) == (expected[first:end], expected[end])
        assert store.collection_list(PG, GHMAX) == ([], GHMAX)
        assert store.collection_list(PG, expected[-1], GHMAX, 1) == ([expected[-1]], GHMAX)

    def test_collections_do_not_show_each_others_objects(self, bench, store):
        other = Coll.of(SPGId(PGId(POOL + 1, 0)))
        shard = Coll.of(SPGId(PGId(POOL, 0), 2))
        inside = {
            PG: obj(),
            other: obj(pool=POOL + 1),
            shard: obj(shard=2, gen=4),
            META: obj(pool=-1, snap=0),
        }
        for cid, oid in inside.items():
            if cid in (other, shard):
                queue(bench, ("create_collection", cid, 0), cid=cid)
            queue(bench, ("touch", cid, oid), cid=cid)
        assert store.list_collections() == sorted(inside)
        for cid, oid in inside.items():
            assert store.collection_list(cid) == ([oid], GHMAX)

    # attributes and omap

    def test_attributes(self, bench, store):
        queue(bench, ("touch", PG, obj()), ("setattrs", PG, obj(), {"b": b"2", "a": b""}))
        queue(bench, ("setattr", PG, obj(), "_", b"3"), ("rmattr", PG, obj(), "none"))
        assert list(store.getattrs(PG, obj()).items()) == [("_", b"3"), ("a", b""), ("b", b"2")]
        assert store.getattr(PG, obj(), "a") == b""
        with pytest.raises(CephError) as caught:
            store.getattr(PG, obj(), "none")
        assert caught.value.errno == ENODATA

    def test_omap(self, bench, store):
        entries = {f"{at:03}": b"%d" % at for at in range(500)}
        queue(bench, ("touch", PG, obj()), ("omap_setkeys", PG, obj(), entries))
        assert store.omap_get_header(PG, obj()) == b""
        assert store.omap_get_keys(PG, obj()) == list(entries)
        found = store.omap_get_values(PG, obj(), ["499", "000", "x", "000"])
        assert list(found.items()) == [("000", b"0"), ("499", b"499")]
        assert store.omap_check_keys(PG, obj(), ["9", "010"]) == ["010"]
        walk = store.omap_iterate(PG, obj(), "01")
        assert [next(walk)[0] for _ in range(2)] == ["010", "011"]
        assert next(store.omap_iterate(PG, obj(), after="499"), None) is None
        assert next(store.omap_iterate(PG, obj(), after="4985")) == ("499", b"499")
        queue(
            bench, ("omap_rmkeyrange", PG, obj(), "001", "499"), ("omap_setheader", PG, obj(), b"h")
        )
        assert store.omap_get(PG, obj()) == (b"h", {"000": b"0", "499": b"499"})
        queue(bench, ("omap_rmkeyrange", PG, obj(), "9", "0"))
        assert len(store.omap_get_keys(PG, obj())) == 2
        queue(bench, ("omap_clear", PG, obj()))
        assert store.omap_get(PG, obj()) == (b"", {})

    def test_omap_keys_are_bytes(self, bench, store):
        keys = ["\udcff", "\U0001f600", "\uffee", "", "\0", "\udc80"]
        queue(bench, ("touch", PG, obj()), ("omap_setkeys", PG, obj(), dict.fromkeys(keys, b"v")))
        raw = [key.encode("utf-8", "surrogateescape") for key in store.omap_get_keys(PG, obj())]
        assert raw == sorted(key.encode("utf-8", "surrogateescape") for key in keys)

    # what is not there, and what only a bug can ask

    def test_nothing_there(self, bench, store):
        nowhere, gone = Coll.of(SPGId(PGId(POOL, 1))), obj("gone")
        assert not store.exists(nowhere, obj())
        assert not store.exists(PG, gone)
        assert not store.collection_exists(nowhere)
        for cid in (PG, nowhere):
            for read in (store.stat, store.read, store.getattrs, store.omap_get):
                with pytest.raises(NotFound):
                    read(cid, gone if cid == PG else obj("gone", 1))
        for listing in (store.collection_list, store.collection_bits, store.collection_empty):
            with pytest.raises(NotFound):
                listing(nowhere)

    def test_what_forgives_a_missing_object(self, bench, store):
        gone = obj("gone")
        queue(
            bench,
            ("nop",),
            ("remove", PG, gone),
            ("truncate", PG, gone, 5),
            ("rmattrs", PG, gone),
            ("omap_clear", PG, gone),
            ("set_alloc_hint", PG, gone, 1, 2, 3),
            ("try_rename", PG, gone, obj("new")),
            ("collection_move_rename", PG, gone, PG, obj("new")),
            ("collection_hint", PG, 1, bytes(12)),
            ("add", TxnOp(TxnOpCode.TRIMCACHE, PG, gone)),
        )
        assert store.collection_empty(PG)

    def test_create_keeps_what_is_there(self, bench, store):
        queue(bench, ("write", PG, obj(), 0, b"kept"), ("create", PG, obj()))
        assert store.read(PG, obj()) == b"kept"

    def test_a_name_can_be_used_anew_at_once(self, bench, store):
        queue(bench, ("write", PG, obj(), 0, b"old"), ("setattr", PG, obj(), "a", b""))
        queue(
            bench,
            ("try_rename", PG, obj(), obj("b")),
            ("touch", PG, obj()),
            ("remove", PG, obj("b")),
            ("write", PG, obj("b"), 1, b"new"),
        )
        assert store.read(PG, obj()) == b""
        assert store.getattrs(PG, obj("b")) == {}
        assert store.read(PG, obj("b")) == b"\0new"

    BUGS = (
        (("clone", PG, obj("gone"), obj("b")), "no object"),
        (("clone_range", PG, obj("gone"), obj("b"), 0, 1, 0), "no object"),
        (("setattr", PG, obj("gone"), "a", b""), "no object"),
        (("setattrs", PG, obj("gone"), {}), "no object"),
        (("rmattr", PG, obj("gone"), "a"), "no object"),
        (("omap_setkeys", PG, obj("gone"), {}), "no object"),
        (("omap_rmkeys", PG, obj("gone"), []), "no object"),
        (("omap_rmkeyrange", PG, obj("gone"), "a", "b"), "no object"),
        (("omap_setheader", PG, obj("gone"), b""), "no object"),
        (("clone", PG, obj(), obj(hash=1)), "has its hash"),
        (("clone", PG, obj(), obj()), "another name"),
        (("clone_range", PG, obj(), obj("b"), 5, 2, 0), "copied of only 6"),
        (("clone_range", PG, obj(), obj(), 0, 4, 1), "onto themselves"),
        (("try_rename", PG, obj(), obj("c")), "already an object"),
        (("collection_move_rename", PG, obj(), META, obj(pool=-1)), "stay in their"),
        (("write", PG, obj(), 0xFFFFFFFD, b"ab"), "no object reaches"),
        (("zero", PG, obj(), 0, 0xFFFFFFFF), "no object reaches"),
        (("truncate", PG, obj(), 0xFFFFFFFF), "no object reaches"),
        (("touch", Coll.of(SPGId(PGId(9, 0))), obj()), "no collection 9.0_head"),
        (("touch", PG, obj(pool=6)), "none of collection"),
        (("touch", PG, obj(shard=1)), "none of collection"),
        (("touch", PG, GHMAX), "none of collection"),
        (("create_collection", PG, 0), "already a collection"),
        (("create_collection", Coll.of(SPGId(PGId(9, 2))), 1), "cannot have 1 bits"),
        (("create_collection", PG.temp(), 0), "own collection"),
        (("remove_collection", PG), "has objects"),
        (("remove_collection", Coll.of(SPGId(PGId(9, 0)))), "no collection"),
        (("split_collection", PG, 1, 1, Coll.of(SPGId(PGId(POOL, 1)))), "no collection"),
        (("merge_collection", PG, PG, 0), "none of"),
        (("merge_collection", PG, META, 0), "no PGs of one pool"),
        (("add", TxnOp(TxnOpCode.COLL_MOVE, PG, obj(), dest_cid=META)), "no store of this age"),
        (("add", TxnOp(99, PG, obj())), "no store of this age"),
        (("add", TxnOp(TxnOpCode.WRITE, PG, obj(), 0, 5, data=b"four")), "5 bytes with 4"),
    )

    @pytest.mark.parametrize(
        ("step", "words"), BUGS, ids=[f"{n}-{s[0]}" for n, (s, _) in enumerate(BUGS)]
    )
    def test_a_bug_changes_nothing_and_is_dumped(self, bench, store, step, words):
        queue(bench, ("write", PG, obj(), 0, b"data"), ("touch", PG, obj("c")))
        told = []
        before = txn(
            ("write", PG, obj(), 1, b"other"),
            ("omap_setkeys", PG, obj(), {"k": b"v"}),
            ("setattr", PG, obj(), "a", b"v"),
            ("write", PG, obj("d"), 0, b"x" * 9999),
            ("create_collection", Coll.of(SPGId(PGId(77, 0))), 0),
            ("remove", PG, obj("c")),
        )
        failing = txn(("touch", PG, obj("e")), ("touch", PG, obj("c")), step)
        with pytest.raises(InvariantBroken, match=words) as caught:
            store.queue_transactions(PG, [before, failing], None, _noting(told, 1))
        assert "operation 2" in str(caught.value)
        assert str(obj("e")) in str(caught.value)
        bench.settle()
        assert not told
        assert store.read(PG, obj()) == b"data"
        assert (store.omap_get(PG, obj()), store.getattrs(PG, obj())) == ((b"", {}), {})
        assert store.collection_list(PG) == ([obj(), obj("c")], GHMAX)
        assert store.list_collections() == sorted([META, PG])
        assert (store.statfs().data_stored, store.statfs().omap_allocated) == (4, 0)

    # splitting and merging

    def test_reading_what_another_pg_has_is_a_bug(self, bench, store):
        child = Coll.of(SPGId(PGId(POOL, 1)))
        queue(
            bench,
            ("touch", PG, obj(hash=1)),
            ("create_collection", child, 1),
            ("split_collection", PG, 1, 1, child),
        )
        assert store.exists(child, obj(hash=1))
        for read in (store.exists, store.read, store.omap_get):
            with pytest.raises(InvariantBroken, match="none of collection"):
                read(PG, obj(hash=1))

    @pytest.mark.parametrize("shard", [-1, 3])
    def test_split_into_many_and_merge_back(self, bench, store, shard):
        def pg(seed):
            return Coll.of(SPGId(PGId(8, seed), shard))

        rng = random.Random(shard)
        oids = [
            obj(f"o{n}", rng.getrandbits(32), rng.choice([8, POOL_TEMP_START - 8]), shard=shard)
            for n in range(200)
        ]
        queue(bench, ("create_collection", pg(1), 1), cid=pg(1))
        mine = [oid for oid in oids if oid.hobj.hash & 1]
        queue(bench, *[("write", pg(1), oid, 0, str(oid).encode()) for oid in mine], cid=pg(1))
        steps = []
        for seed in (3, 5, 7):  # one child after the other, as an OSD does
            steps += [
                ("create_collection", pg(seed), 3),
                ("split_collection", pg(1), 3, seed, pg(seed)),
            ]
        queue(bench, *steps, cid=pg(1))
        for seed in (1, 3, 5, 7):
            expected = ordered([oid for oid in mine if oid.hobj.hash & 7 == seed])
            assert list(list_all(store, pg(seed))) == expected
            assert store.collection_bits(pg(seed)) == 3
            for oid in expected:
                assert store.read(pg(seed), oid) == str(oid).encode()
        for seed in (7, 5, 3):
            queue(bench, ("merge_collection", pg(seed), pg(1), 1), cid=pg(1))
        bench.settle()
        assert list(list_all(store, pg(1))) == ordered(mine)
        assert store.list_collections() == sorted([META, PG, pg(1)])
        assert store.collection_bits(pg(1)) == 1

    def test_a_removed_collection_is_gone(self, bench, store):
        queue(bench, ("touch", PG, obj()), ("remove", PG, obj()), ("remove_collection", PG))
        assert not store.collection_exists(PG)
        queue(bench, ("create_collection", PG, 0), ("touch", PG, obj()))
        bench.settle()
        bench.crash()
        assert bench.store.collection_list(PG) == ([obj()], GHMAX)


def _noting(told, number):
    return lambda error: told.append((number, error))
