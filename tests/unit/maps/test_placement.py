"""Single steps on the way from an object to its OSDs; whole ways are compared with osdmaptool."""

from __future__ import annotations

import pytest

from spirula.errors import NotFound, WireError
from spirula.kernels.names import rjenkins
from spirula.maps.apply import apply_incremental, pending_incremental
from spirula.maps.osdmap import OSDMap
from spirula.maps.placement import (
    NOWHERE,
    Placement,
    calc_pg_role,
    hash_key,
    raw_pg_to_pg,
    raw_pg_to_pps,
)
from spirula.maps.state import OSDState
from spirula.types.pg import NO_OSD, PGId, PGShard
from spirula.types.pool import PGPool, PoolFlag, PoolType

OSDS = 6
PG = PGId(1, 3)


class Fixed:
    """A mapper that picks what the test says."""

    def __init__(self, *osds: int) -> None:
        self.osds = list(osds)

    def __call__(self, crush, choose_args):
        return self

    def do_rule(self, number, x, count, weights):
        return self.osds[:count]


def a_map(kind: PoolType = PoolType.REPLICATED, down: tuple[int, ...] = ()) -> OSDMap:
    inc = pending_incremental(OSDMap())
    inc.new_max_osd = OSDS
    inc.new_weight = dict.fromkeys(range(OSDS), 0x10000)
    inc.new_state = {osd: int(OSDState.UP) for osd in range(OSDS) if osd not in down}
    inc.new_pools[1] = PGPool(
        type=kind, size=3, crush_rule=0, object_hash=2, pg_num=8, pgp_num=8, flags=1
    )
    osdmap = apply_incremental(OSDMap(), inc)
    from_rule = type("AnyRule", (), {"ruleset": 0, "type": kind, "min_size": 1, "max_size": 9})
    osdmap.crush.rules.append(from_rule)
    return osdmap


def place(osdmap: OSDMap, *picked: int, **more) -> tuple[list[int], int, list[int], int]:
    return tuple(Placement(osdmap, Fixed(*picked), **more).pg_to_up_acting_osds(PG))


def test_plain():
    assert place(a_map(), 0, 1, 2) == ([0, 1, 2], 0, [0, 1, 2], 0)


def test_who_is_down_leaves_a_hole_only_in_erasure_coded_pools():
    assert place(a_map(down=(0,)), 0, 1, 2) == ([1, 2], 1, [1, 2], 1)
    up, primary, *_ = place(a_map(PoolType.ERASURE, down=(0,)), 0, 1, 2)
    assert (up, primary) == ([NO_OSD, 1, 2], 1)


def test_nobody_is_up():
    assert place(a_map(down=(0, 1)), 0, 1) == ([], -1, [], -1)
    holes = [NO_OSD, NO_OSD]
    assert place(a_map(PoolType.ERASURE, down=(0, 1)), 0, 1) == (holes, -1, holes, -1)


def test_what_crush_did_not_find():
    assert place(a_map(), 0, NO_OSD, 2)[0] == [0, 2]
    assert place(a_map(PoolType.ERASURE), 0, NO_OSD, 2)[0] == [0, NO_OSD, 2]


def test_upmap_of_all_and_of_single_osds():
    osdmap = a_map()
    osdmap.pg_upmap[PG] = [3, 4, 5]
    assert place(osdmap, 0, 1, 2)[0] == [3, 4, 5]
    osdmap.pg_upmap_items[PG] = [(3, 0), (4, 5)]
    assert place(osdmap, 0, 1, 2)[0] == [0, 4, 5], "5 is there already"
    osdmap.osd_weight[3] = 0
    assert place(osdmap, 0, 1, 2)[0] == [0, 1, 2], "nothing is moved to an OSD that is out"
    del osdmap.pg_upmap[PG]
    osdmap.pg_upmap_items[PG] = [(0, 3), (1, 4)]
    assert place(osdmap, 0, 1, 2)[0] == [0, 4, 2]


