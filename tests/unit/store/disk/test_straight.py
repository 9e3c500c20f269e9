"""Small objects that are made in one go are as those that are made step by step."""

from __future__ import annotations

import pytest

from spirula.errors import InvariantBroken
from spirula.store.disk import store as module
from spirula.store.disk.fsck import fsck
from spirula.store.disk.layout import FIRST_BLOCK
from spirula.store.disk.medium import MemoryMedium
from spirula.store.disk.state import Options
from spirula.store.disk.straight import begin
from spirula.types.pool import PoolOpt
from tests.unit.store.conformance import META, PG, POOL, obj, queue, txn
from tests.unit.store.disk.test_disk import DiskBench

BLOCK = 4096
A, B = obj("a"), obj("b")
ATTRS = ("setattrs", PG, A, {"_": b"info", "snapset": b"s"})
USUAL = [
    [("write", PG, A, 0, b"a" * BLOCK)],
    [("touch", PG, A), ("write", PG, A, 0, b"a"), ATTRS],
    [("create", PG, A), ("write", PG, A, 0, bytearray(b"a" * 100)), ATTRS],
    [("write", PG, A, 0, memoryview(b"a" * 9)), ATTRS, ("setattr", PG, A, "_", b"other")],
    [("set_alloc_hint", PG, A, 1 << 22, 1 << 16, 3), ("write", PG, A, 0, b"a")],
    [("write", PG, A, 0, b"a"), ("set_alloc_hint", PG, A, 1 << 22, 1 << 16, 3)],
    [("write", PG, A, 0, b"a"), ("omap_setkeys", PG, B, {"log": b"entry"}), ATTRS],
    [("write", PG, A, 0, b"a"), ("write", PG, A, 0, b"bc"), ATTRS, ("omap_setheader", PG, A, b"h")],
    [("write", PG, A, 0, b"a" * BLOCK), ("write", PG, A, BLOCK, b"b" * 70000), ATTRS],
    [("write", PG, A, 0, b"a"), ("truncate", PG, A, 300 << 10), ("setattr", PG, A, "x", b"y")],
    [("write", PG, A, 0, b"a"), ("clone", PG, A, obj("a", snap=4)), ("setattr", PG, A, "x", b"y")],
    [("write", PG, A, 0, b"a"), ("try_rename", PG, A, obj("c")), ("touch", PG, A)],
    [("write", PG, A, 0, b"a"), ("remove", PG, A), ("write", PG, A, 0, b"b")],
    [("write", META, obj("a", pool=-1), 0, b"a")],
]


def bench_of(blocks=1 << 12, **options):
    bench = DiskBench(MemoryMedium((FIRST_BLOCK + blocks) * BLOCK), Options(**options))
    queue(bench, ("create_collection", PG, 0), ("create_collection", META, 0), ("touch", PG, B))
    return bench


def everything(bench):
    """All that the store has on its disk."""
    bench.settle()
    device = bench.medium.device
    return list(bench.medium.engine.iterate(b"")), device.read(0, device.size)


def is_clean(bench):
    bench.store.umount()
    return fsck(bench.medium.open(1 << 20), deep=True).is_clean


@pytest.mark.parametrize("steps", USUAL)
def test_all_on_the_disk_is_the_same(steps, monkeypatch):
    quick, general = bench_of(), bench_of()
    done = []

    def noted(state, ops):
        done.append(begin(state, ops))
        return done[-1]

    monkeypatch.setattr(module, "begin", noted)
    queue(quick, *steps)
    space = quick.store.statfs()
    assert done[0] if steps[0][0] != "set_alloc_hint" else not done[0]
    monkeypatch.setattr(module, "begin", lambda state, ops: 0)
    queue(general, *steps)
    assert general.store.statfs() == space
    assert everything(quick) == everything(general)
    assert is_clean(quick)


X = b"x" * BLOCK
OVER = [
    (1, [("write", PG, A, BLOCK, X)]),
    (2, [("touch", PG, A), ("write", PG, A, BLOCK, bytearray(X)), ATTRS]),
    (1, [("write", PG, A, BLOCK, X), ("write", PG, A, BLOCK, b"y" * BLOCK)]),
    (1, [("write", PG, A, BLOCK, X), ("write", PG, A, BLOCK - 9, b"y" * 100)]),
    (1, [("write", PG, A, 65 * BLOCK, X), ("clone", PG, A, obj("a", snap=4))]),
    (0, [("write", PG, A, BLOCK + 512, X)]),
    (0, [("write", PG, A, 70 * BLOCK, X)]),
    (0, [("write", PG, A, 69 * BLOCK - 100, X)]),
    (0, [("write", PG, A, 66 * BLOCK, X)]),
    (0, [("write", PG, B, BLOCK, X)]),
]


