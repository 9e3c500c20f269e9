"""Temporary mappings and upmaps that are dropped, and those that stay."""

from __future__ import annotations

import random

import pytest

from spirula.maps.apply import apply_incremental, pending_incremental
from spirula.maps.clean import check_pg_upmaps, clean_pg_upmaps, clean_temps, upmap_pgs
from spirula.maps.placement import Placement
from spirula.maps.state import OSDState
from spirula.types.pg import NO_OSD, PGId
from tests.unit.maps.balance.lopsided import lopsided_map

HOST_PG, FLAT_PG = PGId(1, 3), PGId(2, 3)


@pytest.fixture
def osdmap():
    return lopsided_map(random.Random(1), pg_num=16)


def applied(osdmap, **fields):
    inc = pending_incremental(osdmap)
    for name, value in fields.items():
        setattr(inc, name, value)
    return apply_incremental(osdmap, inc)


def up_of(osdmap, pg):
    return Placement(osdmap).pg_to_up_acting_osds(pg).up


def elsewhere(osdmap, pg):
    """An OSD that the PG does not have, nor anything else of its host."""
    taken = up_of(osdmap, pg)
    hosts = [b for b in osdmap.crush.buckets if b.type == 1 and not set(b.items) & set(taken)]
    return next(osd for bucket in hosts for osd in bucket.items if osdmap.osd_weight[osd])


def cleaned(osdmap, **fields):
    """What is cleaned with a change."""
    inc = pending_incremental(osdmap)
    for name, value in fields.items():
        setattr(inc, name, value)
    clean_temps(osdmap, apply_incremental(osdmap, inc), inc)
    return inc


def test_a_temporary_mapping_that_is_of_use_stays(osdmap):
    other = [elsewhere(osdmap, FLAT_PG), *up_of(osdmap, FLAT_PG)[1:]]
    with_temp = applied(osdmap, new_pg_temp={FLAT_PG: other})
    assert cleaned(with_temp).new_pg_temp == {}
    assert cleaned(osdmap, new_pg_temp={FLAT_PG: other}).new_pg_temp == {FLAT_PG: other}


def test_a_temporary_mapping_that_changes_nothing_goes(osdmap):
    same = up_of(osdmap, FLAT_PG)
    assert cleaned(applied(osdmap, new_pg_temp={FLAT_PG: same})).new_pg_temp == {FLAT_PG: []}
    assert cleaned(osdmap, new_pg_temp={FLAT_PG: same}).new_pg_temp == {}


def test_a_temporary_mapping_of_too_many_or_down_osds_or_no_pool_goes(osdmap):
    many = applied(osdmap, new_pg_temp={FLAT_PG: list(range(8))})
    assert cleaned(many).new_pg_temp == {FLAT_PG: []}
    osd = elsewhere(osdmap, FLAT_PG)
    one = applied(osdmap, new_pg_temp={FLAT_PG: [osd]})
    assert cleaned(one, new_state={osd: int(OSDState.UP)}).new_pg_temp == {FLAT_PG: []}
    assert cleaned(one, old_pools={2}).new_pg_temp == {FLAT_PG: []}


def test_temporary_primaries(osdmap):
    first, second, *_ = up_of(osdmap, FLAT_PG)
    useful = applied(osdmap, new_primary_temp={FLAT_PG: second})
    assert cleaned(useful).new_primary_temp == {}
    down = cleaned(useful, new_state={second: int(OSDState.UP)})
    assert down.new_primary_temp == {FLAT_PG: -1}
    useless = applied(osdmap, new_primary_temp={FLAT_PG: first})
    assert cleaned(useless).new_primary_temp == {FLAT_PG: -1}
    assert cleaned(osdmap, new_primary_temp={FLAT_PG: first}).new_primary_temp == {}


def verdict(osdmap, **fields):
    made = applied(osdmap, **fields)
    return check_pg_upmaps(made, upmap_pgs(made))


def test_a_good_upmap_stays(osdmap):
    source, target = up_of(osdmap, HOST_PG)[0], elsewhere(osdmap, HOST_PG)
    made = applied(osdmap, new_pg_upmap_items={HOST_PG: [(source, target)]})
    inc = pending_incremental(made)
    assert not check_pg_upmaps(made, [HOST_PG])
    assert not clean_pg_upmaps(made, inc)
    assert inc == pending_incremental(made)


def test_upmaps_that_break_the_rule_go(osdmap):
    first, second, third = up_of(osdmap, HOST_PG)
    host = next(b for b in osdmap.crush.buckets if b.type == 1 and first in b.items)
    mate = next((osd for osd in host.items if osd != first), None)
    if mate is not None:
        found = verdict(osdmap, new_pg_upmap={HOST_PG: [first, mate, third]})
        assert found.cancel == [HOST_PG]
    assert verdict(osdmap, new_pg_upmap={HOST_PG: [first, NO_OSD, third]}).cancel == [HOST_PG]
    assert verdict(osdmap, new_pg_upmap={HOST_PG: [first, second, third]}).cancel == [HOST_PG]


def test_upmaps_to_osds_that_are_out_go_or_get_shorter(osdmap):
    first, second, _ = up_of(osdmap, FLAT_PG)
    free = [osd for osd in range(osdmap.max_osd) if osd not in up_of(osdmap, FLAT_PG)][:2]
    one = {FLAT_PG: [(first, free[0])]}
    found = verdict(osdmap, new_pg_upmap_items=one, new_weight={free[0]: 0})
    assert found.cancel == [FLAT_PG]
    two = {FLAT_PG: [(first, free[0]), (second, free[1])]}
    found = verdict(osdmap, new_pg_upmap_items=two, new_weight={free[0]: 0, free[1]: 0x10000})
    if first in Placement(applied(osdmap, new_weight={free[0]: 0})).pg_to_raw_osds(FLAT_PG):
        assert found.remap == {FLAT_PG: [(second, free[1])]}


def test_upmaps_of_pgs_that_go_go(osdmap):
    pairs = [(up_of(osdmap, FLAT_PG)[0], elsewhere(osdmap, FLAT_PG))]
    made = applied(osdmap, new_pg_upmap_items={FLAT_PG: pairs, PGId(2, 15): pairs})
    made.pools[2].pg_num_pending = 15
    inc = pending_incremental(made)
    inc.new_pg_upmap_items = {PGId(2, 15): pairs}
    assert clean_pg_upmaps(made, inc)
    assert PGId(2, 15) in inc.old_pg_upmap_items
    assert PGId(2, 15) not in inc.new_pg_upmap_items
    assert check_pg_upmaps(made, [PGId(2, 7)]).cancel == [PGId(2, 7)]  # 15 is merged into it
    assert check_pg_upmaps(made, [PGId(99, 0)]).cancel == [PGId(99, 0)]
