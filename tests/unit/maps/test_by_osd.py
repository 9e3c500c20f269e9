"""The places of PGs seen from the OSDs: the same as looking at every PG in turn."""

from __future__ import annotations

import random
from collections import Counter

from spirula.maps.apply import apply_incremental
from spirula.maps.by_osd import count_by_osd, moved_pgs, pgs_led_by, pgs_of_osd
from spirula.maps.mapping import PGMappings
from spirula.maps.osdmap import OSDMap
from spirula.maps.placement import PGMapping, Placement
from spirula.types.pg import PGId
from tests.unit.maps.randommaps import random_change, random_map


def one_by_one(osdmap: OSDMap) -> dict[PGId, PGMapping]:
    places = Placement(osdmap)
    return {
        PGId(number, seed): places.pg_to_up_acting_osds(PGId(number, seed))
        for number, pool in sorted(osdmap.pools.items())
        for seed in range(pool.pg_num)
    }


def test_every_osd_has_what_the_pgs_say():
    rng = random.Random(4)
    special = 0
    for _ in range(25):
        osdmap = random_map(rng)
        mappings, found = PGMappings(osdmap), one_by_one(osdmap)
        special += sum(len(places.special) for places in mappings.pools.values())
        counts = count_by_osd(mappings)
        only = count_by_osd(mappings, pools={2})
        for osd in range(osdmap.max_osd):
            acting = [pg for pg, m in found.items() if osd in m.acting]
            up = [pg for pg, m in found.items() if osd in m.up]
            led = [pg for pg, m in found.items() if m.acting_primary == osd]
            assert pgs_of_osd(mappings, osd) == acting
            assert pgs_of_osd(mappings, osd, up=True) == up
            assert pgs_led_by(mappings, osd) == led
            assert counts.primary[osd] == len(led)
            assert only.primary[osd] == sum(pg.pool == 2 for pg in led)
        for kind in ("up", "acting"):
            said = Counter(osd for m in found.values() for osd in getattr(m, kind))
            assert getattr(counts, kind).tolist() == [said[osd] for osd in range(osdmap.max_osd)]
        assert len(counts.up) == osdmap.max_osd
        assert pgs_of_osd(mappings, osdmap.max_osd + 3) == []
    assert special > 200


def test_what_an_epoch_moved():
    rng = random.Random(5)
    osdmap = random_map(rng)
    mappings, found = PGMappings(osdmap), one_by_one(osdmap)
    moved = still = 0
    for _ in range(70):
        osdmap = apply_incremental(osdmap, random_change(rng, osdmap))
        advanced, now = mappings.advance(osdmap), one_by_one(osdmap)
        expected = [pg for pg in sorted(found.keys() | now.keys()) if found.get(pg) != now.get(pg)]
        assert moved_pgs(mappings, advanced) == expected
        moved, still = moved + len(expected), still + len(now) - len(expected)
        mappings, found = advanced, now
    assert moved > 50
    assert still > 50


def test_a_map_without_anything():
    mappings = PGMappings(OSDMap())
    assert pgs_of_osd(mappings, 0) == pgs_led_by(mappings, 0) == []
    assert len(count_by_osd(mappings).up) == 0
    assert moved_pgs(mappings, mappings) == []
