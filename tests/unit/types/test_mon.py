"""Monitor types whose bytes depend on the peer, and those that are not in the object corpus."""

from __future__ import annotations

import pytest

from spirula.denc.features import MONENC, MSG_ADDR2, PACIFIC, SERVER_NAUTILUS
from spirula.errors import IncompatibleVersion, Truncated, WireError
from spirula.types.base import UTime
from spirula.types.entity import EntityAddrVec
from spirula.types.mon import (
    FeatureSet,
    MonCommand,
    MonCommandList,
    MonFeatures,
    MonInfo,
    MonMap,
)

LUMINOUS = PACIFIC & ~SERVER_NAUTILUS & ~MSG_ADDR2 | MONENC


def a_map():
    infos = {
        name: MonInfo(name, EntityAddrVec.parse(f"[v2:10.0.0.{n}:3300/0,v1:10.0.0.{n}:6789/0]"), n)
        for n, name in ((2, "a"), (1, "b"), (3, "c"))
    }
    return MonMap(
        fsid=bytes(range(16)),
        epoch=7,
        last_changed=UTime(5, 6),
        created=UTime(3, 4),
        persistent_features=MonFeatures(0xFF),
        mon_info=infos,
        ranks=["c", "a", "b"],
        min_mon_release=16,
        removed_ranks={1},
        strategy=3,
        disallowed_leaders={"b"},
        stretch_mode_enabled=True,
        tiebreaker_mon="c",
        stretch_marked_down_mons={"a"},
    )


def test_the_whole_map_for_a_peer_of_today():
    assert MonMap.decode(a_map().encode(), exact=True) == a_map()


def test_a_peer_before_nautilus_gets_one_address_each_and_ranks_by_address():
    data = a_map().encode(LUMINOUS)
    assert data[:2] == b"\x05\x03"
    got = MonMap.decode(data, LUMINOUS, exact=True)
    assert got.ranks == ["b", "a", "c"]
    assert [str(got.addrs(rank)) for rank in range(3)] == [
        "v1:10.0.0.1:6789/0",
        "v1:10.0.0.2:6789/0",
        "v1:10.0.0.3:6789/0",
    ]
    assert got.mon_info["a"].priority == 2
    assert got.persistent_features == MonFeatures(0xFF)


def test_a_peer_without_monenc_gets_names_and_addresses_only():
    data = a_map().encode(0)
    assert data[:2] == b"\x02\x00"
    got = MonMap.decode(data, 0, exact=True)
    assert got.ranks == ["b", "a", "c"]
    assert got.epoch == 7
    assert got.created == UTime(3, 4)
    assert got.persistent_features == MonFeatures(0)


def test_a_monitor_with_only_a_v2_address_is_shown_to_old_peers_as_if_it_spoke_v1():
    info = MonInfo("m", EntityAddrVec.parse("v2:10.0.0.1:3300/0"))
    got = MonInfo.decode(info.encode(LUMINOUS), LUMINOUS, exact=True)
    assert str(got.public_addrs) == "v1:10.0.0.1:3300/0"


def test_a_location_shuts_out_readers_that_do_not_know_locations():
    addrs = EntityAddrVec.parse("v2:10.0.0.1:3300/0")
    assert MonInfo("m", addrs).encode()[:2] == b"\x05\x01"
    with_location = MonInfo("m", addrs, crush_loc={"datacenter": "east"})
    assert with_location.encode()[:2] == b"\x05\x04"
    assert MonInfo.decode(with_location.encode(), exact=True) == with_location


@pytest.mark.parametrize("kind", [MonMap, MonInfo, MonCommandList])
def test_a_newer_compat_and_a_length_past_the_end_are_refused(kind):
    with pytest.raises(IncompatibleVersion):
        kind.decode(b"\x63\x63\x00\x00\x00\x00")
    with pytest.raises(Truncated):
        kind.decode(b"\x05\x01\xff\x00\x00\x00")


def test_a_map_older_than_any_that_is_known_is_refused():
    with pytest.raises(WireError, match="version 1"):
        MonMap.decode(b"\x01\x00" + bytes(100))


@pytest.mark.parametrize("make", [a_map, lambda: a_map().mon_info["a"]], ids=["map", "entry"])
@pytest.mark.parametrize("features", [PACIFIC, LUMINOUS, 0], ids=["pacific", "luminous", "none"])
def test_every_truncation_is_told(make, features):
    data = make().encode(features)
    for size in range(len(data)):
        with pytest.raises(WireError):
            type(make()).decode(data[:size], features)


def test_ranks_by_name():
    assert a_map().rank_of("a") == 1
    assert a_map().rank_of("z") == -1


def test_names_of_monitor_features():
    assert MonFeatures(0b1001_0001 | 1 << 40).names() == [
        "kraken",
        "nautilus",
        "elector-pinging",
        "unknown",
    ]


def test_a_list_of_commands_keeps_its_flags_behind_it():
    commands = MonCommandList(
        [MonCommand(f"cmd{n}", "help", "mon", "rw", flags=n) for n in range(3)]
    )
    data = commands.encode()
    assert data[6:8] == b"\x03\x00"
    assert data[-8:] == (2).to_bytes(8, "little")
    assert MonCommandList.decode(data, exact=True) == commands
    with pytest.raises(WireError):
        MonCommandList.decode(data[:2] + (len(data) - 16).to_bytes(4, "little") + data[6:-10])


def test_lists_of_commands_from_before_flags():
    command = MonCommand("cmd", "help", "mon", "rw", flags=9)
    data = MonCommandList([command]).encode()[:-8]
    old = b"\x01\x01" + (len(data) - 6).to_bytes(4, "little") + data[6:]
    assert MonCommandList.decode(old).commands[0].flags == 0


def test_a_feature_set_says_its_numbers_twice():
    assert FeatureSet.of({1: "one", 3: "three"}) == FeatureSet(0b1010, {1: "one", 3: "three"})
