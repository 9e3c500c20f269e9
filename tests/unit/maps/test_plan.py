"""What a change would move: counted from both sides, and in bytes."""

from __future__ import annotations

import random

import pytest

from spirula.maps.placement import Placement
from spirula.maps.plan import Sizes, plan, with_changes
from spirula.types.pg import NO_OSD, PGId
from tests.unit.maps.balance.lopsided import lopsided_map


def test_nothing_moves_where_nothing_changes():
    osdmap = lopsided_map(random.Random(1), pg_num=32)
    made = plan(osdmap, with_changes(osdmap))
    assert all(not pool.changed_pgs and not pool.moved_places for pool in made.pools.values())
    assert all(share.pgs_before == share.pgs_after for share in made.osds.values())


@pytest.mark.parametrize("seed", range(4))
def test_what_comes_and_goes_adds_up(seed):
    rng = random.Random(seed)
    osdmap = lopsided_map(rng, pg_num=32)
    gone = rng.sample(range(osdmap.max_osd), 2)
    after = with_changes(osdmap, weights=dict.fromkeys(gone, 0))
    sizes = Sizes({1: 32 << 20, 5: 64 << 20}, {PGId(5, 0): 4 << 20})
    osdmap.erasure_code_profiles["p"] = after.erasure_code_profiles["p"] = {"k": "2", "m": "2"}
    osdmap.pools[5].erasure_code_profile = after.pools[5].erasure_code_profile = "p"
    made = plan(osdmap, after, sizes)
    for osd, share in made.osds.items():
        assert share.pgs_after - share.pgs_before == share.pgs_in - share.pgs_out
        assert share.bytes_after - share.bytes_before == share.bytes_in - share.bytes_out
        if osd in gone:
            assert share.pgs_after == 0
    assert sum(s.pgs_in for s in made.osds.values()) == sum(
        pool.moved_places for pool in made.pools.values()
    )
    old, new = Placement(osdmap), Placement(after)
    changed = 0
    for seed_ in range(32):
        a, b = (p.pg_to_up_acting_osds(PGId(1, seed_)).up for p in (old, new))
        changed += set(a) != set(b)
    assert made.pools[1].changed_pgs == changed > 0
    assert made.pools[1].moved_bytes == made.pools[1].moved_places << 20
    assert made.pools[2].moved_bytes is None
    shards = sum(
        osd != NO_OSD for seed_ in range(32) for osd in new.pg_to_up_acting_osds(PGId(5, seed_)).up
    )
    assert shards + made.pools[5].unplaced == made.pools[5].places


def test_upmaps_that_a_change_makes_useless_are_counted():
    osdmap = lopsided_map(random.Random(3), pg_num=32)
    up = Placement(osdmap).pg_to_up_acting_osds(PGId(2, 1)).up
    target = next(osd for osd in range(osdmap.max_osd) if osd not in up)
    osdmap.pg_upmap_items = {PGId(2, 1): [(up[0], target)]}
    assert plan(osdmap, with_changes(osdmap, weights={target: 0})).upmaps_dropped == 1