def test_upmap_primary_changes_places():
    osdmap = a_map()
    osdmap.pg_upmap_primaries = {PG: 2}
    assert place(osdmap, 0, 1, 2)[:2] == ([2, 1, 0], 2)
    osdmap.pg_upmap_primaries = {PG: 5}
    assert place(osdmap, 0, 1, 2)[:2] == ([0, 1, 2], 0)
    osdmap.pg_upmap_primaries = {PG: 0}
    assert place(osdmap, 0, 1, 2)[:2] == ([0, 1, 2], 0)
    osdmap.pg_upmap_primaries = {PG: 0}
    assert place(osdmap)[:2] == ([], -1)
    osdmap.osd_weight[2] = 0
    osdmap.pg_upmap_primaries = {PG: 2}
    assert place(osdmap, 0, 1, 2)[:2] == ([0, 1, 2], 0)


def test_affinity_moves_the_primary_to_the_front_only_of_replicated_pools():
    osdmap = a_map()
    osdmap.osd_primary_affinity = [0, 0x10000, 0x10000, 0, 0, 0]
    assert place(osdmap, 0, 1, 2)[:2] == ([1, 0, 2], 1)
    assert place(osdmap, 3, 4, 5)[:2] == ([3, 4, 5], 3), "all decline: the first has to"
    osdmap = a_map(PoolType.ERASURE)
    osdmap.osd_primary_affinity = [0, 0x10000, 0x10000, 0, 0, 0]
    assert place(osdmap, 0, 1, 2)[:2] == ([0, 1, 2], 1)


def test_temporary_sets():
    osdmap = a_map(down=(4,))
    osdmap.pg_temp[PG] = [4, 5, 3]
    assert place(osdmap, 0, 1, 2) == ([0, 1, 2], 0, [5, 3], 5)
    osdmap.primary_temp[PG] = 3
    assert place(osdmap, 0, 1, 2)[2:] == ([5, 3], 3)
    osdmap.pg_temp.clear()
    assert place(osdmap, 0, 1, 2)[2:] == ([0, 1, 2], 3)
    osdmap = a_map(PoolType.ERASURE, down=(4,))
    osdmap.pg_temp[PG] = [4, 5, 3]
    assert place(osdmap, 0, 1, 2)[2:] == ([NO_OSD, 5, 3], 5)


def test_objects_of_namespaces_and_locators():
    places = Placement(a_map())
    pool = places.osdmap.pools[1]
    assert places.object_pg(1, "name").seed == rjenkins(b"name")
    assert places.object_pg(1, "name", nspace="ns").seed == rjenkins(b"ns\x1fname")
    assert places.object_pg(1, "name", key="key").seed == rjenkins(b"key")
    assert places.object_pg(1, "name", key="key", hash=0).seed == 0
    assert hash_key(pool, "\udcff") == rjenkins(b"\xff")
    with pytest.raises(NotFound):
        places.object_pg(2, "name")


def test_seeds():
    pool = PGPool(pg_num=12, pgp_num=6, flags=0)
    assert [raw_pg_to_pg(pool, PGId(1, seed)).seed for seed in (11, 12, 15, 16)] == [11, 4, 7, 0]
    assert [raw_pg_to_pps(pool, PGId(5, seed)) for seed in (0, 5, 6, 7)] == [5, 10, 7, 8]
    pool.flags = int(PoolFlag.HASHPSPOOL)
    assert raw_pg_to_pps(pool, PGId(5, 6)) == raw_pg_to_pps(pool, PGId(5, 2))
    assert raw_pg_to_pps(pool, PGId(5, 2)) != raw_pg_to_pps(pool, PGId(6, 2))


def test_pgs_that_are_not_there():
    places = Placement(a_map(), Fixed(0, 1, 2))
    assert places.pg_to_up_acting_osds(PGId(2, 0)) == NOWHERE
    assert places.pg_to_up_acting_osds(PGId(1, 8), raw=False) == NOWHERE
    assert places.pg_to_up_acting_osds(PGId(1, 8)).up == [0, 1, 2]


def test_a_pool_whose_rule_does_not_fit_is_nowhere():
    osdmap = a_map()
    osdmap.pools[1].size = 10
    assert place(osdmap, 0, 1, 2)[0] == []


def test_roles():
    assert [calc_pg_role(PGShard(osd), [4, 2, 7]) for osd in (4, 2, 7, 5)] == [0, 1, 2, -1]
    held = [NO_OSD, 2, 2]
    assert [calc_pg_role(PGShard(2, shard), held) for shard in (0, 1, 2, 3)] == [-1, 1, 2, -1]


def test_a_map_with_lists_too_short_is_refused():
    osdmap = a_map()
    osdmap.osd_state.pop()
    with pytest.raises(WireError):
        Placement(osdmap)
