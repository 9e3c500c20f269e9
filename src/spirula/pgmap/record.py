"""The statistics of all PGs and OSDs as a manager holds them, with sums that are kept up to date.

Reports are collected in `Changes` and taken in together by `apply`, so that rates are over spans of
time (`deltas`). What a new OSD map means for them is in `osd_changes`, what monitors are sent in
`digest`. Upstream: `src/mon/PGMap.cc` (apply_incremental, stat_pg_add, stat_osd_add).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from spirula.pgmap.deltas import Rate
from spirula.types.osd_stats import OSDStat
from spirula.types.pg import PGId, PGState
from spirula.types.pg_stats import ObjectStatSum, PGStat, PoolStat, StoreStatfs
from spirula.types.pgmap import PGCount

_ACTIVE = int(PGState.ACTIVE)


@dataclass(slots=True, eq=False)
class Changes:
    """What has been reported, or follows from a map, since the last `apply`."""

    pg_stat: dict[PGId, PGStat] = field(default_factory=dict)
    osd_stat: dict[int, OSDStat] = field(default_factory=dict)
    pool_statfs: dict[tuple[int, int], StoreStatfs] = field(default_factory=dict)
    """Space by pool and OSD."""
    pg_gone: set[PGId] = field(default_factory=set)
    osd_gone: set[int] = field(default_factory=set)


@dataclass(slots=True, eq=False)
class PGMap:
    """Statistics and their sums.

    `version` counts the calls of `apply`, `stamp` is when the last one was, in seconds since 1970
    (0: never). `pgs_of` are the PGs in whose acting or up set an OSD is.
    """

    version: int = 0
    stamp: float = 0.0
    last_osdmap_epoch: int = 0
    pg_stat: dict[PGId, PGStat] = field(default_factory=dict)
    osd_stat: dict[int, OSDStat] = field(default_factory=dict)
    pool_statfs: dict[tuple[int, int], StoreStatfs] = field(default_factory=dict)

    num_pg_active: int = 0
    num_pg_unknown: int = 0
    pg_sum: PoolStat = field(default_factory=PoolStat)
    pool_sum: dict[int, PoolStat] = field(default_factory=dict)
    osd_sum: OSDStat = field(default_factory=OSDStat)
    num_pg_by_state: Counter[int] = field(default_factory=Counter)
    num_pg_by_pool: Counter[int] = field(default_factory=Counter)
    num_pg_by_pool_state: dict[int, Counter[int]] = field(default_factory=dict)
    num_pg_by_osd: dict[int, PGCount] = field(default_factory=dict)
    pgs_of: defaultdict[int, set[PGId]] = field(default_factory=lambda: defaultdict(set))
    blocked_by: Counter[int] = field(default_factory=Counter)
    """How many PGs an OSD keeps from peering."""

    rate: Rate = field(default_factory=Rate)
    """What has changed of late in all PGs."""
    pool_rate: dict[int, Rate] = field(default_factory=dict)

    @property
    def num_pg(self) -> int:
        """How many PGs there are."""
        return len(self.pg_stat)

    def sum_of_pool(self, pool: int) -> PoolStat:
        """The pool's sums; zeros before anything is known of it."""
        return self.pool_sum.get(pool) or PoolStat()


