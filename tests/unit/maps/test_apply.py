"""What an incremental does to a map, field by field, and what is refused."""

from __future__ import annotations

import copy

import pytest

from spirula.crush.map import Bucket, BucketAlg, ChooseArg
from spirula.crush.wire import CrushWrapper
from spirula.errors import LimitExceeded, WireError
from spirula.maps.apply import (
    MAX_OSDS,
    CrcMismatch,
    EpochGap,
    apply_checked,
    apply_incremental,
    pending_incremental,
)
from spirula.maps.osdmap import Incremental, OSDMap
from spirula.maps.state import NO_RELEASE, OSDMapFlag, OSDState, Release
from spirula.types.base import UTime
from spirula.types.entity import EntityAddr, EntityAddrVec
from spirula.types.interval_set import IntervalSet
from spirula.types.osd_info import OsdXInfo
from spirula.types.pg import PGId
from spirula.types.pool import PGPool

FSID = bytes(range(16))
UP = int(OSDState.EXISTS | OSDState.UP)


def base(osds: int = 3) -> OSDMap:
    """Epoch 1: some OSDs, up and in."""
    inc = pending_incremental(OSDMap())
    inc.fsid = FSID
    inc.new_max_osd = osds
    inc.new_require_osd_release = Release.PACIFIC
    for osd in range(osds):
        inc.new_state[osd] = int(OSDState.UP)  # the weight makes it exist
        inc.new_weight[osd] = 0x10000
        inc.new_uuid[osd] = bytes([osd] * 16)
    inc.new_pools[1] = PGPool(type=1, size=2, pg_num=8, pgp_num=8)
    inc.new_pool_names[1] = "one"
    return apply_incremental(OSDMap(), inc)


def changed(osdmap: OSDMap, **changes: object) -> OSDMap:
    inc = pending_incremental(osdmap)
    for name, value in changes.items():
        setattr(inc, name, value)
    return apply_incremental(osdmap, inc)


def addrs(port: int) -> EntityAddrVec:
    return EntityAddrVec([EntityAddr.of("127.0.0.1", port)])


def test_the_map_before_stays_as_it_was():
    osdmap = base()
    kept = copy.deepcopy(osdmap)
    changed(
        osdmap,
        new_max_osd=5,
        new_state={0: int(OSDState.UP), 1: int(OSDState.EXISTS)},
        new_weight={2: 0},
        new_primary_affinity={2: 7},
        new_up_thru={0: 9},
        new_pg_temp={PGId(1, 0): [2, 1]},
        new_pg_upmap_items={PGId(1, 0): [(1, 2)]},
        new_removed_snaps={1: IntervalSet([(1, 1)])},
        old_pools={1},
        crush=CrushWrapper(class_names={1: "ssd"}).encode(),
    )
    assert osdmap == kept


def test_an_incremental_that_changes_nothing():
    osdmap = base()
    after = changed(osdmap)
    assert after.epoch == 2
    after.epoch, after.modified = osdmap.epoch, osdmap.modified
    assert after == osdmap


def test_states_are_flipped_and_times_kept():
    osdmap = base()
    stamp = UTime(100, 1)
    down = changed(osdmap, new_state={1: 0}, modified=stamp)
    assert down.osd_state[1] == OSDState.EXISTS
    assert down.osd_info[1].down_at == 2
    assert down.osd_xinfo[1].down_stamp == stamp
    stopped = changed(down, new_state={1: int(OSDState.STOP | OSDState.AUTOOUT)})
    assert stopped.osd_state[1] == OSDState.EXISTS | OSDState.STOP | OSDState.AUTOOUT
    up = changed(
        stopped,
        new_up_client={1: addrs(1)},
        new_up_cluster={1: addrs(2)},
        new_hb_back_up={1: addrs(3)},
        new_hb_front_up={1: addrs(4)},
        new_xinfo={1: OsdXInfo(features=5)},
    )
    assert up.osd_state[1] == OSDState.EXISTS | OSDState.UP | OSDState.AUTOOUT
    assert up.osd_info[1].up_from == up.epoch == 4
    ports = [
        getattr(up, f"{kind}_addrs")[1].addrs[0].port
        for kind in ("client", "cluster", "hb_back", "hb_front")
    ]
    assert ports == [1, 2, 3, 4]
    assert up.osd_xinfo[1].features == 5


