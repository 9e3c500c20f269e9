"""What an OSD remembers about itself and its maps, in its meta collection.

Formats: upstream `src/osd/osd_types.h` (OSDSuperblock, pool_pg_num_history_t).
"""

from __future__ import annotations

from spirula.denc import (
    Map,
    Pair,
    Set,
    Struct,
    f64,
    s32,
    s64,
    since,
    struct,
    u32,
    uuid_d,
)
from spirula.types.base import UTime
from spirula.types.mon import CompatSet


@struct(name="OSDSuperblock", version=10, compat=5, legacy=(5, 5))
class OSDSuperblock(Struct):
    """Who the OSD is, which maps it has, and through which epoch its last run was clean.

    Version 10 came with a late release of 16.2; earlier ones write 9.
    """

    cluster_fsid: uuid_d
    whoami: s32
    current_epoch: u32
    oldest_map: u32
    newest_map: u32
    weight: f64
    compat_features: CompatSet = since(2)
    clean_thru: u32
    mounted: u32
    osd_fsid: uuid_d = since(4)
    last_epoch_marked_full: u32 = since(6)
    pool_last_epoch_marked_full: Map[s64, u32] = since(7)
    purged_snaps_last: u32 = since(9)
    last_purged_snaps_scrub: UTime = since(9)
    cluster_osdmap_trim_lower_bound: u32 = since(10)


@struct(name="pool_pg_num_history_t", version=1, compat=1)
class PoolPGNumHistory(Struct):
    """How pools' numbers of PGs changed: pool -> epoch -> pg_num; deleted ones as (epoch, pool)."""

    epoch: u32
    pg_nums: Map[s64, Map[u32, u32]]
    deleted_pools: Set[Pair[u32, s64]]

    def prune(self, oldest_epoch: int) -> None:
        """Forgets what lies before the oldest map, but for the last change before it."""
        for entry in sorted(self.deleted_pools):
            if entry[0] < oldest_epoch:
                self.pg_nums.pop(entry[1], None)
                self.deleted_pools.discard(entry)
        for changes in self.pg_nums.values():
            older = sorted(epoch for epoch in changes if epoch < oldest_epoch)
            for epoch in older[:-1]:
                del changes[epoch]
