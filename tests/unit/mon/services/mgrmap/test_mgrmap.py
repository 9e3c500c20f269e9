"""The manager map: who is active, who takes over, what modules are on, what is told to whom."""

from __future__ import annotations

import json

import pytest

from spirula.messages.mgr import MMgrBeacon, MMgrDigest
from spirula.messages.mgr_map import MMgrMap
from spirula.mon.services.mgrmap import active
from spirula.types.base import UTime
from spirula.types.entity import EntityAddrVec
from spirula.types.mgr import MgrMap, ModuleInfo, ModuleOption, StandbyInfo
from spirula.types.mon import CommandFlag, MonCommand
from tests.unit.mon.harness import FSID, HarnessMonitor

MODULES = [
    ModuleInfo(
        "restful",
        True,
        "",
        {"port": ModuleOption(name="port", type=1, level=1, desc="where", tags={"b", "a"})},
    ),
    ModuleInfo("broken", False, "no library", {}),
    ModuleInfo("crash", True, "", {}),
]


@pytest.fixture
def mon():
    return HarnessMonitor({"auth_allow_insecure_global_id_reclaim": "false"})


def beacon(name="x", gid=4100, *, available=False, fsid=FSID.bytes, **fields):
    return MMgrBeacon(
        version=0,
        server_addrs=EntityAddrVec.parse("v2:10.1.1.1:6800/1") if available else EntityAddrVec(),
        gid=gid,
        available=available,
        name=name,
        fsid=fsid,
        metadata={"hostname": f"host-{name}", "ceph_version": "v16"},
        modules=fields.pop("modules", MODULES),
        **fields,
    )


def manager(mon, name="x", gid=4100):
    return mon.session(f"mgr.{name}", "allow profile mgr", number=gid)


def start(mon, name="x", gid=4100, **fields):
    """A manager that came and serves."""
    session = manager(mon, name, gid)
    mon.send(beacon(name, gid, **fields), session)
    mon.advance(1.0)
    mon.send(beacon(name, gid, available=True, **fields), session)
    mon.advance(1.0)
    return session


