"""All places of an epoch, kept and updated, are those that are found one by one."""

from __future__ import annotations

import random

import pytest

from spirula.crush.map import ChooseArg, CrushMap
from spirula.crush.vector import VectorMapper
from spirula.errors import LimitExceeded, NotFound
from spirula.maps.apply import apply_incremental, pending_incremental
from spirula.maps.mapping import OneByOne, PGMappings
from spirula.maps.osdmap import OSDMap
from spirula.maps.placement import NOWHERE, Placement, raw_pg_to_pg
from spirula.maps.state import OSDState
from spirula.types.pg import PGId
from tests.unit.maps.randommaps import IN, random_change, random_map, some_pg

MAPS, STEPS = 5, 12


class Counting:
    """A mapper that tells how many inputs it was asked for."""

    asked = 0

    def __init__(self, crush: CrushMap, choose_args: dict[int, ChooseArg] | None) -> None:
        self.inner = OneByOne.of(crush, choose_args)

    def map_many(self, rule, xs, count, weights):
        Counting.asked += len(xs)
        return self.inner.map_many(rule, xs, count, weights)


def all_pgs(osdmap: OSDMap) -> list[PGId]:
    return [
        PGId(number, seed)
        for number, pool in sorted(osdmap.pools.items())
        for seed in range(pool.pg_num)
    ]


def check(mappings: PGMappings, osdmap: OSDMap) -> None:
    places = Placement(osdmap)
    for pg in all_pgs(osdmap):
        assert mappings.get(pg) == places.pg_to_up_acting_osds(pg), str(pg)


@pytest.mark.parametrize("make", [OneByOne.of, VectorMapper], ids=["single", "vector"])
def test_updating_finds_what_computing_anew_finds(make, scale):
    rng = random.Random(7)
    saved = total = 0
    for _ in range(MAPS * scale):
        osdmap = random_map(rng)
        mappings = PGMappings(osdmap, make)
        check(mappings, osdmap)
        for _ in range(STEPS):
            before, kept = mappings, [mappings.get(pg) for pg in all_pgs(osdmap)]
            old = osdmap
            change = random_change(rng, osdmap)
            if rng.random() < 0.2:
                change.old_pg_upmap_primary = set(osdmap.pg_upmap_primaries)
                change.new_pg_upmap_primary = {some_pg(rng, osdmap): rng.randrange(osdmap.max_osd)}
            osdmap = apply_incremental(osdmap, change)
            mappings = mappings.advance(osdmap)
            check(mappings, osdmap)
            assert [before.get(pg) for pg in all_pgs(old)] == kept, "the old ones stay"
            saved += len(all_pgs(osdmap)) - mappings.asked
            total += len(all_pgs(osdmap))
    assert saved > total / 2


def test_several_epochs_at_once():
    rng = random.Random(8)
    for _ in range(MAPS):
        osdmap = random_map(rng)
        mappings = PGMappings(osdmap)
        for _ in range(4):
            osdmap = apply_incremental(osdmap, random_change(rng, osdmap, many=True))
        check(mappings.advance(osdmap), osdmap)


def big_map() -> OSDMap:
    rng = random.Random(9)
    while True:
        osdmap = random_map(rng)
        if osdmap.max_osd == 24 and osdmap.pools[1].crush_rule == 1 and osdmap.pools[1].size == 3:
            return osdmap


def pgs_with(mappings: PGMappings, osdmap: OSDMap, osd: int) -> int:
    places = Placement(osdmap)
    return sum(osd in places.crush_osds(osdmap.pools[pg.pool], pg) for pg in all_pgs(osdmap))


def test_an_osd_that_goes_out_concerns_only_its_pgs():
    osdmap = big_map()
    mappings = PGMappings(osdmap, Counting)
    osd = max(range(osdmap.max_osd), key=lambda osd: pgs_with(mappings, osdmap, osd))
    held = pgs_with(mappings, osdmap, osd)
    assert 0 < held < len(all_pgs(osdmap)) / 2
    inc = pending_incremental(osdmap)
    inc.new_weight[osd] = 0
    Counting.asked = 0
    out = mappings.advance(apply_incremental(osdmap, inc))
    assert Counting.asked == out.asked == held


