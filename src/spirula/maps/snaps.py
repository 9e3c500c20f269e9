"""Snapshots of pools: those of the whole pool, and ids that clients make snapshots with themselves.

A pool has one kind or the other. Called by the monitor's commands and, later, by OSDs. Upstream:
`src/osd/osd_types.cc`, pg_pool_t.
"""

from __future__ import annotations

from spirula.errors import Exists, InvalidArgument, NotFound
from spirula.types.base import UTime
from spirula.types.interval_set import IntervalSet
from spirula.types.pool import PGPool, PoolFlag, PoolSnapInfo
from spirula.types.snap import SnapContext


def is_pool_snaps_mode(pool: PGPool) -> bool:
    """Snapshots are of the whole pool."""
    return pool.has_flag(PoolFlag.POOL_SNAPS)


def is_unmanaged_snaps_mode(pool: PGPool) -> bool:
    """Clients make snapshots of what they like, with ids from the monitor."""
    return pool.has_flag(PoolFlag.SELFMANAGED_SNAPS)


def find_snap(pool: PGPool, name: str) -> int | None:
    """The id of the pool's snapshot with that name."""
    return next((id for id, snap in sorted(pool.snaps.items()) if snap.name == name), None)


def is_removed_snap(pool: PGPool, id: int) -> bool:
    """Whether that snapshot was there and is gone, as far as the pool itself remembers.

    From Octopus on, ids of clients' snapshots are remembered elsewhere (`removed_snaps_queue`).
    """
    if is_pool_snaps_mode(pool):
        return id <= pool.snap_seq and id not in pool.snaps
    return id in pool.removed_snaps


def add_snap(pool: PGPool, name: str, stamp: UTime) -> int:
    """Make a snapshot of the pool; gives its id.

    Raises InvalidArgument for a pool whose clients make their own, Exists for a name that is taken.
    """
    if is_unmanaged_snaps_mode(pool):
        raise InvalidArgument("clients make their own snapshots in this pool")
    if find_snap(pool, name) is not None:
        raise Exists(f"there is a snapshot {name}")
    pool.flags = int(pool.flags | PoolFlag.POOL_SNAPS)
    pool.snap_seq += 1
    pool.snaps = {**pool.snaps, pool.snap_seq: PoolSnapInfo(pool.snap_seq, stamp, name)}
    return pool.snap_seq


def remove_snap(pool: PGPool, id: int) -> None:
    """Remove a snapshot of the pool. Raises NotFound."""
    if id not in pool.snaps:
        raise NotFound(f"there is no snapshot {id}")
    pool.snaps = {known: snap for known, snap in pool.snaps.items() if known != id}
    pool.snap_seq += 1


def add_unmanaged_snap(pool: PGPool, *, pre_octopus: bool = False) -> int:
    """A new id for a client's snapshot.

    With `pre_octopus`, for clusters that still require less, the kind of the pool shows in
    `removed_snaps` as well. Raises InvalidArgument for a pool with snapshots of its own.
    """
    if is_pool_snaps_mode(pool):
        raise InvalidArgument("this pool has snapshots of its own")
    if pool.snap_seq == 0:
        if pre_octopus:
            pool.removed_snaps = pool.removed_snaps | IntervalSet([(1, 1)])
        pool.snap_seq = 1
    pool.flags = int(pool.flags | PoolFlag.SELFMANAGED_SNAPS)
    pool.snap_seq += 1
    return pool.snap_seq


def remove_unmanaged_snap(pool: PGPool, id: int, *, pre_octopus: bool = False) -> None:
    """A client's snapshot is gone; see `add_unmanaged_snap`. Raises InvalidArgument."""
    if not is_unmanaged_snaps_mode(pool):
        raise InvalidArgument("clients make no snapshots in this pool")
    pool.snap_seq += 1
    if pre_octopus:
        pool.removed_snaps = pool.removed_snaps | IntervalSet([(id, 1), (pool.snap_seq, 1)])


def snap_context(pool: PGPool) -> SnapContext:
    """What writers to a pool with snapshots of its own must tell OSDs: ids, the newest first."""
    return SnapContext(pool.snap_seq, sorted(pool.snaps, reverse=True))
