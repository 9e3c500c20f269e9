"""The monitor map: commands, joining, what every monitor must be able to do, who is told."""

from __future__ import annotations

import pytest

from spirula.messages.mon_client import MMonMap
from spirula.messages.quorum import MMonJoin
from spirula.mon.services.monmap import edit, show
from spirula.types.base import UTime
from spirula.types.entity import EntityAddrVec
from spirula.types.mon import MonInfo, MonMap
from tests.unit.mon.harness import FSID, HarnessMonitor

ADDRS = "[v2:10.0.0.2:3300/0,v1:10.0.0.2:6789/0]"


@pytest.fixture
def mon():
    return HarnessMonitor()


def monmap_of(names, *, strategy=1):
    made = MonMap(fsid=FSID.bytes, epoch=3, min_mon_release=16, strategy=strategy)
    for number, name in enumerate(names):
        edit.add(made, name, EntityAddrVec.parse(f"v2:10.0.0.{number + 1}:3300/0"))
    edit.add_features(made, edit.SUPPORTED)
    return made


def test_the_first_map_requires_what_16_2_can(mon):
    shown = mon.ok("mon dump", format="json")
    assert (shown["epoch"], shown["min_mon_release_name"]) == (1, "pacific")
    assert shown["features"]["persistent"][-2:] == ["pacific", "elector-pinging"]
    assert shown["quorum"] == [0]
    assert shown["mons"][0]["addr"] == "127.0.0.1:6789/0"
    assert mon.refused("mon dump", epoch=9) == (2, "there is no map for epoch 9")
    listed = mon.ok("mon feature ls", with_value="--with-value", format="json")
    assert listed["monmap"]["required"][0] == "kraken(1)"


def test_getmap_is_what_monmaptool_reads(mon):
    answer = mon.command("mon getmap", epoch=1)
    assert answer.rs == "got monmap epoch 1"
    assert MonMap.decode(bytes(answer.data)).fsid == FSID.bytes


def test_adding_by_address_gives_both_default_ports(mon):
    answer = mon.command("mon add", name="b", addr="10.0.0.2")
    assert (answer.r, answer.rs) == (0, f"adding mon.b at {ADDRS}")
    # Of two monitors one is no quorum: the map is in force, and the monitor looks for the other.
    assert not mon.mon.is_leader
    assert [str(a) for a in mon.mon.monmap.addrs(1).addrs] == ADDRS.strip("[]").split(",")


@pytest.mark.parametrize(
    ("arguments", "errno", "text"),
    [
        ({"name": "a", "addr": "10.0.0.9"}, 17, "mon.a already exists at address [v2:127.0.0.1"),
        ({"name": "b", "addr": "127.0.0.1"}, 17, "mon.a already exists at address"),
        ({"name": "b", "addr": "10.0.0.2", "location": ["rack"]}, 22, "[rack] turned into an emp"),
        ({"name": "b", "addr": "nowhere"}, 22, "nowhere"),
    ],
)
def test_what_cannot_be_added(mon, arguments, errno, text):
    refused = mon.refused("mon add", **arguments)
    assert refused[0] == errno
    assert text in refused[1]
    assert mon.mon.monmap.epoch == 1


def test_the_same_again_is_no_error(mon):
    answer = mon.command("mon add", name="a", addr="127.0.0.1")
    assert (answer.r, answer.rs) == (
        0,
        "mon.a at [v2:127.0.0.1:3300/0,v1:127.0.0.1:6789/0] already exists",
    )
    assert mon.command("mon rm", name="z").rs == (
        "mon.z does not exist or has already been removed"
    )
    assert mon.refused("mon remove", name="a") == (22, "error: refusing removal of last monitor a")


@pytest.mark.parametrize(
    ("prefix", "arguments", "expected"),
    [
        ("mon set-rank", {"name": "z", "rank": 0}, (2, "mon.z does not exist in monmap")),
        ("mon set-weight", {"name": "z", "weight": 1}, (2, "mon.z does not exist")),
        ("mon set-addrs", {"name": "z", "addrs": "v2:1.1.1.1:1"}, (2, "mon.z does not exist")),
        ("mon set-addrs", {"name": "a", "addrs": "x"}, (22, "failed to parse addrs 'x'")),
        (
            "mon set-addrs",
            {"name": "a", "addrs": "v2:1.1.1.1:0"},
            (22, "monitor must bind to a non-zero port, not v2:1.1.1.1:0/0"),
        ),
        ("mon set election_strategy", {"strategy": "lots"}, (22, "")),
        (
            "mon add disallowed_leader",
            {"name": "a"},
            (22, "You cannot disallow monitors in your current election mode"),
        ),
        (
            "mon rm disallowed_leader",
            {"name": "a"},
            (22, "You cannot disallow monitors in your current election mode"),
        ),
        ("mon set_location", {"name": "z", "args": ["a=b"]}, (2, "mon.z does not exist")),
        ("mon feature set", {"feature_name": "zeal"}, (2, "unknown feature 'zeal'")),
        (
            "mon set_new_tiebreaker",
            {"name": "a"},
            (22, "Stretch mode is not enabled, so there is no tiebreaker"),
        ),
        ("mon ok-to-rm", {"id": "a"}, (16, "removing mon.a would break quorum")),
        (
            "mon ok-to-stop",
            {"ids": ["a"]},
            (16, "not enough monitors would be available () after stopping mons [a]"),
        ),
        (
            "mon ok-to-add-offline",
            {},
            (16, "adding a monitor may break quorum (until that monitor starts)"),
        ),
    ],
)
def test_refusals(mon, prefix, arguments, expected):
    assert mon.refused(prefix, **arguments) == expected