def test_osds_that_take_more_or_less():
    rng = random.Random(12)
    osdmap = big_map()
    inc = pending_incremental(osdmap)
    for number, pool in osdmap.pools.items():
        inc.new_pools[number] = type(pool).decode(pool.encode())
        inc.new_pools[number].pg_num = inc.new_pools[number].pgp_num = 40
    osdmap = apply_incremental(osdmap, inc)
    mappings = PGMappings(osdmap, VectorMapper)
    moved = 0
    for weight in (IN // 4, IN // 2, 3 * IN // 4, IN, 5000, 0, IN // 3, 2 * IN, IN):
        inc = pending_incremental(osdmap)
        for osd in rng.sample(range(osdmap.max_osd), 4):
            inc.new_weight[osd] = weight
        osdmap = apply_incremental(osdmap, inc)
        before, mappings = mappings, mappings.advance(osdmap)
        check(mappings, osdmap)
        moved += sum(before.get(pg) != mappings.get(pg) for pg in all_pgs(osdmap))
    assert moved > 50


def test_who_is_up_and_who_serves_is_no_question_for_crush():
    osdmap = big_map()
    mappings = PGMappings(osdmap, Counting)
    Counting.asked = 0
    inc = pending_incremental(osdmap)
    inc.new_state[0] = int(OSDState.UP)
    inc.new_primary_affinity[1] = IN // 2
    inc.new_pg_temp[PGId(1, 0)] = [3, 2]
    inc.new_pg_upmap_items[PGId(1, 0)] = [(5, 6)]
    osdmap = apply_incremental(osdmap, inc)
    check(mappings.advance(osdmap), osdmap)
    assert Counting.asked == 0


def test_a_pool_that_is_split_asks_for_its_new_pgs_only():
    osdmap = big_map()
    inc = pending_incremental(osdmap)
    inc.new_pools[1] = type(osdmap.pools[1]).decode(osdmap.pools[1].encode())
    inc.new_pools[1].pg_num = inc.new_pools[1].pgp_num = 16
    osdmap = apply_incremental(osdmap, inc)
    mappings = PGMappings(osdmap)
    inc = pending_incremental(osdmap)
    inc.new_pools[1] = type(osdmap.pools[1]).decode(osdmap.pools[1].encode())
    inc.new_pools[1].pg_num = inc.new_pools[1].pgp_num = 32
    osdmap = apply_incremental(osdmap, inc)
    mappings = mappings.advance(osdmap)
    assert mappings.asked == 16
    check(mappings, osdmap)


def test_objects_are_found():
    rng = random.Random(10)
    for _ in range(20):
        osdmap = random_map(rng)
        mappings, places = PGMappings(osdmap), Placement(osdmap)
        for number, pool in osdmap.pools.items():
            for name, key, nspace, hash in (
                ("a", "", "", -1),
                ("an object of some length", "", "space", -1),
                ("a", "key", "", -1),
                ("a", "key", "space", 0x12345678),
            ):
                raw = places.object_pg(number, name, key=key, nspace=nspace, hash=hash)
                pg, where = mappings.locate(number, name, key, nspace, hash)
                assert pg == raw_pg_to_pg(pool, raw)
                assert where == places.pg_to_up_acting_osds(pg)
                assert mappings.get(raw) == where


def test_what_is_not_there():
    mappings = PGMappings(random_map(random.Random(11)))
    assert mappings.get(PGId(99, 0)) == NOWHERE
    with pytest.raises(NotFound):
        mappings.locate(99, "name")


def test_absurd_pools():
    osdmap = random_map(random.Random(13))
    osdmap.pools[1].pg_num = 0
    mappings = PGMappings(osdmap)
    assert mappings.get(PGId(1, 0)) == NOWHERE
    with pytest.raises(NotFound):
        mappings.locate(1, "name")
    osdmap.pools[2].pg_num = 0xFFFFFFFF
    with pytest.raises(LimitExceeded):
        PGMappings(osdmap)
