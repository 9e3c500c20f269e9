"""What follows from an OSD map: new PGs are unknown, those of dead primaries are stale."""

from __future__ import annotations

from spirula.maps.osdmap import OSDMap
from spirula.maps.state import OSDState
from spirula.pgmap.osd_changes import note_osd_map
from spirula.pgmap.record import Changes, PGMap, apply
from spirula.types.osd_stats import OSDStat
from spirula.types.pg import PGId, PGState
from spirula.types.pg_stats import PGStat, StoreStatfs
from spirula.types.pool import PGPool

CLEAN = int(PGState.ACTIVE | PGState.CLEAN)
UP = int(OSDState.EXISTS | OSDState.UP)


def map_of(states, pools):
    made = OSDMap(max_osd=len(states), osd_state=list(states))
    made.osd_weight = [0x10000 if state else 0 for state in states]
    made.pools = {number: PGPool(pg_num=pg_num) for number, pg_num in pools.items()}
    return made


def reported(osdmap, primary_of):
    pgmap = PGMap()
    changes = Changes()
    note_osd_map(pgmap, osdmap, changes, 1.0)
    for pg, osd in primary_of.items():
        stat = PGStat(acting=[osd], up=[osd], acting_primary=osd, up_primary=osd)
        stat.state = CLEAN
        changes.pg_stat[pg] = stat
    apply(pgmap, changes, 1.0, 6, 10.0)
    return pgmap


def taken(pgmap, osdmap):
    changes = Changes()
    note_osd_map(pgmap, osdmap, changes, 2.0)
    apply(pgmap, changes, 2.0, 6, 10.0)
    return pgmap


def test_pgs_come_unknown_and_go():
    pgmap = reported(map_of([UP], {1: 4}), {})
    assert pgmap.num_pg_unknown == 4
    assert taken(pgmap, map_of([UP], {1: 6, 2: 1})).num_pg == 7
    assert taken(pgmap, map_of([UP], {1: 2, 2: 1})).num_pg_by_pool == {1: 2, 2: 1}
    assert set(taken(pgmap, map_of([UP], {2: 1})).pool_sum) == {2}


def test_pgs_whose_primary_is_down_are_stale():
    pgs = {PGId(1, 0): 0, PGId(1, 1): 1}
    pgmap = taken(reported(map_of([UP, UP], {1: 2}), pgs), map_of([UP, 1], {1: 2}))
    assert pgmap.pg_stat[PGId(1, 0)].state == CLEAN
    assert pgmap.pg_stat[PGId(1, 1)].state == CLEAN | PGState.STALE
    assert float(pgmap.pg_stat[PGId(1, 1)].last_unstale) == 2.0


def test_an_osd_that_is_out_has_no_space_and_one_that_is_gone_no_statistics():
    pgmap = reported(map_of([UP, UP], {}), {})
    stat = OSDStat(num_osds=1)
    stat.set_statfs(StoreStatfs(total=100 << 10, available=50 << 10))
    apply(pgmap, Changes(osd_stat={0: stat, 1: stat}), 2.0, 6, 10.0)
    out = map_of([UP, UP], {})
    out.osd_weight[1] = 0
    assert taken(pgmap, out).osd_sum.kb == 100
    assert set(taken(pgmap, map_of([UP, 0], {})).osd_stat) == {0}