def apply(pgmap: PGMap, changes: Changes, now: float, smooth: int, reset_s: float) -> None:
    """Takes changes in and works out rates.

    `smooth` is over how many calls rates are averaged (mon_stat_smooth_intervals), `reset_s` the
    mon_delta_reset_interval: after a pause no rate is taken over more than twice that.
    """
    pgmap.version += 1
    before = _copy(pgmap.pg_sum.stats.sum)
    pools_before = {pool: _copy(stat.stats.sum) for pool, stat in pgmap.pool_sum.items()}
    for pgid, stat in changes.pg_stat.items():
        _replace_pg(pgmap, pgid, stat)
    for (pool, osd), statfs in changes.pool_statfs.items():
        if pool in pgmap.pool_sum:
            _remove_statfs(pgmap, pool, osd)
            pgmap.pool_statfs[pool, osd] = statfs
            total = pgmap.pool_sum[pool]
            total.store_stats.add(statfs)
            total.num_store_stats += 1
    for osd, osd_stat in changes.osd_stat.items():
        _remove_osd(pgmap, osd)
        pgmap.osd_stat[osd] = osd_stat
        add_osd(pgmap.osd_sum, osd_stat)
    for pgid in changes.pg_gone:
        _remove_pg(pgmap, pgid)
    for osd in changes.osd_gone:
        _remove_osd(pgmap, osd)
        for pool, other in [key for key in pgmap.pool_statfs if key[1] == osd]:
            _remove_statfs(pgmap, pool, other)
    if pgmap.stamp:
        pgmap.rate.note(before, pgmap.pg_sum.stats.sum, now - pgmap.stamp, smooth)
    pgmap.stamp = now
    for pool, old in pools_before.items():
        rate = pgmap.pool_rate.setdefault(pool, Rate())
        passed = min(now - rate.stamp, 2 * reset_s) if rate.stamp else 2 * reset_s
        rate.note(old, pgmap.sum_of_pool(pool).stats.sum, passed, smooth)
        rate.stamp = now
    for pool in [pool for pool in pgmap.pool_sum if not pgmap.num_pg_by_pool[pool]]:
        _forget_pool(pgmap, pool)


def _copy(stats: ObjectStatSum) -> ObjectStatSum:
    made = ObjectStatSum()
    made.add(stats)
    return made


def _forget_pool(pgmap: PGMap, pool: int) -> None:
    del pgmap.pool_sum[pool], pgmap.num_pg_by_pool[pool]
    pgmap.pool_rate.pop(pool, None)
    pgmap.num_pg_by_pool_state.pop(pool, None)
    for key in [key for key in pgmap.pool_statfs if key[0] == pool]:
        del pgmap.pool_statfs[key]


# ------------------------------------------------------------------------------------------- PGs


def _replace_pg(pgmap: PGMap, pgid: PGId, stat: PGStat) -> None:
    """Exchanges a PG's statistics; counters that did not change are not added up again."""
    old = pgmap.pg_stat.get(pgid)
    pgmap.pg_stat[pgid] = stat
    pool = pgmap.pool_sum.setdefault(pgid.pool, PoolStat())
    if old is None:
        _count_state(pgmap, pgid, stat.state, 1)
        _count_places(pgmap, pgid, stat, 1)
        _sum_pg(pgmap.pg_sum, stat)
        _sum_pg(pool, stat)
        pgmap.num_pg_by_pool[pgid.pool] += 1
        return
    if old.state != stat.state:
        _count_state(pgmap, pgid, old.state, -1)
        _count_state(pgmap, pgid, stat.state, 1)
    if _places(old) != _places(stat):
        _count_places(pgmap, pgid, old, -1)
        _count_places(pgmap, pgid, stat, 1)
    changed = old.stats.sum != stat.stats.sum
    for total in (pgmap.pg_sum, pool):
        if changed:
            total.stats.sum.sub(old.stats.sum)
            total.stats.sum.add(stat.stats.sum)
        total.log_size += stat.log_size - old.log_size
        total.ondisk_log_size += stat.ondisk_log_size - old.ondisk_log_size
        total.up += len(stat.up) - len(old.up)
        total.acting += len(stat.acting) - len(old.acting)


def _remove_pg(pgmap: PGMap, pgid: PGId) -> None:
    stat = pgmap.pg_stat.pop(pgid, None)
    if stat is None:
        return
    _count_state(pgmap, pgid, stat.state, -1)
    _count_places(pgmap, pgid, stat, -1)
    for total in (pgmap.pg_sum, pgmap.pool_sum[pgid.pool]):
        total.stats.sum.sub(stat.stats.sum)
        total.log_size -= stat.log_size
        total.ondisk_log_size -= stat.ondisk_log_size
        total.up -= len(stat.up)
        total.acting -= len(stat.acting)
    pgmap.num_pg_by_pool[pgid.pool] -= 1


