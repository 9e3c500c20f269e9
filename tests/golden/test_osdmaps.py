"""Incrementals of real clusters lead to the maps that the monitors have, byte for byte."""

from __future__ import annotations

import pytest

from spirula.maps.apply import apply_checked
from spirula.maps.mapping import PGMappings
from spirula.maps.osdmap import Incremental, OSDMap
from spirula.maps.placement import Placement
from spirula.messages.osd_map import MOSDMap
from spirula.types.pg import PGId
from tests.golden import osdmaps, vectors

pytestmark = pytest.mark.golden

CEPH_MSG_OSD_MAP = 41
# Maps of 20.2 hold fields that 16.2 does not know: no reader of 16.2 gets their bytes back.
NEWER = "newer"
# Needs monitors at three places, releases of long ago, or one of 18.2 and newer.
NEVER_RECORDED = {
    "change_stretch_mode",
    "cluster_snapshot",
    "new_degraded_stretch_mode",
    "new_min_compat_client_by_name",
    "new_recovering_stretch_mode",
    "new_stretch_bucket_count",
    "new_stretch_mode_bucket",
    "new_pg_upmap_primary",
    "new_range_blocklist",
    "old_pg_upmap_primary",
    "old_range_blocklist",
    "stretch_mode_enabled",
}


def test_a_cluster_from_its_first_epoch_on():
    incrementals, fulls = osdmaps.recorded()
    osdmap = OSDMap.decode(fulls[1])
    compared = 0
    for epoch in range(2, max(incrementals) + 1):
        osdmap, encoded = apply_checked(osdmap, Incremental.decode(incrementals[epoch]))
        if epoch in fulls:
            assert encoded == fulls[epoch]
            compared += 1
    assert compared == len(fulls) - 1 > 5


def test_the_first_incremental_holds_the_first_map():
    incrementals, fulls = osdmaps.recorded()
    osdmap, encoded = apply_checked(OSDMap(), Incremental.decode(incrementals[1]))
    assert osdmap.epoch == 1
    assert encoded == fulls[1]


def test_the_recording_changes_what_can_change():
    incrementals, _ = osdmaps.recorded()
    nothing = Incremental()
    changed = {
        name
        for raw in incrementals.values()
        for name in Incremental.__match_args__
        if getattr(Incremental.decode(raw), name) != getattr(nothing, name)
    }
    never = set(Incremental.__match_args__) - changed
    assert never == NEVER_RECORDED


def test_places_follow_a_real_cluster():
    incrementals, fulls = osdmaps.recorded()
    osdmap = OSDMap.decode(fulls[1])
    mappings = PGMappings(osdmap)
    for epoch in range(2, max(incrementals) + 1):
        osdmap, _ = apply_checked(osdmap, Incremental.decode(incrementals[epoch]))
        mappings = mappings.advance(osdmap)
        if epoch % 7:
            continue
        places = Placement(osdmap)
        for number, pool in osdmap.pools.items():
            for seed in range(pool.pg_num):
                pg = PGId(number, seed)
                assert mappings.get(pg) == places.pg_to_up_acting_osds(pg)


def test_maps_on_the_wire():
    by_epoch: dict[tuple[bytes, int], OSDMap] = {}
    incrementals: dict[tuple[bytes, int], bytes] = {}
    for vector in vectors.by_type()[CEPH_MSG_OSD_MAP]:
        if vector.run == NEWER:
            continue
        message = MOSDMap.decode_payload(vector.front, vector.version, vector.features)
        for epoch, raw in message.maps.items():
            by_epoch[message.fsid, epoch] = OSDMap.decode(bytes(raw))
        for epoch, raw in message.incremental_maps.items():
            incrementals[message.fsid, epoch] = bytes(raw)
    applied = 0
    for (fsid, epoch), raw in sorted(incrementals.items()):
        before = by_epoch.get((fsid, epoch - 1))
        if before is not None:
            made, _ = apply_checked(before, Incremental.decode(raw))
            assert by_epoch.setdefault((fsid, epoch), made).crc == made.crc
            applied += 1
    assert applied > 300
