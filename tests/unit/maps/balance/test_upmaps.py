"""Upmaps by the balancer: fewer PGs out of balance, no rule broken, not too many changes."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from spirula.maps.apply import apply_incremental, pending_incremental
from spirula.maps.balance.shares import count_shares
from spirula.maps.balance.upmaps import calc_pg_upmaps
from spirula.maps.clean import check_pg_upmaps, upmap_pgs
from spirula.maps.placement import Placement
from spirula.types.pg import NO_OSD, PGId
from tests.unit.maps.balance.lopsided import HOST, RACK, lopsided_map


def deviations(osdmap, pools):
    shares = count_shares(osdmap, pools)
    return [len(pgs) - shares.target(osd) for osd, pgs in shares.pgs.items()]


def variance(osdmap, pools):
    return sum(each * each for each in deviations(osdmap, pools))


def balanced(osdmap, **options):
    inc = pending_incremental(osdmap)
    made = calc_pg_upmaps(osdmap, inc, **options)
    return apply_incremental(osdmap, inc), inc, made


def domains_of(osdmap, osds, kind):
    """How many OSDs of a PG are in each bucket of a type."""
    inside = {item: bucket for bucket in osdmap.crush.buckets for item in bucket.items}
    found = Counter()
    for osd in osds:
        item = osd
        while item in inside and inside[item].type <= kind:
            item = inside[item].id
        found[item] += 1
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("by_chance", [False, True])
def test_pgs_are_spread_better_and_no_rule_is_broken(seed, by_chance):
    rng = random.Random(seed)
    osdmap = lopsided_map(rng, pg_num=64)
    for pools in [{1}, {2}, {3}, {4}, {5}, {1, 5}, set()]:
        before = variance(osdmap, pools)
        after, inc, made = balanced(
            osdmap,
            max_deviation=1,
            max_changes=30,
            pools=pools,
            rng=random.Random(seed) if by_chance else None,
        )
        assert 0 < made <= 30
        assert len(inc.new_pg_upmap_items) + len(inc.old_pg_upmap_items) <= made
        assert variance(after, pools) < before
        assert not check_pg_upmaps(after, upmap_pgs(after))
        places, old_places = Placement(after), Placement(osdmap)
        for pg in inc.new_pg_upmap_items:
            up = places.pg_to_up_acting_osds(pg).up
            old = old_places.pg_to_up_acting_osds(pg).up
            osds = [osd for osd in up if osd != NO_OSD]
            assert len(set(osds)) == len(osds)
            assert len(up) == len(old)
            kind = {1: HOST, 3: RACK, 4: HOST, 5: HOST}.get(pg.pool)
            if kind is not None:
                assert max(domains_of(after, osds, kind).values()) == 1
            if pg.pool == 4:
                assert set(domains_of(after, osds, RACK).values()) == {2}


def test_a_search_ends_when_it_is_even_enough():
    osdmap = lopsided_map(random.Random(9), pg_num=64)
    after, _, made = balanced(osdmap, max_deviation=2, max_changes=1000, pools=[2])
    assert 0 < made < 1000
    assert max(map(abs, deviations(after, [2]))) <= 2.5
    again, inc, more = balanced(after, max_deviation=3, max_changes=1000, pools=[2])
    assert more == 0
    assert again.pg_upmap_items == after.pg_upmap_items
    assert not inc.new_pg_upmap_items


def test_exceptions_that_crowd_an_osd_are_undone_first():
    osdmap = lopsided_map(random.Random(10), pg_num=32)
    shares = count_shares(osdmap, [2])
    crowded = max(shares.pgs, key=lambda osd: len(shares.pgs[osd]) - shares.target(osd))
    strangers = sorted(
        (PGId(2, seed) for seed in range(32) if PGId(2, seed) not in shares.pgs[crowded]),
        key=lambda pg: pg.seed,
    )[:3]
    inc = pending_incremental(osdmap)
    for pg in strangers:
        source = Placement(osdmap).pg_to_up_acting_osds(pg).up[0]
        inc.new_pg_upmap_items[pg] = [(source, crowded)]
    crowding = apply_incremental(osdmap, inc)
    _, inc, made = balanced(crowding, max_deviation=1, max_changes=2, pools=[2])
    assert made == 2
    assert inc.old_pg_upmap_items <= set(strangers)
    assert inc.old_pg_upmap_items


def test_whole_upmaps_are_left_alone():
    osdmap = lopsided_map(random.Random(11), pg_num=32)
    inc = pending_incremental(osdmap)
    places = Placement(osdmap)
    for seed in range(32):
        pg = PGId(2, seed)
        inc.new_pg_upmap[pg] = places.pg_to_up_acting_osds(pg).up
    wished = apply_incremental(osdmap, inc)
    _, _, made = balanced(wished, max_deviation=1, max_changes=10, pools=[2])
    assert made == 0


def test_nothing_to_do_where_nobody_has_weight_or_no_change_is_allowed():
    osdmap = lopsided_map(random.Random(12), pg_num=16)
    assert balanced(osdmap, max_changes=0)[2] == 0
    inc = pending_incremental(osdmap)
    inc.new_weight = dict.fromkeys(range(osdmap.max_osd), 0)
    assert balanced(apply_incremental(osdmap, inc), max_deviation=1)[2] == 0