def test_an_osd_that_is_removed_is_forgotten():
    osdmap = changed(base(), new_up_cluster={1: addrs(2)}, new_primary_affinity={1: 5})
    gone = changed(osdmap, new_state={1: UP})
    assert gone.osd_state[1] == 0
    assert gone.osd_uuid[1] == bytes(16)
    assert gone.cluster_addrs[1] == EntityAddrVec()
    assert gone.osd_primary_affinity == [0x10000] * 3
    assert gone.osd_xinfo[1] == OsdXInfo()


def test_marking_in_ends_autoout():
    osdmap = changed(base(), new_weight={0: 0}, new_state={0: int(OSDState.AUTOOUT)})
    osdmap = changed(osdmap, new_xinfo={0: OsdXInfo(old_weight=7)})
    assert changed(osdmap, new_weight={0: 0}).osd_state[0] & OSDState.AUTOOUT
    back = changed(osdmap, new_weight={0: 0x8000})
    assert back.osd_state[0] == UP
    assert back.osd_xinfo[0].old_weight == 0


def test_room_for_osds():
    grown = changed(base(), new_max_osd=4, new_primary_affinity={3: 1})
    assert grown.osd_state == [UP, UP, UP, 0]
    assert grown.osd_primary_affinity == [0x10000] * 3 + [1]
    shrunk = changed(grown, new_max_osd=1)
    assert (len(shrunk.osd_uuid), len(shrunk.hb_back_addrs), shrunk.max_osd) == (1, 1, 1)


def test_pools_come_change_and_go():
    osdmap = changed(base(), new_pools={2: PGPool(type=1)}, new_pool_names={2: "two"})
    assert osdmap.pools[2].last_change == 2
    assert osdmap.pools[1].last_change == 1
    osdmap = changed(osdmap, new_pool_names={2: "zwei"}, old_pools={1})
    assert osdmap.pool_name == {2: "zwei"}
    assert list(osdmap.pools) == [2]


def test_removed_snapshots_wait_until_they_are_purged():
    osdmap = changed(base(), new_removed_snaps={1: IntervalSet([(1, 3)])})
    assert osdmap.removed_snaps_queue == osdmap.new_removed_snaps
    osdmap = changed(osdmap, new_purged_snaps={1: IntervalSet([(2, 1)])})
    assert osdmap.new_removed_snaps == {}
    assert list(osdmap.removed_snaps_queue[1]) == [(1, 1), (3, 1)]
    osdmap = changed(osdmap, new_purged_snaps={1: IntervalSet([(1, 1), (3, 1)])})
    assert osdmap.removed_snaps_queue == {}
    with pytest.raises(WireError):
        changed(osdmap, new_purged_snaps={1: IntervalSet([(1, 1)])})


def test_exceptions_for_pgs():
    one, two = PGId(1, 1), PGId(1, 2)
    osdmap = changed(
        base(),
        new_pg_temp={one: [1], two: [2]},
        new_primary_temp={one: 1, two: 2},
        new_pg_upmap={one: [0, 1]},
        new_pg_upmap_items={one: [(0, 2)]},
    )
    osdmap = changed(
        osdmap,
        new_pg_temp={one: []},
        new_primary_temp={two: -1},
        old_pg_upmap={one},
        old_pg_upmap_items={two},
    )
    assert osdmap.pg_temp == {two: [2]}
    assert osdmap.primary_temp == {one: 1}
    assert osdmap.pg_upmap == {}
    assert osdmap.pg_upmap_items == {one: [(0, 2)]}


def test_a_blocklist_entry_keeps_its_first_time():
    addr = EntityAddr.of("10.0.0.1", 0, type=3, nonce=5)
    osdmap = changed(base(), new_blocklist={addr: UTime(1, 0)})
    osdmap = changed(osdmap, new_blocklist={addr: UTime(2, 0)})
    assert osdmap.blocklist == {addr: UTime(1, 0)}
    assert changed(osdmap, old_blocklist=[addr]).blocklist == {}


