"""What the store asks its engine for, and what it knows without."""

from __future__ import annotations

import pytest

from spirula.errors import InvariantBroken
from spirula.store.disk.fsck import fsck
from spirula.store.disk.medium import MemoryMedium
from tests.unit.store.conformance import PG, POOL, obj, queue
from tests.unit.store.disk.test_disk import DiskBench


class Counted:
    """An engine's `get`, with the keys that it was asked for."""

    def __init__(self, engine):
        self.keys = []
        self._get, engine.get = engine.get, self

    def __call__(self, key):
        self.keys.append(key)
        return self._get(key)


def test_an_omap_value_that_each_write_replaces_is_read_once():
    medium = MemoryMedium(1 << 28)
    bench = DiskBench(medium)
    queue(bench, ("create_collection", PG, 0), ("touch", PG, obj()))
    counted = Counted(medium.engine)
    for number in range(4):
        entries = {f"{number:04}": b"entry", "fast": bytes(number + 1)}
        queue(bench, ("omap_setkeys", PG, obj(), entries))
        bench.settle()
    assert [key[-4:] for key in counted.keys] == [
        b"0000",
        b"fast",
        b"0001",
        b"fast",
        b"0002",
        b"0003",
    ]


def test_space_of_omaps_is_right_when_replaced_values_are_removed_or_taken_back():
    medium = MemoryMedium(1 << 28)
    bench = DiskBench(medium)
    queue(bench, ("create_collection", PG, 0), ("touch", PG, obj()))
    for size in (1, 2, 3):
        queue(bench, ("omap_setkeys", PG, obj(), {"fast": bytes(size)}))
    with pytest.raises(InvariantBroken):
        queue(
            bench,
            ("omap_setkeys", PG, obj(), {"fast": bytes(99)}),
            ("rmattr", PG, obj("none"), "x"),
        )
    queue(bench, ("omap_setkeys", PG, obj(), {"fast": bytes(5)}))
    queue(bench, ("omap_rmkeys", PG, obj(), ["fast"]))
    queue(bench, ("omap_setkeys", PG, obj(), {"fast": bytes(6)}))
    queue(bench, ("omap_setkeys", PG, obj(), {"fast": bytes(7)}))
    queue(bench, ("omap_clear", PG, obj()))
    queue(bench, ("omap_setkeys", PG, obj(), {"fast": bytes(8)}))
    bench.settle()
    assert bench.store.pool_statfs(POOL).omap_allocated == len("fast") + 8
    bench.store.umount()
    assert fsck(medium.open(1 << 20), deep=True).is_clean


def test_an_object_is_looked_for_once_before_it_is_made():
    medium = MemoryMedium(1 << 28)
    bench = DiskBench(medium)
    queue(bench, ("create_collection", PG, 0))
    bench.settle()
    counted = Counted(medium.engine)
    assert not bench.store.exists(PG, obj())
    queue(bench, ("write", PG, obj(), 0, b"data"))
    assert len(counted.keys) == 1
    assert bench.store.exists(PG, obj())
    with pytest.raises(InvariantBroken):
        queue(bench, ("touch", PG, obj("b")), ("rmattr", PG, obj("none"), "x"))
    queue(bench, ("remove", PG, obj()))
    bench.settle()
    assert not bench.store.exists(PG, obj())
    assert not bench.store.exists(PG, obj("b"))