def _sum_pg(total: PoolStat, stat: PGStat) -> None:
    total.stats.sum.add(stat.stats.sum)
    total.log_size += stat.log_size
    total.ondisk_log_size += stat.ondisk_log_size
    total.up += len(stat.up)
    total.acting += len(stat.acting)


def _count_state(pgmap: PGMap, pgid: PGId, state: int, by: int) -> None:
    _bump(pgmap.num_pg_by_state, state, by)
    _bump(pgmap.num_pg_by_pool_state.setdefault(pgid.pool, Counter()), state, by)
    if state & _ACTIVE:
        pgmap.num_pg_active += by
    if not state:
        pgmap.num_pg_unknown += by


def _bump(counter: Counter[int], key: int, by: int) -> None:
    counter[key] += by
    if not counter[key]:
        del counter[key]


def _places(stat: PGStat) -> tuple[list[int], list[int], int, list[int]]:
    return stat.up, stat.acting, stat.up_primary, stat.blocked_by


def _count_places(pgmap: PGMap, pgid: PGId, stat: PGStat, by: int) -> None:
    for osd in stat.blocked_by:
        _bump(pgmap.blocked_by, osd, by)
    for osd in {*stat.acting, *stat.up}:
        if by > 0:
            pgmap.pgs_of[osd].add(pgid)
        else:
            pgmap.pgs_of[osd].discard(pgid)
            if not pgmap.pgs_of[osd]:
                del pgmap.pgs_of[osd]
        count = pgmap.num_pg_by_osd.setdefault(osd, PGCount())
        if osd in stat.acting:
            count.acting += by
        else:
            count.up_not_acting += by
    if stat.up_primary >= 0:
        pgmap.num_pg_by_osd.setdefault(stat.up_primary, PGCount()).primary += by


def _remove_statfs(pgmap: PGMap, pool: int, osd: int) -> None:
    old = pgmap.pool_statfs.pop((pool, osd), None)
    if old is not None and pool in pgmap.pool_sum:
        pgmap.pool_sum[pool].store_stats.sub(old)
        pgmap.pool_sum[pool].num_store_stats -= 1


# ------------------------------------------------------------------------------------------ OSDs


def _remove_osd(pgmap: PGMap, osd: int) -> None:
    old = pgmap.osd_stat.pop(osd, None)
    if old is not None:
        _change_osd_sum(pgmap.osd_sum, old, -1)
        pgmap.osd_sum.statfs.sub(old.statfs)
        pgmap.osd_sum.op_queue_age_hist.sub(old.op_queue_age_hist)
        for who in old.os_alerts:
            pgmap.osd_sum.os_alerts.pop(who, None)
        _settle(pgmap.osd_sum)


def add_osd(total: OSDStat, stat: OSDStat) -> None:
    """Adds what an OSD reports of itself to a sum of several."""
    _change_osd_sum(total, stat, 1)
    total.statfs.add(stat.statfs)
    total.op_queue_age_hist.add(stat.op_queue_age_hist)
    total.os_alerts.update(stat.os_alerts)
    _settle(total)


_COUNTED = (
    "snap_trim_queue_len",
    "num_snap_trimming",
    "num_shards_repaired",
    "num_pgs",
    "num_osds",
    "num_per_pool_osds",
    "num_per_pool_omap_osds",
)


def _change_osd_sum(total: OSDStat, stat: OSDStat, by: int) -> None:
    for name in _COUNTED:
        setattr(total, name, getattr(total, name) + by * getattr(stat, name))
    total.os_perf_stat.os_commit_latency_ns += by * stat.os_perf_stat.os_commit_latency_ns
    total.os_perf_stat.os_apply_latency_ns += by * stat.os_perf_stat.os_apply_latency_ns


def _settle(total: OSDStat) -> None:
    """The fields that repeat a part of `statfs`."""
    total.set_statfs(total.statfs)