def test_releases_bring_their_flags():
    osdmap = changed(base(), new_flags=int(OSDMapFlag.REQUIRE_LUMINOUS))
    assert osdmap.require_osd_release == Release.PACIFIC
    osdmap = changed(osdmap, new_require_osd_release=Release.LUMINOUS)
    assert osdmap.flags == OSDMapFlag.RECOVERY_DELETES
    osdmap = changed(osdmap, new_require_osd_release=Release.NAUTILUS)
    assert osdmap.flags == OSDMapFlag.RECOVERY_DELETES | OSDMapFlag.PGLOG_HARDLIMIT
    osdmap = changed(osdmap, new_require_osd_release=0, new_flags=int(OSDMapFlag.REQUIRE_KRAKEN))
    assert osdmap.require_osd_release == 0
    assert changed(osdmap, new_flags=int(OSDMapFlag.REQUIRE_JEWEL)).require_osd_release == 10
    assert changed(osdmap, new_require_min_compat_client=12).require_min_compat_client == 12


def test_flags_of_classes_go_with_their_class():
    crush = CrushWrapper(class_names={1: "ssd", 2: "hdd"})
    osdmap = changed(base(), crush=crush.encode(), new_device_class_flags={1: 4, 2: 4})
    assert osdmap.device_class_flags == {1: 4, 2: 4}
    assert osdmap.crush_version == 2
    crush.class_names = {2: "hdd"}
    osdmap = changed(osdmap, crush=crush.encode(), new_crush_node_flags={-1: 2})
    assert osdmap.device_class_flags == {2: 4}
    assert changed(osdmap, new_crush_node_flags={-1: 0}).crush_node_flags == {}


def test_stretch_mode():
    osdmap = changed(
        base(), change_stretch_mode=True, stretch_mode_enabled=True, new_stretch_bucket_count=2
    )
    assert (osdmap.stretch_mode_enabled, osdmap.stretch_bucket_count) == (True, 2)
    assert changed(osdmap).stretch_bucket_count == 2
    assert not changed(osdmap, change_stretch_mode=True).stretch_mode_enabled


def test_a_whole_map_replaces_all():
    other = base(5)
    other.epoch = 2
    assert changed(base(), fullmap=other.encode()).max_osd == 5


def test_only_the_next_epoch_of_the_same_cluster():
    osdmap = base()
    for name, value in (("epoch", 3), ("epoch", 1), ("fsid", bytes(16))):
        with pytest.raises(EpochGap):
            changed(osdmap, **{name: value})


@pytest.mark.parametrize(
    "changes",
    [
        {"new_weight": {3: 1}},
        {"new_state": {-1: 1}},
        {"new_lost": {7: 1}},
        {"new_uuid": {3: bytes(16)}, "new_max_osd": 3},
        {"new_up_client": {0: addrs(1)}},
    ],
)
def test_what_the_map_does_not_have_is_refused(changes):
    with pytest.raises(WireError):
        changed(base(), **changes)


def test_room_is_limited():
    with pytest.raises(LimitExceeded):
        changed(base(), new_max_osd=MAX_OSDS + 1)


def test_lists_of_other_lengths_are_refused():
    osdmap = base()
    osdmap.osd_weight = osdmap.osd_weight[:-1]
    with pytest.raises(WireError):
        changed(osdmap)


def test_the_checksum_decides():
    osdmap = base()
    inc = pending_incremental(osdmap)
    inc.new_weight[0] = 5
    expected = apply_incremental(osdmap, inc)
    encoded = expected.encode(inc.encode_features)
    inc.full_crc = expected.crc
    again = Incremental.decode(inc.encode())
    assert apply_checked(osdmap, again)[1] == encoded
    again.full_crc ^= 1
    with pytest.raises(CrcMismatch):
        apply_checked(osdmap, again)


def test_a_pending_incremental_requires_no_release():
    assert pending_incremental(base()).new_require_osd_release == NO_RELEASE


def test_a_new_tree_is_tidied():
    crush = CrushWrapper(max_devices=9, item_names={-1: "root", 2: "osd.2"})
    crush.buckets = [Bucket(-1, 1, BucketAlg.STRAW2, items=[0, 1], item_weights=[5, 5])]
    crush.choose_args = {-1: {0: ChooseArg([[7]]), 1: ChooseArg([[7]])}}
    made = changed(base(), crush=crush.encode()).crush
    assert made.max_devices == 3, "the last that is an item or has a name"
    assert made.choose_args == {-1: {0: ChooseArg([[7, 0]])}}
