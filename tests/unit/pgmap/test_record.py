"""Sums that are kept up to date are those of the parts, whatever was reported in which order."""

from __future__ import annotations

import random
from collections import Counter

from spirula.pgmap.record import Changes, PGMap, apply
from spirula.pgmap.traffic import Traffic
from spirula.types.osd_stats import OSDStat
from spirula.types.pg import PGId, PGState
from spirula.types.pg_stats import ObjectStatSum, PGStat, StoreStatfs

STATES = [
    0,
    int(PGState.ACTIVE | PGState.CLEAN),
    int(PGState.ACTIVE | PGState.DEGRADED),
    int(PGState.PEERING),
]


def some_stat(rng):
    stat = PGStat(log_size=rng.randrange(100), ondisk_log_size=rng.randrange(100))
    stat.state = rng.choice(STATES)
    stat.up = rng.sample(range(6), 3)
    stat.acting = rng.sample(range(6), 3)
    stat.up_primary = stat.up[0]
    stat.blocked_by = rng.sample(range(6), rng.randrange(2))
    stat.stats.sum = ObjectStatSum(num_objects=rng.randrange(50), num_wr=rng.randrange(1000))
    return stat


def some_osd(rng):
    stat = OSDStat(num_osds=1, num_pgs=rng.randrange(9), num_per_pool_osds=1)
    stat.set_statfs(StoreStatfs(total=1000 << 20, available=rng.randrange(1000) << 20))
    stat.os_alerts = {9: {"SLOW": "x"}} if rng.random() < 0.2 else {}
    return stat


def test_sums_are_those_of_the_parts():
    for seed in range(30):
        rng = random.Random(seed)
        pgmap = PGMap()
        for now in range(1, 25):
            changes = Changes()
            for _ in range(rng.randrange(6)):
                changes.pg_stat[PGId(rng.randrange(1, 4), rng.randrange(8))] = some_stat(rng)
            for _ in range(rng.randrange(3)):
                changes.osd_stat[rng.randrange(6)] = some_osd(rng)
            for _ in range(rng.randrange(3)):
                key = rng.randrange(1, 4), rng.randrange(6)
                changes.pool_statfs[key] = StoreStatfs(allocated=rng.randrange(1000))
            known = sorted(pgmap.pg_stat, key=lambda pg: (pg.pool, pg.seed))
            changes.pg_gone = set(rng.sample(known, min(len(known), rng.randrange(3))))
            changes.pg_gone -= changes.pg_stat.keys()
            changes.osd_gone = {osd for osd in pgmap.osd_stat if rng.random() < 0.05}
            changes.osd_gone -= changes.osd_stat.keys()
            apply(pgmap, changes, float(now), 6, 10.0)
            check(pgmap)


def check(pgmap):
    stats = pgmap.pg_stat
    total = ObjectStatSum()
    for stat in stats.values():
        total.add(stat.stats.sum)
    assert pgmap.pg_sum.stats.sum == total
    assert pgmap.pg_sum.log_size == sum(stat.log_size for stat in stats.values())
    assert pgmap.num_pg_by_state == Counter(stat.state for stat in stats.values())
    assert pgmap.num_pg_unknown == sum(not stat.state for stat in stats.values())
    active = sum(bool(stat.state & PGState.ACTIVE) for stat in stats.values())
    assert pgmap.num_pg_active == active
    blocked = Counter(osd for stat in stats.values() for osd in stat.blocked_by)
    assert pgmap.blocked_by == blocked
    for pool, pool_sum in pgmap.pool_sum.items():
        mine = [stat for pg, stat in stats.items() if pg.pool == pool]
        assert mine
        assert pool_sum.up == sum(len(stat.up) for stat in mine)
        spaces = [one for key, one in pgmap.pool_statfs.items() if key[0] == pool]
        assert pool_sum.store_stats.allocated == sum(one.allocated for one in spaces)
        assert pool_sum.num_store_stats == len(spaces)
    assert {pg.pool for pg in stats} == pgmap.pool_sum.keys()
    for osd in range(6):
        acting = sum(osd in stat.acting for stat in stats.values())
        count = pgmap.num_pg_by_osd.get(osd)
        assert (count.acting if count else 0) == acting
        assert pgmap.pgs_of.get(osd, set()) == {
            pg for pg, stat in stats.items() if osd in stat.acting or osd in stat.up
        }
    assert pgmap.osd_sum.num_osds == len(pgmap.osd_stat)
    space = sum(stat.statfs.available for stat in pgmap.osd_stat.values())
    assert pgmap.osd_sum.statfs.available == space
    assert pgmap.osd_sum.kb_avail == space >> 10


def operations(rate):
    return Traffic.of(rate.total, rate.seconds).operations()


def test_rates_are_of_the_last_spans_only():
    pgmap, pg = PGMap(), PGId(1, 0)
    for now, written in enumerate((0, 100, 200, 300, 300, 300), start=1):
        stat = PGStat(up=[0], acting=[0])
        stat.stats.sum = ObjectStatSum(num_objects=1, num_wr=written)
        apply(pgmap, Changes(pg_stat={pg: stat}), float(now), 2, 10.0)
        if now == 4:
            assert operations(pgmap.rate) == 100.0
            assert operations(pgmap.pool_rate[1]) == 100.0
    assert operations(pgmap.rate) == 0.0
