from __future__ import annotations

from collections import deque

import pytest

from spirula.errors import InputOutput, InvariantBroken, NoSpace
from spirula.store.chunks import CHUNK_SIZE
from spirula.store.memory import MemoryObjectStore
from tests.unit.store.conformance import META, PG, POOL, Conformance, obj, queue, txn


class MemoryBench:
    """A store whose disk writes when told to."""

    def __init__(self):
        self.waiting = deque()
        self.store = MemoryObjectStore(self.waiting.append)
        self.store.mount()

    def land(self):
        commits = self.store.commits
        while self.waiting and self.store.commits == commits:
            self.waiting.popleft()()

    def settle(self):
        while self.waiting:
            self.waiting.popleft()()

    def crash(self):
        dead = self.waiting
        self.waiting = deque()
        self.store = self.store.after_crash(self.waiting.append)
        self.store.mount()
        for call in dead:  # what the old process still had to do has no effect
            call()


@pytest.fixture
def bench():
    return MemoryBench()


class TestMemoryObjectStore(Conformance):
    pass


@pytest.fixture
def store(bench):
    queue(bench, ("create_collection", PG, 0))
    bench.settle()
    return bench.store


def test_what_had_reached_the_disk_unheard_is_there_after_a_crash(bench, store):
    for name in "abc":
        queue(bench, ("touch", PG, obj(name)))
    assert store.uncommitted == 3
    left = store.after_crash(bench.waiting.append, reached=2)
    left.mount()
    assert [left.exists(PG, obj(name)) for name in "abc"] == [True, True, False]


def test_a_full_store_refuses_what_grows(bench, store):
    store.limit(100 << 10)
    queue(bench, ("write", PG, obj(), 0, b"x" * (80 << 10)))
    with pytest.raises(NoSpace, match="do not fit"):
        queue(bench, ("touch", PG, obj("b")), ("write", PG, obj(), 80 << 10, b"x" * (40 << 10)))
    with pytest.raises(NoSpace):
        queue(
            bench, ("touch", PG, obj("b")), ("omap_setkeys", PG, obj("b"), {"k": bytes(30 << 10)})
        )
    assert not store.exists(PG, obj("b"))
    assert store.stat(PG, obj()).size == 80 << 10
    assert store.statfs().available == 20 << 10
    store.limit(50 << 10)  # fuller than full
    assert store.statfs().available == 0
    queue(bench, ("truncate", PG, obj(), 60 << 10))
    queue(bench, ("setattr", PG, obj(), "a", b""))
    with pytest.raises(NoSpace):
        queue(bench, ("write", PG, obj("b"), 0, b"x"))
    queue(bench, ("remove", PG, obj()), ("write", PG, obj("b"), 0, b"x"))
    bench.settle()
    assert store.statfs().allocated == 4096


def test_errors_of_the_disk(bench, store):
    queue(bench, ("write", PG, obj(), 0, b"x"), ("setattr", PG, obj(), "a", b""))
    store.inject_data_error(obj())
    with pytest.raises(InputOutput, match=r"data of #5:00000000:::a:head#"):
        store.read(PG, obj())
    assert store.stat(PG, obj()).size == 1
    store.inject_metadata_error(obj())
    for read in (store.stat, store.getattrs, lambda *name: store.getattr(*name, "a")):
        with pytest.raises(InputOutput, match="metadata"):
            read(PG, obj())
    with pytest.raises(InvariantBroken):  # undone with everything else
        queue(bench, ("remove", PG, obj()), ("clone", PG, obj(), obj("b")))
    with pytest.raises(InputOutput):
        store.read(PG, obj())
    queue(bench, ("remove", PG, obj()), ("write", PG, obj(), 0, b"y"))
    assert store.read(PG, obj()) == b"y"
    assert store.getattrs(PG, obj()) == {}


def test_after_a_failed_commit_nothing_more_becomes_durable(bench, store):
    told = []

    def write(name):
        store.queue_transactions(PG, [txn(("touch", PG, obj(name)))], None, told.append)

    write("before")
    bench.land()
    error = InputOutput("the disk is gone")
    store.fail(error)
    write("during")
    write("after")
    bench.settle()
    assert told == [None, error, error]
    assert store.exists(PG, obj("after"))
    write("last")
    store.umount()
    assert told == [None, error, error, error]
    store.mount()
    assert store.collection_list(PG)[0] == [obj("before")]
    write("anew")
    bench.settle()
    assert told[-1] is None
    bench.crash()
    assert bench.store.collection_list(PG)[0] == [obj("anew"), obj("before")]


def test_a_dead_store_stays_dead(bench, store):
    bench.crash()
    with pytest.raises(InvariantBroken, match="crashed"):
        store.mount()


def test_latency_that_varies_keeps_the_order(store, bench):
    told = []
    for name in "abc":
        applied = lambda name=name: told.append(name)  # noqa: E731
        done = lambda error, name=name: told.append(name.upper())  # noqa: E731
        store.queue_transactions(PG, [txn(("touch", PG, obj(name)))], applied, done)
    for call in reversed(bench.waiting):
        call()
    assert [name for name in told if name.isupper()] == ["A", "B", "C"]
    assert [name for name in told if name.islower()] == ["a", "b", "c"]
    assert told.index("a") < told.index("A")


def test_copying_a_range_shares_whole_chunks(bench, store):
    size = 4 * CHUNK_SIZE
    queue(bench, ("write", PG, obj(), 0, b"x" * size))
    queue(bench, ("clone_range", PG, obj(), obj("b"), 100, size - 100, 100 + CHUNK_SIZE))
    assert store.statfs().allocated == size + CHUNK_SIZE
    assert store.read(PG, obj("b")) == bytes(100 + CHUNK_SIZE) + b"x" * (size - 100)


def test_small_appends_leave_one_piece(bench, store):
    for at in range(0, 3 * CHUNK_SIZE, 8000):
        queue(bench, ("write", PG, obj(), at, b"x" * 8000))
    pieces = [c.pieces for c in store._content.objects[obj()].chunks.values()]
    assert all(len(piece) == 1 for piece in pieces)


def test_hints_are_kept(bench, store):
    queue(bench, ("touch", PG, obj()), ("set_alloc_hint", PG, obj(), 4 << 20, 4096, 3))
    assert store.alloc_hint(PG, obj()) == (4 << 20, 4096, 3)


def test_meta_is_a_collection_like_others(bench, store):
    queue(bench, ("create_collection", META, 0), ("touch", META, obj(pool=-1, snap=0)), cid=META)
    assert store.collection_list(META)[0] == [obj(pool=-1, snap=0)]
    assert store.pool_statfs(POOL).data_stored == 0


def test_the_dump_of_a_huge_transaction_is_cut(bench, store):
    keys = [f"{at:0100}" for at in range(5000)]
    with pytest.raises(InvariantBroken, match=r"and \d+ more$") as caught:
        queue(bench, ("touch", PG, obj()), ("omap_rmkeys", PG, obj("gone"), keys))
    assert len(str(caught.value)) < 70_000