def test_leaders_can_be_disallowed_but_not_all(mon):
    mon.ok("mon set election_strategy", strategy="disallow")
    mon.advance(1.0)
    assert mon.ok("mon dump", format="json")["election_strategy"] == 2
    assert mon.refused("mon add disallowed_leader", name="a") == (
        22,
        "mon.a is the only remaining allowed leader!",
    )
    answer = mon.command("mon rm disallowed_leader", name="a")
    assert (answer.r, answer.rs) == (0, "mon.a is already allowed")


def test_locations_and_weights_are_kept(mon):
    mon.ok("mon set_location", name="a", args=["datacenter=dc1", "rack=r2"])
    mon.advance(1.0)
    mon.ok("mon set-weight", name="a", weight=7)
    mon.advance(1.0)
    shown = mon.ok("mon dump", format="json")["mons"][0]
    assert shown["crush_location"] == "{datacenter=dc1,rack=r2}"
    assert shown["weight"] == 7
    assert "; crush_location {datacenter=dc1,rack=r2}\n" in mon.ok("mon dump")


def test_a_monitor_joins_by_itself_if_its_caps_allow_it(mon):
    addrs = EntityAddrVec.parse(ADDRS)
    join = MMonJoin(version=0, fsid=FSID.bytes, name="b", addrs=addrs)
    mon.send(join, mon.session("client.x", "allow rw"))
    mon.advance(1.0)
    assert mon.mon.monmap.ranks == ["a"]
    mon.send(join, mon.session("client.y", "allow rwx"))
    mon.advance(1.0)
    assert mon.mon.monmap.ranks == ["a", "b"]
    assert mon.mon.monmap.epoch == 2


def test_a_monitor_of_another_cluster_does_not_join(mon):
    addrs = EntityAddrVec.parse(ADDRS)
    mon.send(MMonJoin(version=0, fsid=bytes(16), name="b", addrs=addrs))
    mon.advance(1.0)
    assert mon.mon.monmap.ranks == ["a"]


def test_subscribers_get_the_map_at_once_and_each_new_one(mon):
    watcher = mon.session("client.w", "allow r")
    (first,) = mon.subscribe("monmap", session=watcher)
    assert isinstance(first, MMonMap)
    mon.ok("mon set-weight", name="a", weight=3)
    mon.advance(1.0)
    newer = [m for m in watcher.connection.sent if isinstance(m, MMonMap)][-1]
    assert MonMap.decode(newer.monmapbl).epoch == 2
    assert mon.subscribe("monmap", 3, session=mon.session("client.v", "allow r")) == []


def test_an_old_map_learns_when_it_was_made():
    mon = HarnessMonitor()
    mon.mon.monmap.created = UTime()
    mon.advance(6.0)
    assert mon.mon.monmap.created == MonMap.decode(mon.store.get("monmap", "1")).last_changed


def test_ranks_close_up_and_tell_so():
    monmap = monmap_of("abc")
    edit.remove(monmap, "b")
    assert monmap.ranks == ["a", "c"]
    assert monmap.removed_ranks == {1}
    edit.set_rank(monmap, "c", 0)
    assert monmap.ranks == ["c", "a"]
    edit.set_rank(monmap, "c", 9)
    assert monmap.ranks == ["c", "a"]
    assert show.summary(monmap) == (
        "e3: 2 mons at {a=v2:10.0.0.1:3300/0,c=v2:10.0.0.3:3300/0} removed_ranks: {1}"
    )


def test_msgr2_is_added_for_default_ports_only():
    monmap = MonMap(fsid=FSID.bytes)
    for name, addr in (("a", "v1:10.0.0.1:6789/0"), ("b", "v1:10.0.0.2:7000/0")):
        monmap.mon_info[name] = MonInfo(name, EntityAddrVec.parse(addr))
    assert edit.enable_msgr2(monmap)
    assert str(monmap.mon_info["a"].public_addrs) == "[v2:10.0.0.1:3300/0,v1:10.0.0.1:6789/0]"
    assert str(monmap.mon_info["b"].public_addrs) == "v1:10.0.0.2:7000/0"
    assert not edit.enable_msgr2(monmap)


@pytest.mark.parametrize(("size", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)])
def test_a_quorum_is_a_majority(size, needed):
    assert edit.min_quorum(size) == needed