@pytest.mark.parametrize(("count", "steps"), OVER)
def test_a_block_over_another_is_the_same(count, steps, monkeypatch):
    done = []
    ways = (lambda state, ops: done.append(begin(state, ops)) or done[-1], lambda state, ops: 0)
    benches = bench_of(), bench_of()
    for bench, way in zip(benches, ways, strict=True):
        monkeypatch.setattr(module, "begin", begin)
        queue(bench, ("write", PG, A, 0, b"a" * 69 * BLOCK), ("zero", PG, A, 66 * BLOCK, BLOCK))
        queue(bench, ("touch", PG, B))
        before = bench.store.read(PG, A)
        monkeypatch.setattr(module, "begin", way)
        with pytest.raises(InvariantBroken, match="there is no object"):
            queue(bench, *steps, ("rmattr", PG, obj("none"), "x"))
        assert bench.store.read(PG, A) == before
        queue(bench, *steps)
    assert done == [count, count]
    assert benches[0].store.read(PG, A) == benches[1].store.read(PG, A)
    quick, general = map(everything, benches)
    assert quick == general
    assert is_clean(benches[0])


def test_a_block_that_another_object_has_too_is_left_to_it():
    bench = bench_of()
    queue(bench, ("write", PG, A, 0, b"a" * 16 * BLOCK), ("clone", PG, A, obj("a", snap=4)))
    bench.store.read(PG, A)
    assert begin(bench.store._state(), txn(("write", PG, A, BLOCK, X)).ops) == 0
    queue(bench, ("write", PG, A, BLOCK, X))
    assert bench.store.read(PG, obj("a", snap=4)) == b"a" * 16 * BLOCK


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [("touch", PG, A)],
        [("touch", PG, B), ("write", PG, A, 0, b"a")],
        [("write", PG, A, 1, b"a")],
        [("write", PG, A, 0, b"")],
        [("write", PG, A, 0, b"a" * (BLOCK + 1))],
        [("write", PG, B, 0, b"b")],
        [("zero", PG, A, 0, 1)],
    ],
)
def test_what_is_unusual_goes_the_general_way(steps):
    bench = bench_of()
    assert begin(bench.store._state(), txn(*steps).ops) == 0
    assert everything(bench) == everything(bench_of())


def test_so_do_other_checksums_and_small_disks():
    for options in ({"log_new_below": 0}, {"log_new_below": 100}):
        bench = bench_of(**options)
        assert begin(bench.store._state(), txn(("write", PG, A, 0, b"a" * 100)).ops) == 0
    bench = bench_of()
    bench.store.set_collection_opts(PG, {PoolOpt.CSUM_TYPE: 1})
    assert begin(bench.store._state(), txn(("write", PG, A, 0, b"a")).ops) == 0
    bench = bench_of(64)
    assert begin(bench.store._state(), txn(("write", PG, A, 0, b"a")).ops) == 0


def test_what_only_a_bug_can_ask_takes_it_back_and_tells_which_operation_it_was():
    bench = bench_of()
    before = bench.store.statfs(), bench.store.pool_statfs(POOL)
    with pytest.raises(InvariantBroken, match=r"operation 2 \(rmattr\)"):
        queue(bench, *USUAL[0], ("setattr", PG, A, "x", b"y"), ("rmattr", PG, obj("none"), "x"))
    assert not bench.store.exists(PG, A)
    assert (bench.store.statfs(), bench.store.pool_statfs(POOL)) == before
    with pytest.raises(InvariantBroken, match="is none of collection"):
        queue(bench, ("write", PG, obj("a", pool=POOL + 1), 0, b"a"))
    with pytest.raises(InvariantBroken, match="there is no collection"):
        queue(bench, ("write", PG.temp(), A, 0, b"a"))


@pytest.mark.parametrize("lands", [False, True])
def test_a_new_object_can_be_used_at_once_and_is_not_in_memory_before(lands):
    bench = bench_of()
    bench.settle()
    onodes = bench.store.counters["onodes"]
    queue(bench, ("write", PG, A, 0, b"a" * BLOCK), ATTRS)
    assert bench.store.counters["onodes"] == onodes
    if lands:
        bench.settle()
    assert bench.store.read(PG, A) == b"a" * BLOCK
    assert bench.store.getattrs(PG, A) == {"_": b"info", "snapset": b"s"}
    assert bench.store.counters["onodes"] == onodes + 1
    queue(bench, ("write", PG, A, 1, b"b"), ("clone", PG, A, obj("a", snap=4)))
    queue(bench, ("write", PG, A, 0, b"c"), ("setattr", PG, A, "_", b"later"))
    queue(bench, ("try_rename", PG, A, obj("c")))
    assert not bench.store.exists(PG, A)
    assert bench.store.read(PG, obj("c"), 0, 3) == b"cba"
    assert bench.store.getattr(PG, obj("c"), "_") == b"later"
    queue(bench, ("write", PG, A, 0, b"new"), ("setattr", PG, A, "_", b"anew"))
    queue(bench, ("remove", PG, A))
    assert not bench.store.exists(PG, A)
    bench.settle()
    bench.crash()
    assert not bench.store.exists(PG, A)
    assert bench.store.read(PG, obj("a", snap=4), 0, 3) == b"aba"
    assert is_clean(bench)
