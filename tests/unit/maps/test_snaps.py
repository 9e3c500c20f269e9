"""Snapshots of pools: one kind or the other."""

from __future__ import annotations

import pytest

from spirula.errors import Exists, InvalidArgument, NotFound
from spirula.maps import snaps
from spirula.types.base import UTime
from spirula.types.interval_set import IntervalSet
from spirula.types.pool import PGPool


def test_snapshots_of_the_whole_pool():
    pool = PGPool()
    assert snaps.add_snap(pool, "monday", UTime(1, 0)) == 1
    assert snaps.add_snap(pool, "tuesday", UTime(2, 0)) == 2
    assert snaps.is_pool_snaps_mode(pool)
    assert snaps.find_snap(pool, "tuesday") == 2
    assert snaps.snap_context(pool).snaps == [2, 1]
    with pytest.raises(Exists):
        snaps.add_snap(pool, "monday", UTime(3, 0))
    snaps.remove_snap(pool, 1)
    assert (pool.snap_seq, snaps.snap_context(pool).snaps) == (3, [2])
    assert snaps.is_removed_snap(pool, 1)
    assert not snaps.is_removed_snap(pool, 2)
    assert not snaps.is_removed_snap(pool, 4)
    with pytest.raises(NotFound):
        snaps.remove_snap(pool, 1)
    with pytest.raises(InvalidArgument):
        snaps.add_unmanaged_snap(pool)
    with pytest.raises(InvalidArgument):
        snaps.remove_unmanaged_snap(pool, 1)


def test_snapshots_of_clients():
    pool = PGPool()
    assert snaps.add_unmanaged_snap(pool) == 2  # 1 stands for the pool's own time
    assert snaps.add_unmanaged_snap(pool) == 3
    assert snaps.is_unmanaged_snaps_mode(pool)
    snaps.remove_unmanaged_snap(pool, 2)
    assert pool.snap_seq == 4
    assert not pool.removed_snaps
    with pytest.raises(InvalidArgument):
        snaps.add_snap(pool, "monday", UTime(1, 0))


def test_snapshots_of_clients_where_old_osds_look():
    pool = PGPool()
    snaps.add_unmanaged_snap(pool, pre_octopus=True)
    assert pool.removed_snaps == IntervalSet([(1, 1)])
    snaps.remove_unmanaged_snap(pool, 2, pre_octopus=True)
    assert pool.removed_snaps == IntervalSet([(1, 3)])
    assert snaps.is_removed_snap(pool, 2)
