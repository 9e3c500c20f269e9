"""The statistics of all PGs and OSDs as the manager holds them, and the digest that it sends to the
monitors.

Formats: upstream `src/mon/PGMap.h` and `.cc`.
"""

from __future__ import annotations

from spirula.denc import HashMap, Map, Pair, Struct, Vec, s32, s64, since, string, struct, u32, u64
from spirula.types.base import UTime
from spirula.types.interval_set import IntervalSet
from spirula.types.osd_stats import OSDStat
from spirula.types.pg import PGId
from spirula.types.pg_stats import PGStat, PoolStat, StoreStatfs


@struct(name="PGMapDigest::pg_count")
class PGCount(Struct):
    """In how many PGs an OSD acts, is up but does not act, and leads."""

    acting: s32
    up_not_acting: s32
    primary: s32


@struct(version=4, compat=1, name="PGMapDigest")
class PGMapDigest(Struct):
    """What the monitors need to know of the PGs, to answer `ceph -s` and `ceph df`.

    The deltas are changes over the seconds beside them; `avail_space_by_rule` is bytes by CRUSH
    rule.
    """

    num_pg: s64
    num_pg_active: s64
    num_pg_unknown: s64
    num_osd: s64
    pg_pool_sum: HashMap[s32, PoolStat]
    pg_sum: PoolStat
    osd_sum: OSDStat
    num_pg_by_state: HashMap[u64, s32]
    num_pg_by_osd: HashMap[s32, PGCount]
    num_pg_by_pool: Map[s64, s64]
    osd_last_seq: Vec[u64]
    per_pool_sum_delta: HashMap[s64, Pair[PoolStat, UTime]]
    per_pool_sum_deltas_stamps: HashMap[s64, UTime]
    pg_sum_delta: PoolStat
    stamp_delta: UTime
    avail_space_by_rule: Map[s32, s64]
    purged_snaps: Map[s64, IntervalSet] = since(3)
    osd_sum_by_class: Map[string, OSDStat] = since(4)


@struct(version=8, compat=8, name="PGMap")
class PGMap(Struct):
    """Everything known of PGs and OSDs; `pool_statfs` is by pool and OSD."""

    version: u64
    pg_stat: HashMap[PGId, PGStat]
    osd_stat: HashMap[s32, OSDStat]
    last_osdmap_epoch: u32
    last_pg_scan: u32
    stamp: UTime
    pool_statfs: Map[Pair[s64, s32], StoreStatfs]