def beat(mon, seconds, *beacons):
    """Let time go by while these managers send beacons."""
    for _ in range(int(seconds // 2)):
        for session, one in beacons:
            mon.send(one, session)
        mon.advance(2.0)


def test_the_first_manager_becomes_active(mon):
    assert mon.ok("mgr stat", format="json")["active_name"] == ""
    start(mon, services={"restful": "https://x:8003/"})
    assert mon.ok("mgr stat", format="json") == {
        "epoch": mon.mon.mgrmap.map.epoch,
        "available": True,
        "active_name": "x",
        "num_standby": 0,
    }
    assert mon.ok("mgr services", format="json") == {"restful": "https://x:8003/"}
    dump = mon.ok("mgr dump", format="json")
    assert dump["active_addr"] == "10.1.1.1:6800/1"
    assert dump["available_modules"][0]["module_options"]["port"]["level"] == "advanced"
    assert dump["always_on_modules"]["pacific"][0] == "balancer"
    assert mon.ok("mgr dump", epoch=1, format="json")["active_name"] == ""
    assert mon.refused("mgr dump", epoch=99) == (2, "there is no map for epoch 99")
    assert "mgr: x(active, since " in mon.ok("status")


def test_who_may_not_be_a_manager_is_none(mon):
    mon.send(beacon(), mon.session("client.x", "allow rw"))
    mon.send(beacon(fsid=bytes(16)), manager(mon))
    mon.advance(2.0)
    assert mon.mon.mgrmap.map.active_gid == 0


def test_a_standby_takes_over_when_the_active_one_falls_silent(mon):
    start(mon, "x", 4100, clients=[EntityAddrVec.parse("v2:10.1.1.1:0/77")], client_names=["vol"])
    standby = manager(mon, "y", 4200)
    mon.send(beacon("y", 4200), standby)
    mon.advance(1.0)
    assert mon.ok("mgr dump", format="json")["standbys"][0]["name"] == "y"
    assert "standbys: y" in mon.ok("status")
    beat(mon, 40, (standby, beacon("y", 4200)))
    mgrmap = mon.mon.mgrmap.map
    assert (mgrmap.active_name, mgrmap.standbys) == ("y", {})
    blocked = {str(addr) for addr in mon.mon.osdmap.osdmap.blocklist}
    assert blocked == {"10.1.1.1:6800/1", "10.1.1.1:0/77"}
    assert mgrmap.last_failure_osd_epoch == mon.mon.osdmap.osdmap.epoch
    messages = [one["message"] for one in mon.ok("log last", num=50, format="json")]
    assert "Manager daemon x is unresponsive, replacing it with standby daemon y" in messages
    assert mon.ok("mgr metadata", format="json")[0]["name"] == "y"


def test_without_standbys_nobody_takes_over(mon):
    start(mon)
    mon.advance(60.0)
    assert mon.mon.mgrmap.map.active_gid == 0
    messages = [one["message"] for one in mon.ok("log last", num=50, format="json")]
    assert "Manager daemon x is unresponsive.  No standby daemons available." in messages


def test_a_silent_standby_is_dropped(mon):
    session = start(mon, "x", 4100)
    mon.send(beacon("y", 4200), manager(mon, "y", 4200))
    beat(mon, 60, (session, beacon("x", 4100, available=True)))
    assert mon.mon.mgrmap.map.standbys == {}
    assert mon.refused("mgr metadata", who="y") == (2, "mgr.y does not exist")


def test_a_restarted_manager_begins_anew(mon):
    start(mon, "x", 4100)
    mon.send(beacon("x", 4300), manager(mon, "x", 4300))
    mon.advance(1.0)
    mgrmap = mon.mon.mgrmap.map
    assert (mgrmap.active_gid, mgrmap.available) == (4300, False)
    assert mon.mon.osdmap.osdmap.blocklist


def test_failing_by_name_and_number(mon):
    start(mon, "x", 4100)
    mon.send(beacon("y", 4200), manager(mon, "y", 4200))
    mon.advance(1.0)
    assert mon.command("mgr fail", who="z").rs == "Daemon not found 'z', already failed?"
    mon.ok("mgr fail", who="y")
    assert mon.mon.mgrmap.map.standbys == {}
    mon.send(beacon("y", 4200), manager(mon, "y", 4200))
    mon.advance(1.0)
    mon.ok("mgr fail")
    assert mon.mon.mgrmap.map.active_name == "y"
    mon.ok("mgr fail", who="4200")
    assert mon.mon.mgrmap.map.active_gid == 0
    assert mon.command("mgr fail").rs == "Currently no active mgr"


def test_switching_modules(mon):
    start(mon)
    mon.ok("mgr module enable", module="restful")
    answer = mon.command("mgr module enable", module="restful")
    assert (answer.r, answer.rs) == (0, "module 'restful' is already enabled")
    listed = mon.ok("mgr module ls", format="json")
    assert "restful" in listed["enabled_modules"]
    assert [one["name"] for one in listed["disabled_modules"]] == ["broken"]
    mon.ok("mgr module disable", module="restful")
    assert mon.command("mgr module disable", module="restful").rs == (
        "module 'restful' is already disabled"
    )
    why = (
        "module 'broken' reports that it cannot run on the active manager daemon: no library "
        "(pass --force to force enablement)"
    )
    assert mon.refused("mgr module enable", module="broken") == (2, why)
    mon.ok("mgr module enable", module="broken", force="--force")
    assert mon.refused("mgr module enable", module="none") == (
        2,
        "all mgr daemons do not support module 'none', pass --force to force enablement",
    )
    assert mon.refused("mgr module disable", module="crash") == (
        22,
        "module 'crash' cannot be disabled (always-on)",
    )
    assert mon.refused("mgr module enable", module="")[0] == 22


def test_metadata_is_counted(mon):
    start(mon)
    assert mon.ok("mgr versions", format="json") == {"v16": 1}
    assert mon.ok("mgr count-metadata", property="zone", format="json") == {"unknown": 1}
    assert mon.ok("mgr metadata", who="x", format="json")["hostname"] == "host-x"
    assert mon.mon.mgrmap.hosts() == {"host-x": ["x"]}


def test_commands_of_the_manager_are_told_to_clients(mon):
    def described():
        listed = json.loads(mon.ok("get_command_descriptions"))
        return {" ".join(map(str, one["sig"])) for one in listed.values()}

    assert "pg stat" in described()
    start(mon, command_descs=[MonCommand("zap now", "zaps", "mgr", "rw")])
    assert "zap now" in described()
    assert "pg stat" not in described()
    assert mon.mon.mgrmap.command_descs()[0].flags == CommandFlag.MGR
    again = mon.restart()
    assert again.mon.mgrmap.command_descs()[0].cmdstring == "zap now"


def test_subscribers_follow_the_map(mon):
    watcher = mon.session("client.w", "allow r")
    mon.subscribe("mgrmap", session=watcher)
    start(mon)
    maps = [one.map for one in watcher.connection.sent if isinstance(one, MMgrMap)]
    assert [one.epoch for one in maps] == sorted({one.epoch for one in maps})
    assert maps[-1].available


def test_digests_come_at_once_and_again(mon):
    session = start(mon)
    mon.subscribe("mgrdigest", session=session)
    beat(mon, 12, (session, beacon("x", 4100, available=True)))
    digests = [one for one in session.connection.sent if isinstance(one, MMgrDigest)]
    assert len(digests) >= 3
    assert json.loads(digests[0].health_json)["status"] == "HEALTH_OK"
    assert json.loads(digests[0].mon_status_json)["name"] == "a"


def test_the_absence_of_managers_is_no_trouble_without_osds(mon):
    mon.advance(1000.0)
    assert mon.ok("health") == "HEALTH_OK\n"


def test_a_cluster_with_osds_wants_a_manager(mon):
    mon.ok("osd new", uuid="00000000-0000-4000-8000-000000000001")
    mon.advance(130.0)
    assert mon.ok("health") == "HEALTH_ERR no active mgr\n"
    start(mon)
    assert mon.ok("health") == "HEALTH_OK\n"


# --- pure parts


def test_the_lowest_number_takes_over():
    mgrmap = MgrMap(client_names=[])
    assert not active.promote_standby(mgrmap, UTime.at(5.0))
    for gid, name in ((9, "late"), (7, "early")):
        mgrmap.standbys[gid] = StandbyInfo(gid, name, available_modules=MODULES)
    assert active.promote_standby(mgrmap, UTime.at(5.0))
    assert (mgrmap.active_name, mgrmap.active_change) == ("early", UTime.at(5.0))
    assert active.all_names(mgrmap) == ["early", "late"]


def test_a_module_must_be_with_all_managers():
    mgrmap = MgrMap(client_names=[], available_modules=MODULES)
    assert active.all_support(mgrmap, "restful")
    mgrmap.standbys[1] = StandbyInfo(1, "y", old_available_modules={"crash"})
    assert not active.all_support(mgrmap, "restful")
    assert active.all_support(mgrmap, "crash")
